"""Measure an adapter as it runs on the robot: ``python -m training.measure ROWS.jsonl --adapter ADAPTER.gguf``.

Every row's run is checked against its command under llama.cpp, and so is each of its mismatches. The table has the
AUROC of the mismatches against the right runs of the same rows, by their kind, or by the style or source of the run:
of what the model says, of the score, and of words alone. Rows that were not trained on: ``python -m training.prepare
--part test``; of a style or source that was not: ``--hold-out-style`` and ``--only-style``, and so on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from flip_edge import Config, SelfCheck
from flip_edge.baselines.overlap import WordOverlap
from flip_edge.calibration import Calibration, load_calibration
from flip_edge.episode import Episode
from flip_edge.errors import CheckError, FlipEdgeError, InputError
from flip_edge.statistics import auroc
from training.examples import read_lines

COLUMNS = ("F1", "likelihood", "gain", "confirmed", "score", "words found")


@dataclass(frozen=True)
class Pair:
    """A right run and a mismatch of the same row, in the scores of :data:`COLUMNS`.

    Attributes:
        source, style: of the row.
        kind: of the mismatch; see ``training/negatives``.
        right, wrong: the scores.
    """

    source: str
    style: str
    kind: str
    right: Sequence[float]
    wrong: Sequence[float]

    @property
    def group(self) -> str:
        """Whether it is another task, an unfinished one or one done wrong."""
        return group_of(self.kind)


BY: dict[str, Callable[[Pair], str]] = {
    "kind": lambda pair: pair.kind,
    "group": lambda pair: pair.group,
    "style": lambda pair: f"{pair.style}, {pair.group}",
    "source": lambda pair: f"{pair.source}, {pair.group}",
}
"""What the lines of the table may be, and how a pair's line is named."""


def group_of(kind: str) -> str:
    """The group of a kind of mismatch: ``another``, ``unfinished`` or ``wrong``.

    >>> group_of("cut"), group_of("wrong_object"), group_of("recorded_other_mission")
    ('unfinished', 'wrong', 'another')
    """
    recorded = kind.startswith("recorded_")
    what = kind.removeprefix("recorded_")
    if what == "search_only" or what.startswith("other_"):
        return "another"
    unfinished = {"cut", "cut_before_last", "last_failed", "skipped", "reordered"}
    return "unfinished" if what in unfinished or (recorded and not what.startswith("wrong_")) else "wrong"


def episodes_of(row: Any) -> Iterator[tuple[Episode, str | None]]:
    """The right run of a row, with None, and each mismatch with its kind."""
    yield Episode.of(row["command"], row["actions"]), None
    for wrong in row["negatives"]:
        command, actions = wrong.get("command", row["command"]), wrong.get("actions", row["actions"])
        yield Episode.of(command, actions), wrong["kind"]


def measure(check: SelfCheck, rows: Sequence[Any], calibration: Calibration | None = None) -> list[Pair]:
    """Every mismatch of every row, beside its right run.

    Args:
        check: a model with its prompt, and perhaps an adapter.
        rows: of training.prepare.
        calibration: what makes the score; None for none.

    Raises:
        CheckError: a run could not be checked.
    """
    pairs: list[Pair] = []
    for row in tqdm(rows, unit="row", disable=None):
        right: list[float] = []
        for episode, kind in episodes_of(row):
            scores = _scores(check, episode, calibration)
            if kind is None:
                right = scores
            else:
                pairs.append(Pair(row["source"], row["style"], kind, right, scores))
    return pairs


def _scores(check: SelfCheck, episode: Episode, calibration: Calibration | None) -> list[float]:
    evidence = check.observe(episode)
    if evidence.log_likelihood is None or evidence.gain is None:
        raise CheckError(f"{episode.command!r} could not be checked: {evidence.failure}")
    f1 = evidence.overlap.f1 if evidence.overlap else 0.0
    score = calibration.score(evidence) if calibration else None
    words = WordOverlap().scores(episode)[1]
    unknown = (np.nan if value is None else value for value in (evidence.confirmed, score))
    return [f1, evidence.log_likelihood, evidence.gain, *unknown, words or 0.0]


def table(pairs: Sequence[Pair], by: str) -> Iterator[str]:
    """Lines of text: kinds, groups, or groups of every style or source down; scores across."""
    yield f"{'AUROC':<28}{'pairs':>6}" + "".join(f"{column:>13}" for column in COLUMNS)
    key = BY[by]
    found: dict[str, list[Pair]] = {}
    for pair in pairs:
        found.setdefault(key(pair), []).append(pair)
    for name, members in (*sorted(found.items()), ("all", list(pairs))):
        scores = np.array([pair.right for pair in members] + [pair.wrong for pair in members], dtype=np.float64)
        match = np.arange(2 * len(members)) < len(members)
        values = [auroc(scores[:, column], match) for column in range(len(COLUMNS))]
        yield f"{name:<28}{len(members):>6}" + "".join(f"{value:>13.3f}" for value in values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.measure", description="Measure a model on rows of training.prepare, as it runs."
    )
    parser.add_argument("rows", type=Path, metavar="ROWS.jsonl")
    parser.add_argument(
        "--adapter", default="none", metavar="ADAPTER.gguf", help="auto: the shipped one (default: none)"
    )
    parser.add_argument("--model", default="default", help="a registry id or a GGUF file (default: default)")
    parser.add_argument("--prompt", default="auto", help="default: the adapter's or model's own")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="for the score (default: the model's own)")
    parser.add_argument("--by", choices=BY, default="kind", help="the lines of the table (default: kind)")
    parser.add_argument("--limit", type=int, metavar="N", help="use the first N rows")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    try:
        rows = [row for _, row in read_lines(arguments.rows)][: arguments.limit]
        if not any(row["negatives"] for row in rows):
            raise InputError(f"{arguments.rows} has no negatives to measure on")
        # Not as a setting: to measure weights on another adapter than theirs is what leaving out is for.
        calibration = load_calibration(arguments.calibration) if arguments.calibration else None
        config = Config(
            model=arguments.model,
            adapter=arguments.adapter,
            prompt=arguments.prompt,
            rule="likelihood",
            n_threads=arguments.threads,
        )
        with SelfCheck(config) as check:
            started = time.perf_counter()
            pairs = measure(check, rows, calibration or check.calibration)
        checks = len(rows) + len(pairs)
        print("\n".join(table(pairs, arguments.by)))
        print(f"{checks} checks, {1000 * (time.perf_counter() - started) / checks:.0f} ms each, {check.model_id}")
    except (FlipEdgeError, OSError, KeyError) as error:
        print(f"python -m training.measure: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
