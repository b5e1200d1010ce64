"""Configure, activate, deactivate, clean up; and what keeps the node from it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")

from diagnostic_msgs.msg import DiagnosticStatus
from flip_edge_msgs.msg import MismatchAlert, Verdict

from .client import WAIT_S
from .conftest import Connect, StartNode
from .in_process import NodeInThisProcess, before_checks

pytestmark = [pytest.mark.ros, pytest.mark.model]

MUG = "bring the mug to the sink"
MUG_STEPS = ("picked up the mug", "put the mug in the sink")
DOCK = "drove to the charging dock"
LONG = [f"picked up the mug number {number}" for number in range(60)]  # seconds of reading


def test_a_lifecycle_manager_brings_it_up_and_down(start_node: StartNode, connect: Connect) -> None:
    node = start_node(autostart=False, idle_timeout_s=3600.0)
    operator = connect(node)
    assert operator.state() == "unconfigured"
    status = operator.status()
    assert (status.level, status.message) == (DiagnosticStatus.STALE, "not checking: the node is unconfigured")
    assert not operator.change("activate")  # not from here
    assert not operator.change("no such transition")

    for round in range(2):
        assert operator.change("configure")
        assert operator.state() == "inactive"
        assert operator.status().level == DiagnosticStatus.STALE
        for _ in range(2):
            assert operator.change("activate")
            operator.connect()
            assert operator.run(MUG, *MUG_STEPS, id=f"round {round}").verdict == Verdict.MATCH
            assert operator.change("deactivate")
        assert operator.change("cleanup")
        assert operator.state() == "unconfigured"
        assert operator.node.count_publishers(f"{node.namespace}/verdict") == 0
    assert operator.change("shutdown")
    assert operator.state() == "finalized"
    assert operator.status().message == "not checking: the node is finalized"


def test_messages_are_ignored_while_inactive(start_node: StartNode, connect: Connect) -> None:
    node = start_node(autostart=False, idle_timeout_s=0.5)
    operator = connect(node)
    assert operator.change("configure")
    operator.connect()
    for before in ("configured", "active"):
        operator.command(MUG)
        operator.action(DOCK)
        operator.action_stamped(DOCK, "stamped", final=True)
        operator.spin(1.0)  # past the idle timeout
        values = operator.values()
        assert (values["commands received"], values["descriptions received"], values["runs open"]) == ("0", "0", "0")
        assert operator.change("activate")
        operator.spin(1.0)
        if before == "configured":
            assert operator.change("deactivate")
    assert operator.verdicts == []
    assert operator.alerts == []


@pytest.fixture
def watched(model_path: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[NodeInThisProcess, threading.Event]]:
    """A node, and what is set when its check of the command "checked" begins."""
    begun = threading.Event()
    before_checks(monkeypatch, lambda episode: begun.set() if episode.id == "checked" else None)
    node = NodeInThisProcess("/watched", n_threads=1, idle_timeout_s=3600.0)
    yield node, begun
    node.stop()


def test_runs_that_are_open_when_it_stops_are_unknown(
    watched: tuple[NodeInThisProcess, threading.Event], connect: Connect
) -> None:
    node, begun = watched
    operator = connect(node)
    operator.connect()
    operator.command_stamped("collect the mugs", "checked")
    for step in LONG:
        operator.action_stamped(step, "checked")
    operator.action_stamped("", "checked", final=True)
    operator.command_stamped(MUG, "waits")
    operator.action_stamped(MUG_STEPS[0], "waits", final=True)
    operator.command_stamped(MUG, "open")
    operator.action_stamped(MUG_STEPS[0], "open")
    assert begun.wait(WAIT_S)
    assert operator.change("deactivate")
    verdicts = operator.expect(3)
    assert [verdict.command_id for verdict in verdicts] == ["checked", "waits", "open"]
    assert all(verdict.verdict == Verdict.UNKNOWN for verdict in verdicts)
    assert "cancelled" in verdicts[0].reason
    assert "before this run was checked" in verdicts[1].reason
    assert "before this run ended" in verdicts[2].reason
    assert verdicts[2].steps == [MUG_STEPS[0]]
    assert operator.change("activate")
    operator.action_stamped(MUG_STEPS[1], "open", final=True)  # too late: that run has ended
    assert operator.run(MUG, *MUG_STEPS, id="after").verdict == Verdict.MATCH  # and the model works again
    assert operator.values()["descriptions late"] == "1"


def test_the_alert_outlives_a_pause(start_node: StartNode, connect: Connect) -> None:
    node = start_node(idle_timeout_s=3600.0)
    operator = connect(node)
    operator.connect()
    operator.run(MUG, DOCK, id="wrong")
    assert operator.change("deactivate")
    assert operator.change("activate")
    late: list[MismatchAlert] = []
    operator.listen_to_alerts(late)
    operator.until(lambda: late, "the latched alert")
    assert (late[0].state, late[0].alert_id) == (MismatchAlert.RAISED, 1)
    status = operator.status()
    assert status.level == DiagnosticStatus.WARN
    assert status.message.startswith('mismatch: "bring" was commanded, and is not seen done; the run never mentions ')
    operator.run(MUG, *MUG_STEPS, id="right")
    operator.until(lambda: len(late) == 2, "the alert to clear")
    assert (late[1].state, late[1].alert_id) == (MismatchAlert.CLEARED, 1)
    operator.run(MUG, DOCK, id="wrong again")
    operator.until(lambda: len(late) == 3, "the next alert")


def test_ten_rounds_through_all_states_lose_nothing_and_leak_nothing(start_node: StartNode, connect: Connect) -> None:
    node = start_node(idle_timeout_s=3600.0)
    operator = connect(node)
    operator.connect()
    operator.run(MUG, DOCK, id="wrong")
    process = psutil.Process(node.process.pid)
    sizes, threads, files = [], [], []
    for _ in range(10):
        for transition in ("deactivate", "activate", "deactivate", "cleanup", "configure", "activate"):
            assert operator.change(transition), node.log
        assert operator.check(MUG, list(MUG_STEPS)).verdict == Verdict.MATCH
        sizes.append(process.memory_info().rss)
        threads.append(process.num_threads())
        files.append(process.num_fds())
    assert sizes[-1] - sizes[2] < 30_000_000, sizes
    assert threads[-1] <= threads[2], threads
    assert files[-1] <= files[2], files
    late: list[MismatchAlert] = []
    operator.listen_to_alerts(late)
    operator.until(lambda: late, "the latched alert")
    assert (late[0].state, late[0].alert_id) == (MismatchAlert.RAISED, 1)
    operator.connect()
    assert operator.run(MUG, *MUG_STEPS, id="right").verdict == Verdict.MATCH
    operator.until(lambda: len(late) == 2, "the alert to clear")
    assert (late[1].state, late[1].alert_id) == (MismatchAlert.CLEARED, 1)


@pytest.mark.parametrize("kind", ["missing", "truncated", "no model"])
def test_a_bad_model_fails_configure_with_the_reason(
    start_node: StartNode, connect: Connect, tmp_path: Path, model_path: Path, kind: str
) -> None:
    bad = tmp_path / "bad.gguf"
    model, why = str(bad), "bad.gguf"
    if kind == "missing":
        why = "no model file"
    elif kind == "truncated":
        with model_path.open("rb") as whole:
            bad.write_bytes(whole.read(20_000_000))
    else:
        bad.write_bytes(b"this is no model" * 1_000)
    node = start_node(model=model)  # autostart is on: it must stay up all the same
    operator = connect(node)
    node.wait_for_log("configure failed")
    assert why in node.log
    assert operator.state() == "unconfigured"
    status = operator.status()
    assert status.level == DiagnosticStatus.ERROR
    assert status.message.startswith("configure failed: ")
    assert why in status.message
    assert not operator.change("configure")  # again, and it is still no better
    assert operator.check(MUG, list(MUG_STEPS)).verdict == Verdict.UNKNOWN

    operator.change_settings(model=str(model_path) if kind == "truncated" else "default")
    assert operator.change("configure")
    assert operator.change("activate")
    operator.connect()
    assert operator.run(MUG, *MUG_STEPS, id="right").verdict == Verdict.MATCH
    assert operator.status().level == DiagnosticStatus.OK


def test_settings_that_do_not_fit_fail_configure(start_node: StartNode, connect: Connect) -> None:
    node = start_node(autostart=False)
    operator = connect(node)
    cases: list[tuple[dict[str, object], str]] = [
        ({"prompt": "no-such-prompt"}, "no prompt format 'no-such-prompt'"),
        ({"prompt": "flip"}, "rule 'calibrated' needs a completion prompt"),
        ({"n_ctx": 128}, "n_ctx is too small for prompt log-command"),
        ({"n_ctx": 131072}, "was trained for"),
    ]
    for settings, why in cases:
        operator.change_settings(**{"prompt": "log-command", "n_ctx": 2048, **settings})
        assert not operator.change("configure")
        status = operator.status()
        assert status.level == DiagnosticStatus.ERROR
        assert why in status.message
        assert why in node.log
    operator.change_settings(prompt="auto", n_ctx=2048)
    assert operator.change("configure")
    assert operator.status().level == DiagnosticStatus.STALE


def test_an_unforeseen_failure_is_told_too(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(_config: object) -> None:
        raise MemoryError("no room for 3 GB")

    monkeypatch.setattr("flip_edge_ros.node.SelfCheck", explode)
    node = NodeInThisProcess("/unforeseen")
    try:
        operator = connect(node)
        assert operator.state() == "unconfigured"
        status = operator.status()
        assert status.level == DiagnosticStatus.ERROR
        assert "no room for 3 GB" in status.message
    finally:
        node.stop()


def test_a_model_by_its_path_works(start_node: StartNode, connect: Connect, model_path: Path) -> None:
    node = start_node(model=str(model_path), idle_timeout_s=3600.0)
    operator = connect(node)
    operator.connect()
    assert operator.check(MUG, list(MUG_STEPS)).verdict == Verdict.MATCH
    assert operator.values()["model"] == model_path.stem
