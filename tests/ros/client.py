"""The test's side of DDS: it commands and describes like a robot, and listens and asks like an operator."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from flip_edge_msgs.msg import ActionDescription, Candidate, Command, MismatchAlert, Verdict
from flip_edge_msgs.srv import CheckExecution, Rank
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterDescriptor, ParameterValue, SetParametersResult
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter as NodeParameter
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from .process import NodeProcess

WAIT_S = 60.0
QUIET_S = 0.3  # how long nothing must come before "and no more" is believed

DEEP = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Client:
    """One participant, in the namespace of the node. It is spun by whoever waits, in the test's own thread.

    Messages that must keep their order across topics are each followed by a service call that the node has answered:
    DDS orders what is on one topic, not what is on two.
    """

    def __init__(self, process: NodeProcess, *, name: str = "self_check", verdict: str = "verdict") -> None:
        self.process = process
        namespace = process.namespace
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("client", context=self.context, namespace=namespace)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.name = f"{namespace}/{name}"
        self.verdicts: list[Verdict] = []
        self.alerts: list[MismatchAlert] = []
        self.statuses: list[tuple[int, DiagnosticStatus]] = []  # with the time of their making, in nanoseconds
        self._services: dict[str, Any] = {}
        create = self.node.create_publisher
        self._publishers = {
            String: {topic: create(String, topic, DEEP) for topic in ("command", "action_description")},
            Command: {"": create(Command, "command_stamped", DEEP)},
            ActionDescription: {"": create(ActionDescription, "action_description_stamped", DEEP)},
        }
        self._verdict_subscription = self.node.create_subscription(Verdict, verdict, self.verdicts.append, DEEP)
        self._alert_subscription = self.listen_to_alerts(self.alerts)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    # --- waiting

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left)

    def until(self, reached: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
        end = time.monotonic() + timeout_s
        while not reached():
            assert self.process.alive, f"the node died while waiting for {what}:\n{self.process.log}"
            assert time.monotonic() < end, f"waited {timeout_s} s in vain for {what}:\n{self.process.log}"
            self.executor.spin_once(timeout_sec=0.05)

    def connect(self) -> None:
        """Wait until the node is configured and every message in either direction will arrive."""
        publishers = [publisher for topics in self._publishers.values() for publisher in topics.values()]
        self.until(lambda: all(publisher.get_subscription_count() for publisher in publishers), "the node")
        self.until(lambda: self.node.count_publishers(self._verdict_subscription.topic_name), "its verdicts")
        if self.state() == "active":
            before = len(self.verdicts)
            while len(self.verdicts) == before:  # a volatile message is lost until both sides know each other
                self.check("", [])
                self.spin(0.05)
        self.spin(0.1)
        self.verdicts.clear()

    # --- the robot

    def command(self, text: str) -> None:
        self.publish("command", text)
        self.state()

    def action(self, *texts: str) -> None:
        for text in texts:
            self.publish("action_description", text)
            self.state()

    def publish(self, topic: str, text: str) -> None:
        self._publishers[String][topic].publish(String(data=text))

    def command_stamped(self, text: str, command_id: str) -> None:
        self._publishers[Command][""].publish(Command(text=text, command_id=command_id))
        self.state()

    def action_stamped(self, text: str, command_id: str = "", *, final: bool = False) -> None:
        message = ActionDescription(text=text, command_id=command_id, final=final)
        self._publishers[ActionDescription][""].publish(message)
        self.state()

    def run(self, command: str, *steps: str, id: str) -> Verdict:
        """A whole run, ended by a final description; its verdict."""
        self.command_stamped(command, id)
        for step in steps:
            self.action_stamped(step, id)
        self.action_stamped("", id, final=True)
        return self.verdict_of(id)

    # --- what comes back

    def expect(self, count: int, timeout_s: float = WAIT_S) -> list[Verdict]:
        """The next ``count`` verdicts, after seeing that there are no more."""
        self.until(lambda: len(self.verdicts) >= count, f"{count} verdicts; {len(self.verdicts)} came", timeout_s)
        self.spin(QUIET_S)
        assert len(self.verdicts) == count, [(verdict.command_id, verdict.reason) for verdict in self.verdicts]
        taken = list(self.verdicts)
        self.verdicts.clear()
        return taken

    def one(self, timeout_s: float = WAIT_S) -> Verdict:
        """The one verdict that comes."""
        return self.expect(1, timeout_s)[0]

    def verdict_of(self, id: str) -> Verdict:
        """The one verdict that comes, which must be about this command."""
        verdict = self.one()
        assert verdict.command_id == id
        return verdict

    def listen_to_alerts(self, into: list[MismatchAlert]) -> object:
        """Another subscriber of the alert, joining now."""
        return self.node.create_subscription(MismatchAlert, "mismatch_alert", into.append, LATCHED)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        self.statuses += [(stamp, status) for status in message.status if status.name == f"{self.name}: self-check"]

    def status(self) -> DiagnosticStatus:
        """A status that was made after this call."""
        asked = time.time_ns()
        self.until(lambda: self.statuses and self.statuses[-1][0] > asked, "diagnostics")
        return self.statuses[-1][1]

    def values(self) -> dict[str, str]:
        """The values of :meth:`status`."""
        return {item.key: item.value for item in self.status().values}

    # --- services

    def start_call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service of the node, by its name below the node's; the future of the answer."""
        if name not in self._services:
            self._services[name] = self.node.create_client(kind, f"{self.name}/{name}")
            self._become_known()
        self.until(self._services[name].service_is_ready, f"service {name}")
        return self._services[name].call_async(request)

    def _become_known(self) -> None:
        """Wait until the node can answer every service client made so far.

        A server that does not know its caller yet gives up on the answer after 0.1 s, and nothing tells when it does.
        But it learns of a participant's endpoints in the order of their making: who is answered as a later client is
        known as the earlier ones too.
        """
        later = self.node.create_client(GetState, f"{self.name}/get_state")
        self.until(later.service_is_ready, "service get_state")
        answers: list[Any] = []

        def answered() -> bool:
            answers.append(later.call_async(GetState.Request()))
            self.executor.spin_until_future_complete(answers[-1], timeout_sec=1.0)
            return any(answer.done() for answer in answers)

        self.until(answered, "an answer of get_state")
        self.node.destroy_client(later)

    def call(self, kind: Any, name: str, request: Any, timeout_s: float = WAIT_S) -> Any:
        future = self.start_call(kind, name, request)
        self.until(future.done, f"the answer of {name}", timeout_s)
        return future.result()

    def start_check(self, command: str, actions: list[str], id: str = "") -> Any:
        request = CheckExecution.Request(command_id=id, command=command, actions=actions)
        return self.start_call(CheckExecution, "check", request)

    def check(self, command: str, actions: list[str], id: str = "") -> Verdict:
        future = self.start_check(command, actions, id)
        self.until(future.done, "the answer of check")
        return future.result().verdict

    def start_rank(self, command: str, plans: Mapping[str, Sequence[str] | str], **options: Any) -> Any:
        """Ask for a ranking of plans, by id, as steps or as texts; the future of the answer."""
        candidates = [
            Candidate(id=id, text=plan) if isinstance(plan, str) else Candidate(id=id, steps=list(plan))
            for id, plan in plans.items()
        ]
        return self.start_call(Rank, "rank", Rank.Request(command=command, candidates=candidates, **options))

    def rank(self, command: str, plans: Mapping[str, Sequence[str] | str], **options: Any) -> Rank.Response:
        future = self.start_rank(command, plans, **options)
        self.until(future.done, "the answer of rank")
        return future.result()

    def state(self) -> str:
        return str(self.call(GetState, "get_state", GetState.Request()).current_state.label)

    def change(self, transition: str) -> bool:
        request = ChangeState.Request()
        request.transition.label = transition
        return bool(self.call(ChangeState, "change_state", request).success)

    # --- parameters

    def set(self, **values: object) -> list[SetParametersResult]:
        """Set parameters, each by itself."""
        parameters = [NodeParameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        return self.set_raw(*parameters)

    def set_raw(self, *parameters: Parameter) -> list[SetParametersResult]:
        return list(
            self.call(SetParameters, "set_parameters", SetParameters.Request(parameters=list(parameters))).results
        )

    def change_settings(self, **values: object) -> None:
        """Set parameters that must be accepted."""
        for result in self.set(**values):
            assert result.successful, result.reason

    def get(self, *names: str) -> list[Any]:
        values: list[ParameterValue] = self.call(
            GetParameters, "get_parameters", GetParameters.Request(names=names)
        ).values
        return [parameter_value_to_python(value) for value in values]

    def declared(self) -> list[str]:
        return list(self.call(ListParameters, "list_parameters", ListParameters.Request()).result.names)

    def describe(self, *names: str) -> list[ParameterDescriptor]:
        return list(
            self.call(DescribeParameters, "describe_parameters", DescribeParameters.Request(names=names)).descriptors
        )
