"""The black box: what is on disk after a kill, a full disk or damage; who feeds it neither waits nor fails."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flip_edge import Config, Episode, Outcome, Verdict, blackbox, blackbox_file, blackbox_reading, blackbox_transaction
from flip_edge.backward import Evidence
from flip_edge.blackbox import FILE, BlackBox, DamagedError, Interrupted, read_runs
from flip_edge.decision import Decision
from flip_edge.errors import ConfigError, InputError
from flip_edge.monitor import Monitor
from flip_edge.verdict import verdict_of

LONG = 20.0  # seconds that only a hanging test waits
COMMAND, STEPS = "bring the mug", ("picked up the mug", "drove to the sink")


def judged(
    command: str = COMMAND,
    steps: tuple[str, ...] = STEPS,
    id: str = "#1",
    outcome: Outcome = Outcome.MATCH,
    *,
    finished: bool = True,
) -> Verdict:
    episode = Episode(command, steps, id, finished=finished)
    decision = Decision(outcome, "for a test", "f1")
    return verdict_of(episode, decision, Evidence(inferred="bring"), Config(), model_id="m", prompt_id="p")


def hear(box: BlackBox, id: str = "#1", command: str | None = COMMAND, steps: tuple[str, ...] = STEPS) -> None:
    if command is not None:
        box.command(id, command, 1.0)
    for number, step in enumerate(steps):
        box.step(id, step, 2.0 + number)


def stopped(box: BlackBox) -> None:
    """The owner goes without a word; the file is as after a kill, for what was flushed."""
    assert box.flush(LONG)
    box.close()


def interrupted(folder: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    box = BlackBox(folder)
    found = [(run.episode.id, run.episode.command, run.episode.steps) for run in box.interrupted]
    box.close()
    return found


def told(folder: Path) -> list[tuple[str, str, str]]:
    return [(row["command_id"], row["command"], row["verdict"]) for row in read_runs(folder)]


def is_whole(folder: Path) -> bool:
    with closing(sqlite3.connect(folder / FILE)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


def child(folder: Path, code: str) -> subprocess.Popen[str]:
    """Another process with ``box`` in a folder."""
    start = "import sys, time, pathlib\nfrom flip_edge.blackbox import BlackBox\nfolder = pathlib.Path(sys.argv[1])\n"
    return subprocess.Popen([sys.executable, "-c", start + code, folder], stdout=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait(LONG) == -signal.SIGKILL
    assert process.stdout
    process.stdout.close()


@pytest.fixture
def box(tmp_path: Path) -> Any:
    box = BlackBox(tmp_path)
    yield box
    box.close()


# --- what is kept


def test_a_run_with_its_verdict_is_a_row_like_those_of_replay(box: BlackBox, tmp_path: Path) -> None:
    verdict = judged(outcome=Outcome.MISMATCH)
    hear(box)
    box.verdict(verdict, 9.5, "raised")
    assert box.flush()
    [row] = read_runs(tmp_path)
    assert row == {"time": 9.5, **json.loads(json.dumps(verdict.to_dict())), "alert": "raised"}
    assert list(row) == ["time", *verdict.to_dict(), "alert"]


def test_an_open_run_is_unknown_and_says_that_it_was_open(box: BlackBox, tmp_path: Path) -> None:
    hear(box)
    assert box.flush()
    [row] = read_runs(tmp_path / FILE)
    assert (row["verdict"], row["command"], tuple(row["steps"])) == ("UNKNOWN", COMMAND, STEPS)
    assert row["reason"].startswith("open")
    assert row["time"] == 3.0  # of its last step
    assert row["alert"] is None
    assert set(row) == {"time", *judged().to_dict(), "alert"}


def test_rows_are_in_the_order_of_the_runs_whatever_the_clock_says(box: BlackBox, tmp_path: Path) -> None:
    for id, time in (("a", 300.0), ("b", 100.0), ("c", float("nan")), ("d", -5.0)):
        box.command(id, f"go to {id}", time)
        box.verdict(judged(f"go to {id}", (), id), time)
    assert box.flush()
    assert [row["command_id"] for row in read_runs(tmp_path)] == ["a", "b", "c", "d"]
    assert [row["time"] for row in read_runs(tmp_path)] == [300.0, 100.0, 0.0, -5.0]


def test_of_several_verdicts_the_latest_stays_and_they_are_counted(box: BlackBox, tmp_path: Path) -> None:
    hear(box)
    box.verdict(judged(steps=STEPS[:1], outcome=Outcome.MISMATCH), 5.0, "raised")
    box.verdict(judged(), 6.0, "cleared")
    box.verdict(judged(), 7.0)
    assert box.flush()
    [row] = read_runs(tmp_path)
    assert (row["verdict"], row["time"], row["alert"]) == ("MATCH", 7.0, "cleared")  # an alert is not forgotten
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        assert connection.execute("SELECT verdicts FROM runs").fetchall() == [(3,)]


def test_a_verdict_without_a_run_is_a_row_of_its_own(box: BlackBox, tmp_path: Path) -> None:
    hear(box)
    box.verdict(judged("open the door", ("opened it",), id=""), 4.0)
    box.verdict(judged("open the door", ("opened it",), id=""), 5.0)
    box.verdict(judged(id="#1", command="another one"), 6.0)
    box.verdict(judged("close it", (), id="s"), 6.5)
    box.step("", "waved", 7.0)  # of no command; the rows of ~/check take no steps
    box.step("s", "waved", 7.0)
    stopped(box)
    assert told(tmp_path) == [
        ("#1", COMMAND, "UNKNOWN"),
        ("", "open the door", "MATCH"),
        ("", "open the door", "MATCH"),
        ("#1", "another one", "MATCH"),
        ("s", "close it", "MATCH"),
        ("", "", "UNKNOWN"),
        ("s", "", "UNKNOWN"),
    ]
    assert interrupted(tmp_path) == [("#1", COMMAND, STEPS), ("", "", ("waved",)), ("s", "", ("waved",))]


def test_an_id_that_comes_again_is_another_run(box: BlackBox, tmp_path: Path) -> None:
    hear(box, steps=("one",))
    box.verdict(judged(steps=("one",), outcome=Outcome.MISMATCH), 5.0)
    hear(box, steps=("two",))
    box.verdict(judged(steps=("two",)), 8.0)
    assert box.flush()
    assert [(row["verdict"], row["steps"]) for row in read_runs(tmp_path)] == [
        ("MISMATCH", ["one"]),
        ("MATCH", ["two"]),
    ]


def test_verdicts_that_come_late_find_their_runs_among_those_of_one_id(box: BlackBox, tmp_path: Path) -> None:
    hear(box, "r", "go", ("one",))
    hear(box, "r", "go", ("two",))  # begins while the first waits for its check
    hear(box, "r", "stop", ("three",))
    box.verdict(judged("stop", ("three",), "r", Outcome.UNKNOWN), 8.0)
    box.verdict(judged("go", ("one",), "r", Outcome.MISMATCH), 8.0)
    box.verdict(judged("go", ("two",), "r"), 9.0)
    stopped(box)
    assert [row["verdict"] for row in read_runs(tmp_path)] == ["MISMATCH", "MATCH", "UNKNOWN"]
    assert [row["steps"] for row in read_runs(tmp_path)] == [["one"], ["two"], ["three"]]
    assert interrupted(tmp_path) == []


def test_steps_may_come_before_their_command(box: BlackBox, tmp_path: Path) -> None:
    box.step("r", "one", 1.0)
    box.command("r", "go", 2.0)
    box.step("r", "two", 3.0)
    stopped(box)
    assert interrupted(tmp_path) == [("r", "go", ("one", "two"))]


def test_the_verdict_of_a_run_whose_command_was_lost(box: BlackBox, tmp_path: Path) -> None:
    box.step("r", "one", 1.0)
    box.verdict(judged("go", ("one",), "r"), 3.0)
    stopped(box)
    assert told(tmp_path) == [("r", "go", "MATCH")]
    assert interrupted(tmp_path) == []


def test_descriptions_without_a_command_are_a_run_until_a_command_comes(box: BlackBox, tmp_path: Path) -> None:
    hear(box, "", None, ("waved",))
    box.verdict(judged("", ("waved",), "", Outcome.UNKNOWN), 4.0)
    hear(box, "", None, ("bowed",))  # it fell silent, and goes on
    hear(box)
    hear(box, "", None, ("jumped",))
    stopped(box)
    assert interrupted(tmp_path) == [("", "", ("waved", "bowed")), ("#1", COMMAND, STEPS), ("", "", ("jumped",))]


def test_a_command_that_could_not_be_stored_ends_no_run(tmp_path: Path) -> None:
    file = blackbox_file.File(tmp_path, 10)
    waved, command, bowed = (
        blackbox_transaction.Step("", "waved", 1.0),
        blackbox_transaction.Command("#1", COMMAND, 2.0),
        blackbox_transaction.Step("", "bowed", 3.0),
    )

    def store(event: blackbox_transaction.Event, *, fails: bool = False) -> Callable[[sqlite3.Connection], int]:
        def write(connection: sqlite3.Connection) -> int:
            refused = blackbox_transaction.Transaction(file, connection).write([event], {})
            if fails:
                raise sqlite3.OperationalError("disk I/O error")
            return refused

        return write

    file.write(store(waved))
    with pytest.raises(sqlite3.OperationalError):
        file.write(store(command, fails=True))
    file.write(store(bowed))
    file.close()
    assert interrupted(tmp_path) == [("", "", ("waved", "bowed"))]


# --- what is moved


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "apart"])
def test_a_step_that_is_moved_is_the_last_of_its_new_run_and_an_empty_run_is_none(tmp_path: Path, apart: bool) -> None:
    box = BlackBox(tmp_path)
    hear(box, "", None, ("one", "two"))
    box.step("#1", "named", 2.0)
    assert not apart or box.flush(LONG)
    box.command("#1", "go", 3.0)
    box.moved("", "#1", "one", 3.0)
    assert not apart or box.flush(LONG)
    box.moved("", "#1", "two", 3.0)
    box.step("#1", "three", 4.0)
    assert box.flush(LONG)
    assert [(row["command_id"], row["steps"]) for row in read_runs(tmp_path)] == [
        ("#1", ["named", "one", "two", "three"])
    ]
    box.verdict(judged("go", ("one", "two", "named", "three")), 5.0)  # the monitor knows their order
    stopped(box)
    assert (box.lost, box.error) == (0, "")
    assert told(tmp_path) == [("#1", "go", "MATCH")]
    assert interrupted(tmp_path) == []


def test_a_run_that_keeps_a_step_or_has_a_command_stays(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    hear(box, "", None, ("left the dock", "turned"))
    box.command("#1", "go", 3.0)
    box.moved("", "#1", "turned", 3.0)
    box.command("#2", "stop", 4.0)
    box.moved("#1", "#2", "turned", 4.0)
    stopped(box)
    assert interrupted(tmp_path) == [("", "", ("left the dock",)), ("#1", "go", ()), ("#2", "stop", ("turned",))]


def test_a_run_that_has_losses_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blackbox, "_QUEUED_CHARACTERS", 1000)
    box = BlackBox(tmp_path)
    hear(box, "", None, ("one", "x" * 2000))
    assert box.flush(LONG)
    box.command("#1", "go", 3.0)
    box.moved("", "#1", "one", 3.0)
    stopped(box)
    again = BlackBox(tmp_path)
    again.close()
    found = [(run.episode.id, run.episode.steps, run.episode.dropped_steps) for run in again.interrupted]
    assert found == [("", (), 1), ("#1", ("one",), 0)]


def test_a_run_that_was_judged_before_its_steps_were_moved_stays_so(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    hear(box, "", None, ("one",))
    box.verdict(judged("", ("one",), "", Outcome.UNKNOWN), 2.0)
    hear(box, "", None, ("two",))
    box.command("#1", "go", 3.0)
    box.moved("", "#1", "one", 3.0)
    box.moved("", "#1", "two", 3.0)
    stopped(box)
    assert [(row["command_id"], row["steps"]) for row in read_runs(tmp_path)] == [("", ["one"]), ("#1", ["one", "two"])]
    assert interrupted(tmp_path) == [("#1", "go", ("one", "two"))]  # of the other nothing is left to judge


def test_of_steps_alike_the_last_is_moved(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    hear(box, "#1", "go", ("turned", "drove", "turned"))
    box.command("#2", "stop", 5.0)
    box.moved("#1", "#2", "turned", 5.0)
    stopped(box)
    assert interrupted(tmp_path) == [("#1", "go", ("turned", "drove")), ("#2", "stop", ("turned",))]


def test_a_step_that_its_run_lacks_comes_into_the_new_one_all_the_same(tmp_path: Path) -> None:
    first = BlackBox(tmp_path)
    hear(first, "", None, ("one",))
    stopped(first)
    second = BlackBox(tmp_path)
    second.command("#1", "go", 3.0)
    second.moved("", "#1", "one", 3.0)  # not that of the earlier owner
    stopped(second)
    assert interrupted(tmp_path) == [("", "", ("one",)), ("#1", "go", ("one",))]


def test_a_step_is_moved_from_a_run_that_goes_on_though_another_command_has_ended_it(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    hear(box, "", None, ("one",))
    box.command("#1", "go", 3.0)
    hear(box, "", None, ("two",))  # the black box begins another run
    box.command("#2", "stop", 4.0)
    box.moved("", "#2", "one", 4.0)
    stopped(box)
    assert interrupted(tmp_path) == [("#1", "go", ()), ("", "", ("two",)), ("#2", "stop", ("one",))]


def test_a_move_that_cannot_be_stored_leaves_its_step_where_it_is(box: BlackBox, tmp_path: Path) -> None:
    hear(box, steps=("one",))
    box.command("#2", "stop", 3.0)
    box.moved("#1", "#2", "one", "noon")  # type: ignore[arg-type]
    box.moved("#1", None, "one", 4.0)  # type: ignore[arg-type]
    assert box.flush(LONG)
    assert (box.lost, box.error) == (2, "")
    assert [row["steps"] for row in read_runs(tmp_path)] == [["one"], []]


def test_a_step_that_is_moved_leaves_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blackbox_transaction, "MAX_RUN_CHARACTERS", 200)
    box = BlackBox(tmp_path)
    hear(box, steps=("x" * 68, "y" * 68))
    hear(box, "#2", "stop", ("z" * 68,))
    for letter in "xy":
        box.moved("#1", "#2", letter * 68, 5.0)
    box.step("#1", "v" * 68, 6.0)
    box.step("#1", "w" * 68, 6.0)
    stopped(box)
    assert box.lost == 1
    assert [[step[0] for step in row["steps"]] for row in read_runs(tmp_path)] == [["v", "w"], ["z", "x"]]
    assert "lacks 1 " in read_runs(tmp_path)[1]["reason"]


def test_steps_that_a_monitor_heard_before_their_command_are_not_interrupted_twice(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    monitor = Monitor(idle_timeout_s=30.0, max_steps=200, journal=box)
    monitor.action("drove to the kitchen", now=0.0, stamp=103.0)
    monitor.command("go to the kitchen", now=0.1, stamp=102.0)
    stopped(box)
    assert interrupted(tmp_path) == [("#1", "go to the kitchen", ("drove to the kitchen",))]


# --- what was interrupted


def test_runs_without_a_verdict_are_interrupted_until_one_of_them_is_stored(tmp_path: Path) -> None:
    first = BlackBox(tmp_path)
    hear(first, "done")
    first.verdict(judged(id="done"), 4.0)
    hear(first, "#1", "go", ("one",))
    hear(first, "#2", "stop", ())
    stopped(first)
    second = BlackBox(tmp_path)
    expected = (Interrupted(Episode("go", ("one",), "#1"), 1.0), Interrupted(Episode("stop", (), "#2"), 1.0))
    assert second.interrupted == expected
    second.verdict(judged("go", ("one",), "#1", Outcome.UNKNOWN), 50.0)
    stopped(second)  # before the other was told
    third = BlackBox(tmp_path)
    assert third.interrupted == expected[1:]
    third.verdict(judged("stop", (), "#2", Outcome.UNKNOWN), 60.0)
    stopped(third)
    assert interrupted(tmp_path) == []
    assert told(tmp_path) == [("done", COMMAND, "MATCH"), ("#1", "go", "UNKNOWN"), ("#2", "stop", "UNKNOWN")]


def test_the_verdict_of_an_interrupted_run_is_not_taken_for_that_of_a_new_one_with_its_id(tmp_path: Path) -> None:
    first = BlackBox(tmp_path)
    hear(first, steps=("one",))
    stopped(first)
    second = BlackBox(tmp_path)
    hear(second, steps=("two",))
    second.verdict(judged(steps=("one",), outcome=Outcome.UNKNOWN), 50.0)
    second.verdict(judged(steps=("two", "three")), 60.0)
    stopped(second)
    assert [(row["verdict"], row["steps"]) for row in read_runs(tmp_path)] == [
        ("UNKNOWN", ["one"]),
        ("MATCH", ["two", "three"]),
    ]
    assert interrupted(tmp_path) == []


def test_an_interrupted_run_is_told_by_a_verdict_of_other_steps_as_well(tmp_path: Path) -> None:
    first = BlackBox(tmp_path)
    hear(first)
    stopped(first)
    second = BlackBox(tmp_path)
    second.verdict(judged(steps=("something else",), outcome=Outcome.UNKNOWN), 50.0)
    stopped(second)
    assert told(tmp_path) == [("#1", COMMAND, "UNKNOWN")]
    assert interrupted(tmp_path) == []


def test_a_step_is_not_of_the_run_that_an_earlier_owner_left(tmp_path: Path) -> None:
    first = BlackBox(tmp_path)
    hear(first, "r", "go", ("one",))
    stopped(first)
    second = BlackBox(tmp_path)
    second.step("r", "two", 9.0)
    stopped(second)
    assert interrupted(tmp_path) == [("r", "go", ("one",)), ("r", "", ("two",))]


def test_what_came_after_the_verdict_of_a_silent_run_is_interrupted(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    hear(box)
    box.verdict(judged(), 5.0)
    box.step("#1", "put the mug in the sink", 6.0)
    stopped(box)
    assert interrupted(tmp_path) == [("#1", COMMAND, (*STEPS, "put the mug in the sink"))]


@pytest.mark.parametrize("late", ["put the mug in the sink", STEPS[0]], ids=["new", "again"])
def test_what_came_while_the_check_ran_is_interrupted(tmp_path: Path, late: str) -> None:
    box = BlackBox(tmp_path)
    hear(box, steps=(*STEPS, late))
    box.verdict(judged(), 5.0)  # of the steps until then
    stopped(box)
    assert interrupted(tmp_path) == [("#1", COMMAND, (*STEPS, late))]


def test_steps_that_the_next_command_claimed_are_not(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    hear(box, "#1", "go", ("one", "two"))
    box.command("#2", "stop", 8.0)
    box.verdict(judged("go", ("one",), "#1"), 9.0)
    box.verdict(judged("stop", ("two",), "#2"), 9.0)
    stopped(box)
    assert interrupted(tmp_path) == []


def test_an_interim_verdict_leaves_its_run_open(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    hear(box)
    box.verdict(judged(outcome=Outcome.MISMATCH, finished=False), 5.0, "raised")
    stopped(box)
    assert interrupted(tmp_path) == [("#1", COMMAND, STEPS)]
    [row] = read_runs(tmp_path)
    assert (row["verdict"], row["interim"]) == ("MISMATCH", True)


@pytest.mark.parametrize("outcome", [Outcome.MISMATCH, Outcome.MATCH], ids=["raised", "cleared"])
def test_the_latest_change_of_the_alert_is_there_for_the_next_owner(tmp_path: Path, outcome: Outcome) -> None:
    box = BlackBox(tmp_path)
    assert box.alert is None
    monitor = Monitor(idle_timeout_s=30.0, max_steps=200)
    for id, found in (("#1", Outcome.MISMATCH), ("#2", outcome)):
        alert = monitor.conclude(judged("go to \udcff", id=id, outcome=found))
        assert alert
        box.alerted(alert)
    stopped(box)
    for _ in range(2):  # it stays until there is another
        box = BlackBox(tmp_path)
        assert box.alert == monitor.alert
        stopped(box)


@pytest.mark.parametrize(
    "change", ["DROP TABLE alert", "UPDATE alert SET alert = '{}'", "UPDATE alert SET alert = 'x'"]
)
def test_a_file_without_an_alert_that_can_be_read_has_none(tmp_path: Path, change: str) -> None:
    box = BlackBox(tmp_path)
    alert = Monitor(idle_timeout_s=30.0, max_steps=200).conclude(judged(outcome=Outcome.MISMATCH))
    assert alert
    box.alerted(alert)
    hear(box)
    stopped(box)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection, connection:
        connection.execute(change)
    box = BlackBox(tmp_path)
    assert (box.alert, box.error, box.set_aside) == (None, "", None)
    box.alerted(alert)
    stopped(box)
    assert interrupted(tmp_path) == [("#1", COMMAND, STEPS)]


def test_a_process_that_is_killed_leaves_its_run(tmp_path: Path) -> None:
    process = child(
        tmp_path,
        "box = BlackBox(folder)\n"
        "box.command('#1', 'go', 1.5)\n"
        "box.step('#1', 'one', 2.0)\n"
        "box.step('#1', 'two', 3.0)\n"
        "assert box.flush(20)\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n",
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    kill(process)
    assert told(tmp_path) == [("#1", "go", "UNKNOWN")]  # before anyone has opened it
    box = BlackBox(tmp_path)
    assert box.set_aside is None
    assert box.interrupted == (Interrupted(Episode("go", ("one", "two"), "#1"), 1.5),)
    hear(box)
    stopped(box)
    assert is_whole(tmp_path)
    assert interrupted(tmp_path) == [("#1", "go", ("one", "two")), ("#1", COMMAND, STEPS)]


def test_a_process_that_is_killed_in_a_flood_leaves_all_that_was_written(tmp_path: Path) -> None:
    process = child(
        tmp_path,
        "box = BlackBox(folder)\n"
        "box.command('#1', 'go', 1.0)\n"
        "for number in range(10**9):\n"
        "    box.step('#1', f'step {number}', 1.0)\n"
        "    if number % 100 == 0:\n"
        "        time.sleep(0.005)\n"
        "    if number % 2000 == 1999:\n"
        "        assert box.flush(20)\n"
        "        print(number, flush=True)\n",
    )
    assert process.stdout
    for _ in range(4):
        kept = int(process.stdout.readline())
    kill(process)
    box = BlackBox(tmp_path)
    [run] = box.interrupted
    assert len(run.episode.steps) > kept
    assert run.episode.steps == tuple(f"step {number}" for number in range(len(run.episode.steps)))
    hear(box, "#2")
    stopped(box)
    assert is_whole(tmp_path)
    assert len(read_runs(tmp_path)) == 2


# --- whose it is


def test_two_processes_cannot_have_one_black_box(tmp_path: Path) -> None:
    process = child(tmp_path, "box = BlackBox(folder)\nprint('ready', flush=True)\ntime.sleep(60)\n")
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(ConfigError, match="another process has the black box"):
        BlackBox(tmp_path)
    kill(process)
    BlackBox(tmp_path).close()  # the kernel let go


def test_one_that_was_closed_can_be_opened_again(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    with pytest.raises(ConfigError, match="another"):
        BlackBox(tmp_path)
    box.close()
    box.close()
    BlackBox(tmp_path).close()


def test_what_comes_after_the_end_is_counted(tmp_path: Path) -> None:
    box = BlackBox(tmp_path)
    hear(box)
    box.close()
    box.step("#1", "late", 9.0)
    box.verdict(judged(), 9.0)
    assert box.lost == 2
    assert box.flush()
    assert interrupted(tmp_path) == [("#1", COMMAND, STEPS)]  # close has written what waited


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match="cannot make the black box's folder"):
            BlackBox(folder)
    with pytest.raises(ConfigError, match="at least one"):
        BlackBox(tmp_path, runs=0)


# --- trouble


def test_a_folder_in_which_nothing_can_be_made() -> None:
    box = BlackBox(Path("/proc"))  # refuses root as well
    assert box.error.startswith("the black box in /proc cannot be written: ")
    assert box.interrupted == ()
    hear(box)
    box.verdict(judged(), 5.0)
    assert not box.flush(LONG)
    assert box.error
    assert box.lost == 0  # they still wait
    box.close()
    assert box.lost == 4


def test_what_could_not_be_written_is_written_when_it_can_be(tmp_path: Path) -> None:
    first = BlackBox(tmp_path)
    hear(first, "#1", "go")
    stopped(first)
    (tmp_path / FILE).rename(tmp_path / "elsewhere")
    (tmp_path / FILE).mkdir()
    box = BlackBox(tmp_path)
    assert "unable to open" in box.error
    hear(box)
    assert not box.flush(LONG)
    (tmp_path / FILE).rmdir()
    (tmp_path / "elsewhere").rename(tmp_path / FILE)
    assert box.flush(LONG)
    assert (box.error, box.lost) == ("", 0)
    assert [run.episode.command for run in box.interrupted] == ["go"]
    box.close()
    assert told(tmp_path) == [("#1", "go", "UNKNOWN"), ("#1", COMMAND, "UNKNOWN")]


def test_it_is_tried_again_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blackbox, "_RETRY_S", 0.01)
    (tmp_path / FILE).mkdir()
    box = BlackBox(tmp_path)
    hear(box)
    assert not box.flush(LONG)
    (tmp_path / FILE).rmdir()
    until(lambda: not box.error)
    box.close()
    assert box.lost == 0
    assert told(tmp_path) == [("#1", COMMAND, "UNKNOWN")]


def test_a_full_disk(tmp_path: Path) -> None:
    process = child(
        tmp_path,
        "import resource\n"
        "box = BlackBox(folder)\n"
        "box.command('#1', 'go', 1.0)\n"
        "assert box.flush(20)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))\n"
        "for number in range(300):\n"
        "    box.step('#1', f'step {number} ' + 'x' * 5000, 2.0)\n"
        "print(box.flush(20), box.lost, bool(box.error), flush=True)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "print(box.flush(20), box.lost, bool(box.error), flush=True)\n"
        "box.close()\n",
    )
    out, _ = process.communicate(timeout=60)
    assert out.splitlines() == ["False 0 True", "True 0 False"]
    assert is_whole(tmp_path)
    [(_, _, steps)] = interrupted(tmp_path)
    assert [step.split()[1] for step in steps] == [str(number) for number in range(300)]


def test_a_queue_that_is_full_is_counted_and_marks_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blackbox, "_QUEUED_EVENTS", 20)
    box = BlackBox(tmp_path)
    box.command("#1", COMMAND, 1.0)
    assert box.flush(LONG)
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("BEGIN IMMEDIATE")  # the writer waits for it
        box.step("#1", "zero", 2.0)
        until(lambda: not box._waiting.events)
        for number in range(100):
            box.step("#1", f"step {number}", 2.0)
        assert box.lost == 82  # two places are for what is worth more
        box.verdict(judged("another", (), "x"), 3.0)
        assert box.lost == 82
    assert box.flush(LONG) or box.flush(LONG)
    box.close()
    assert told(tmp_path) == [("#1", COMMAND, "UNKNOWN"), ("x", "another", "MATCH")]
    assert "lacks 82 of what" in read_runs(tmp_path)[0]["reason"]
    again = BlackBox(tmp_path)
    [run] = again.interrupted
    again.close()
    assert run.episode.steps == ("zero", *(f"step {number}" for number in range(18)))
    assert run.episode.dropped_steps == 82
    assert "incomplete" in (run.episode.problem() or "")


def test_the_queue_is_bounded_in_characters_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blackbox, "_QUEUED_CHARACTERS", 1000)
    box = BlackBox(tmp_path)
    box.step("#1", "x" * 2000, 1.0)
    box.step("#1", "x", 1.0)
    stopped(box)
    assert box.lost == 1
    [row] = read_runs(tmp_path)
    assert row["steps"] == ["x"]
    assert "lacks 1 " in row["reason"]


def test_a_run_of_which_nothing_found_room_is_there_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blackbox, "_QUEUED_CHARACTERS", 1000)
    box = BlackBox(tmp_path)
    box.step("#1", "x" * 2000, 1.0)
    box.close()
    [row] = read_runs(tmp_path)
    assert (row["command_id"], row["steps"]) == ("#1", [])
    assert "lacks 1 " in row["reason"]


def test_one_event_that_cannot_be_stored_keeps_no_other_out(box: BlackBox, tmp_path: Path) -> None:
    box.command("#1", COMMAND, 1.0)
    box.step("#1", "one", "noon")  # type: ignore[arg-type]
    box.step("#1", "two", 3.0)
    assert box.flush(LONG)
    assert (box.lost, box.error) == (1, "")
    assert read_runs(tmp_path)[0]["steps"] == ["two"]


def test_a_file_that_was_removed_is_begun_anew(box: BlackBox, tmp_path: Path) -> None:
    hear(box)
    box.command("#2", COMMAND, 9.0)
    assert box.flush(LONG)
    for path in tmp_path.iterdir():
        path.unlink()
    box.step("", "three", 5.0)
    assert box.flush(LONG)
    box.step("", "four", 6.0)
    assert box.flush(LONG)
    assert [row["steps"] for row in read_runs(tmp_path)] == [["three", "four"]]
    with pytest.raises(ConfigError, match="another"):
        BlackBox(tmp_path)


# --- damage


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    noise = random.Random(1).randbytes(len(content))
    middle = len(content) // 8192 * 4096
    index = page_of(path, "steps_by_run") if kind == "index" else 0
    path.write_bytes(
        {
            "noise": noise,
            "cut": content[: len(content) - 5000],
            "cut short": content[:50],
            "middle": content[:middle] + noise[:20480] + content[middle + 20480 :],
            "index": content[:index] + noise[:4096] + content[index + 4096 :],
            "another's": another(path.parent / "other"),
        }[kind]
    )


def page_of(path: Path, name: str) -> int:
    """Where in the file the root of a table or an index is."""
    with closing(sqlite3.connect(path)) as connection:
        [(number,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchall()
    return (int(number) - 1) * 4096


def another(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE messages (key)")
    return path.read_bytes()


def filled(folder: Path, runs: int = 60) -> None:
    box = BlackBox(folder)
    for number in range(runs):
        steps = (f"step of {number} " + "x" * 3000,)
        hear(box, f"r{number}", "go", steps)
        box.verdict(judged("go", steps, f"r{number}"), float(number))
    stopped(box)


@pytest.mark.parametrize("kind", ["noise", "cut", "cut short", "middle", "index", "another's"])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path: Path, kind: str) -> None:
    filled(tmp_path)
    damage(tmp_path / FILE, kind)
    damaged = (tmp_path / FILE).read_bytes()
    box = BlackBox(tmp_path)
    assert box.error == ""
    assert box.interrupted == ()
    assert box.set_aside
    assert box.set_aside.name.startswith("blackbox-damaged-")
    assert box.set_aside.suffix == ".sqlite3"
    assert box.set_aside.read_bytes() == damaged
    hear(box)
    stopped(box)
    assert told(tmp_path) == [("#1", COMMAND, "UNKNOWN")]


def test_three_damaged_files_are_kept(tmp_path: Path) -> None:
    kept = []
    for number in range(5):
        (tmp_path / FILE).write_bytes(b"damaged %d " % number * 1000)
        box = BlackBox(tmp_path)
        assert box.set_aside
        kept.append(box.set_aside)
        box.close()
    assert sorted(tmp_path.glob("blackbox-damaged-*")) == kept[2:]


@pytest.mark.parametrize("kind", ["noise", "index"])
def test_a_file_that_is_damaged_while_it_is_written_is_set_aside(box: BlackBox, tmp_path: Path, kind: str) -> None:
    hear(box)
    assert box.flush(LONG)
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("PRAGMA user_version = 1")  # what the writer remembers of the file is no longer valid
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damage(tmp_path / FILE, kind)
    box.step("#1", "three", 5.0)
    assert box.flush(LONG) or box.flush(LONG)
    assert (box.error, box.lost) == ("", 0)
    assert box.set_aside
    assert [row["steps"] for row in read_runs(tmp_path)] == [["three"]]


def test_of_a_damaged_file_what_can_be_read_is_kept(tmp_path: Path) -> None:
    filled(tmp_path)
    whole = read_runs(tmp_path)
    damage(tmp_path / FILE, "middle")
    with pytest.raises(DamagedError, match="is damaged") as caught:
        read_runs(tmp_path)
    rows = caught.value.rows
    assert 20 < len(rows) < 60
    assert all(row in whole for row in rows)
    assert {rows[0]["command_id"], rows[-1]["command_id"]} == {"r0", "r59"}  # on both sides of the damage


@pytest.mark.parametrize("kind", ["noise", "cut short", "another's"])
def test_a_file_that_is_no_black_box_cannot_be_read(tmp_path: Path, kind: str) -> None:
    filled(tmp_path, 1)
    damage(tmp_path / FILE, kind)
    with pytest.raises(InputError, match="no black box"):
        read_runs(tmp_path / FILE)


def test_what_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no black box"):
        read_runs(tmp_path)
    assert not list(tmp_path.iterdir())  # and reading makes nothing


# --- bounds


def test_the_oldest_runs_with_a_verdict_go_first(tmp_path: Path) -> None:
    box = BlackBox(tmp_path, runs=3)
    hear(box, "open")
    for number in range(5):
        hear(box, f"r{number}")
        box.verdict(judged(id=f"r{number}"), 5.0)
        assert box.flush(LONG)
    assert [row["command_id"] for row in read_runs(tmp_path)] == ["open", "r3", "r4"]
    for number in range(5, 9):
        hear(box, f"r{number}")
    stopped(box)
    assert [row["command_id"] for row in read_runs(tmp_path)] == ["r6", "r7", "r8"]
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:  # nothing of the others is left
        assert connection.execute("SELECT count(*) FROM steps").fetchone() == (3 * len(STEPS),)


def test_fewer_runs_than_before(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    box = BlackBox(tmp_path, runs=2)
    hear(box)
    stopped(box)
    assert [row["command_id"] for row in read_runs(tmp_path)] == ["r19", "#1"]


def test_the_bytes_are_bounded_and_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 300)
    before = (tmp_path / FILE).stat().st_size
    bound, free = 500_000, 50_000
    assert before > 3 * bound
    monkeypatch.setattr(blackbox_file, "MAX_BYTES", bound)
    monkeypatch.setattr(blackbox_file, "_FREE_BYTES", free)
    box = BlackBox(tmp_path)
    for number in range(300, 400):
        hear(box, f"r{number}", "go", ("y" * 3000,))
        box.verdict(judged("go", ("y" * 3000,), f"r{number}"), 1.0)
        assert box.flush(LONG)
    box.close()
    assert bound / 2 < (tmp_path / FILE).stat().st_size < bound + free + 50_000
    ids = [row["command_id"] for row in read_runs(tmp_path)]
    assert ids == [f"r{number}" for number in range(400 - len(ids), 400)]
    assert len(ids) > 20
    assert is_whole(tmp_path)


def test_one_run_cannot_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blackbox_transaction, "MAX_RUN_CHARACTERS", 1000)
    box = BlackBox(tmp_path)
    hear(box, steps=("x" * 68,) * 7)  # 100 with what a step takes
    assert box.flush(LONG)
    hear(box, command=None, steps=("x" * 68,) * 7)
    stopped(box)
    assert box.lost == 4
    [row] = read_runs(tmp_path)
    assert len(row["steps"]) == 10
    assert "lacks 4 " in row["reason"]


def test_a_reader_that_does_not_end_cannot_let_the_log_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blackbox_file, "MAX_LOG_BYTES", 500_000)
    monkeypatch.setattr(blackbox_file, "_BUSY_S", 0.01)
    log = Path(f"{tmp_path / FILE}-wal")
    box = BlackBox(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM runs").fetchall()
        for number in range(40):
            hear(box, f"r{number}", "go", ("x" * 50_000,))
            box.flush(LONG)
        assert "a reader does not end" in box.error
        assert log.stat().st_size < 700_000
    assert box.flush(LONG) or box.flush(LONG)
    box.close()
    assert (box.error, box.lost) == ("", 0)
    assert len(read_runs(tmp_path)) == 40


def test_the_log_is_cut_again(box: BlackBox, tmp_path: Path) -> None:
    log = Path(f"{tmp_path / FILE}-wal")
    hear(box)
    assert box.flush(LONG)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # so that it all goes into one transaction
        hear(box, steps=("x" * 200_000,) * 15)
        other.execute("ROLLBACK")
        hear(box, "#2", steps=("x" * 200_000,) * 15)
        assert box.flush(LONG) or box.flush(LONG)
        assert log.stat().st_size > 5 << 20
    for number in range(3, 6):
        hear(box, f"#{number}")
        assert box.flush(LONG)
    assert log.stat().st_size <= 4 << 20
    assert len(read_runs(tmp_path)) == 6


# --- reading while it is written, and hostile text


def test_it_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    box, stop = BlackBox(tmp_path, runs=200), threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            hear(box, f"r{written}", f"go to {written}", (f"step {written}",))
            box.verdict(judged(f"go to {written}", (f"step {written}",), f"r{written}"), 1.0)
            written += 1
            stop.wait(0.0005)

    thread = threading.Thread(target=write)
    thread.start()
    seen: list[int] = []
    try:
        while len(seen) < 20 or seen[-1] < 400:
            rows = read_runs(tmp_path)
            numbers = [int(row["command_id"][1:]) for row in rows]
            assert numbers == list(range(numbers[0], numbers[0] + len(rows))) if rows else True
            assert len(rows) <= 200
            assert all(row["command"] == f"go to {number}" for row, number in zip(rows, numbers, strict=True))
            assert all(row["steps"] == [f"step {number}"] for row, number in zip(rows[:-1], numbers, strict=False))
            seen.append(numbers[-1] if rows else 0)
    finally:
        stop.set()
        thread.join()
    assert seen == sorted(seen)
    stopped(box)
    assert box.lost == 0
    assert read_runs(tmp_path)[-1]["command_id"] == f"r{written - 1}"


def test_a_file_beside_which_nothing_can_be_written_is_read_from_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, 3)
    box = BlackBox(tmp_path)
    hear(box)  # in the log, not yet in the file itself
    assert box.flush(LONG)
    read = blackbox_reading._read

    def refused(path: Path) -> list[dict[str, Any]]:  # root may write everywhere, so only SQLite's answer is played
        if path.parent == tmp_path:
            raise sqlite3.OperationalError("attempt to write a readonly database")
        return read(path)

    monkeypatch.setattr(blackbox_reading, "_read", refused)
    assert [row["command_id"] for row in read_runs(tmp_path)] == ["r0", "r1", "r2", "#1"]
    box.close()


HOSTILE = {
    "nul": "go\0to\0the dock",
    "surrogate": "go to \udcff",
    "long": "x" * 200_000,
    "sql": "'); DROP TABLE runs; --",
    "other scripts": "去厨房 🤖 \u202e\u2028",
    "empty": "",
    "number": "1",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_any_text_comes_back_as_it_was(tmp_path: Path, text: str) -> None:
    id = f"id {text}"
    box = BlackBox(tmp_path)
    hear(box, id, text, (text, "then", text))
    hear(box, f"{id} again", text, (text,))
    box.verdict(judged(text, (text,), f"{id} again"), 5.0, text)
    stopped(box)
    assert (box.lost, box.error) == (0, "")
    assert interrupted(tmp_path) == [(id, text, (text, "then", text))]
    rows = read_runs(tmp_path)
    assert [(row["command_id"], row["command"], row["steps"]) for row in rows] == [
        (id, text, [text, "then", text]),
        (f"{id} again", text, [text]),
    ]
    assert [row["verdict"] for row in rows] == ["UNKNOWN", "MATCH"]


def test_many_may_hand_in_at_once(box: BlackBox, tmp_path: Path) -> None:
    def feed(id: str) -> None:
        box.command(id, "go", 1.0)
        for number in range(500):
            box.step(id, f"step {number}", 2.0)

    threads = [threading.Thread(target=feed, args=(f"r{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert box.flush(LONG)
    expected = [f"step {number}" for number in range(500)]
    assert sorted((row["command_id"], row["steps"] == expected) for row in read_runs(tmp_path)) == [
        (f"r{number}", True) for number in range(4)
    ]


def until(holds: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(int(LONG / 0.005)):
        if holds():
            return
        waiting.wait(0.005)
    pytest.fail("it never came true")
