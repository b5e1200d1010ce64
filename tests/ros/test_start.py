"""How a node is started: parameter files, namespaces, remapping, simulated time."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")

from builtin_interfaces.msg import Time
from flip_edge_msgs.msg import Verdict
from rosgraph_msgs.msg import Clock

from .client import Client
from .conftest import Connect, StartNode

pytestmark = [pytest.mark.ros, pytest.mark.model]

MUG = "bring the mug to the sink"
MUG_STEPS = ("picked up the mug", "put the mug in the sink")


def test_a_parameter_file_and_single_parameters(start_node: StartNode, connect: Connect, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    values = "rule: f1, f1_threshold: 0.125, idle_timeout_s: 1000.0, n_threads: 1"
    file.write_text(f"/**: {{ros__parameters: {{{values}}}}}\n")
    node = start_node(arguments=("--params-file", str(file), "-p", "f1_threshold:=0.25"))
    operator = connect(node)
    operator.connect()
    names = ("rule", "f1_threshold", "idle_timeout_s", "n_threads", "max_steps")
    assert operator.get(*names) == ["f1", 0.25, 1000.0, 1, 200]  # a later one wins; the rest are the defaults
    verdict = operator.check(MUG, list(MUG_STEPS))
    assert (verdict.rule, verdict.f1_threshold) == ("f1", 0.25)


def test_without_a_namespace_the_names_are_those_of_the_documentation(start_node: StartNode, connect: Connect) -> None:
    node = start_node(namespace="", autostart=False)
    operator = connect(node)
    assert operator.change("configure")
    graph = operator.node

    def there() -> bool:
        topics = {name: kinds for name, kinds in graph.get_topic_names_and_types() if name.count("/") == 1}
        services = dict(graph.get_service_names_and_types_by_node("self_check", "/"))
        return (
            topics.items()
            >= {
                "/command": ["std_msgs/msg/String"],
                "/action_description": ["std_msgs/msg/String"],
                "/command_stamped": ["flip_edge_msgs/msg/Command"],
                "/action_description_stamped": ["flip_edge_msgs/msg/ActionDescription"],
                "/verdict": ["flip_edge_msgs/msg/Verdict"],
                "/mismatch_alert": ["flip_edge_msgs/msg/MismatchAlert"],
                "/diagnostics": ["diagnostic_msgs/msg/DiagnosticArray"],
            }.items()
            and services.items()
            >= {
                "/self_check/check": ["flip_edge_msgs/srv/CheckExecution"],
                "/self_check/rank": ["flip_edge_msgs/srv/Rank"],
            }.items()
        )

    operator.until(there, "the topics and services")


def test_names_remap(start_node: StartNode, connect: Connect) -> None:
    node = start_node(arguments=("-r", "__node:=watchdog", "-r", "verdict:=watchdog/outcome"), idle_timeout_s=3600.0)
    robot = connect(node, name="watchdog", verdict="watchdog/outcome")
    robot.connect()
    robot.command(MUG)
    robot.action(*MUG_STEPS)
    robot.command("go to the kitchen")
    assert robot.one().verdict == Verdict.MATCH
    assert robot.status().name == f"{node.namespace}/watchdog: self-check"


def test_simulated_time_drives_the_idle_timeout_and_the_stamps(start_node: StartNode, connect: Connect) -> None:
    node = start_node(use_sim_time=True, idle_timeout_s=60.0, arguments=("-r", "/clock:=/simulated/clock"))
    robot = connect(node)
    robot.connect()
    clock = robot.node.create_publisher(Clock, "/simulated/clock", 10)
    robot.until(clock.get_subscription_count, "the node to listen to the clock")
    robot.spin(0.2)

    def tick(robot: Client, *seconds: int) -> None:
        for second in seconds:
            clock.publish(Clock(clock=Time(sec=second)))
            robot.spin(0.15)

    tick(robot, 1000)
    robot.command(MUG)
    robot.action(*MUG_STEPS)
    tick(robot, *range(1000, 1060, 10))
    assert robot.verdicts == []  # real time passes, simulated time says: not yet
    tick(robot, 1061, 1062)
    verdict = robot.one()
    assert (verdict.verdict, tuple(verdict.steps)) == (Verdict.MATCH, MUG_STEPS)
    assert verdict.header.stamp.sec in (1061, 1062)

    tick(robot, 10)  # the simulation starts again
    robot.command("go to the kitchen")
    robot.action("drove to the kitchen")
    tick(robot, 30, 50, 69)
    assert robot.verdicts == []
    tick(robot, 75, 76)
    assert robot.one().command == "go to the kitchen"
    before = len(robot.statuses)
    robot.until(lambda: len(robot.statuses) >= before + 2, "diagnostics, though simulated time stands still")
