"""Killed with -9: what was lost is told, the black box opens, and the next run is checked."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")

from diagnostic_msgs.msg import DiagnosticStatus
from flip_edge_msgs.msg import MismatchAlert, Verdict

from flip_edge.blackbox import FILE, read_runs

from .conftest import Connect, StartNode

pytestmark = [pytest.mark.ros, pytest.mark.model]

MUG = "bring the mug to the sink"
MUG_STEPS = ("picked up the mug", "put the mug in the sink")
DOCK = "drove to the charging dock"


def rows(folder: Path) -> list[tuple[str, str]]:
    return [(row["command_id"], row["verdict"]) for row in read_runs(folder)]


def test_killed_in_the_middle_of_a_run(start_node: StartNode, connect: Connect, tmp_path: Path) -> None:
    box = tmp_path / "box"
    node = start_node(idle_timeout_s=3600.0, black_box=str(box))
    robot = connect(node)
    robot.connect()
    robot.run(MUG, *MUG_STEPS, id="done")
    robot.command_stamped(MUG, "cut")
    robot.action_stamped(MUG_STEPS[0], "cut")
    time.sleep(0.5)  # the writer of the black box is a thread of its own
    node.send(signal.SIGKILL)
    node.wait()
    assert rows(box)[-2:] == [("done", "MATCH"), ("cut", "UNKNOWN")]

    again = start_node(idle_timeout_s=3600.0, black_box=str(box), namespace=node.namespace, autostart=False)
    operator = connect(again)
    assert operator.change("configure")
    operator.until(lambda: operator.node.count_publishers(f"{node.namespace}/verdict"), "the node's verdicts")
    operator.spin(0.5)
    assert operator.change("activate")
    lost = operator.verdict_of("cut")
    assert lost.verdict == Verdict.UNKNOWN
    assert lost.reason.startswith("lost: the monitor was stopped hard")
    assert list(lost.steps) == [MUG_STEPS[0]]
    operator.connect()
    assert operator.run(MUG, *MUG_STEPS, id="next").verdict == Verdict.MATCH
    operator.spin(0.5)
    assert [row for row in rows(box) if row[0]][-3:] == [("done", "MATCH"), ("cut", "UNKNOWN"), ("next", "MATCH")]

    # It is told once: a clean stop leaves nothing behind.
    again.stop()
    third = start_node(idle_timeout_s=3600.0, black_box=str(box), namespace=node.namespace, autostart=False)
    operator = connect(third)
    assert operator.change("configure")
    operator.spin(0.5)
    assert operator.change("activate")
    operator.spin(1.0)
    assert operator.verdicts == []


def test_the_black_box_keeps_what_raised_and_cleared_the_alert(
    start_node: StartNode, connect: Connect, tmp_path: Path
) -> None:
    robot = connect(start_node(idle_timeout_s=3600.0, black_box=str(tmp_path / "box")))
    robot.connect()
    robot.run(MUG, DOCK, id="wrong")
    robot.run(MUG, *MUG_STEPS, id="right")
    robot.spin(0.5)
    kept = {row["command_id"]: row["alert"] for row in read_runs(tmp_path / "box")}
    assert (kept["wrong"], kept["right"]) == ("raised", "cleared")


def test_an_alert_outlives_a_kill(start_node: StartNode, connect: Connect, tmp_path: Path) -> None:
    node = start_node(idle_timeout_s=3600.0, black_box=str(tmp_path))
    robot = connect(node)
    robot.connect()
    robot.run(MUG, DOCK, id="wrong")
    robot.until(lambda: robot.alerts, "the alert")
    time.sleep(0.5)  # the writer of the black box is a thread of its own
    node.send(signal.SIGKILL)
    node.wait()

    again = start_node(idle_timeout_s=3600.0, black_box=str(tmp_path), namespace=node.namespace)
    operator = connect(again)
    operator.connect()
    late: list[MismatchAlert] = []
    operator.listen_to_alerts(late)
    operator.until(lambda: late, "the latched alert")
    assert (late[0].state, late[0].alert_id, late[0].verdict.command_id) == (MismatchAlert.RAISED, 1, "wrong")
    assert "alert 1 is still raised" in again.log
    operator.run(MUG, *MUG_STEPS, id="right")
    operator.until(lambda: len(late) == 2, "the alert to clear")
    assert (late[1].state, late[1].alert_id) == (MismatchAlert.CLEARED, 1)


def test_a_damaged_black_box_is_set_aside_and_the_robot_is_watched_on(
    start_node: StartNode, connect: Connect, tmp_path: Path
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    (box / FILE).write_bytes(b"this was a black box" * 999)
    node = start_node(idle_timeout_s=3600.0, black_box=str(box))
    robot = connect(node)
    robot.connect()
    robot.run(MUG, *MUG_STEPS, id="kept")
    robot.spin(0.5)
    assert ("kept", "MATCH") in rows(box)
    assert "was damaged; it is kept as" in node.log


def test_a_black_box_that_another_node_has_fails_configure(
    start_node: StartNode, connect: Connect, tmp_path: Path
) -> None:
    first = connect(start_node(idle_timeout_s=3600.0, black_box=str(tmp_path)))
    first.connect()
    second = connect(start_node(black_box=str(tmp_path)))
    second.until(lambda: second.statuses, "diagnostics")
    status = second.status()
    assert status.level == DiagnosticStatus.ERROR
    assert str(tmp_path) in status.message


def test_an_alert_outlives_a_new_configuration(start_node: StartNode, connect: Connect) -> None:
    robot = connect(start_node(idle_timeout_s=3600.0))
    robot.connect()
    robot.run(MUG, DOCK, id="wrong")
    for transition in ("deactivate", "cleanup", "configure", "activate"):
        assert robot.change(transition)
    robot.connect()
    late: list[MismatchAlert] = []
    robot.listen_to_alerts(late)
    robot.until(lambda: late, "the latched alert")
    assert (late[0].state, late[0].alert_id) == (MismatchAlert.RAISED, 1)
    robot.run(MUG, *MUG_STEPS, id="right")
    robot.until(lambda: len(late) == 2, "the alert to clear")
    assert (late[1].state, late[1].alert_id) == (MismatchAlert.CLEARED, 1)
