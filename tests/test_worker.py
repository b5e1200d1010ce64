"""The thread that owns the model: order, the bounded queue, and one verdict for every episode, whatever happens."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest
from conftest import FakeEngine

from flip_edge import Config, Episode, Outcome, SelfCheck, Verdict
from flip_edge.backward import BackwardInference
from flip_edge.errors import CancelledError
from flip_edge.prompts import Piece
from flip_edge.worker import Worker

LONG = 20.0  # seconds that only a hanging test waits


class GatedEngine(FakeEngine):
    """Matches everything; each log is read only when the gate is open, and an interrupt opens it like the real one."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.reading = threading.Event()
        self._stopped = threading.Event()

    def read(self, log: Sequence[Piece]) -> int:
        self.reading.set()
        while not self.gate.wait(0.002):
            if self._stopped.is_set():
                raise CancelledError("cancelled: the check was interrupted")
        self.enqueue("go there", given_log=0.0, without_log=-3.0)
        return super().read(log)

    def interrupt(self) -> None:
        super().interrupt()
        self._stopped.set()

    def resume(self) -> None:
        super().resume()
        self._stopped.clear()


class Inbox:
    """Collects verdicts in the order in which they come."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self._came = threading.Condition()

    def __call__(self, verdict: Verdict) -> None:
        with self._came:
            self.verdicts.append(verdict)
            self._came.notify_all()

    def wait_for(self, count: int) -> list[Verdict]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.verdicts) >= count, LONG), f"{len(self.verdicts)} of {count}"
            return list(self.verdicts)

    @property
    def ids(self) -> list[str]:
        return [verdict.command_id for verdict in self.verdicts]


@pytest.fixture
def engine() -> GatedEngine:
    return GatedEngine()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def start(engine: GatedEngine) -> Iterator[Callable[[int], Worker]]:
    workers: list[Worker] = []

    def started(queue_size: int) -> Worker:
        workers.append(Worker(SelfCheck(Config(), engine=engine), queue_size))
        return workers[-1]

    yield started
    for worker in workers:
        worker.stop()


def episode(id: object) -> Episode:
    return Episode("go there", ("went there",), str(id))


def busy(worker: Worker, engine: GatedEngine, inbox: Inbox) -> None:
    """Give the worker a first episode, and return when it is at the model with it."""
    worker.submit(episode("first"), inbox)
    assert engine.reading.wait(LONG)


def test_verdicts_come_in_the_order_of_the_episodes(
    start: Callable[[int], Worker], engine: GatedEngine, inbox: Inbox
) -> None:
    engine.gate.set()
    worker = start(1000)
    for number in range(100):
        worker.submit(episode(number), inbox)
    verdicts = inbox.wait_for(100)
    assert inbox.ids == [str(number) for number in range(100)]
    assert {verdict.outcome for verdict in verdicts} == {Outcome.MATCH}
    assert worker.dropped == 0


def test_submit_returns_at_once_while_the_model_is_busy(
    start: Callable[[int], Worker], engine: GatedEngine, inbox: Inbox
) -> None:
    worker = start(4)
    busy(worker, engine, inbox)
    started = time.monotonic()
    for number in range(1000):
        worker.submit(episode(number), inbox)
    assert time.monotonic() - started < 5  # the model never answered
    assert worker.waiting == 4


def test_a_full_queue_drops_its_oldest_and_says_so(
    start: Callable[[int], Worker], engine: GatedEngine, inbox: Inbox
) -> None:
    worker = start(3)
    busy(worker, engine, inbox)
    for number in range(1, 8):
        worker.submit(episode(number), inbox)
    assert inbox.ids == ["1", "2", "3", "4"]
    for verdict in inbox.verdicts:
        assert verdict.outcome is Outcome.UNKNOWN
        assert verdict.reason == "queue overflow: 3 newer runs were waiting for the model"
        assert verdict.waited_s >= 0
        assert (verdict.command, verdict.steps) == ("go there", ("went there",))
    assert (worker.dropped, worker.waiting) == (4, 3)
    engine.gate.set()
    inbox.wait_for(8)
    assert inbox.ids == ["1", "2", "3", "4", "first", "5", "6", "7"]
    assert {verdict.outcome for verdict in inbox.verdicts[4:]} == {Outcome.MATCH}


def test_the_time_in_the_queue_is_told_apart_from_the_time_at_the_model(
    start: Callable[[int], Worker], engine: GatedEngine, inbox: Inbox
) -> None:
    worker = start(3)
    busy(worker, engine, inbox)
    worker.submit(episode("second"), inbox)
    time.sleep(0.1)
    engine.gate.set()
    first, second = inbox.wait_for(2)
    assert first.computed_s >= 0.1
    assert second.waited_s >= 0.1
    assert second.computed_s < 0.1


def test_a_smaller_queue_at_run_time_holds_from_the_next_episode_on(
    start: Callable[[int], Worker], engine: GatedEngine, inbox: Inbox
) -> None:
    worker = start(10)
    busy(worker, engine, inbox)
    for number in range(10):
        worker.submit(episode(number), inbox)
    worker.queue_size = 2
    worker.submit(episode(10), inbox)
    assert inbox.ids == [str(number) for number in range(9)]
    assert (worker.waiting, worker.dropped) == (2, 9)
    assert {verdict.reason for verdict in inbox.verdicts} == {"queue overflow: 2 newer runs were waiting for the model"}
    engine.gate.set()
    inbox.wait_for(12)
    assert inbox.ids[9:] == ["first", "9", "10"]


def test_a_larger_queue_at_run_time_holds_more(
    start: Callable[[int], Worker], engine: GatedEngine, inbox: Inbox
) -> None:
    worker = start(1)
    busy(worker, engine, inbox)
    worker.queue_size = 3
    for number in range(3):
        worker.submit(episode(number), inbox)
    assert (worker.waiting, worker.dropped) == (3, 0)


def test_a_check_that_fails_in_an_unforeseen_way_is_unknown_and_the_next_one_works(
    start: Callable[[int], Worker], engine: GatedEngine, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe, failures = BackwardInference.observe, iter([ZeroDivisionError("by zero"), KeyError("x"), None])

    def failing(self: BackwardInference, *arguments: object, **options: object) -> object:
        if failure := next(failures):
            raise failure
        return observe(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(BackwardInference, "observe", failing)
    engine.gate.set()
    worker = start(10)
    for number in range(3):
        worker.submit(episode(number), inbox)
    first, second, third = inbox.wait_for(3)
    assert (first.outcome, first.reason) == (Outcome.UNKNOWN, "internal error: ZeroDivisionError: by zero")
    assert (second.outcome, second.reason) == (Outcome.UNKNOWN, "internal error: KeyError: 'x'")
    assert third.outcome is Outcome.MATCH
    assert (first.command_id, first.steps) == ("0", ("went there",))


def test_stop_interrupts_the_check_that_runs_and_answers_for_all_that_wait(
    start: Callable[[int], Worker], engine: GatedEngine, inbox: Inbox
) -> None:
    worker = start(10)
    busy(worker, engine, inbox)
    for number in range(3):
        worker.submit(episode(number), inbox)
    started = time.monotonic()
    worker.stop()
    assert time.monotonic() - started < 5
    assert inbox.ids == ["first", "0", "1", "2"]  # all there when stop returns
    assert {verdict.outcome for verdict in inbox.verdicts} == {Outcome.UNKNOWN}
    assert inbox.verdicts[0].reason == "cancelled: the check was interrupted"
    assert {verdict.reason for verdict in inbox.verdicts[1:]} == {
        "stopped: the monitor stopped before this run was checked"
    }
    assert worker.waiting == 0


def test_after_stop_the_self_check_can_be_used_again(engine: GatedEngine, inbox: Inbox) -> None:
    check = SelfCheck(Config(), engine=engine)
    worker = Worker(check, 3)
    busy(worker, engine, inbox)
    worker.stop()
    assert not engine.interrupted
    engine.gate.set()
    assert check.check(episode("here")).outcome is Outcome.MATCH
    second = Worker(check, 3)
    second.submit(episode("there"), inbox)
    assert inbox.wait_for(2)[1].outcome is Outcome.MATCH
    second.stop()


def test_submit_after_stop_is_unknown_at_once(
    start: Callable[[int], Worker], engine: GatedEngine, inbox: Inbox
) -> None:
    worker = start(3)
    worker.stop()
    worker.submit(episode("late"), inbox)
    (verdict,) = inbox.verdicts
    assert (verdict.outcome, verdict.command_id) == (Outcome.UNKNOWN, "late")
    assert verdict.reason == "stopped: the monitor is not active"


def test_stopping_twice_and_from_two_threads_is_fine(
    start: Callable[[int], Worker], engine: GatedEngine, inbox: Inbox
) -> None:
    worker = start(3)
    busy(worker, engine, inbox)
    threads = [threading.Thread(target=worker.stop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()
    worker.stop()
    assert inbox.ids == ["first"]


def test_an_idle_worker_stops_at_once_and_leaves_no_thread(engine: GatedEngine) -> None:
    before = threading.active_count()
    worker = Worker(SelfCheck(Config(), engine=engine), 3)
    worker.stop()
    assert threading.active_count() == before


@pytest.mark.parametrize("seed", range(12))
def test_every_episode_gets_one_verdict_under_concurrent_submitters_and_a_stop(engine: GatedEngine, seed: int) -> None:
    engine.gate.set()
    check = SelfCheck(Config(), engine=engine)
    worker = Worker(check, queue_size=1 + seed % 4)
    inbox = Inbox()
    submitters, each = 4, 50
    go = threading.Barrier(submitters + 1)

    def submit(name: int) -> None:
        go.wait(LONG)
        for number in range(each):
            worker.submit(episode(f"{name}-{number}"), inbox)
            if number % 7 == seed % 7:
                time.sleep(0.0005)

    threads = [threading.Thread(target=submit, args=(name,)) for name in range(submitters)]
    for thread in threads:
        thread.start()
    go.wait(LONG)
    time.sleep(0.002 * seed)
    worker.stop()
    for thread in threads:
        thread.join(LONG)
    counts = Counter(inbox.ids)
    assert len(counts) == submitters * each
    assert set(counts.values()) == {1}
    assert all(verdict.reason for verdict in inbox.verdicts)
    for name in range(submitters):  # and what was checked was checked in order
        checked = [v.command_id for v in inbox.verdicts if v.outcome is Outcome.MATCH]
        mine = [int(id.partition("-")[2]) for id in checked if id.startswith(f"{name}-")]
        assert mine == sorted(mine)
    overflows = sum(verdict.reason.startswith("queue overflow") for verdict in inbox.verdicts)
    assert overflows == worker.dropped


# --- reading ahead


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.002)


def ahead_of(engine: GatedEngine) -> list[str]:
    """The last line of every log that was read ahead."""
    return [log[-1].text for log in engine.ahead]


def test_steps_are_read_ahead_while_nothing_is_to_be_checked(
    engine: GatedEngine, start: Callable[[int], Worker]
) -> None:
    worker = start(4)
    for count in (1, 2):
        worker.read_ahead(Episode.of("go", [f"step {number}" for number in range(count)]))
        until(lambda count=count: len(engine.ahead) == count)
    assert ["step 0" in line for line in ahead_of(engine)] == [True, False]


def test_checks_come_first_and_only_the_latest_steps_are_read_ahead(
    engine: GatedEngine, inbox: Inbox, start: Callable[[int], Worker]
) -> None:
    worker = start(4)
    worker.submit(Episode.of("go", ["went"], id="a"), inbox)
    assert engine.reading.wait(LONG)
    worker.submit(Episode.of("go", ["went"], id="b"), inbox)
    for count in (1, 2, 3):
        worker.read_ahead(Episode.of("go", [f"step {number}" for number in range(count)]))
    assert not engine.ahead
    engine.gate.set()
    inbox.wait_for(2)
    until(lambda: bool(engine.ahead))
    assert [len(log) for log in engine.ahead] == [1 + 3]  # how a log starts, and its steps


def test_of_a_run_that_is_checked_nothing_is_read_ahead(
    engine: GatedEngine, inbox: Inbox, start: Callable[[int], Worker]
) -> None:
    worker = start(4)
    worker.submit(Episode.of("go", ["went"], id="a"), inbox)
    assert engine.reading.wait(LONG)
    worker.read_ahead(Episode.of("go", ["drove", "went"], id="b"))
    worker.submit(Episode.of("go", ["drove", "went", "stopped"], id="b"), inbox)
    engine.gate.set()
    inbox.wait_for(2)
    worker.read_ahead(Episode.of("go", ["went on"], id="c"))
    until(lambda: bool(engine.ahead))
    assert ["went on" in line for line in ahead_of(engine)] == [True]


def test_what_goes_wrong_ahead_is_left_to_the_check(
    engine: GatedEngine, inbox: Inbox, start: Callable[[int], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def fail(*_: object) -> int:
        failed.set()
        raise RuntimeError("broken")

    monkeypatch.setattr(engine, "read_ahead", fail)
    worker = start(4)
    worker.read_ahead(Episode.of("go", ["went"]))
    assert failed.wait(LONG)
    engine.gate.set()
    worker.submit(Episode.of("go there", ["went there"], id="a"), inbox)
    assert inbox.wait_for(1)[0].outcome is Outcome.MATCH


class ReadingEngine(GatedEngine):
    """Reads ahead until the gate is open or it is interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.reading_ahead = threading.Event()

    def read_ahead(self, log: Sequence[Piece], answer: str = "") -> int:
        super().read_ahead(log, answer)
        self.reading_ahead.set()
        while not self.gate.wait(0.002):
            if self._stopped.is_set():
                raise CancelledError("cancelled: the check was interrupted")
        return 1


