"""Measure methods on labelled runs: every method on every run, one table, with intervals.

Long runs resume: scores are kept in files of JSON lines as they are computed, under the method's id, the code it
depends on, and the text of the run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shlex
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import platformdirs
from tqdm import tqdm

from flip_edge import contrast_set, evaluation_report
from flip_edge.baselines import AnyMethod, Measurer, Method, Ranker, Scorer, SingleScore
from flip_edge.config import Config
from flip_edge.datasets import KINDS, LabelledEpisode, make_episodes, read_runs
from flip_edge.episode import Episode
from flip_edge.errors import ConfigError, InputError
from flip_edge.evaluation_table import MethodScores, Results, tabulate, to_text
from flip_edge.methods import QUICK, SLOW, code_fingerprint, open_methods

# --- scores that were computed before


class ScoreCache:
    """Scores on disk, a file a method. A line that a kill cut short is dropped; all before it are kept."""

    def __init__(self, folder: Path | None, method_id: str) -> None:
        self._known: dict[str, tuple[list[float | None], float]] = {}
        self._file = None
        if folder is None:
            return
        slug = re.sub(r"[^a-z0-9]+", "-", method_id.lower()).strip("-")[:60]
        path = folder / f"{slug}-{hashlib.sha256(method_id.encode()).hexdigest()[:8]}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise InputError(f"cannot keep scores in {folder}: {error.strerror}") from error
        self._load()

    def _load(self) -> None:
        assert self._file
        self._file.seek(0)
        good = 0
        for line in self._file:
            try:
                key, scores, seconds = msgspec.json.decode(line, type=tuple[str, list[float | None], float])
            except msgspec.DecodeError:
                break
            if not line.endswith(b"\n"):
                break
            self._known[key] = (scores, seconds)
            good += len(line)
        self._file.truncate(good)

    def get(self, key: str) -> tuple[list[float | None], float] | None:
        """The scores and the seconds they took, where they are known."""
        return self._known.get(key)

    def put(self, key: str, scores: list[float | None], seconds: float) -> None:
        """Keep scores; once this returns, a kill of this process does not lose them."""
        self._known[key] = (scores, seconds)
        if self._file:
            self._file.write(msgspec.json.encode((key, scores, seconds)) + b"\n")
            self._file.flush()

    def recall(self, key: str, compute: Callable[[], Iterable[float | None]]) -> tuple[list[float | None], float]:
        """The scores and the seconds they took: as they are known, or computed and kept."""
        known = self.get(key)
        if known is None:
            started = time.perf_counter()
            scores = [None if value is None else float(value) for value in compute()]
            known = scores, time.perf_counter() - started
            self.put(key, *known)
        return known

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def __enter__(self) -> ScoreCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def key_of(command: str, runs: Iterable[Episode]) -> str:
    """What the scores of one command and its runs are kept under."""
    text = msgspec.json.encode([command, [run.steps for run in runs]])
    return hashlib.sha256(text).hexdigest()[:24]


# --- running the methods


def run_methods(
    labelled: Sequence[LabelledEpisode],
    methods: Iterable[AnyMethod],
    *,
    cache: Path | None = None,
    fingerprint: Callable[..., str] = lambda *_: "",
    progress: bool = True,
) -> list[MethodScores]:
    """Every method over every episode, one method after the other (``methods`` may open them one by one)."""
    results: list[MethodScores] = []
    for method in methods:
        try:
            if isinstance(method, Ranker):
                results.append(_run_ranker(labelled, method, cache, fingerprint, progress))
            else:
                scorer = SingleScore(method) if isinstance(method, Method) else method
                results += _run_scorer(labelled, scorer, cache, fingerprint, progress)
        except ConfigError as error:  # a judge that talks in chat, and a model that does not
            name = method.name if isinstance(method, Method) else method.id
            tqdm.write(f"flip-edge: left out {name}: {error}", file=sys.stderr)
    return results


def _run_scorer(
    labelled: Sequence[LabelledEpisode],
    scorer: Scorer | Measurer,
    folder: Path | None,
    fingerprint: Callable[..., str],
    progress: bool,
) -> list[MethodScores]:
    table = np.full((len(labelled), len(scorer.columns)), np.nan)
    seconds = []
    with ScoreCache(folder, f"{scorer.id} {fingerprint(*scorer.code)}") as cache:
        for index, row in enumerate(tqdm(labelled, desc=scorer.columns[0].name, unit="run", disable=not progress)):
            episode = row.episode
            measuring = scorer.measure if isinstance(scorer, Measurer) else scorer.scores
            known = cache.recall(key_of(episode.command, [episode]), partial(measuring, episode))
            scores = scorer.scores_from(known[0]) if isinstance(scorer, Measurer) else known[0]
            table[index] = [np.nan if value is None else value for value in scores]
            seconds.append(known[1])
    everywhere = np.ones(len(labelled), dtype=np.bool_)
    return [
        MethodScores(column, table[:, index], False, everywhere, float(np.median(seconds)) if seconds else 0.0)
        for index, column in enumerate(scorer.columns)
    ]


def _run_ranker(
    labelled: Sequence[LabelledEpisode],
    ranker: Ranker,
    folder: Path | None,
    fingerprint: Callable[..., str],
    progress: bool,
) -> MethodScores:
    values = np.full(len(labelled), np.nan)
    asked = np.zeros(len(labelled), dtype=np.bool_)
    seconds = []
    with ScoreCache(folder, f"{ranker.id} {fingerprint(*ranker.code)}") as cache:
        lists = _candidates(labelled, ranker.at_once)
        for true, others in tqdm(lists, desc=ranker.columns[0].name, unit="list", disable=not progress):
            runs = [labelled[index].episode for index in (true, *others)]
            known = cache.recall(key_of(runs[0].command, runs), partial(_ranked, ranker, runs))
            asked[list(others)] = True
            if preferences := [value for value in known[0] if value is not None]:
                for index, other in zip(others, preferences[1:], strict=True):
                    values[index] = (preferences[0] > other) + 0.5 * (preferences[0] == other)
            seconds.append(known[1])
    return MethodScores(ranker.columns[0], values, True, asked, float(np.median(seconds)) if seconds else 0.0)


def _ranked(ranker: Ranker, runs: Sequence[Episode]) -> Sequence[float]:
    ranked = ranker.rank(runs[0].command, runs)
    return () if ranked is None else ranked


def _candidates(labelled: Sequence[LabelledEpisode], at_once: int) -> list[tuple[int, tuple[int, ...]]]:
    """Each true run with mismatches of the same command, as many at once as the ranker takes."""
    true: dict[tuple[str, str], int] = {}
    others: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, row in enumerate(labelled):
        name = (row.group, row.episode.command)
        if row.match:
            true.setdefault(name, index)
        else:
            others[name].append(index)
    size = at_once - 1
    return [
        (index, tuple(others[name][start : start + size]))
        for name, index in true.items()
        for start in range(0, len(others[name]), size)
    ]


def evaluate(
    labelled: Sequence[LabelledEpisode],
    methods: Iterable[AnyMethod],
    *,
    seed: int = 0,
    bootstrap: int = 1000,
    cache: Path | None = None,
    fingerprint: Callable[..., str] = lambda *_: "",
    progress: bool = True,
    notes: Mapping[str, Any] | None = None,
) -> Results:
    """Run every method over every episode and compute the table.

    Args:
        labelled: from :func:`flip_edge.datasets.make_episodes`.
        methods: what to measure. The first column with any answer is the reference that others are compared with.
        seed: of the bootstrap and of the split that thresholds are held out by.
        bootstrap: how many samples the intervals are taken from.
        cache: folder for scores as they are computed; None keeps none.
        fingerprint: of modules, as :func:`flip_edge.methods.code_fingerprint`: changed code does not meet old scores.
        progress: show a bar for each method.
        notes: kept with the results.
    """
    scores = run_methods(labelled, methods, cache=cache, fingerprint=fingerprint, progress=progress)
    return tabulate(labelled, scores, seed=seed, bootstrap=bootstrap, notes=notes)


# --- the command line: `flip-edge evaluate`


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``flip-edge evaluate``, but for the settings that all commands share."""
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="LABELLED.jsonl",
        help='runs, a line each: {"id", "command", "actions", "outcome": "success" | "failure"}',
    )
    parser.add_argument(
        "--methods",
        default=",".join(QUICK),
        metavar="NAMES",
        help=f"what to measure, with commas, or all: {', '.join(QUICK + SLOW)} (default: {', '.join(QUICK)})",
    )
    parser.add_argument(
        "--negatives",
        default=",".join(KINDS),
        metavar="KINDS",
        help=f"mismatches to make from successful runs, or to take as recorded: {', '.join(KINDS)} (default: all)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most N successful runs, and N failures, of a source")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="for negatives, splits and intervals")
    parser.add_argument("--bootstrap", type=int, default=1000, metavar="N", help="samples for the intervals")
    parser.add_argument("--keep-numbers", action="store_true", help="keep ALFWorld's object numbers in the steps")
    parser.add_argument("--contrast", action="store_true", help="measure the contrast set as well")
    parser.add_argument("--report", type=Path, metavar="OUT.html", help="write a report with curves and histograms")
    parser.add_argument("--json", dest="json_path", type=Path, metavar="OUT.json", help="write the table as JSON")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="keep scores here, and resume from them (default: the user's cache)"
    )
    parser.add_argument("--no-cache", action="store_true", help="compute everything anew and keep nothing")


