"""Offline scoring: a file of runs in, a file of verdicts out, in the same order."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from flip_edge.decision import Outcome
from flip_edge.episode import Episode
from flip_edge.errors import FlipEdgeError, InputError
from flip_edge.selfcheck import SelfCheck


class Row(msgspec.Struct, frozen=True):
    """One run of an input file. Keys beyond these are allowed and left alone; ``outcome`` serves calibration."""

    command: str
    actions: list[str]
    id: str | int | float | None = None
    outcome: str = "success"


@dataclass
class Summary:
    """What scoring a file came to.

    Attributes:
        verdicts: how many rows got which verdict.
        bad_lines: line numbers that could not be scored, and why.
        reused: rows taken over from an interrupted run.
    """

    verdicts: dict[str, int] = field(default_factory=lambda: {outcome.value: 0 for outcome in Outcome})
    bad_lines: list[tuple[int, str]] = field(default_factory=list)
    reused: int = 0


def parse_row(line: bytes) -> Row:
    """Read one line of JSONL.

    Raises:
        InputError: it is not UTF-8, not JSON, or lacks the text ``command`` or the list of texts ``actions``.
    """
    try:
        return msgspec.json.decode(line.decode("utf-8"), type=Row)
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: byte {line[error.start]:#04x} at column {error.start + 1}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"not a run: {error}") from None


def score_lines(
    lines: Iterator[bytes],
    check: SelfCheck,
    summary: Summary,
    on_bad: Callable[[int, str], None],
    skip: int = 0,
) -> Iterator[dict[str, Any]]:
    """Yield one result a run, in order; blank lines are passed over, bad ones reported and counted.

    Args:
        lines: JSONL, one run a line.
        check: what checks them.
        summary: is added to.
        on_bad: told the number and the error of each line that cannot be scored.
        skip: leading lines that were scored before.
    """
    for number, line in enumerate(lines, start=1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if not line.strip():
            continue
        try:
            row = parse_row(line)
            if number <= skip:
                continue
            verdict = check.check(Episode.of(row.command, row.actions, id="" if row.id is None else str(row.id)))
        except FlipEdgeError as error:
            summary.bad_lines.append((number, str(error)))
            on_bad(number, str(error))
            continue
        summary.verdicts[verdict.outcome.value] += 1
        result = verdict.to_dict()
        for name in ("steps", "command_id", "waited_s", "computed_s"):
            del result[name]
        yield {"id": row.id, "line": number, **result}


def score_file(
    source: BinaryIO,
    target: Path,
    check: SelfCheck,
    *,
    resume: bool = False,
    on_bad: Callable[[int, str], None],
    on_line: Callable[[int], object] = lambda size: None,
) -> Summary:
    """Score a file of runs into ``target``.

    Results are collected in ``target`` + ``.partial`` and moved into place when all are there. An interrupted run
    leaves the partial file, and with ``resume`` the next one goes on after its last line.

    Raises:
        InputError: the target cannot be written, or there are results of an interrupted run and ``resume`` is not set.
    """
    partial = target.with_name(target.name + ".partial")
    summary = Summary()
    if not target.parent.is_dir():
        raise InputError(f"cannot write {target}: there is no folder {target.parent}")
    if target.exists() and not target.is_file():
        raise InputError(f"cannot write {target}: it is not a plain file")
    if partial.exists() and not resume:
        raise InputError(f"{partial} holds the results of an interrupted run: go on with --resume, or remove it")
    skip = _scored_lines(partial, summary) if resume else 0
    try:
        with partial.open("ab" if skip else "wb") as out:
            for result in score_lines(_announced(source, on_line), check, summary, on_bad, skip):
                out.write(msgspec.json.encode(result) + b"\n")
                out.flush()
            os.fsync(out.fileno())
        partial.replace(target)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}") from error
    return summary


def _announced(lines: BinaryIO, on_line: Callable[[int], object]) -> Iterator[bytes]:
    for line in lines:
        yield line
        on_line(len(line))


def _scored_lines(partial: Path, summary: Summary) -> int:
    """The last input line in an interrupted run's results; a last result that was cut off is removed."""
    if not partial.exists():
        return 0
    last, good = 0, 0
    with partial.open("r+b") as results:
        for line in results:
            try:
                result = msgspec.json.decode(line)
                number, verdict = int(result["line"]), str(result["verdict"])
            except (msgspec.DecodeError, KeyError, TypeError, ValueError):
                break
            if not line.endswith(b"\n") or verdict not in summary.verdicts:
                break
            last = number
            summary.verdicts[verdict] += 1
            good += len(line)
            summary.reused += 1
        results.truncate(good)
    return last
