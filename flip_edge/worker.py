"""One thread that owns the model, so that whoever feeds it never waits."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from flip_edge.episode import Episode
from flip_edge.errors import ConfigError
from flip_edge.neighbours import stand_back
from flip_edge.planner import RankAnswer, RankState
from flip_edge.rank import Ranking
from flip_edge.selfcheck import SelfCheck
from flip_edge.verdict import Verdict

_log = logging.getLogger(__name__)

Done = Callable[[Verdict], None]
Answered = Callable[[RankAnswer], None]


@dataclass(frozen=True)
class _Job:
    episode: Episode
    done: Done
    queued: float


@dataclass(eq=False)
class _Ask:
    ranking: Ranking
    answered: Answered
    deadline_s: float
    at_model: bool = False
    late: bool = False
    timer: threading.Timer | None = None


class Worker:
    """Checks episodes in a thread of its own, in order, from a bounded queue that drops its oldest.

    Every submitted episode gets exactly one verdict: the check's, or UNKNOWN with the reason when it was dropped, when
    the worker stopped, or when the check failed in an unforeseen way. Rankings wait beside them and make way for every
    check, and each gets exactly one answer, by its deadline.

    Args:
        check: what checks; used by the worker's thread alone until :meth:`stop` returns.
        queue_size: episodes that may wait, and as many rankings.
    """

    def __init__(self, check: SelfCheck, queue_size: int) -> None:
        self.queue_size = queue_size
        self.dropped = 0
        self._check = check
        self._jobs: deque[_Job] = deque()
        self._ahead: Episode | None = None
        self._reading: Episode | None = None
        self._read: Episode | None = None  # what was read ahead last, until a check
        self._asks: deque[_Ask] = deque()
        self._asking: _Ask | None = None  # the first of them, while it is at the model
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="flip_edge", daemon=True)
        self._thread.start()

    def submit(self, episode: Episode, done: Done) -> None:
        """Queue an episode. Returns at once.

        ``done`` gets the verdict, from the worker's thread; or from this one, at once, for an episode that this
        one displaces. It must not raise.
        """
        displaced: list[_Job] = []
        with self._wake:
            stopped = self._stopping
            if not stopped:
                self._jobs.append(_Job(episode, done, time.monotonic()))
                if self._asking or (self._reading and self._reading.id != self._jobs[0].episode.id):
                    self._check.interrupt()  # another run's steps; its own are read for the check as well
                while self.waiting > self.queue_size:
                    oldest = 1 if self._makes_way else 0
                    displaced.append(self._jobs[oldest])
                    del self._jobs[oldest]
                self.dropped += len(displaced)
                self._wake.notify()
        if stopped:
            done(self._check.unknown(episode, "stopped: the monitor is not active"))
        for job in displaced:
            reason = f"queue overflow: {self.queue_size} newer runs were waiting for the model"
            job.done(self._check.unknown(job.episode, reason, waited_s=time.monotonic() - job.queued))

    def read_ahead(self, episode: Episode) -> None:
        """Have the steps of a run that goes on read when nothing is to be checked; the latest wins. Returns at once."""
        with self._wake:
            self._ahead = episode
            self._wake.notify()

    def rank(self, ranking: Ranking, answered: Answered, deadline_s: float) -> None:
        """Queue a ranking. Returns at once.

        ``answered`` gets the answer by the deadline: from the worker's thread, from a timer's, or from this one, at
        once, where the ranking is not taken on. It must not raise.
        """
        ask = _Ask(ranking, answered, deadline_s)
        ask.timer = threading.Timer(deadline_s, self._expire, [ask])
        ask.timer.daemon = True
        refusal = None
        with self._wake:
            waiting = len(self._asks) - (self._asking is not None)
            if self._stopping:
                refusal = RankAnswer(RankState.INACTIVE, "stopped: the monitor is not active")
            elif waiting >= self.queue_size:
                refusal = RankAnswer(RankState.BUSY, f"busy: {waiting} rankings wait for the model; ask again later")
            else:
                self._asks.append(ask)
                ask.timer.start()
                self._wake.notify()
        if refusal:
            answered(refusal)

    @property
    def waiting(self) -> int:
        """Episodes in the queue, without the one that is being checked or that something else makes way for."""
        jobs = len(self._jobs)
        return jobs - 1 if jobs and self._makes_way else jobs

    @property
    def rankings(self) -> int:
        """Rankings that have no answer yet."""
        return len(self._asks)

    @property
    def _makes_way(self) -> bool:
        """Whether what is at the model is interrupted by a check."""
        return bool(self._reading or self._asking)

    def stop(self) -> None:
        """Interrupt what runs, give what waits its UNKNOWN or its answer, and join the thread."""
        with self._wake:
            self._stopping = True
            left, self._jobs = self._jobs, deque()
            self._wake.notify()
        self._check.interrupt()
        self._thread.join()
        self._check.resume()
        for job in left:
            reason = "stopped: the monitor stopped before this run was checked"
            job.done(self._check.unknown(job.episode, reason, waited_s=time.monotonic() - job.queued))
        with self._wake:
            asks, self._asks = self._asks, deque()
        for ask in asks:
            answer = RankAnswer(RankState.INACTIVE, "stopped: the monitor stopped before the ranking was done")
            self._answer(ask, answer)

    def _work(self) -> None:
        try:
            stand_back(self._check.config.nice, self._check.config.cpus)
        except (ConfigError, OSError) as error:
            _log.error("the model computes at the process's own priority, on any processor: %s", error)
        while True:
            with self._wake:
                if self._makes_way and not self._stopping:
                    self._check.resume()  # a check that came, or a deadline, may have interrupted it
                self._reading = self._asking = None
                while not (self._jobs or self._asks or self._ahead or self._stopping):
                    self._wake.wait()
                if self._stopping:
                    return
                ahead = self._ahead
                job = self._jobs.popleft() if self._jobs else None
                ask = self._asking = self._asks[0] if self._asks and not job else None
                if job:
                    self._read = None
                # Taken up, or of a run that is checked, and so has ended.
                if not (job or ask) or (job and ahead and ahead.id == job.episode.id):
                    self._ahead = None
                self._reading = None if job or ask else ahead
                if ask:
                    ask.at_model = True
            if ask:
                self._go_on(ask)
                continue
            if job is None:
                assert ahead
                self._read_ahead(ahead)
                continue
            waited = time.monotonic() - job.queued
            try:
                verdict = self._check.check(job.episode, waited_s=waited)
            except Exception as error:  # whatever it was, the run must not end without a verdict
                reason = f"internal error: {type(error).__name__}: {error}"
                verdict = self._check.unknown(job.episode, reason, waited_s=waited)
            try:
                job.done(verdict)
            except Exception:  # the thread must live for the runs to come
                _log.exception("the verdict of run %r could not be handed over", job.episode.id)

    def _go_on(self, ask: _Ask) -> None:
        """Rank until it is done, or until something more urgent interrupts it: then it stays in the queue."""
        answer = None
        try:
            if ask.ranking.go_on(self._check):
                answer = RankAnswer.of(ask.ranking)
        except Exception as error:  # whatever it was, who asked must be answered
            _log.exception("a ranking failed")
            answer = RankAnswer(RankState.FAILED, f"internal error: {type(error).__name__}: {error}")
        with self._wake:
            ask.at_model = False
            self._ahead = self._ahead or self._read  # the ranking stood where it was read
            if answer is None and ask.late:
                answer = RankAnswer.late(ask.ranking, ask.deadline_s)
            if answer:
                self._asks.popleft()
        if answer:
            self._answer(ask, answer)

    def _expire(self, ask: _Ask) -> None:
        with self._wake:
            waits = ask in self._asks and not ask.at_model
            if waits:
                self._asks.remove(ask)
            elif ask.at_model:
                ask.late = True  # the worker's thread answers, as soon as it is interrupted
                self._check.interrupt()
        if waits:
            self._answer(ask, RankAnswer.late(ask.ranking, ask.deadline_s))

    def _answer(self, ask: _Ask, answer: RankAnswer) -> None:
        assert ask.timer
        ask.timer.cancel()
        try:
            ask.answered(answer)
        except Exception:  # the thread must live for what is still to come
            _log.exception("the answer of a ranking could not be handed over")

    def _read_ahead(self, episode: Episode) -> None:
        self._read = episode
        try:
            self._check.read_ahead(episode)
        except Exception:  # the check of the run will meet it again, and say so in its verdict
            _log.exception("run %r could not be read ahead", episode.id)
