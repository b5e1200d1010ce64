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
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import sqlite3
import tempfile
import threading
import time as clock
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from flip_edge.backward import Evidence
from flip_edge.config import Config
from flip_edge.decision import Decision, Outcome
from flip_edge.episode import Episode
from flip_edge.errors import ConfigError, InputError
from flip_edge.verdict import Verdict, verdict_of

FILE = "blackbox.sqlite3"
LOCK = "blackbox.lock"
MAX_BYTES = 64 << 20  # of the file; one transaction may go beyond it until the next
MAX_LOG_BYTES = 64 << 20  # of the write-ahead log, while a reader keeps it from being emptied
MAX_RUN_CHARACTERS = 4_000_000  # a backstop: a monitor's runs are far shorter

_QUEUED_EVENTS = 50_000  # five seconds of a flood of 10,000 a second
_QUEUED_CHARACTERS = 8_000_000
_RESERVED = 0.1  # of the queue, for commands and verdicts: what they say is worth more than one more step
_STEP_CHARACTERS = 32  # what a step takes beside its text
_MISSED_RUNS = 256
_PACE_S = 0.02
_RETRY_S = 1.0
_BUSY_S = 1.0
_CLOSE_S = 5.0
_DAMAGED = "blackbox-damaged-"
_DAMAGED_KEPT = 3
_LOG_KEPT_BYTES = 4 << 20
_FREE_BYTES = 1 << 20  # pages that wait to be used again
_APPLICATION, _VERSION = 0x666C6970, 1  # "flip"

_SCHEMA = """
CREATE TABLE runs (
    key INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,     -- counts the processes that had the file
    heard_of INTEGER NOT NULL,  -- 0: a verdict without a run
    pending INTEGER NOT NULL,   -- 1: no verdict has judged all that was heard
    began REAL NOT NULL,
    heard REAL NOT NULL,
    size INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    verdicts INTEGER NOT NULL DEFAULT 0,
    told REAL,
    alert TEXT NOT NULL DEFAULT '',
    run TEXT NOT NULL,
    command TEXT NOT NULL,
    verdict TEXT                -- the latest, as JSON
);
CREATE INDEX runs_by_id ON runs (run);
CREATE INDEX runs_by_age ON runs (pending, key);
CREATE TABLE steps (key INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, text TEXT NOT NULL);
CREATE INDEX steps_by_run ON steps (run);
"""


@dataclass(frozen=True)
class Interrupted:
    """A run that an earlier owner of the black box left without a verdict.

    Attributes:
        episode: what it was told and what was heard of it; ``dropped_steps`` counts what the black box lacks.
        began: when, as it was handed in.
    """

    episode: Episode
    began: float


