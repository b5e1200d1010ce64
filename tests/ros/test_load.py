"""More than the model can keep up with: nothing waits for it, nothing grows, nothing goes uncounted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import psutil
import pytest

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")

from flip_edge_msgs.msg import Verdict

from flip_edge import Episode

from .client import WAIT_S, Client
from .conftest import Connect, StartNode
from .in_process import NodeInThisProcess, before_checks

pytestmark = [pytest.mark.ros, pytest.mark.model]

MUG = "bring the mug to the sink"
MUG_STEPS = ("picked up the mug", "put the mug in the sink")
LONG = [f"picked up the mug number {number}" for number in range(100)]  # seconds of reading


@pytest.fixture
def node_here(model_path: object) -> Iterator[NodeInThisProcess]:
    node = NodeInThisProcess("/timers", n_threads=1, idle_timeout_s=3600.0)
    yield node
    node.stop()


def test_a_timer_keeps_its_rate_while_the_model_is_busy(node_here: NodeInThisProcess, connect: Connect) -> None:
    robot = connect(node_here)
    robot.connect()
    first = len(node_here.ticks)
    keep_busy(robot, 100)
    answered = []
    while not robot.verdicts:
        asked = time.monotonic()
        assert robot.get("rule") == ["calibrated"]
        answered.append(time.monotonic() - asked)
        robot.spin(0.05)
    verdict = robot.one()
    ticks = node_here.ticks[first:]
    assert verdict.waited_s + verdict.computed_s > 1.0, "the model was not busy long enough to tell"
    assert len(answered) > 10
    assert max(answered) < 0.5
    assert max(later - earlier for earlier, later in pairwise(ticks)) < 0.5
    assert len(ticks) > 0.8 * (ticks[-1] - ticks[0]) / 0.1


def test_a_thousand_descriptions_in_a_second(start_node: StartNode, connect: Connect) -> None:
    node = start_node(idle_timeout_s=3600.0)
    robot = connect(node)
    robot.connect()
    process = psutil.Process(node.process.pid)
    robot.command(MUG)
    before = process.memory_info().rss
    for burst in range(2):
        started = time.monotonic()
        for number in range(1_000):
            robot.publish("action_description", f"picked up toy {burst} {number}")
        assert time.monotonic() - started < 1.0
        wanted = 1_000 * (burst + 1)

        def accounted(wanted: int = wanted) -> bool:
            values = robot.values()
            return int(values["descriptions received"]) + int(values["messages lost"]) == wanted

        robot.until(accounted, f"all {wanted} to be accounted for")
    values = robot.values()
    received = int(values["descriptions received"])
    assert int(values["descriptions dropped"]) == received - 200
    assert process.memory_info().rss - before < 50_000_000
    robot.command("go to the kitchen")
    verdict = robot.one()
    assert (verdict.verdict, len(verdict.steps)) == (Verdict.UNKNOWN, 200)
    assert f"{received - 200} of its {received} descriptions were dropped" in verdict.reason


def test_a_queue_that_overflows_drops_the_oldest_and_says_so(start_node: StartNode, connect: Connect) -> None:
    node = start_node(idle_timeout_s=3600.0, queue_size=4)
    robot = connect(node)
    robot.connect()
    keep_busy(robot, 50)
    for number in range(40):
        robot.publish("command", f"go to room {number}")
    robot.command("stop")  # ends the last of them
    verdicts = robot.expect(41)
    assert sorted(verdict.command for verdict in verdicts) == sorted(
        ["collect the mugs", *(f"go to room {number}" for number in range(40))]
    )
    overflown = [verdict for verdict in verdicts if "queue overflow" in verdict.reason]
    assert [verdict.command for verdict in overflown] == [f"go to room {number}" for number in range(36)]
    assert all(verdict.verdict == Verdict.UNKNOWN for verdict in overflown)
    assert [verdict.command for verdict in verdicts[-4:]] == [f"go to room {number}" for number in range(36, 40)]
    assert robot.values()["queue dropped"] == "36"
    assert robot.check(MUG, list(MUG_STEPS)).verdict == Verdict.MATCH


@pytest.fixture
def held(model_path: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[NodeInThisProcess, threading.Event]]:
    """A node, and what its check of the command "busy" waits for."""
    released = threading.Event()

    def hold(episode: Episode) -> None:
        if episode.id == "busy":
            assert released.wait(WAIT_S)

    before_checks(monkeypatch, hold)
    node = NodeInThisProcess("/held", n_threads=1, idle_timeout_s=3600.0, queue_size=10)
    yield node, released
    released.set()
    node.stop()


def test_a_smaller_queue_takes_effect_at_once(
    held: tuple[NodeInThisProcess, threading.Event], connect: Connect
) -> None:
    node, released = held
    robot = connect(node)
    robot.connect()
    keep_busy(robot, 1)
    for number in range(5):
        robot.command(f"go to room {number}")
    robot.until(lambda: robot.values()["queue waiting"] == "4", "the runs to settle")
    robot.change_settings(queue_size=2)
    robot.command("stop")
    dropped = [verdict.command for verdict in robot.expect(3)]
    assert dropped == [f"go to room {number}" for number in range(3)]
    released.set()
    assert not any("queue overflow" in verdict.reason for verdict in robot.expect(3))


@pytest.fixture
def slow_node(model_path: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeInThisProcess]:
    """A node whose model takes two seconds more for each check, without the processor."""

    def wait(episode: Episode) -> None:
        if episode.id:  # not the warm-up, nor the client's own looks
            time.sleep(2.0)

    before_checks(monkeypatch, wait)
    node = NodeInThisProcess("/slow", n_threads=1, idle_timeout_s=3600.0, queue_size=4)
    yield node
    node.stop()


def test_twenty_runs_in_ten_seconds_and_a_model_of_two_seconds(slow_node: NodeInThisProcess, connect: Connect) -> None:
    robot = connect(slow_node)
    robot.connect()
    memory = psutil.Process().memory_info().rss
    answered = []
    began = time.monotonic()
    for number in range(20):
        robot.command_stamped(MUG, f"run {number}")
        for step in MUG_STEPS:
            robot.action_stamped(step, f"run {number}")
        robot.action_stamped("", f"run {number}", final=True)
        for ask in (robot.state, lambda: robot.get("rule")):
            asked = time.monotonic()
            ask()
            answered.append(time.monotonic() - asked)
        robot.spin(max(0.0, began + (number + 1) / 2 - time.monotonic()))
    verdicts = robot.expect(20)
    assert sorted(verdict.command_id for verdict in verdicts) == sorted(f"run {number}" for number in range(20))
    checked = [verdict for verdict in verdicts if verdict.verdict == Verdict.MATCH]
    dropped = [verdict for verdict in verdicts if "queue overflow" in verdict.reason]
    assert len(checked) + len(dropped) == 20
    assert min(len(checked), len(dropped)) >= 4, "as many as the queue holds, and no more than the model can do"
    values = robot.values()
    assert values["queue dropped"] == values["verdicts UNKNOWN"] == str(len(dropped))
    assert psutil.Process().memory_info().rss - memory < 50_000_000
    print(f"services answered within {max(answered):.3f} s, median {sorted(answered)[20]:.3f} s")
    assert max(answered) < 1.0, "a node that waits for its model would take two"


def keep_busy(robot: Client, steps: int) -> None:
    """Give the model one long check, and return when it has begun."""
    robot.command_stamped("collect the mugs", "busy")
    for step in LONG[:steps]:
        robot.action_stamped(step, "busy")
    robot.action_stamped("", "busy", final=True)
    assert robot.verdicts == []
    robot.spin(0.1)
