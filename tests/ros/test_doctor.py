"""`flip-edge doctor` in a real graph: who is there, who is heard, and whose messages never arrive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")

import rclpy
from flip_edge_msgs.msg import ActionDescription, Command, MismatchAlert, Verdict
from flip_edge_ros.doctor import look
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Int32, String

from flip_edge import doctor
from flip_edge.findings import Finding

from .conftest import StartNode

pytestmark = pytest.mark.ros

SECONDS = 2.0
RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
VOLATILE, LATCHED = DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL

MakeRobot = Callable[[], Node]


def qos(reliability: ReliabilityPolicy, durability: DurabilityPolicy = VOLATILE) -> QoSProfile:
    return QoSProfile(depth=5, reliability=reliability, durability=durability)


@pytest.fixture
def robot() -> Iterator[Node]:
    """A node of the robot's, in a namespace of its own."""
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("robot", namespace="/doctored", context=context)
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def about(topic: str, findings: list[Finding]) -> Finding:
    (found,) = [finding for finding in findings if finding.text.startswith(f"{topic} [")]
    return found


def named(name: str, findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.name == name]


def test_an_empty_graph_is_two_warnings_and_takes_no_longer_than_it_may() -> None:
    started = time.monotonic()
    findings = list(doctor.ros(SECONDS))
    assert SECONDS < time.monotonic() - started < SECONDS + 30
    assert {finding.state for finding in findings} == {"ok", "warning"}
    for package in ("rclpy", "flip_edge_msgs", "flip_edge_ros"):
        assert Finding("ros", "ok", f"{package} can be imported") in findings
    node, nothing = [finding for finding in findings if finding.state == "warning"]
    assert node.text == "no self-check node is running"
    assert "python -m flip_edge_ros" in node.remedy
    assert nothing.text.startswith("nothing is heard")
    assert "ROS_DOMAIN_ID" in nothing.remedy
    for topic in ("/command", "/action_description", "/command_stamped", "/action_description_stamped"):
        assert about(topic, findings).text.endswith("no publishers")
    assert about("/verdict", findings).text.endswith("no subscribers")


def test_whose_qos_or_type_lets_no_message_pass_is_an_error(robot: Node) -> None:
    robot.create_publisher(String, "command", qos(BEST_EFFORT))
    robot.create_publisher(String, "action_description", qos(RELIABLE, LATCHED))
    robot.create_publisher(Command, "command_stamped", qos(RELIABLE))
    robot.create_publisher(Command, "command_stamped", qos(BEST_EFFORT))
    robot.create_publisher(Int32, "/action_description", qos(RELIABLE))
    robot.create_subscription(Verdict, "verdict", print, qos(RELIABLE, LATCHED))
    findings = list(look(SECONDS))

    unheard = about("/doctored/command", findings)
    assert unheard.state == "error"
    assert "1 publisher: /doctored/robot (best effort, volatile)" in unheard.text
    assert "RELIABLE" in unheard.remedy

    heard = about("/doctored/action_description", findings)
    assert (heard.state, heard.remedy) == ("ok", "")
    assert "1 publisher: /doctored/robot (reliable, transient local)" in heard.text

    one_of_two = about("/doctored/command_stamped", findings)
    assert one_of_two.state == "error"
    assert "2 publishers" in one_of_two.text

    other = about("/action_description", findings)
    assert other.state == "error"
    assert "has the type std_msgs/msg/Int32, not std_msgs/msg/String" in other.text

    waits = about("/doctored/verdict", findings)
    assert waits.state == "error"
    assert "VOLATILE" in waits.remedy
    assert not [finding for finding in findings if "nothing is heard" in finding.text]


def test_subscribers_that_hear_us_are_counted(robot: Node) -> None:
    for reliability in (RELIABLE, BEST_EFFORT):
        robot.create_subscription(Verdict, "/verdict", print, qos(reliability))
    robot.create_subscription(MismatchAlert, "/mismatch_alert", print, qos(RELIABLE, LATCHED))
    findings = list(look(SECONDS))
    for topic, count in (("/verdict", "2 subscribers"), ("/mismatch_alert", "1 subscriber: /doctored/robot")):
        found = about(topic, findings)
        assert found.state == "ok"
        assert count in found.text


@pytest.mark.parametrize(
    ("kind", "topic", "silent"),
    [
        (String, "/command", "descriptions of what is done"),
        (Command, "/command_stamped", "descriptions of what is done"),
        (ActionDescription, "/action_description_stamped", "commands"),
    ],
)
def test_half_of_the_input_is_a_warning_with_what_else_there_is(
    robot: Node, kind: Any, topic: str, silent: str
) -> None:
    robot.create_publisher(kind, topic, qos(RELIABLE))
    robot.create_publisher(String, "/robot/log", qos(RELIABLE))
    (warning,) = [finding for finding in named("input", list(look(SECONDS))) if finding.state == "warning"]
    assert warning.text == f"nobody publishes {silent}"
    assert "/robot/log" in warning.remedy


@pytest.mark.model
def test_a_running_node_is_found_by_what_it_serves_with_its_own_topics(start_node: StartNode, robot: Node) -> None:
    remapped = ("-r", "__node:=watchdog", "-r", "command:=/doctored/orders", "-r", "verdict:=outcome")
    node = start_node(arguments=remapped, idle_timeout_s=3600.0)
    idle = start_node(autostart=False)
    node.wait_for_log("active")
    idle.wait_for_log("unconfigured")
    robot.create_publisher(String, "orders", qos(BEST_EFFORT))
    robot.create_subscription(Verdict, f"{node.namespace}/outcome", print, qos(RELIABLE))
    findings = list(look(4.0))
    active, unconfigured = named("node", findings)
    assert (active.state, active.text) == ("ok", f"{node.namespace}/watchdog is active")
    assert (unconfigured.state, unconfigured.text.split(":")[0]) == (
        "warning",
        f"{idle.namespace}/self_check is unconfigured",
    )
    assert f"ros2 lifecycle set {idle.namespace}/self_check configure" in unconfigured.remedy
    assert about("/doctored/orders", findings).state == "error"
    assert "1 subscriber: /doctored/robot" in about(f"{node.namespace}/outcome", findings).text
    assert about(f"{node.namespace}/action_description", findings).text.endswith("no publishers")
    assert about(f"{idle.namespace}/command", findings).text.endswith("no publishers")


@pytest.mark.parametrize(
    ("variable", "value"), [("ROS_DOMAIN_ID", "many"), ("ROS_DOMAIN_ID", "9999"), ("RMW_IMPLEMENTATION", "rmw_none")]
)
def test_a_graph_that_cannot_be_joined_is_an_error_with_what_to_check(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    first, *_, last = doctor.ros(0.5)
    assert f"{variable} {value}" in first.text
    assert last.state == "error"
    assert variable in last.remedy