class DamagedError(InputError):
    """A black box that can be read in parts only.

    Attributes:
        rows: what can be read, as :func:`read_runs` returns it.
    """

    def __init__(self, message: str, rows: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.rows = rows


# --- what is handed in


@dataclass(frozen=True)
class _Command:
    run: str
    text: str
    time: float


@dataclass(frozen=True)
class _Step:
    run: str
    text: str
    time: float


@dataclass(frozen=True)
class _Told:
    verdict: Verdict
    time: float
    alert: str


_Event = _Command | _Step | _Told


@dataclass
class _Batch:
    """Events that wait, and how many of each run found no room behind them."""

    events: list[_Event] = field(default_factory=list)
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
        self._file = _File(folder, runs)
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
    def set_aside(self) -> Path | None:
        """Where the damaged file is that was found, if one was."""
        return self._file.set_aside

    def command(self, run: str, text: str, time: float) -> None:
        """A run began: ``run`` is its id."""
        self._put(_Command(run, text, time), len(text), run)

    def step(self, run: str, text: str, time: float) -> None:
        """Something was done in a run."""
        self._put(_Step(run, text, time), len(text), run, reserved=_RESERVED)

    def verdict(self, verdict: Verdict, time: float, alert: str = "") -> None:
        """A run was judged. Of several verdicts the latest stays, and the latest change of the alert.

        An interim verdict leaves its run open.
        """
        self._put(_Told(verdict, time, alert), len(verdict.command) + sum(map(len, verdict.steps)))

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

    def _put(self, event: _Event, characters: int, run: str | None = None, *, reserved: float = 0.0) -> None:
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
            refused = self._file.write(batch)
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


# --- the file


class _File:
    """The file, its lock and its connection. After :meth:`open` used by one thread alone."""

    def __init__(self, folder: Path, runs: int) -> None:
        self.folder = folder
        self.path = folder / FILE
        self.interrupted: tuple[Interrupted, ...] = ()
        self.set_aside: Path | None = None
        self.written = -math.inf
        self.owner = 0
        self.last_command = 0  # the key of the last step before it
        self._runs = runs
        self._lock: BinaryIO | None = None
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._damaged = False

    def open(self) -> sqlite3.Connection:
        """Connect, set a damaged file aside, and learn, the first time, what was interrupted.

        Raises:
            ConfigError: another process has it.
            OSError, sqlite3.Error: it is not possible now; later it may be.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._claim()
        if self._damaged:
            self._put_aside()
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
        self._put_aside()
        return self._connect()

    def write(self, batch: _Batch) -> int:
        """Store all events or, when this raises, none. Returns how many were refused for what they are."""
        if self._connection and not self._is_in_place():
            self.drop()
        connection = self._connection or self.open()
        try:
            self._bound_log(connection)
            connection.execute("BEGIN IMMEDIATE")
            refused = _Transaction(self, connection).write(batch)
            self._prune(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            self._damaged = _is_damage(error)
            self.drop()  # rolls back, and begins afresh with the next
            raise
        self.written = clock.monotonic()
        with suppress(sqlite3.Error):  # the events are stored; what is wrong will show with the next
            if _pages(connection, "freelist_count") > _FREE_BYTES:
                connection.executescript("PRAGMA incremental_vacuum")  # execute() would free one page
        return refused

    def drop(self) -> None:
        """Close the connection; the lock stays."""
        connection, self._connection = self._connection, None
        if connection:
            with suppress(sqlite3.Error):
                connection.close()

    def close(self) -> None:
        """Let go of it all."""
        self.drop()
        if self._lock:
            self._lock.close()
            self._lock = None

    def _claim(self) -> None:
        path = self.folder / LOCK
        if self._lock:
            with suppress(FileNotFoundError):
                if os.fstat(self._lock.fileno()).st_ino == path.stat().st_ino:
                    return
            self._lock.close()  # the folder was cleared under us
            self._lock = None
        lock = path.open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise ConfigError(
                f"another process has the black box in {self.folder}: end it, or give this one another folder"
            ) from error
        except OSError:
            lock.close()
            raise
        self._lock = lock

    def _connect(self) -> sqlite3.Connection:
        # Opened by the thread that makes the black box, and used by the writer's from then on.
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
            if not self.owner:  # later it would be our own runs
                self._look(connection)
            self._inode = self.path.stat().st_ino
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.text_factory = _text
        is_new = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if is_new:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything else, or it is too late
        elif _marks(connection) != (_APPLICATION, _VERSION):  # and it stays as it is
            raise sqlite3.DatabaseError("it is no black box")  # exactly this class: see _is_damage
        if not self.owner and (said := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(said)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT_BYTES}")
        if is_new:
            marks = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION};"
            connection.executescript(f"BEGIN; {_SCHEMA} {marks} COMMIT;")
            self.last_command = 0

    def _look(self, connection: sqlite3.Connection) -> None:
        """Learn what earlier owners left."""
        self.interrupted = tuple(
            Interrupted(Episode(_text(command), _steps(connection, key), _text(run), lost), began)
            for key, run, command, lost, began in connection.execute(
                "SELECT key, run, command, lost, began FROM runs WHERE pending ORDER BY key"
            ).fetchall()
        )
        self.owner = 1 + int(connection.execute("SELECT coalesce(max(owner), 0) FROM runs").fetchone()[0])

    def _put_aside(self) -> None:
        """Keep a damaged file under another name, with what belongs to it."""
        name = f"{_DAMAGED}{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}.sqlite3"
        kept = self.folder / name
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{kept}{suffix}")
        self.set_aside, self._damaged = kept, False
        earlier = sorted(path for path in self.folder.glob(f"{_DAMAGED}*.sqlite3") if path != kept)
        for path in earlier[: -(_DAMAGED_KEPT - 1)]:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)

    def _is_in_place(self) -> bool:
        """Whether the file that is written is the one that others would find."""
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _bound_log(self, connection: sqlite3.Connection) -> None:
        with suppress(FileNotFoundError):
            if Path(f"{self.path}-wal").stat().st_size <= MAX_LOG_BYTES:
                return
            if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise sqlite3.OperationalError("a reader does not end, and the write-ahead log has grown to its bound")

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Let the oldest go, those with a verdict first."""
        count = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
        if count > self._runs:
            self._forget(connection, count - self._runs)
            count = self._runs
        while count > 1 and _pages(connection, "page_count") - _pages(connection, "freelist_count") > MAX_BYTES:
            self._forget(connection, some := max(1, count // 100))
            count -= some

    def _forget(self, connection: sqlite3.Connection, count: int) -> None:
        keys = connection.execute("SELECT key FROM runs ORDER BY pending, key LIMIT ?", (count,)).fetchall()
        connection.executemany("DELETE FROM steps WHERE run = ?", keys)
        connection.executemany("DELETE FROM runs WHERE key = ?", keys)


@dataclass
class _Row:
    """A run as far as this transaction has come; put into its row at the end."""

    key: int
    heard: float
    size: int
    lost: int


class _Transaction:
    """What the events of one batch come to."""

    def __init__(self, file: _File, connection: sqlite3.Connection) -> None:
        self._file = file
        self._connection = connection
        self._rows: dict[str, _Row] = {}
        self._refused = 0

    def write(self, batch: _Batch) -> int:
        """Store them. Returns how many were refused."""
        for event in batch.events:
            try:
                self._take(event)
            except Exception as error:  # one that cannot be stored must not keep all others out
                if _is_trouble(error):
                    raise
                self._refused += 1
        for run, count in batch.missed.items():
            self._row(run, 0.0).lost += count
        self._put_back()
        return self._refused

    def _take(self, event: _Event) -> None:
        if isinstance(event, _Step):
            self._step(event)
        elif isinstance(event, _Command):
            self._put_back()
            self._command(event)
        else:
            self._put_back()
            self._told(event)

    def _command(self, event: _Command) -> None:
        """Begin a run, or give the command to the steps of its id that were earlier."""
        found = self._latest(event.run) if event.run else None
        time = _finite(event.time)
        if found and found[1] and not found[2]:
            self._connection.execute(
                "UPDATE runs SET command = ?, began = ? WHERE key = ?", (_stored(event.text), time, found[0])
            )
        else:
            self._begin(event.run, event.text, time)
        self._file.last_command = _last_step(self._connection)

    def _step(self, event: _Step) -> None:
        row = self._row(event.run, _finite(event.time))
        size = len(event.text) + _STEP_CHARACTERS
        if row.size + size > MAX_RUN_CHARACTERS:
            row.lost += 1
            self._refused += 1
            return
        self._connection.execute("INSERT INTO steps (run, text) VALUES (?, ?)", (row.key, _stored(event.text)))
        row.size += size
        row.heard = _finite(event.time)

    def _told(self, event: _Told) -> None:
        verdict, time = event.verdict, _finite(event.time)
        told = _stored(json.dumps(verdict.to_dict(), ensure_ascii=False))
        key, owner = self._judged(verdict) or (
            self._begin(verdict.command_id, verdict.command, time, heard_of=False),
            0,
        )
        pending = owner and (verdict.interim or (owner == self._file.owner and self._goes_on(key, verdict)))
        self._connection.execute(
            "UPDATE runs SET pending = ?, command = ?, verdict = ?, told = ?, verdicts = verdicts + 1,"
            " alert = CASE WHEN ? = '' THEN alert ELSE ? END WHERE key = ?",
            (bool(pending), _stored(verdict.command), told, time, *[_stored(event.alert)] * 2, key),
        )

    def _judged(self, verdict: Verdict) -> tuple[int, int] | None:
        """Key and owner of the run that a verdict is of."""
        found = self._connection.execute(
            "SELECT key, owner, pending, command FROM runs"
            " WHERE run = ? AND heard_of AND (owner = ? OR pending) ORDER BY key",
            (_stored(verdict.command_id), self._file.owner),
        ).fetchall()
        # The command of a run with an id may be under way, or lost.
        fits = [row for row in found if row[3] == _stored(verdict.command) or (verdict.command_id and not row[3])]
        pending = [row for row in fits if row[2]]
        own = [row for row in fits if row[1] == self._file.owner]
        best = (
            [row for row in pending if _steps(self._connection, row[0]) == verdict.steps]
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
        left = Counter(_text(text) for _, text in steps)
        left.subtract(verdict.steps)
        return any(step > self._file.last_command and left[_text(text)] > 0 for step, text in steps)

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
            (self._file.owner, heard_of, heard_of, time, time, _stored(run), _stored(command)),
        )
        assert done.lastrowid
        return done.lastrowid

    def _latest(self, run: str) -> tuple[int, int, str] | None:
        """Key, whether it is pending, and command of this owner's latest run of an id."""
        found: tuple[int, int, str] | None = self._connection.execute(
            "SELECT key, pending, command FROM runs WHERE run = ? AND owner = ? AND heard_of ORDER BY key DESC LIMIT 1",
            (_stored(run), self._file.owner),
        ).fetchone()
        return found

    def _has_ended(self, key: int) -> bool:
        """Whether a command has come since; it ended a run without one."""
        last = self._connection.execute("SELECT max(key) FROM steps WHERE run = ?", (key,)).fetchone()[0]
        return (last or 0) <= self._file.last_command


def _last_step(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(key), 0) FROM steps").fetchone()[0])


def _marks(connection: sqlite3.Connection) -> tuple[int, ...]:
    """Which application made the file, and in which version of its schema."""
    return tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))


def _pages(connection: sqlite3.Connection, name: str) -> int:
    """How many pages, in bytes."""
    count, size = (connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in (name, "page_size"))
    return int(count * size)


def _steps(connection: sqlite3.Connection, key: int) -> tuple[str, ...]:
    found = connection.execute("SELECT text FROM steps WHERE run = ? ORDER BY key", (key,))
    return tuple(_text(text) for (text,) in found)


def _is_damage(error: BaseException) -> bool:
    """Whether it says that the file is damaged, or not SQLite's: those have no class of their own."""
    return type(error) is sqlite3.DatabaseError


def _is_trouble(error: Exception) -> bool:
    """Whether it is the file or the machine that has failed, rather than an event that is like none."""
    return _is_damage(error) or isinstance(
        error, sqlite3.OperationalError | sqlite3.InternalError | MemoryError | OSError
    )


def _stored(text: str) -> str | bytes:
    """Text as SQLite takes it: lone surrogates have no UTF-8, and go in as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _text(stored: str | bytes) -> str:
    """The text again; what is no text any more is replaced, so that the rest can be read."""
    if isinstance(stored, str):
        return stored
    try:
        return stored.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return stored.decode("utf-8", "replace")


def _finite(time: float) -> float:
    """SQLite has no NaN."""
    return float(time) if math.isfinite(time) else 0.0


# --- reading


def read_runs(path: Path) -> list[dict[str, Any]]:
    """What a black box has, also while a monitor writes it: rows like those of ``flip-edge replay -o``, oldest first.

    A run without a verdict is UNKNOWN, its time that of what was last heard of it.

    Args:
        path: the file, or its folder.

    Raises:
        InputError: it is not there, cannot be read, or is no black box.
        DamagedError: an InputError; it has what can be read.
    """
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"there is no black box: {path}")
    try:
        return _read(path)
    except sqlite3.OperationalError as error:
        first = error
    # SQLite writes beside a file that it reads. Where it must not, a copy does.
    try:
        with tempfile.TemporaryDirectory() as folder:
            for suffix in ("", "-wal"):
                if Path(f"{path}{suffix}").exists():
                    shutil.copyfile(f"{path}{suffix}", f"{folder}/{FILE}{suffix}")
            return _read(Path(folder) / FILE)
    except (OSError, sqlite3.Error):
        raise InputError(f"cannot read the black box {path}: {first}") from first


def _read(path: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)) as connection:
        connection.isolation_level = None
        connection.text_factory = _text
        try:
            marks = _marks(connection)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            raise DamagedError(f"{path} is damaged, or no black box: {error}", []) from error
        if marks != (_APPLICATION, _VERSION):
            raise InputError(f"{path} is no black box")
        connection.execute("BEGIN")  # all rows of one moment
        return _rows(path, connection)


def _rows(path: Path, connection: sqlite3.Connection) -> list[dict[str, Any]]:
    forth, problem = _keys(connection, "ASC")
    back, _ = _keys(connection, "DESC") if problem else ([], "")  # behind the damage there may be more
    rows = []
    for key in sorted({*forth, *back}):
        try:
            rows.append(_row(connection, key))
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            problem = problem or str(error)
    if problem:
        raise DamagedError(f"{path} is damaged; {len(rows)} of its runs can be read: {problem}", rows)
    return rows


def _keys(connection: sqlite3.Connection, order: str) -> tuple[list[int], str]:
    """Keys of runs until the end, or until damage, and what it is."""
    keys: list[int] = []
    try:
        keys.extend(key for (key,) in connection.execute(f"SELECT key FROM runs NOT INDEXED ORDER BY key {order}"))
    except sqlite3.DatabaseError as error:
        return keys, str(error)
    return keys, ""


def _row(connection: sqlite3.Connection, key: int) -> dict[str, Any]:
    run, command, heard, lost, told, alert, verdict = connection.execute(
        "SELECT run, command, heard, lost, told, alert, verdict FROM runs WHERE key = ?", (key,)
    ).fetchone()
    if verdict is not None:
        return {"time": told, **json.loads(_text(verdict)), "alert": _text(alert) or None}
    episode = Episode(_text(command), _steps(connection, key), _text(run), lost, finished=False)
    reason = "open: the black box has no verdict of this run"
    if lost:
        reason += f", and lacks {lost} of what was heard of it"
    config = Config()
    decision = Decision(Outcome.UNKNOWN, reason, config.rule)
    unknown = verdict_of(episode, decision, Evidence(), config, model_id="", prompt_id="")
    return {"time": heard, **json.loads(json.dumps(unknown.to_dict())), "alert": None}  # lists, as in the others
