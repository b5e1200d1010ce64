"""Measure an adapter as it runs on the robot: ``python -m training.measure ROWS.jsonl --adapter ADAPTER.gguf``.

Every row's run is checked against its command under llama.cpp, and so is each of its mismatches. For every kind of
mismatch the table has the AUROC against the right runs of the same rows, of what the model says and of words alone.
Rows that were not trained on: ``python -m training.prepare --part test``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from flip_edge.backward import BackwardInference
from flip_edge.baselines.overlap import WordOverlap
from flip_edge.engine import Engine
from flip_edge.episode import Episode
from flip_edge.errors import CheckError, FlipEdgeError, InputError
from flip_edge.models import resolve, verify
from flip_edge.statistics import auroc
from training.examples import completion_prompt, read_lines

COLUMNS = ("F1", "likelihood", "gain", "words found")
_LONGEST = 24  # tokens of an inferred instruction, as the configuration has it


def measure(backward: BackwardInference, rows: Sequence[Any]) -> dict[str, list[tuple[list[float], list[float]]]]:
    """Of every kind of mismatch, for every row that has one: the scores of the right run and of the mismatch.

    Args:
        backward: a model with its prompt, and perhaps an adapter.
        rows: of training.prepare.

    Raises:
        CheckError: a run could not be checked.
    """
    found: dict[str, list[tuple[list[float], list[float]]]] = {}
    for row in tqdm(rows, unit="row", disable=None):
        right = _scores(backward, Episode.of(row["command"], row["actions"]))
        for wrong in row["negatives"]:
            command, actions = wrong.get("command", row["command"]), wrong.get("actions", row["actions"])
            found.setdefault(wrong["kind"], []).append((right, _scores(backward, Episode.of(command, actions))))
    return found


def _scores(backward: BackwardInference, episode: Episode) -> list[float]:
    evidence = backward.observe(episode)
    if evidence.log_likelihood is None or evidence.gain is None:
        raise CheckError(f"{episode.command!r} could not be checked: {evidence.failure}")
    f1 = evidence.overlap.f1 if evidence.overlap else 0.0
    words = WordOverlap().scores(episode)[1]
    return [f1, evidence.log_likelihood, evidence.gain, words or 0.0]


def table(found: dict[str, list[tuple[list[float], list[float]]]]) -> Iterator[str]:
    """Lines of text: kinds down, scores across."""
    yield f"{'AUROC':<24}{'pairs':>6}" + "".join(f"{column:>13}" for column in COLUMNS)
    everything = [pair for pairs in found.values() for pair in pairs]
    for kind, pairs in (*sorted(found.items()), ("all", everything)):
        scores = np.array([[*right] for right, _ in pairs] + [[*wrong] for _, wrong in pairs])
        match = np.arange(2 * len(pairs)) < len(pairs)
        values = [auroc(scores[:, column], match) for column in range(len(COLUMNS))]
        yield f"{kind:<24}{len(pairs):>6}" + "".join(f"{value:>13.3f}" for value in values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.measure", description="Measure a model on rows of training.prepare, as it runs."
    )
    parser.add_argument("rows", type=Path, metavar="ROWS.jsonl")
    parser.add_argument("--adapter", type=Path, metavar="ADAPTER.gguf", help="without it, the bare model")
    parser.add_argument("--model", default="default", help="a registry id or a GGUF file (default: default)")
    parser.add_argument("--prompt", help="default: log-command-bare with an adapter, log-command without")
    parser.add_argument("--limit", type=int, metavar="N", help="use the first N rows")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    try:
        rows = [row for _, row in read_lines(arguments.rows)][: arguments.limit]
        if not any(row["negatives"] for row in rows):
            raise InputError(f"{arguments.rows} has no negatives to measure on")
        prompt = completion_prompt(arguments.prompt or ("log-command-bare" if arguments.adapter else "log-command"))
        model = resolve(arguments.model)
        verify(model)
        with Engine(model.path, n_threads=arguments.threads, adapter=arguments.adapter) as engine:
            backward = BackwardInference(engine, prompt, _LONGEST, 0)
            started = time.perf_counter()
            found = measure(backward, rows)
        checks = len(rows) + sum(map(len, found.values()))
        print("\n".join(table(found)))
        print(f"{checks} checks, {1000 * (time.perf_counter() - started) / checks:.0f} ms each")
    except (FlipEdgeError, OSError, KeyError) as error:
        print(f"python -m training.measure: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
