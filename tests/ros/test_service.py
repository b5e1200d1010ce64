"""~/check: one episode in, one verdict out."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")

from flip_edge_msgs.msg import Verdict

from .client import QUIET_S, Client
from .conftest import Connect, StartNode

pytestmark = [pytest.mark.ros, pytest.mark.model]

MUG = "bring the mug to the sink"
MUG_STEPS = ["picked up the mug", "put the mug in the sink"]
DOCK = "drove to the charging dock"
LONG = [f"picked up the mug number {number}" for number in range(60)]  # seconds of reading


def test_it_answers_publishes_and_raises_no_alert(robot: Client) -> None:
    right = robot.check(MUG, MUG_STEPS, id="asked")
    assert (right.verdict, right.command_id, right.command, right.steps) == (Verdict.MATCH, "asked", MUG, MUG_STEPS)
    published = robot.verdict_of("asked")
    assert (published.verdict, published.reason, published.gain) == (right.verdict, right.reason, right.gain)
    wrong = robot.check(MUG, [DOCK])
    assert (wrong.verdict, wrong.command_id) == (Verdict.MISMATCH, "")
    assert robot.one().reason == wrong.reason
    robot.spin(QUIET_S)
    assert robot.alerts == []


def test_live_runs_are_not_affected(robot: Client) -> None:
    robot.command_stamped(MUG, "live")
    robot.action_stamped(MUG_STEPS[0], "live")
    assert robot.check(MUG, [DOCK], id="live").verdict == Verdict.MISMATCH
    robot.verdict_of("live")
    robot.action_stamped(MUG_STEPS[1], "live", final=True)
    assert robot.verdict_of("live").steps == MUG_STEPS


@pytest.mark.parametrize(
    ("command", "actions", "why"),
    [
        ("", MUG_STEPS, "no command"),
        (MUG, [], "no actions"),
        (MUG, [" ", ""], "no actions"),
        (MUG, [f"picked up the mug number {number}" for number in range(1_000)], "context overflow"),
        ("bring the mug " * 7_143, MUG_STEPS, "context overflow"),
    ],
    ids=["no command", "no actions", "blank actions", "1000 actions", "100000 characters"],
)
def test_what_cannot_be_checked_is_answered_unknown(robot: Client, command: str, actions: list[str], why: str) -> None:
    answer = robot.check(command, actions)
    assert answer.verdict == Verdict.UNKNOWN
    assert why in answer.reason
    assert why in robot.one().reason


def test_it_waits_its_turn_while_other_checks_run(robot: Client) -> None:
    robot.command_stamped("collect the mugs", "long")
    for step in LONG:
        robot.action_stamped(step, "long")
    robot.action_stamped("", "long", final=True)
    futures = [robot.start_check(MUG, MUG_STEPS, id=f"asked {number}") for number in range(3)]
    assert not any(future.done() for future in futures)
    robot.until(lambda: all(future.done() for future in futures), "the answers")
    answers = [future.result().verdict for future in futures]
    assert [answer.command_id for answer in answers] == ["asked 0", "asked 1", "asked 2"]
    assert all(answer.verdict == Verdict.MATCH for answer in answers)
    assert answers[0].waited_s > 0.5
    assert answers[2].waited_s > answers[0].waited_s
    assert [verdict.command_id for verdict in robot.expect(4)] == ["long", "asked 0", "asked 1", "asked 2"]


def test_it_is_answered_when_the_queue_overflows(robot: Client) -> None:
    robot.change_settings(queue_size=1)
    futures = [robot.start_check(MUG, LONG, id="first")]
    robot.until(lambda: robot.values()["queue waiting"] == "0", "the first check to begin")
    futures += [robot.start_check(MUG, MUG_STEPS, id=f"asked {number}") for number in range(3)]
    robot.until(lambda: all(future.done() for future in futures), "the answers")
    reasons = [future.result().verdict.reason for future in futures]
    assert ["queue overflow" in reason for reason in reasons] == [False, True, True, False]
    robot.expect(4)


def test_without_an_active_node_the_answer_is_unknown(start_node: StartNode, connect: Connect) -> None:
    node = start_node(autostart=False)
    operator = connect(node)
    for transition, state in ((None, "unconfigured"), ("configure", "inactive"), ("cleanup", "unconfigured")):
        if transition:
            assert operator.change(transition)
        answer = operator.check(MUG, MUG_STEPS, id=state)
        assert (answer.verdict, answer.command_id, answer.steps) == (Verdict.UNKNOWN, state, MUG_STEPS)
        assert answer.reason == f"not checking: the node is {state}"


@pytest.mark.parametrize("transition", ["deactivate", "shutdown"])
def test_a_check_that_waits_is_answered_when_the_node_stops(
    start_node: StartNode, connect: Connect, transition: str
) -> None:
    node = start_node(idle_timeout_s=3600.0)
    operator = connect(node)
    operator.connect()
    running = operator.start_check("collect the mugs", LONG, id="running")
    waiting = operator.start_check(MUG, MUG_STEPS, id="waiting")
    operator.spin(0.5)
    assert operator.change(transition)
    operator.until(lambda: running.done() and waiting.done(), "the answers")
    verdicts = [running.result().verdict, waiting.result().verdict]
    assert all(verdict.verdict == Verdict.UNKNOWN for verdict in verdicts)
    assert "cancelled" in verdicts[0].reason
    assert "stopped" in verdicts[1].reason
    assert [verdict.command_id for verdict in operator.expect(2)] == ["running", "waiting"]
    assert operator.state() == {"deactivate": "inactive", "shutdown": "finalized"}[transition]
    assert node.alive, node.log