@pytest.fixture
def reader() -> ReadingEngine:
    return ReadingEngine()


@pytest.fixture
def ahead(reader: ReadingEngine) -> Iterator[Worker]:
    """A worker that is reading run "a" ahead, with room for two checks."""
    worker = Worker(SelfCheck(Config(), engine=reader), 2)
    worker.read_ahead(Episode.of("go", ["went"], id="a"))
    assert reader.reading_ahead.wait(LONG)
    yield worker
    reader.gate.set()
    worker.stop()


def test_reading_ahead_makes_way_for_the_check_of_another_run(
    reader: ReadingEngine, inbox: Inbox, ahead: Worker
) -> None:
    ahead.submit(Episode.of("go there", ["went there"], id="b"), inbox)
    assert reader.reading.wait(LONG), "the check waits for steps of another run"
    reader.gate.set()
    assert inbox.wait_for(1)[0].outcome is Outcome.MATCH


def test_the_check_of_the_run_that_is_read_ahead_waits_for_its_steps_and_is_as_good_as_begun(
    reader: ReadingEngine, inbox: Inbox, ahead: Worker
) -> None:
    for number, run in enumerate("abcd"):
        assert ahead.waiting == max(0, number - 1)
        ahead.submit(Episode.of("go there", ["went there"], id=run), inbox)
    assert not reader.reading.is_set()
    assert [verdict.command_id for verdict in inbox.wait_for(1)] == ["b"]
    reader.gate.set()
    assert [verdict.command_id for verdict in inbox.wait_for(4)] == ["b", "a", "c", "d"]
    assert [verdict.outcome for verdict in inbox.verdicts[1:]] == [Outcome.MATCH] * 3


def test_a_worker_that_reads_ahead_stops_at_once(reader: ReadingEngine, inbox: Inbox, ahead: Worker) -> None:
    ahead.submit(Episode.of("go there", ["went there"], id="a"), inbox)
    ahead.stop()
    assert [verdict.outcome for verdict in inbox.wait_for(1)] == [Outcome.UNKNOWN]
    assert not reader.interrupted
