"""The black box: the last runs with their verdicts on disk, so that what a robot did outlives the process that saw it.

One SQLite file, ``blackbox.sqlite3``, in a folder that one process owns at a time. Callers only put an event on a
bounded queue; a thread of its own writes all that waits in one transaction: at once when it is calm, every 20 ms in a
flood.

**What survives.** A ``kill -9`` or a crash of the process: every event that the thread has written, typically a few
milliseconds after it was handed in; the file stays whole. A power loss: the file stays whole as well, but what was
written since the last checkpoint (about 4 MiB) may be missing, as not every transaction is waited for until it is on
the disk (``synchronous = NORMAL``); that would wear a robot's flash.

**What is bounded.** The runs, by number and by :data:`MAX_BYTES`; the oldest with a verdict go first. The write-ahead
log beside the file is emptied every 4 MiB. A reader that does not end its transaction keeps it from that; beyond
:data:`MAX_LOG_BYTES` nothing is written until the reader ends.

**A run** begins with its command, or with a step that belongs to no run that is known. It is pending, and after a
restart *interrupted*, while something of it was heard that no verdict has judged. Ids are the caller's and come again,
so a run has a key of its own. A verdict belongs to the run of its id and command that waits for one; where several do,
to the one with its steps. Without such a run it is a row of its own.

A step may be moved to a run that begins later. A run without a command that this leaves with nothing never was one: it
goes, unless it has a verdict already.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time as clock
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from flip_edge.blackbox_file import FILE, LOCK, MAX_BYTES, MAX_LOG_BYTES, File, Interrupted
from flip_edge.blackbox_reading import DamagedError, read_runs
from flip_edge.blackbox_transaction import (
    MAX_RUN_CHARACTERS,
    Alerted,
    Command,
    Event,
    Moved,
    Step,
    Told,
    Transaction,
)
from flip_edge.errors import ConfigError
from flip_edge.monitor import Alert
from flip_edge.verdict import Verdict

__all__ = [
    "FILE",
    "LOCK",
    "MAX_BYTES",
    "MAX_LOG_BYTES",
    "MAX_RUN_CHARACTERS",
    "BlackBox",
    "DamagedError",
    "Interrupted",
    "read_runs",
]

_QUEUED_EVENTS = 50_000  # five seconds of a flood of 10,000 a second
_QUEUED_CHARACTERS = 8_000_000
_RESERVED = 0.1  # of the queue, for commands and verdicts: what they say is worth more than one more step
_MISSED_RUNS = 256
_PACE_S = 0.02
_RETRY_S = 1.0
_CLOSE_S = 5.0


@dataclass
class _Batch:
    """Events that wait, and how many of each run found no room behind them."""

    events: list[Event] = field(default_factory=list)
    missed: Counter[str] = field(default_factory=Counter)
    characters: int = 0


class BlackBox:
    """Keeps what is handed in. Its methods may be called from any thread and, but for the last two, return at once.

    What cannot be written stays in the queue and is tried again every second, and by each :meth:`flush`.

    Args:
        folder: where it is; made when it is not there. A file there that is damaged is kept under another name.
        runs: how many runs are kept at most.

    Attributes:
        error: why nothing can be written at present; empty when all is well.
        lost: events that are not in the file: the queue was full, the run beyond all bounds, or the black box closed.

    Raises:
        ConfigError: the folder cannot be made, or another process has this black box.
    """

    def __init__(self, folder: Path, *, runs: int = 1000) -> None:
        if runs < 1:
            raise ConfigError(f"a black box keeps at least one run, not {runs}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make the black box's folder {folder}: {error.strerror}") from error
        self.error = ""
        self.lost = 0
        self._file = File(folder, runs)
        self._waiting = _Batch()
        self._accepted = self._written = self._failures = 0
        self._hurried = self._closing = self._ended = False
        lock = threading.Lock()
        self._wake, self._done = threading.Condition(lock), threading.Condition(lock)
        try:
            self._file.open()
        except (OSError, sqlite3.Error) as error:
            self.error = self._explained(error)
        self._thread = threading.Thread(target=self._work, name="flip_edge black box", daemon=True)
        self._thread.start()

    @property
    def interrupted(self) -> tuple[Interrupted, ...]:
        """Runs that earlier owners left without a verdict, oldest first; each again until a verdict of it is stored."""
        return self._file.interrupted

    @property
    def alert(self) -> Alert | None:
        """The alert as an earlier owner left it; None where there was none, or none that this version understands."""
        try:
            return msgspec.convert(json.loads(self._file.alert), Alert) if self._file.alert else None
        except (ValueError, msgspec.ValidationError):
            return None

    @property
    def set_aside(self) -> Path | None:
        """Where the damaged file is that was found, if one was."""
        return self._file.set_aside

    def command(self, run: str, text: str, time: float) -> None:
        """A run began: ``run`` is its id."""
        self._put(Command(run, text, time), len(text), run)

    def step(self, run: str, text: str, time: float) -> None:
        """Something was done in a run."""
        self._put(Step(run, text, time), len(text), run, reserved=_RESERVED)

    def moved(self, source: str, target: str, text: str, time: float) -> None:
        """A step that was handed in belongs to another run than was thought: it becomes the last of ``target``.

        A run without a command that has nothing left then is forgotten.
        """
        self._put(Moved(source, target, text, time), len(text), target, reserved=_RESERVED)

    def verdict(self, verdict: Verdict, time: float, alert: str = "") -> None:
        """A run was judged. Of several verdicts the latest stays, and the latest change of the alert.

        An interim verdict leaves its run open.
        """
        self._put(Told(verdict, time, alert), len(verdict.command) + sum(map(len, verdict.steps)))

    def alerted(self, alert: Alert) -> None:
        """The alert was raised or cleared."""
        self._put(Alerted(alert), len(alert.verdict.command) + sum(map(len, alert.verdict.steps)))

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was handed in, and not lost, is in the file. False when it cannot be, or not in time."""
        with self._done:
            due, failures = self._accepted, self._failures
            self._hurry()
            self._done.wait_for(
                lambda: self._written >= due or self._failures > failures or self._ended, max(0.0, timeout)
            )
            return self._written >= due

    def close(self) -> None:
        """Write what waits and let go of the file. What comes later is lost. Safe to call twice."""
        with self._wake:
            self._closing = True
            self._hurry()
        self._thread.join(_CLOSE_S)  # a disk that hangs must not keep the process from ending

    # --- the caller's side

    def _put(self, event: Event, characters: int, run: str | None = None, *, reserved: float = 0.0) -> None:
        with self._wake:
            waiting, room = self._waiting, 1 - reserved
            full = len(waiting.events) >= _QUEUED_EVENTS * room
            if full or self._closing or waiting.characters + characters > _QUEUED_CHARACTERS * room:
                self.lost += 1
                if run is not None and (run in waiting.missed or len(waiting.missed) < _MISSED_RUNS):
                    waiting.missed[run] += 1
                return
            waiting.events.append(event)
            waiting.characters += characters
            self._accepted += 1
            if len(waiting.events) == 1:  # otherwise the writer knows
                self._wake.notify()

    def _hurry(self) -> None:
        self._hurried = True
        self._wake.notify()

    # --- the writer's side

    def _work(self) -> None:
        try:
            while batch := self._next():
                while not self._stored(batch):
                    if not self._waits_to_retry():
                        self._give_up(batch)
                        return
        finally:
            self._file.close()
            with self._done:
                self._ended = True
                self._done.notify_all()

    def _next(self) -> _Batch | None:
        """Wait for events. None at the end."""
        with self._wake:
            self._wake.wait_for(lambda: self._waiting.events or self._closing)
            calm = max(0.0, self._file.written + _PACE_S - clock.monotonic())
            self._wake.wait_for(lambda: self._hurried, timeout=calm)
            self._hurried = False
            batch, self._waiting = self._waiting, _Batch()
            return batch if batch.events or batch.missed else None

    def _stored(self, batch: _Batch) -> bool:
        try:
            refused = self._file.write(lambda at: Transaction(self._file, at).write(batch.events, batch.missed))
        except Exception as error:  # whatever it was, the thread must live for what comes later
            with self._done:
                self.error = self._explained(error)
                self._failures += 1
                self._done.notify_all()
            return False
        with self._done:
            self.error = ""
            self.lost += refused
            self._written += len(batch.events)
            self._done.notify_all()
        return True

    def _waits_to_retry(self) -> bool:
        with self._wake:
            if self._closing and not self._hurried:
                return False
            self._wake.wait_for(lambda: self._hurried, timeout=_RETRY_S)
            self._hurried = False
            return True

    def _give_up(self, batch: _Batch) -> None:
        with self._done:
            self.lost += len(batch.events) + len(self._waiting.events)

    def _explained(self, error: Exception) -> str:
        said = str(error) if isinstance(error, ConfigError | OSError | sqlite3.Error) else repr(error)
        return f"the black box in {self._file.folder} cannot be written: {said}"
