"""What the node tells of itself: /diagnostics, and the quality of service that it asks for and offers."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")

from diagnostic_msgs.msg import DiagnosticStatus
from flip_edge_msgs.msg import Verdict
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from .client import Client
from .conftest import Connect, StartNode
from .process import NodeProcess

pytestmark = [pytest.mark.ros, pytest.mark.model]

MUG = "bring the mug to the sink"
MUG_STEPS = ("picked up the mug", "put the mug in the sink")
DOCK = "drove to the charging dock"


def test_once_a_second(robot: Client) -> None:
    robot.status()
    before, started = len(robot.statuses), time.monotonic()
    robot.spin(5.2)
    elapsed = time.monotonic() - started
    assert 0.6 * elapsed <= len(robot.statuses) - before <= 1.2 * elapsed + 1


def test_counters_and_levels_follow_what_happens(start_node: StartNode, connect: Connect) -> None:
    node = start_node(idle_timeout_s=3600.0, queue_size=7)
    robot = connect(node)
    robot.connect()  # asks the service, which is no run
    robot.command(MUG)
    robot.command(MUG)
    robot.action(*MUG_STEPS)
    assert robot.values()["runs open"] == "1"
    robot.command_stamped("go to the dock", "dock")
    assert robot.one().verdict == Verdict.MATCH
    robot.action_stamped(DOCK, "dock", final=True)
    assert robot.one().verdict == Verdict.MATCH
    status = robot.status()
    values = {item.key: item.value for item in status.values}
    assert (status.level, status.message, status.hardware_id) == (DiagnosticStatus.OK, "checking", "flip_edge")
    expected = {
        "state": "active",
        "last error": "",
        "rule": "calibrated",
        "commands received": "2",
        "commands repeated": "1",
        "descriptions received": "3",
        "descriptions dropped": "0",
        "descriptions late": "0",
        "messages lost": "0",
        "runs open": "0",
        "runs ended": "2",
        "alerts raised": "0",
        "verdicts MATCH": "2",
        "verdicts MISMATCH": "0",
        "verdicts UNKNOWN": "0",
        "queue waiting": "0",
        "queue size": "7",
        "queue dropped": "0",
    }
    assert {key: values[key] for key in expected} == expected
    assert values["model"].startswith("smollm2")
    assert values["prompt"].startswith("log-command-confirm/")
    assert 0 < float(values["seconds to verdict, median"]) <= float(values["seconds to verdict, maximum"])

    robot.run(MUG, DOCK, id="wrong")
    status = robot.status()
    assert status.level == DiagnosticStatus.WARN
    assert status.message.startswith("mismatch: ")
    robot.run(MUG, *MUG_STEPS, id="right")
    assert robot.status().level == DiagnosticStatus.OK
    robot.run(MUG, id="nothing")
    status = robot.status()
    assert status.level == DiagnosticStatus.WARN
    assert "UNKNOWN" in status.message
    assert "no actions" in status.message
    values = {item.key: item.value for item in status.values}
    assert (values["verdicts MATCH"], values["verdicts MISMATCH"], values["verdicts UNKNOWN"]) == ("3", "1", "1")
    assert values["alerts raised"] == "1"


def test_a_gpu_that_is_not_there_is_a_warning(start_node: StartNode, connect: Connect) -> None:
    import llama_cpp

    if llama_cpp.llama_supports_gpu_offload():
        pytest.skip("this llama.cpp can use a GPU")
    node = start_node(n_gpu_layers=-1, idle_timeout_s=3600.0)
    robot = connect(node)
    robot.connect()
    assert robot.run(MUG, *MUG_STEPS, id="right").verdict == Verdict.MATCH
    status = robot.status()
    assert status.level == DiagnosticStatus.WARN
    assert "running on the CPU" in status.message
    assert "running on the CPU" in node.log


@pytest.mark.parametrize(
    ("topic", "durability"),
    [("verdict", DurabilityPolicy.VOLATILE), ("mismatch_alert", DurabilityPolicy.TRANSIENT_LOCAL)],
)
def test_quality_of_service_offered(
    robot: Client, shared_node: NodeProcess, topic: str, durability: DurabilityPolicy
) -> None:
    (endpoint,) = robot.node.get_publishers_info_by_topic(f"{shared_node.namespace}/{topic}")
    assert endpoint.node_name == "self_check"
    assert endpoint.qos_profile.reliability is ReliabilityPolicy.RELIABLE
    assert endpoint.qos_profile.durability is durability


@pytest.mark.parametrize("topic", ["command", "action_description", "command_stamped", "action_description_stamped"])
def test_quality_of_service_requested(robot: Client, shared_node: NodeProcess, topic: str) -> None:
    (endpoint,) = robot.node.get_subscriptions_info_by_topic(f"{shared_node.namespace}/{topic}")
    assert endpoint.node_name == "self_check"
    assert endpoint.qos_profile.reliability is ReliabilityPolicy.RELIABLE
    assert endpoint.qos_profile.durability is DurabilityPolicy.VOLATILE


def test_diagnostics_can_be_read_by_any_aggregator(robot: Client) -> None:
    offered = [
        endpoint
        for endpoint in robot.node.get_publishers_info_by_topic("/diagnostics")
        if robot.name == f"{endpoint.node_namespace}/{endpoint.node_name}"
    ]
    assert len(offered) == 1
    assert offered[0].qos_profile.reliability is ReliabilityPolicy.RELIABLE
    assert offered[0].qos_profile.durability is DurabilityPolicy.VOLATILE


def test_a_publisher_that_is_not_heard_is_told(start_node: StartNode, connect: Connect) -> None:
    from rclpy.event_handler import PublisherEventCallbacks
    from rclpy.qos import QoSProfile
    from std_msgs.msg import String

    node = start_node(idle_timeout_s=3600.0)
    robot = connect(node)
    robot.connect()
    values = robot.values()
    assert [values[f"received on {topic}"] for topic in ("command", "action_description")] == ["0", "0"]
    unreliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    silent = PublisherEventCallbacks(use_default_callbacks=False)  # rclpy's own warn in a way that is deprecated
    publisher = robot.node.create_publisher(String, "command", unreliable, event_callbacks=silent)
    robot.until(lambda: "not heard" in robot.status().message, "the warning")
    publisher.publish(String(data=MUG))
    status = robot.status()
    assert status.level == DiagnosticStatus.WARN
    assert status.message == "a publisher on command is not heard: its reliability does not fit"
    values = {item.key: item.value for item in status.values}
    assert values["not heard on command"] == "reliability"
    assert values["received on command"] == "0"
    assert "qos_overrides." in node.log
    robot.command(MUG)
    assert robot.values()["received on command"] == "1"
    assert float(values["memory, MB"]) > 50