def default_cache() -> Path:
    """Where scores are kept unless told otherwise."""
    return Path(platformdirs.user_cache_dir("flip_edge")) / "evaluations"


def run(arguments: argparse.Namespace, config: Config) -> int:
    """Run ``flip-edge evaluate``: print the table, write what was asked for. Returns the exit code.

    Raises:
        FlipEdgeError: an input, a name or a setting is wrong.
    """
    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(f"--limit is {arguments.limit}; it takes at least 1 run")
    names = QUICK + SLOW if arguments.methods == "all" else arguments.methods.split(",")
    if arguments.report:
        evaluation_report.require_matplotlib()
    runs = [run for path in arguments.inputs for run in read_runs(path, keep_numbers=arguments.keep_numbers)]
    labelled = make_episodes(runs, kinds=arguments.negatives.split(","), limit=arguments.limit, seed=arguments.seed)
    contrasts = contrast_set.episodes() if arguments.contrast else []
    scores = run_methods(
        [*labelled, *contrasts],
        open_methods(names, config),
        cache=None if arguments.no_cache else arguments.cache or default_cache(),
        fingerprint=code_fingerprint,
        progress=sys.stderr.isatty(),
    )
    notes = {"command_line": shlex.join(["flip-edge", *sys.argv[1:]]), "model": config.model}
    results = tabulate(
        labelled,
        [method.part(slice(len(labelled))) for method in scores],
        seed=arguments.seed,
        bootstrap=arguments.bootstrap,
        notes=notes,
    )
    shares = [
        share
        for method in scores
        if contrasts and not method.ranks
        for share in contrast_set.measure(
            method.column.name,
            _scores_of(method.part(slice(len(labelled), None)), contrasts),
            method.column.threshold,
        )
    ]
    print(to_text(results))
    if shares:
        print("\n" + contrast_set.to_text(shares))
    if arguments.json_path:
        data = {**results.to_dict(), "contrasts": msgspec.to_builtins(shares)}
        _write(arguments.json_path, json.dumps(data, indent=1) + "\n")
    if arguments.report:
        _write(arguments.report, evaluation_report.to_html(results, shares))
    return 0


def _scores_of(method: MethodScores, rows: Sequence[LabelledEpisode]) -> Callable[[Episode], float | None]:
    """A method's scores, looked up."""
    known = {
        (row.episode.command, row.episode.steps): None if np.isnan(value) else float(value)
        for row, value in zip(rows, method.scores, strict=True)
    }
    return lambda episode: known[episode.command, episode.steps]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
