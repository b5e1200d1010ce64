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
from flip_edge.selfcheck import SelfCheck
from flip_edge.verdict import Verdict

_log = logging.getLogger(__name__)

Done = Callable[[Verdict], None]


@dataclass(frozen=True)
class _Job:
    episode: Episode
    done: Done
    queued: float


class Worker:
    """Checks episodes in a thread of its own, in order, from a bounded queue that drops its oldest.

    Every submitted episode gets exactly one verdict: the check's, or UNKNOWN with the reason when it was dropped, when
    the worker stopped, or when the check failed in an unforeseen way.

    Args:
        check: what checks; used by the worker's thread alone until :meth:`stop` returns.
        queue_size: episodes that may wait.
    """

    def __init__(self, check: SelfCheck, queue_size: int) -> None:
        self.queue_size = queue_size
        self.dropped = 0
        self._check = check
        self._jobs: deque[_Job] = deque()
        self._ahead: Episode | None = None
        self._reading: Episode | None = None
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
                if self._reading and self._reading.id != self._jobs[0].episode.id:
                    self._check.interrupt()  # another run's steps; its own are read for the check as well
                while self.waiting > self.queue_size:
                    oldest = 1 if self._reading else 0
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

    @property
    def waiting(self) -> int:
        """Episodes in the queue, without the one that is being checked or that reading ahead makes way for."""
        jobs, reading = len(self._jobs), self._reading
        return jobs - 1 if jobs and reading else jobs

    def stop(self) -> None:
        """Interrupt the check that runs, give what waits its UNKNOWN, and join the thread."""
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

    def _work(self) -> None:
        try:
            stand_back(self._check.config.nice, self._check.config.cpus)
        except (ConfigError, OSError) as error:
            _log.error("the model computes at the process's own priority, on any processor: %s", error)
        while True:
            with self._wake:
                if self._reading and not self._stopping:
                    self._check.resume()  # a check that came may have interrupted the reading
                self._reading = None
                while not (self._jobs or self._ahead or self._stopping):
                    self._wake.wait()
                if self._stopping:
                    return
                ahead = self._ahead
                job = self._jobs.popleft() if self._jobs else None
                if job is None or (ahead and ahead.id == job.episode.id):  # a run that is checked has ended
                    self._ahead = None
                self._reading = None if job else ahead
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

    def _read_ahead(self, episode: Episode) -> None:
        try:
            self._check.read_ahead(episode)
        except Exception:  # the check of the run will meet it again, and say so in its verdict
            _log.exception("run %r could not be read ahead", episode.id)
