"""How the node ends: on signals in good order, and killed without harm to the next one."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")

from flip_edge_msgs.msg import MismatchAlert, Verdict

from .client import QUIET_S
from .conftest import Connect, StartNode
from .process import NodeProcess

pytestmark = [pytest.mark.ros, pytest.mark.model]

MUG = "bring the mug to the sink"
MUG_STEPS = ("picked up the mug", "put the mug in the sink")
DOCK = "drove to the charging dock"
LONG = [f"picked up the mug number {number}" for number in range(60)]  # seconds of reading
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def assert_ended_well(node: NodeProcess, within_s: float = 30.0) -> None:
    assert node.wait(within_s) == 0, node.log
    assert "Traceback" not in node.log, node.log


@SIGNALS
def test_an_open_run_is_reported_before_the_node_ends(
    start_node: StartNode, connect: Connect, number: signal.Signals
) -> None:
    node = start_node(idle_timeout_s=3600.0)
    robot = connect(node)
    robot.connect()
    robot.command(MUG)
    robot.action("picked up the mug " * 4_000)  # a verdict that travels in fragments
    robot.spin(0.5)
    node.send(number)
    assert_ended_well(node)
    robot.spin(QUIET_S)
    (verdict,) = robot.verdicts
    assert verdict.verdict == Verdict.UNKNOWN
    assert "before this run ended" in verdict.reason
    assert len(verdict.steps[0]) > 70_000


@SIGNALS
def test_in_the_middle_of_a_long_check(start_node: StartNode, connect: Connect, number: signal.Signals) -> None:
    node = start_node(idle_timeout_s=3600.0)
    robot = connect(node)
    robot.connect()
    robot.command_stamped("collect the mugs", "checked")
    for step in LONG:
        robot.action_stamped(step, "checked")
    robot.action_stamped("", "checked", final=True)
    asked = robot.start_check(MUG, list(MUG_STEPS), id="asked")
    robot.command_stamped(MUG, "open")
    robot.action_stamped(MUG_STEPS[0], "open")
    assert robot.verdicts == []
    node.send(number)
    assert_ended_well(node)
    robot.spin(QUIET_S)
    assert [verdict.command_id for verdict in robot.verdicts] == ["checked", "asked", "open"]
    assert all(verdict.verdict == Verdict.UNKNOWN for verdict in robot.verdicts)
    assert asked.done(), "who waits for an answer gets one"
    assert asked.result().verdict.command_id == "asked"


@SIGNALS
@pytest.mark.parametrize("settings", [{"autostart": False}, {"model": "no-such-model"}], ids=["idle", "failed"])
def test_in_other_states(start_node: StartNode, number: signal.Signals, settings: dict[str, object]) -> None:
    node = start_node(**settings)
    node.wait_for_log("unconfigured: " if "autostart" in settings else "configure failed")
    node.send(number)
    assert_ended_well(node)


@pytest.mark.parametrize(
    ("number", "after_s"), [(signal.SIGINT, 0.35), (signal.SIGTERM, 0.35), (signal.SIGINT, 0.7), (signal.SIGTERM, 1.2)]
)
def test_while_it_starts(start_node: StartNode, number: signal.Signals, after_s: float) -> None:
    node = start_node()
    time.sleep(after_s)
    if not handles(node, number):
        pytest.skip("the interpreter itself was not up yet")
    node.send(number)
    assert_ended_well(node)


def handles(node: NodeProcess, number: signal.Signals) -> bool:
    """Whether the process has a handler of its own for the signal."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def test_a_second_signal_changes_nothing(start_node: StartNode, connect: Connect) -> None:
    node = start_node(idle_timeout_s=3600.0)
    robot = connect(node)
    robot.connect()
    robot.command(MUG)
    for _ in range(3):
        node.send(signal.SIGINT)
        node.send(signal.SIGTERM)
    assert_ended_well(node)
    robot.spin(QUIET_S)
    assert len(robot.verdicts) == 1


def test_killed_and_started_again(start_node: StartNode, connect: Connect) -> None:
    node = start_node(idle_timeout_s=3600.0)
    robot = connect(node)
    robot.connect()
    robot.run(MUG, DOCK, id="wrong")
    robot.command(MUG)
    node.kill()

    again = start_node(idle_timeout_s=3600.0, namespace=node.namespace)
    operator = connect(again)
    operator.connect()
    assert operator.run(MUG, *MUG_STEPS, id="right").verdict == Verdict.MATCH
    operator.run(MUG, DOCK, id="wrong")
    operator.until(lambda: operator.alerts, "an alert of the new node")
    assert (operator.alerts[-1].state, operator.alerts[-1].alert_id) == (MismatchAlert.RAISED, 1)
