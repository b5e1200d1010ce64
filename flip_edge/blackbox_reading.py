"""Reading a black box, also while it is written, and what can be read of a damaged one."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from flip_edge.backward import Evidence
from flip_edge.blackbox_file import FILE, MARKS, is_damage, marks_of, steps_of, text_of
from flip_edge.config import Config
from flip_edge.decision import Decision, Outcome
from flip_edge.episode import Episode
from flip_edge.errors import InputError
from flip_edge.verdict import verdict_of


class DamagedError(InputError):
    """A black box that can be read in parts only.

    Attributes:
        rows: what can be read, as :func:`read_runs` returns it.
    """

    def __init__(self, message: str, rows: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.rows = rows


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
        connection.text_factory = text_of
        try:
            marks = marks_of(connection)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            raise DamagedError(f"{path} is damaged, or no black box: {error}", []) from error
        if marks != MARKS:
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
        return {"time": told, **json.loads(text_of(verdict)), "alert": text_of(alert) or None}
    episode = Episode(text_of(command), steps_of(connection, key), text_of(run), lost, finished=False)
    reason = "open: the black box has no verdict of this run"
    if lost:
        reason += f", and lacks {lost} of what was heard of it"
    config = Config()
    decision = Decision(Outcome.UNKNOWN, reason, config.rule)
    unknown = verdict_of(episode, decision, Evidence(), config, model_id="", prompt_id="")
    return {"time": heard, **json.loads(json.dumps(unknown.to_dict())), "alert": None}  # lists, as in the others
