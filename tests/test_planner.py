"""Rankings beside checks: one answer for every request, checks first, and nothing that a stranger asks takes long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from test_reward import MUG, Guesser
from test_worker import LONG, GatedEngine, Inbox, busy, episode, until

from flip_edge import Config, Episode, Outcome, SelfCheck
from flip_edge.errors import CancelledError, ContextOverflowError, InputError
from flip_edge.planner import (
    DEFAULT_DEADLINE_S,
    MAX_CANDIDATES,
    MAX_CHARACTERS,
    RankAnswer,
    RankState,
    deadline_of,
    ranking_of,
)
from flip_edge.rank import Ranking
from flip_edge.worker import Worker

PLANS = [{"id": "sink", "text": "put it in the sink"}, {"id": "dock", "text": "drive to the dock"}]
GO = [{"text": "went there"}]


@pytest.fixture
def engine() -> GatedEngine:
    return GatedEngine()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def worker(engine: GatedEngine) -> Iterator[Worker]:
    worker = Worker(SelfCheck(Config(), engine=engine), 2)
    yield worker
    worker.stop()


class Slow(Ranking):
    """Goes on until it is let go, or interrupted."""

    def __init__(self, engine: GatedEngine, error: Exception | None = None) -> None:
        super().__init__("go there", GO)
        self.begun, self.rounds, self.go = threading.Event(), 0, threading.Event()
        self._engine, self._error = engine, error

    def go_on(self, check: SelfCheck) -> bool:
        self.rounds += 1
        self.begun.set()
        while not self.go.wait(0.002):
            if self._engine.interrupted:
                return False
        if self._error:
            raise self._error
        self._found = [one.__class__(0, one.id, one.steps, 0.5) for one in self._found]
        return True


class Answers:
    """Collects answers."""

    def __init__(self) -> None:
        self.got: list[RankAnswer] = []

    def __call__(self, answer: RankAnswer) -> None:
        self.got.append(answer)

    def wait_for(self, count: int) -> list[RankAnswer]:
        until(lambda: len(self.got) >= count)
        return self.got

    @property
    def states(self) -> list[RankState]:
        return [answer.state for answer in self.got]


@pytest.fixture
def answers() -> Answers:
    return Answers()


def begun(worker: Worker, engine: GatedEngine, answers: Answers, deadline_s: float = LONG) -> Slow:
    """A ranking that is at the model."""
    slow = Slow(engine)
    worker.rank(slow, answers, deadline_s)
    assert slow.begun.wait(LONG)
    return slow


# --- in the worker


def test_a_check_interrupts_a_ranking_which_goes_on_afterwards(
    worker: Worker, engine: GatedEngine, inbox: Inbox, answers: Answers
) -> None:
    engine.gate.set()
    slow = begun(worker, engine, answers)
    worker.submit(episode("urgent"), inbox)
    (verdict,) = inbox.wait_for(1)
    assert verdict.outcome is Outcome.MATCH
    until(lambda: slow.rounds == 2)
    assert answers.got == []
    assert not engine.interrupted
    slow.go.set()
    (answer,) = answers.wait_for(1)
    assert (answer.state, answer.ranking[0].reward) == (RankState.RANKED, 0.5)
    assert answer.why == "the only candidate (reward 0.50)"
    assert worker.rankings == 0


def test_checks_that_wait_go_first(worker: Worker, engine: GatedEngine, inbox: Inbox, answers: Answers) -> None:
    busy(worker, engine, inbox)
    slow = Slow(engine)
    worker.rank(slow, answers, LONG)
    worker.submit(episode("second"), inbox)
    assert worker.waiting == 1
    engine.gate.set()
    inbox.wait_for(2)
    assert slow.begun.wait(LONG)
    assert inbox.ids == ["first", "second"]
    slow.go.set()
    assert answers.wait_for(1)[0].state is RankState.RANKED


def test_no_check_is_dropped_for_a_ranking(worker: Worker, engine: GatedEngine, inbox: Inbox, answers: Answers) -> None:
    slow = begun(worker, engine, answers)
    for number in range(2):
        worker.submit(episode(number), inbox)
    assert worker.dropped == 0
    engine.gate.set()
    inbox.wait_for(2)
    slow.go.set()
    answers.wait_for(1)


def test_beyond_the_queue_it_is_busy_at_once(worker: Worker, engine: GatedEngine, answers: Answers) -> None:
    first = begun(worker, engine, answers)
    others = [Slow(engine) for _ in range(3)]
    for slow in others:
        worker.rank(slow, answers, LONG)
    assert answers.states == [RankState.BUSY]
    assert answers.got[0].reason == "busy: 2 rankings wait for the model; ask again later"
    assert worker.rankings == 3
    for slow in (first, *others):
        slow.go.set()
    answers.wait_for(4)
    assert answers.states[1:] == [RankState.RANKED] * 3


def test_the_deadline_of_one_that_runs_and_of_one_that_waits(
    worker: Worker, engine: GatedEngine, inbox: Inbox, answers: Answers
) -> None:
    begun(worker, engine, answers, deadline_s=0.2)
    worker.rank(Slow(engine), answers, 0.1)
    answers.wait_for(2)
    assert [answer.reason for answer in answers.got] == [
        "deadline passed: after 0.1 s 0 of 1 candidates were scored",
        "deadline passed: after 0.2 s 0 of 1 candidates were scored",
    ]
    assert set(answers.states) == {RankState.TIMED_OUT}
    assert worker.rankings == 0
    until(lambda: not engine.interrupted)
    engine.gate.set()
    worker.submit(episode("after"), inbox)
    assert inbox.wait_for(1)[0].outcome is Outcome.MATCH


def test_a_deadline_interrupts_no_check(worker: Worker, engine: GatedEngine, inbox: Inbox, answers: Answers) -> None:
    busy(worker, engine, inbox)
    worker.rank(Slow(engine), answers, 0.05)
    assert answers.wait_for(1)[0].state is RankState.TIMED_OUT
    assert not engine.interrupted
    engine.gate.set()
    assert inbox.wait_for(1)[0].outcome is Outcome.MATCH


def test_one_that_made_way_for_a_check_keeps_its_deadline(
    worker: Worker, engine: GatedEngine, inbox: Inbox, answers: Answers
) -> None:
    slow = begun(worker, engine, answers, deadline_s=0.3)
    busy(worker, engine, inbox)
    assert answers.wait_for(1)[0].state is RankState.TIMED_OUT  # while the check is at the model
    assert inbox.verdicts == []
    engine.gate.set()
    assert inbox.wait_for(1)[0].outcome is Outcome.MATCH
    assert slow.rounds == 1


def test_stop_answers_all(worker: Worker, engine: GatedEngine, answers: Answers) -> None:
    begun(worker, engine, answers)
    worker.rank(Slow(engine), answers, LONG)
    before = threading.active_count()
    worker.stop()
    worker.rank(Slow(engine), answers, LONG)
    assert answers.states == [RankState.INACTIVE] * 3
    assert answers.got[0].reason == "stopped: the monitor stopped before the ranking was done"
    assert answers.got[2].reason == "stopped: the monitor is not active"
    until(lambda: threading.active_count() <= before - 3)  # the worker's, and two timers'


def test_one_that_fails_is_told_and_the_worker_lives(
    worker: Worker, engine: GatedEngine, inbox: Inbox, answers: Answers
) -> None:
    slow = Slow(engine, ZeroDivisionError("by zero"))
    slow.go.set()
    worker.rank(slow, answers, LONG)
    (answer,) = answers.wait_for(1)
    assert (answer.state, answer.reason) == (RankState.FAILED, "internal error: ZeroDivisionError: by zero")
    engine.gate.set()
    worker.submit(episode("after"), inbox)
    assert inbox.wait_for(1)[0].outcome is Outcome.MATCH


def test_what_was_read_ahead_is_read_again_after_a_ranking(
    worker: Worker, engine: GatedEngine, answers: Answers
) -> None:
    worker.read_ahead(Episode.of("go", ["went on"], id="live"))
    until(lambda: len(engine.ahead) == 1)
    begun(worker, engine, answers).go.set()
    until(lambda: len(engine.ahead) == 2)
    assert engine.ahead[0] == engine.ahead[1]


@pytest.mark.parametrize("seed", range(6))
def test_every_request_gets_one_answer_whatever_comes_between(engine: GatedEngine, inbox: Inbox, seed: int) -> None:
    engine.gate.set()
    worker = Worker(SelfCheck(Config(), engine=engine), 1 + seed % 3)
    answers = [Answers() for _ in range(40)]
    for number, answered in enumerate(answers):
        slow = Slow(engine)
        if number % 3:
            slow.go.set()
        worker.rank(slow, answered, 0.001 + 0.002 * (number % 5))
        if number % 4 == seed % 4:
            worker.submit(episode(number), inbox)
        time.sleep(0.001 * (number % 3))
    worker.stop()
    time.sleep(0.05)
    assert [len(answered.got) for answered in answers] == [1] * 40
    assert len(inbox.verdicts) == 10


# --- a ranking that is interrupted


@pytest.fixture
def guesser() -> Guesser:
    return Guesser({"sink": [MUG], "dock": ["go to the dock"]}, {"sink": -1.0, "dock": -4.0})


def test_what_was_scored_is_kept_and_the_rest_goes_on(guesser: Guesser) -> None:
    check = SelfCheck(Config(rule="f1"), engine=guesser)  # type: ignore[arg-type]
    ranking = ranking_of(MUG, PLANS)
    guesser.errors = {"sink": CancelledError("cancelled: the check was interrupted")}
    assert not ranking.go_on(check)
    assert (ranking.scored, ranking.ids) == (1, ["sink", "dock"])
    guesser.errors = {}
    guesser.logs.clear()
    assert ranking.go_on(check)
    assert len(guesser.logs) == 1  # the dock was not read again
    assert RankAnswer.of(ranking).state is RankState.RANKED
    assert ranking.places() == Ranking.places(finished(check))


def finished(check: SelfCheck) -> Ranking:
    ranking = Ranking(MUG, PLANS)
    assert ranking.go_on(check)
    return ranking


@pytest.mark.parametrize("method", ["likelihood", "flip"])
def test_the_check_is_as_it_was_afterwards(guesser: Guesser, method: str) -> None:
    check = SelfCheck(Config(rule="f1"), engine=guesser)  # type: ignore[arg-type]
    prefix, no_log = guesser.prefixes[0], guesser.no_logs[0]
    assert no_log
    assert ranking_of(MUG, PLANS, method=method).go_on(check)
    assert (guesser.prefixes[-1], guesser.no_logs[-1]) == (prefix, no_log)


def test_where_nothing_can_be_scored_there_is_no_ranking(guesser: Guesser) -> None:
    check = SelfCheck(Config(rule="f1"), engine=guesser)  # type: ignore[arg-type]
    guesser.errors = {"": ContextOverflowError("context overflow")}
    ranking = ranking_of(MUG, PLANS)
    assert ranking.go_on(check)
    answer = RankAnswer.of(ranking)
    assert (answer.state, answer.why) == (RankState.FAILED, "")
    assert answer.reason == "no candidate could be scored: context overflow"
    assert [one.failure for one in answer.ranking] == ["context overflow"] * 2


def test_what_need_not_be_read_is_ranked_too(guesser: Guesser) -> None:
    check = SelfCheck(Config(rule="f1"), engine=guesser)  # type: ignore[arg-type]
    for command, plans in ((MUG, [{"text": ""}]), ("把杯子拿到水槽", PLANS)):
        ranking = ranking_of(command, plans)
        assert ranking.go_on(check)
        assert all(one.failure for one in ranking.places())


# --- what may be asked


@pytest.mark.parametrize(
    ("command", "plans", "method", "says"),
    [
        (MUG, [], "", "no candidate"),
        ("\x01\x7f", GO, "", "no words"),
        (MUG, GO * (MAX_CANDIDATES + 1), "", "too many candidates: 65, at most 64"),
        (MUG, [{"text": "x" * MAX_CHARACTERS}], "", "too long"),
        (MUG, [{"id": "x" * MAX_CHARACTERS, "text": "x"}], "", "too long"),
        (MUG, [{"steps": [""] * MAX_CHARACTERS}], "", "too long"),
        ("x" * MAX_CHARACTERS, GO, "", "too long"),
        (MUG, GO, "listwise", "likelihood, flip"),
    ],
)
def test_what_may_not_be_asked(command: str, plans: list[dict[str, Any]], method: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        ranking_of(command, plans, method=method)


def test_as_much_as_may_be_asked() -> None:
    assert len(ranking_of(MUG, GO * MAX_CANDIDATES).ids) == MAX_CANDIDATES
    ranking_of(MUG, [{"text": "x" * (MAX_CHARACTERS - len(MUG))}])


@pytest.mark.parametrize("seconds", [-1, 3601, float("nan"), float("inf")])
def test_deadlines_that_are_none(seconds: float) -> None:
    with pytest.raises(InputError, match="deadline_s"):
        deadline_of(seconds)


def test_deadlines() -> None:
    assert deadline_of(0) == DEFAULT_DEADLINE_S
    assert deadline_of(0.5) == 0.5


FLOODS: dict[str, Callable[[int], str]] = {
    "blanks": lambda size: "1. a" + " " * size + "b",
    "numbers": lambda size: " ".join(f"{number}. a" for number in range(1, size // 9)),
    "ones": lambda size: "1. " * (size // 3),
    "semicolons": lambda size: "; " * (size // 2),
    "lines": lambda size: "\n" * size,
    "one word": lambda size: "x " * (size // 2),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_is_taken_in_at_once(guesser: Guesser, flood: str) -> None:
    check = SelfCheck(Config(rule="f1"), engine=guesser)  # type: ignore[arg-type]
    started = time.monotonic()
    ranking = ranking_of("x " * 10_000 + "y", [{"text": FLOODS[flood](MAX_CHARACTERS - 25_000)}])
    assert time.monotonic() - started < 0.5  # by the executor's thread
    ranking.go_on(check)
    assert time.monotonic() - started < 5
