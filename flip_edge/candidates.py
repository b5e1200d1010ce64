"""Candidates: plans or answers that are to be ranked, as a planner, a file or a command line has them."""

from __future__ import annotations

import argparse
import codecs
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from flip_edge.episode import clean_text
from flip_edge.errors import InputError
from flip_edge.exchange import steps_of

_BLANKS = re.compile(r"\s+")
_NUMBERED = re.compile(r"\s*1[.)]\s")
_NUMBER_WITHIN = re.compile(r"[;,.]?\s+(?=(\d+)[.)]\s)")


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plan or an answer: ``steps`` or a ``text``. An id may be left out."""

    id: str | int | None = None
    text: str | None = None
    steps: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Entry:
    """A candidate with its name; the text as it was given, and the steps it comes to."""

    id: str
    text: str
    steps: tuple[str, ...]


def entries_of(candidates: Iterable[str | Sequence[str] | Mapping[str, Any]]) -> list[Entry]:
    """Candidates in any of their forms, with their names.

    Raises:
        InputError: there is none, one is no candidate, or an id comes twice.
    """
    if isinstance(candidates, str | bytes | Mapping):
        raise InputError(f"candidates must be a list, not {type(candidates).__name__}: {candidates!r:.80}")
    entries = []
    for number, given in enumerate(candidates, start=1):
        candidate = _candidate(given, number)
        name = clean_text(str(number if candidate.id is None else candidate.id))
        text = candidate.text or "\n".join(candidate.steps or ())
        steps = (
            _lines(text)
            if candidate.steps is None
            else [step for one in candidate.steps for step in steps_of(clean_text(one))]
        )
        entries.append(Entry(name, text, tuple(steps)))
    names = [entry.id for entry in entries]
    if not entries:
        raise InputError("there is no candidate: give one with --candidate or in a file")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"two candidates have the id {twice!r:.80}")
    return entries


def _candidate(given: object, number: int) -> Candidate:
    """A candidate in any of its forms."""
    if isinstance(given, str):
        return Candidate(text=given)
    if isinstance(given, Sequence) and not isinstance(given, bytes):
        given = {"steps": list(given)}
    try:
        candidate = msgspec.convert(given, Candidate)
    except msgspec.ValidationError as error:
        raise InputError(f"candidate {number}: {error}") from None
    if (candidate.text is None) == (candidate.steps is None):
        raise InputError(f"candidate {number}: it must have either `text` or `steps`")
    return candidate


def _lines(text: str) -> list[str]:
    """The steps of a plan that may stand on one line, apart by semicolons or numbers.

    >>> _lines("1. go to room 3, 2. pick up the cup")
    ['go to room 3', 'pick up the cup']
    """
    parts = []
    for given in text.splitlines():
        line = _BLANKS.sub(" ", given)  # or the search goes over each run of them again and again
        begin, number = 0, 2
        if _NUMBERED.match(line):
            for found in _NUMBER_WITHIN.finditer(line):
                if found[1] == str(number):
                    parts.append(line[begin : found.start()])
                    begin, number = found.end(), number + 1
        parts.append(line[begin:])
    return [step for part in parts for piece in part.split(";") for step in steps_of(piece)]


def candidates_of(arguments: argparse.Namespace) -> list[str | Mapping[str, Any]]:
    """The candidates that a command line names, in order.

    Raises:
        InputError: the file cannot be read, or a line is no candidate; the message names it.
    """
    found: list[str | Mapping[str, Any]] = list(arguments.candidate)
    if not arguments.input:
        return found
    try:
        data = sys.stdin.buffer.read() if arguments.input == "-" else Path(arguments.input).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {arguments.input}: {error.strerror}") from error
    for number, line in enumerate(data.removeprefix(codecs.BOM_UTF8).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
            _candidate(row if isinstance(row, dict) else {"": row}, len(found) + 1)
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{arguments.input}: line {number}: not JSON in UTF-8: {error}") from None
        except InputError as error:
            raise InputError(f"{arguments.input}: line {number}: {error}") from None
        found.append(row)
    return found
