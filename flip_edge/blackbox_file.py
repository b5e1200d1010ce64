"""The black box's file: its schema, its lock, its connection, its bounds, and what is done when it is damaged.

What goes into a transaction is not known here; see :mod:`flip_edge.blackbox_transaction`.
"""

from __future__ import annotations

import fcntl
import math
import os
import sqlite3
import time as clock
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

from flip_edge.episode import Episode
from flip_edge.errors import ConfigError

FILE = "blackbox.sqlite3"
LOCK = "blackbox.lock"
MAX_BYTES = 64 << 20  # of the file; one transaction may go beyond it until the next
MAX_LOG_BYTES = 64 << 20  # of the write-ahead log, while a reader keeps it from being emptied
_APPLICATION, _VERSION = MARKS = 0x666C6970, 1  # "flip"

_BUSY_S = 1.0
_DAMAGED = "blackbox-damaged-"
_DAMAGED_KEPT = 3
_LOG_KEPT_BYTES = 4 << 20
_FREE_BYTES = 1 << 20  # pages that wait to be used again

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
_LATER = "CREATE TABLE IF NOT EXISTS alert (key INTEGER PRIMARY KEY, alert TEXT NOT NULL)"  # files of 0.1 lack it


@dataclass(frozen=True)
class Interrupted:
    """A run that an earlier owner of the black box left without a verdict.

    Attributes:
        episode: what it was told and what was heard of it; ``dropped_steps`` counts what the black box lacks.
        began: when, as it was handed in.
    """

    episode: Episode
    began: float


class File:
    """The file, its lock and its connection. After :meth:`open` used by one thread alone."""

    def __init__(self, folder: Path, runs: int) -> None:
        self.folder = folder
        self.path = folder / FILE
        self.interrupted: tuple[Interrupted, ...] = ()
        self.alert = ""  # the latest that an earlier owner wrote down, as JSON
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
            if not is_damage(error):
                raise
        self._put_aside()
        return self._connect()

    def write(self, store: Callable[[sqlite3.Connection], int]) -> int:
        """Do all that ``store`` does in one transaction or, when this raises, none. Returns what it returns."""
        if self._connection and not self._is_in_place():
            self.drop()
        connection = self._connection or self.open()
        last_command = self.last_command
        try:
            self._bound_log(connection)
            connection.execute("BEGIN IMMEDIATE")
            refused = store(connection)
            self._prune(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            self._damaged = is_damage(error)
            self.last_command = last_command
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
        connection.text_factory = text_of
        is_new = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if is_new:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before anything else, or it is too late
        elif marks_of(connection) != MARKS:  # and it stays as it is
            raise sqlite3.DatabaseError("it is no black box")  # exactly this class: see is_damage
        if not self.owner and (said := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(said)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT_BYTES}")
        if is_new:
            marks = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION};"
            connection.executescript(f"BEGIN; {_SCHEMA} {marks} COMMIT;")
            self.last_command = 0
        connection.execute(_LATER)

    def _look(self, connection: sqlite3.Connection) -> None:
        """Learn what earlier owners left."""
        self.interrupted = tuple(
            Interrupted(Episode(text_of(command), steps_of(connection, key), text_of(run), lost), began)
            for key, run, command, lost, began in connection.execute(
                "SELECT key, run, command, lost, began FROM runs WHERE pending ORDER BY key"
            ).fetchall()
        )
        if found := connection.execute("SELECT alert FROM alert").fetchone():
            self.alert = text_of(found[0])
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


def marks_of(connection: sqlite3.Connection) -> tuple[int, ...]:
    """Which application made the file, and in which version of its schema."""
    return tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))


def _pages(connection: sqlite3.Connection, name: str) -> int:
    """How many pages, in bytes."""
    count, size = (connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in (name, "page_size"))
    return int(count * size)


def steps_of(connection: sqlite3.Connection, key: int) -> tuple[str, ...]:
    """The steps of a run, in their order."""
    found = connection.execute("SELECT text FROM steps WHERE run = ? ORDER BY key", (key,))
    return tuple(text_of(text) for (text,) in found)


def is_damage(error: BaseException) -> bool:
    """Whether it says that the file is damaged, or not SQLite's: those have no class of their own."""
    return type(error) is sqlite3.DatabaseError


def stored(text: str) -> str | bytes:
    """Text as SQLite takes it: lone surrogates have no UTF-8, and go in as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def text_of(stored: str | bytes) -> str:
    """The text again; what is no text any more is replaced, so that the rest can be read."""
    if isinstance(stored, str):
        return stored
    try:
        return stored.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return stored.decode("utf-8", "replace")
