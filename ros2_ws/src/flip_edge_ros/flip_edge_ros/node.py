"""The lifecycle node: topics in, verdicts and alerts out.

Everything that ROS calls runs on the executor's thread and returns at once. The model belongs to one worker thread;
what it has finished comes back to the executor through a guard condition.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from flip_edge_msgs.msg import ActionDescription, Command, MismatchAlert
from flip_edge_msgs.msg import Verdict as VerdictMessage
from flip_edge_msgs.srv import CheckExecution, Rank
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # on Humble it is nowhere else
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.task import Future
from std_msgs.msg import String

from flip_edge.backward import Evidence
from flip_edge.blackbox import BlackBox
from flip_edge.config import Config
from flip_edge.decision import Decision, Outcome
from flip_edge.describe.sources import Sources
from flip_edge.episode import Episode, clean_text
from flip_edge.errors import FlipEdgeError, InputError
from flip_edge.interfaces import said
from flip_edge.monitor import Alert, Monitor
from flip_edge.planner import RankAnswer, RankState, deadline_of
from flip_edge.selfcheck import SelfCheck
from flip_edge.verdict import Verdict, verdict_of
from flip_edge.worker import Done, Worker
from flip_edge_ros.diagnostics import Health, Vitals, to_status
from flip_edge_ros.messages import to_alert_message, to_rank_response, to_ranking, to_verdict_message
from flip_edge_ros.parameters import NodeParameters
from flip_edge_ros.qos import ACTION_DEPTH, COMMAND_DEPTH, Hearing, publish, reliable, subscribe
from flip_edge_ros.telemetry import Telemetry

IDLE_PERIOD_S = 0.1
DIAGNOSTICS_PERIOD_S = 1.0
_LAST_MESSAGES_S = 1.0  # how long a slow subscriber is waited for before a publisher goes
_LOGGED = 120  # characters of a text from outside


class SelfCheckNode(LifecycleNode):
    """See the package's README for topics, services and parameters."""

    def __init__(self, **options: Any) -> None:
        super().__init__("self_check", **options)
        self._check: SelfCheck | None = None
        self._worker: Worker | None = None
        self._monitor: Monitor | None = None
        self._black_box: BlackBox | None = None
        # It outlives a cleanup and, in a black box, a kill: who heard that it was raised must hear that it is over.
        self._alert: Alert | None = None
        self._hearing = Hearing()
        self._told = True  # of the runs that an earlier process left without a verdict
        self._health = Health()
        self._finished: deque[Callable[[], None]] = deque()
        self._finished_guard = self.create_guard_condition(self._on_finished)
        self.unanswered = 0  # calls of services that wait for the model
        self._settings = NodeParameters(self, lambda: self._check is not None, self._apply)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # On the steady clock, so that a node whose simulated time stands still is heard all the same.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics_timer = self.create_timer(DIAGNOSTICS_PERIOD_S, self._on_diagnostics, clock=steady)
        # They live as long as the node, so that a caller is answered in every state, also while the node shuts down.
        # In a group of their own: a call that waits for the model must not hold up the other callbacks.
        asked = ReentrantCallbackGroup()
        self.create_service(CheckExecution, "~/check", self._on_check, callback_group=asked)
        self.create_service(Rank, "~/rank", self._on_rank, callback_group=asked)
        self._entities: list[Callable[[], object]] = []
        self._outputs: list[Publisher[Any]] = []

    @property
    def autostart(self) -> bool:
        """Whether the node is to configure and activate itself."""
        return self._settings.autostart

    def start(self) -> None:
        """Configure and activate. When that fails, the node stays up and says why on its log and diagnostics."""
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    # --- lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the model; fail with the reason when that is not possible."""
        try:
            self._configure(self._settings.config)
        except Exception as error:  # rclpy would swallow what is unforeseen, and nobody would learn the reason
            self.close()
            self._health.error = f"configure failed: {error if isinstance(error, FlipEdgeError) else repr(error)}"
            self.get_logger().error(self._health.error)
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _configure(self, config: Config) -> None:
        self._check = SelfCheck(config)
        self._check("warm up", ["warmed up"])
        if self._check.gpu_offload_missing:
            self.get_logger().warning("n_gpu_layers is set, but this llama.cpp cannot use a GPU: running on the CPU")
        sources = Sources.load(config.sources) if config.sources else None
        self._black_box = BlackBox(Path(config.black_box), runs=config.black_box_runs) if config.black_box else None
        if self._black_box and (aside := self._black_box.set_aside):
            self.get_logger().warning(f"the black box was damaged; it is kept as {aside}")
        if self._black_box and not self._alert:
            self._alert = self._black_box.alert
        self._monitor = Monitor.of(
            config, journal=self._black_box, witness=sources.finish if sources else tuple, alert=self._alert
        )
        self._hearing = Hearing()
        self._open(sources)
        if self._alert:
            self._alerts.publish(to_alert_message(self._alert, self._stamp()))
            if self._alert.raised:
                self.get_logger().warning(f"alert {self._alert.id} is still raised: {self._alert.verdict.reason}")
        self._health = Health(state="inactive")
        self.get_logger().info(f"configured: model {self._check.model_id}, rule {self._check.rule}")

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to check."""
        assert self._check
        self._worker = Worker(self._check, self._settings.config.queue_size)
        self._health.state = "active"
        self.get_logger().info("active")
        self._tell_of_interrupted()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop checking. Runs that are open or waiting get their UNKNOWN first; the alert stays as it is."""
        self.finish()
        self._health.state = "inactive"
        self.get_logger().info("inactive")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model."""
        self.close()
        self._health = Health()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything."""
        self.finish()
        self.close()
        self._health.state = "finalized"
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After an unforeseen error: free everything, and let the node be configured again."""
        self._health.error = "a lifecycle transition failed; see the log"
        self.finish()
        self.close()
        self._health.state = "unconfigured"
        return TransitionCallbackReturn.SUCCESS

    def _tell_of_interrupted(self) -> None:
        """Runs that an earlier process left without a verdict get theirs."""
        box = self._black_box
        for run in box.interrupted if box and not self._told else ():
            assert self._check
            reason = "lost: the monitor was stopped hard while this run was open, or waited for its check"
            self._report(self._publish)(self._check.unknown(run.episode, reason))
        self._told = True
        self._finished_guard.trigger()

    def _open(self, sources: Sources | None) -> None:
        self._told = False
        self._verdicts = publish(self, VerdictMessage, "verdict", reliable(10))
        self._alerts = publish(self, MismatchAlert, "mismatch_alert", reliable(1, latched=True))
        self._outputs = [self._verdicts, self._alerts]
        topics = (
            (String, "command", self._on_command, COMMAND_DEPTH),
            (String, "action_description", self._on_action, ACTION_DEPTH),
            (Command, "command_stamped", self._on_command, COMMAND_DEPTH),
            (ActionDescription, "action_description_stamped", self._on_action, ACTION_DEPTH),
        )
        subscriptions = [
            subscribe(self, kind, topic, callback, reliable(depth), self._hearing, self._on_lost)
            for kind, topic, callback, depth in topics
        ]
        telemetry = Telemetry(self, sources, self._hearing, self._saw, self._stirs) if sources else None
        idle = self.create_timer(IDLE_PERIOD_S, self._on_idle)
        self._entities = [
            *(lambda item=item: self.destroy_subscription(item) for item in subscriptions),
            lambda: self.destroy_timer(idle),
        ]
        if telemetry:
            self._entities.append(telemetry.close)

    def close(self) -> None:
        """Free everything that :meth:`on_configure` made, once its last messages have arrived. Safe to call twice."""
        end = time.monotonic() + _LAST_MESSAGES_S
        for publisher in self._outputs:
            with suppress(RuntimeError):  # a middleware that cannot tell
                publisher.wait_for_all_acked(Duration(seconds=max(0.0, end - time.monotonic())))
            self.destroy_publisher(publisher)
        for destroy in self._entities:
            destroy()
        self._entities, self._outputs = [], []
        if self._check:
            self._check.close()
        if self._monitor:
            self._alert = self._monitor.alert
        if self._black_box:
            self._black_box.close()
        self._check = self._monitor = self._black_box = None

    def finish(self) -> None:
        """End the worker, give every run that is not checked yet its UNKNOWN, oldest first, and answer every call."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        assert self._monitor
        assert self._check
        worker.stop()
        for episode in self._monitor.flush():
            verdict = self._check.unknown(episode, "stopped: the monitor stopped before this run ended")
            self._report(self._publish)(verdict)
        self._on_finished()

    # --- input

    def _on_command(self, message: String | Command) -> None:
        self._command(**said(message))

    def _command(self, text: str, command_id: str = "", stamp: float | None = None, cancel: bool = False) -> None:
        if not (self._worker and self._monitor):
            return
        if cancel:
            self._submit(self._monitor.cancel(id=command_id, now=self._now()))
        else:
            self._submit(self._monitor.command(text, id=command_id, stamp=stamp, now=self._now()))

    def _on_action(self, message: String | ActionDescription) -> None:
        self._action(**said(message))

    def _action(self, text: str, command_id: str = "", stamp: float | None = None, final: bool = False) -> None:
        if self._worker and self._monitor:
            now = self._now()
            self._submit(self._monitor.action(text, command_id=command_id, final=final, stamp=stamp, now=now))
            self._follow()

    def _saw(self, text: str) -> None:
        if self._worker and self._monitor:
            self.get_logger().debug(f"saw: {text}")
            self._monitor.saw(text, now=self._now())
            self._follow()

    def _stirs(self) -> None:
        if self._monitor:
            self._monitor.stir(now=self._now())

    def _follow(self) -> None:
        """The active run went on: look at it when it is time to, and read it ahead."""
        assert self._worker
        assert self._monitor
        if self._worker.waiting == 0 and (episode := self._monitor.drift()):
            self._worker.submit(episode, self._report(self._publish_drift))
        if episode := self._monitor.so_far():
            self._worker.read_ahead(episode)

    def _on_lost(self, count: int) -> None:
        self.get_logger().warning(f"the middleware lost {count} messages")
        if self._worker and self._monitor:
            self._monitor.lose(count)

    def _on_idle(self) -> None:
        if self._worker and self._monitor:
            self._submit(self._monitor.tick(self._now()))

    async def _on_check(
        self, request: CheckExecution.Request, response: CheckExecution.Response
    ) -> CheckExecution.Response:
        episode = Episode.of(request.command, request.actions, id=request.command_id)
        if self._worker:
            answer: Future[Verdict] = Future()

            def reached(verdict: Verdict) -> None:
                self._publish_verdict(verdict)  # but no alert: the caller has the answer
                answer.set_result(verdict)

            self.unanswered += 1
            self._worker.submit(episode, self._report(reached))
            verdict = await answer
            self.unanswered -= 1
            assert verdict is not None  # `reached` has set it
        else:
            verdict = self._not_checking(episode)
        response.verdict = to_verdict_message(verdict, self._stamp())
        return response

    async def _on_rank(self, request: Rank.Request, response: Rank.Response) -> Rank.Response:
        ids: list[str] = []
        model_id = self._check.model_id if self._check else ""
        try:
            answer = RankAnswer(RankState.INACTIVE, f"not ranking: the node is {self._health.state}")
            if self._worker:
                ranking, deadline_s = to_ranking(request), deadline_of(request.deadline_s)
                ids = ranking.ids
                waiting: Future[RankAnswer] = Future()
                self.unanswered += 1
                self._worker.rank(ranking, lambda found: self._bring(lambda: waiting.set_result(found)), deadline_s)
                answer = cast(RankAnswer, await waiting)
                self.unanswered -= 1
        except InputError as error:
            answer = RankAnswer(RankState.INVALID, str(error))
        self._health.rankings[answer.state] += 1
        told = answer.reason or f"{answer.ranking[0].id:.{_LOGGED}}: {answer.why}"
        command = clean_text(request.command[:_LOGGED])
        self.get_logger().info(f"{answer.state.name} of {len(request.candidates)} plans: {command}: {told}")
        return to_rank_response(answer, ids, model_id)

    def _not_checking(self, episode: Episode) -> Verdict:
        config = self._settings.config
        decision = Decision(Outcome.UNKNOWN, f"not checking: the node is {self._health.state}", config.rule)
        return verdict_of(episode, decision, Evidence(), config, model_id="", prompt_id="")

    def _submit(self, episodes: list[Episode]) -> None:
        assert self._worker
        for episode in episodes:
            self._worker.submit(episode, self._report(self._publish))

    def _report(self, then: Callable[[Verdict], None]) -> Done:
        """A callback for the worker's thread that brings the verdict to the executor's thread."""

        def reached(verdict: Verdict) -> None:
            self._health.record(verdict)
            then(verdict)

        return lambda verdict: self._bring(lambda: reached(verdict))

    def _bring(self, call: Callable[[], None]) -> None:
        """Have this called by the executor's thread."""
        self._finished.append(call)
        self._finished_guard.trigger()

    # --- output

    def _on_finished(self) -> None:
        while self._finished:
            self._finished.popleft()()

    def _publish(self, verdict: Verdict) -> None:
        assert self._monitor
        self._publish_verdict(verdict)
        alert = self._monitor.conclude(verdict)
        if self._black_box and not verdict.interim:
            change = "" if alert is None else "raised" if alert.raised else "cleared"
            self._black_box.verdict(verdict, self._now(), change)
        if alert:
            if self._black_box:
                self._black_box.alerted(alert)
            self._alerts.publish(to_alert_message(alert, self._stamp()))
            if alert.raised:
                self.get_logger().warning(f"alert {alert.id} raised: {verdict.reason}")
            else:
                self.get_logger().info(f"alert {alert.id} cleared: {verdict.reason}")

    def _publish_drift(self, verdict: Verdict) -> None:
        if verdict.outcome is Outcome.MISMATCH:  # of a run that goes on, nothing else is worth telling
            self._publish(verdict)

    def _publish_verdict(self, verdict: Verdict) -> None:
        told = f"[{verdict.command_id:.{_LOGGED}}] {verdict.command:.{_LOGGED}}"
        self.get_logger().info(f"{verdict.outcome.value} {told}: {verdict.reason}")
        self._verdicts.publish(to_verdict_message(verdict, self._stamp()))

    def _on_diagnostics(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self._stamp()
        name = f"{self.get_fully_qualified_name()}: self-check"
        message.status = [to_status(name, "flip_edge", self._vitals())]
        self._diagnostics.publish(message)

    def _vitals(self) -> Vitals:
        return Vitals(self._health, self._hearing, self._monitor, self._worker, self._check, self._black_box)

    # --- time and settings

    def _now(self) -> float:
        return float(self.get_clock().now().nanoseconds) / 1e9

    def _stamp(self) -> Time:
        return self.get_clock().now().to_msg()

    def _apply(self, config: Config) -> None:
        if self._check:
            self._check.reconfigure(config)
        if self._monitor:
            self._monitor.reconfigure(config)
        if self._worker:
            self._worker.queue_size = config.queue_size
