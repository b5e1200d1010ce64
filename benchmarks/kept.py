"""Measurements that are kept as lines of JSON as soon as they are made, so that a run that was cut short goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flip_edge.errors import InputError


class Kept:
    """A file of records, each under the values that some fields have.

    A last line that was cut off in the middle is as if never written.

    Args:
        path: the file; it need not be there.
        key: the fields that tell records apart.

    Raises:
        InputError: a whole line is no record.
    """

    def __init__(self, path: Path, key: tuple[str, ...]) -> None:
        self._path, self._key = path, key
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            path.write_bytes(whole)
        self.records: dict[tuple[Any, ...], dict[str, Any]] = {}
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                record = json.loads(line)
                self.records[tuple(record[field] for field in key)] = record
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}, line {number} is no record with {', '.join(key)}: {error}") from error

    def find(self, *key: Any) -> dict[str, Any] | None:
        """The record with these values of the key's fields."""
        return self.records.get(key)

    def add(self, record: dict[str, Any]) -> dict[str, Any]:
        """Keep a record, on the disk first."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self.records[tuple(record[field] for field in self._key)] = record
        return record
