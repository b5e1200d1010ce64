"""What the events of a black box come to: which run each is of, and what it changes there."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from flip_edge.blackbox_file import File, is_damage, steps_of, stored, text_of
from flip_edge.monitor import Alert
from flip_edge.verdict import Verdict

MAX_RUN_CHARACTERS = 4_000_000  # a backstop: a monitor's runs are far shorter

_STEP_CHARACTERS = 32  # what a step takes beside its text


@dataclass(frozen=True)
class Command:
    """A run began."""

    run: str
    text: str
    time: float


@dataclass(frozen=True)
class Step:
    """Something was done in a run."""

    run: str
    text: str
    time: float


@dataclass(frozen=True)
class Moved:
    """A step belongs to another run than was thought."""

    source: str
    target: str
    text: str
    time: float


@dataclass(frozen=True)
class Told:
    """A run was judged."""

    verdict: Verdict
    time: float
    alert: str


@dataclass(frozen=True)
class Alerted:
    """The alert changed."""

    alert: Alert


Event = Command | Step | Moved | Told | Alerted


@dataclass
class _Row:
    """A run as far as this transaction has come; put into its row at the end."""

    key: int
    heard: float
    size: int
    lost: int


class Transaction:
    """What the events of one batch come to."""

    def __init__(self, file: File, connection: sqlite3.Connection) -> None:
        self._file = file
        self._connection = connection
        self._rows: dict[str, _Row] = {}
        self._refused = 0

    def write(self, events: Iterable[Event], missed: Mapping[str, int]) -> int:
        """Store them, and how many of each run were missed. Returns how many were refused for what they are."""
        for event in events:
            try:
                self._take(event)
            except Exception as error:  # one that cannot be stored must not keep all others out
                if _is_trouble(error):
                    raise
                self._refused += 1
        for run, count in missed.items():
            self._row(run, 0.0).lost += count
        self._put_back()
        return self._refused

    def _take(self, event: Event) -> None:
        if isinstance(event, Step):
            self._step(event)
        elif isinstance(event, Command):
            self._put_back()
            self._command(event)
        elif isinstance(event, Moved):
            self._moved(event)
        elif isinstance(event, Alerted):
            told = stored(json.dumps(msgspec.to_builtins(event.alert), ensure_ascii=False))
            self._connection.execute("INSERT OR REPLACE INTO alert (key, alert) VALUES (1, ?)", (told,))
        else:
            self._put_back()
            self._told(event)

    def _command(self, event: Command) -> None:
        """Begin a run, or give the command to the steps of its id that were earlier."""
        found = self._latest(event.run) if event.run else None
        time = _finite(event.time)
        if found and found[1] and not found[2]:
            self._connection.execute(
                "UPDATE runs SET command = ?, began = ? WHERE key = ?", (stored(event.text), time, found[0])
            )
        else:
            self._begin(event.run, event.text, time)
        self._file.last_command = _last_step(self._connection)

    def _step(self, event: Step) -> None:
        row = self._row(event.run, _finite(event.time))
        size = len(event.text) + _STEP_CHARACTERS
        if row.size + size > MAX_RUN_CHARACTERS:
            row.lost += 1
            self._refused += 1
            return
        self._connection.execute("INSERT INTO steps (run, text) VALUES (?, ?)", (row.key, stored(event.text)))
        row.size += size
        row.heard = _finite(event.time)

    def _moved(self, event: Moved) -> None:
        """Put a step at the end of another run. It goes there also where the run that it was thought of lacks it."""
        step = Step(event.target, event.text, _finite(event.time))
        found = self._connection.execute(
            "SELECT steps.key, runs.key FROM runs JOIN steps ON steps.run = runs.key"
            " WHERE runs.run = ? AND owner = ? AND heard_of AND text = ? ORDER BY steps.key DESC LIMIT 1",
            (stored(event.source), self._file.owner, stored(event.text)),
        ).fetchone()
        self._step(step)
        if not found:
            return
        self._put_back()
        key, source = found
        self._connection.execute("DELETE FROM steps WHERE key = ?", (key,))
        self._connection.execute(
            "UPDATE runs SET size = size - ? WHERE key = ?", (len(event.text) + _STEP_CHARACTERS, source)
        )
        empty = "key = ? AND command = '' AND lost = 0 AND NOT EXISTS (SELECT 1 FROM steps WHERE steps.run = runs.key)"
        self._connection.execute(f"DELETE FROM runs WHERE {empty} AND verdict IS NULL", (source,))
        self._connection.execute(f"UPDATE runs SET pending = 0 WHERE {empty}", (source,))  # nobody will judge it again

    def _told(self, event: Told) -> None:
        verdict, time = event.verdict, _finite(event.time)
        told = stored(json.dumps(verdict.to_dict(), ensure_ascii=False))
        key, owner = self._judged(verdict) or (
            self._begin(verdict.command_id, verdict.command, time, heard_of=False),
            0,
        )
        pending = owner and (verdict.interim or (owner == self._file.owner and self._goes_on(key, verdict)))
        self._connection.execute(
            "UPDATE runs SET pending = ?, command = ?, verdict = ?, told = ?, verdicts = verdicts + 1,"
            " alert = CASE WHEN ? = '' THEN alert ELSE ? END WHERE key = ?",
            (bool(pending), stored(verdict.command), told, time, *[stored(event.alert)] * 2, key),
        )

    def _judged(self, verdict: Verdict) -> tuple[int, int] | None:
        """Key and owner of the run that a verdict is of."""
        found = self._connection.execute(
            "SELECT key, owner, pending, command FROM runs"
            " WHERE run = ? AND heard_of AND (owner = ? OR pending) ORDER BY key",
            (stored(verdict.command_id), self._file.owner),
        ).fetchall()
        # The command of a run with an id may be under way, or lost.
        fits = [row for row in found if row[3] == stored(verdict.command) or (verdict.command_id and not row[3])]
        pending = [row for row in fits if row[2]]
        own = [row for row in fits if row[1] == self._file.owner]
        best = (
            [row for row in pending if steps_of(self._connection, row[0]) == verdict.steps]
            or [row for row in own if row[2]]
            or own[-1:]
            or pending
        )
        return (best[0][0], best[0][1]) if best else None

    def _goes_on(self, key: int, verdict: Verdict) -> bool:
        """Whether steps came to a run since it was sent to be judged.

        Steps before the last command do not count: it may have claimed them, or ended the run.
        """
        steps = self._connection.execute("SELECT key, text FROM steps WHERE run = ?", (key,)).fetchall()
        left = Counter(text_of(text) for _, text in steps)
        left.subtract(verdict.steps)
        return any(step > self._file.last_command and left[text_of(text)] > 0 for step, text in steps)

    # --- rows

    def _row(self, run: str, time: float) -> _Row:
        """The row that steps of a run go to; begun where there is none."""
        if run in self._rows:
            return self._rows[run]
        found = self._latest(run)
        if found and not run and self._has_ended(found[0]):
            found = None
        key = found[0] if found else self._begin(run, "", time)
        heard, size, lost = self._connection.execute(
            "SELECT heard, size, lost FROM runs WHERE key = ?", (key,)
        ).fetchone()
        self._rows[run] = _Row(key, heard, size, lost)
        return self._rows[run]

    def _put_back(self) -> None:
        self._connection.executemany(
            "UPDATE runs SET pending = 1, heard = ?, size = ?, lost = ? WHERE key = ?",
            [(row.heard, row.size, row.lost, row.key) for row in self._rows.values()],
        )
        self._rows.clear()

    def _begin(self, run: str, command: str, time: float, *, heard_of: bool = True) -> int:
        done = self._connection.execute(
            "INSERT INTO runs (owner, heard_of, pending, began, heard, run, command) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._file.owner, heard_of, heard_of, time, time, stored(run), stored(command)),
        )
        assert done.lastrowid
        return done.lastrowid

    def _latest(self, run: str) -> tuple[int, int, str] | None:
        """Key, whether it is pending, and command of this owner's latest run of an id."""
        found: tuple[int, int, str] | None = self._connection.execute(
            "SELECT key, pending, command FROM runs WHERE run = ? AND owner = ? AND heard_of ORDER BY key DESC LIMIT 1",
            (stored(run), self._file.owner),
        ).fetchone()
        return found

    def _has_ended(self, key: int) -> bool:
        """Whether a command has come since; it ended a run without one."""
        last = self._connection.execute("SELECT max(key) FROM steps WHERE run = ?", (key,)).fetchone()[0]
        return (last or 0) <= self._file.last_command


def _last_step(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(key), 0) FROM steps").fetchone()[0])


def _is_trouble(error: Exception) -> bool:
    """Whether it is the file or the machine that has failed, rather than an event that is like none."""
    return is_damage(error) or isinstance(
        error, sqlite3.OperationalError | sqlite3.InternalError | MemoryError | OSError
    )


def _finite(time: float) -> float:
    """SQLite has no NaN."""
    return float(time) if math.isfinite(time) else 0.0
