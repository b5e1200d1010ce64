"""Rows of the corpus of robots' logs in ``training/data``: ``python -m training.field -o rows.jsonl``.

The corpus was written for this, in the formats and words of almost as many systems as it has runs: simulators, ROS
nodes, fleets, cells, drones, laboratories, what is said of videos. It is no recording. Of each run it has near misses,
as edits of its steps and as other commands, and other wordings of its own command.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from flip_edge.errors import FlipEdgeError, InputError

CORPUS = tuple(sorted((Path(__file__).parent / "data").glob("field*.jsonl")))
PARTS = ("train", "test", "all")
_TEST = 8  # one of so many systems is for testing


class Miss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mismatch: another command, other steps, or the run's steps with some left out, exchanged or cut.

    Attributes:
        kind: what is wrong.
        command: for which the run would be wrong.
        actions: of a wrong run.
        keep: how many steps of the run, from the first.
        replace: new steps by their places.
        drop: the places of steps that are left out.
    """

    kind: str
    command: str | None = None
    actions: tuple[str, ...] | None = None
    keep: int | None = None
    replace: dict[int, str] = {}
    drop: tuple[int, ...] = ()

    def steps(self, run: Sequence[str]) -> list[str]:
        """The steps of the wrong run."""
        if self.actions is not None:
            return list(self.actions)
        left = range(len(run) if self.keep is None else self.keep)
        return [self.replace.get(place, run[place]) for place in left if place not in self.drop]


class Run(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run that fulfils its command, with its near misses."""

    source: str
    command: str
    actions: Annotated[tuple[str, ...], Meta(min_length=1)]
    negatives: tuple[Miss, ...] = ()
    also: tuple[str, ...] = ()  # other wordings of the command


def runs(files: Iterable[Path] = CORPUS) -> Iterator[Run]:
    """The runs of a corpus.

    Raises:
        InputError: a file cannot be read, or a line is none; the message names it.
    """
    for path in files:
        yield from _read(path)


def _read(path: Path) -> Iterator[Run]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        try:
            run = msgspec.json.decode(line, type=Run)
            for miss in run.negatives:
                _checked(run, miss)
        except (msgspec.MsgspecError, InputError) as error:
            raise InputError(f"{path}: line {number}: {error}") from None
        yield run


def _checked(run: Run, miss: Miss) -> None:
    places = [*miss.replace, *miss.drop, *([] if miss.keep is None else [miss.keep - 1])]
    if outside := [place for place in places if not 0 <= place < len(run.actions)]:
        raise InputError(f"{miss.kind}: there is no step {outside[0]}")
    if miss.command is None and miss.steps(run.actions) in ([], list(run.actions)):
        raise InputError(f"{miss.kind}: nothing is left of the run, or nothing is wrong with it")
    if miss.command in (run.command, *run.also):
        raise InputError(f"{miss.kind}: the command is the run's own")


def rows(part: str = "all", files: Iterable[Path] = CORPUS) -> Iterator[dict[str, object]]:
    """Rows as :mod:`training.prepare` writes them; those for testing are of systems that training has not seen.

    Raises:
        InputError: as for :func:`runs`.
    """
    for number, run in enumerate(runs(files)):
        is_test = int(sha256(run.source.lower().encode()).hexdigest(), 16) % _TEST == 0
        if part != "all" and is_test != (part == "test"):
            continue
        yield {
            "source": "field",
            "style": run.source,
            "id": f"field {number}",
            "group": f"field {run.source}",
            "command": run.command,
            "also": list(run.also),
            "actions": list(run.actions),
            "negatives": [
                {"kind": miss.kind, "command": miss.command}
                if miss.command is not None
                else {"kind": miss.kind, "actions": miss.steps(run.actions)}
                for miss in run.negatives
            ],
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.field", description="Write the rows of the corpus.")
    parser.add_argument("--corpus", type=Path, nargs="+", default=CORPUS, metavar="FIELD.jsonl", help="another one")
    parser.add_argument("--part", choices=PARTS, default="all", help="train and test have no system in common")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.jsonl")
    arguments = parser.parse_args(argv)
    try:
        found = [json.dumps(row, ensure_ascii=False) for row in rows(arguments.part, arguments.corpus)]
        arguments.output.write_text("".join(f"{row}\n" for row in found), encoding="utf-8")
    except (FlipEdgeError, OSError) as error:
        print(f"python -m training.field: error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.output}: {len(found)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
