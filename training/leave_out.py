"""What an adapter is worth where nothing alike was trained on: ``python -m training.leave_out --data DIR -o DIR``.

Sources and styles are left out in turn, :data:`FOLDS` at a time. For each fold an adapter is trained on the rest as the
shipped one is, on fewer rows, and asked about rows of what was left out. Beside it stands the model without adapter,
with its own prompt, and words alone. The weights of both scores are fitted on the rows of the other folds that are of
other sources and other styles: nothing that a cell of the table depends on has seen its source or style.

Every part is kept and not made again, so an interrupted run goes on where it was; folds can be made side by side, with
``--fold``. The last one to finish prints the table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from flip_edge.calibrate import score_weights
from flip_edge.errors import FlipEdgeError, InputError
from flip_edge.models import sha256_of
from flip_edge.statistics import auroc
from training import prepare
from training.evidence import Observed, observed

GROUPS = ("another", "wrong", "unfinished")
_FINISHED = "finished"  # until it is there, another process may be at work on the fold
_FEWEST = 8  # runs of either class; fewer make no line


@dataclass(frozen=True)
class Fold:
    """What is left out together."""

    sources: tuple[str, ...]
    styles: tuple[str, ...]

    def has(self, source: str, style: str) -> bool:
        """Whether such rows were left out."""
        return source in self.sources or style in self.styles


FOLDS: Mapping[str, Fold] = {
    "1": Fold(("alfred",), ("sentences", "json")),
    "2": Fold(("synthetic",), ("describer", "skill_calls")),
    "3": Fold(("gridworld",), ("environment", "narrative")),
    "4": Fold(("roomworld",), ("people", "status_lines")),
    "5": Fold(("virtualhome", "saycan"), ("terse", "telemetry")),
}
"""Together every source and every style, each once."""


@dataclass(frozen=True)
class Recipe:
    """How a fold's adapter is made; see training.train for the rest.

    Attributes:
        rows: to train on.
        contrast_steps: of stage 2.
        start: an adapter that knows none of the sources, such as one of the corpus alone, to begin stage 2 with; None
            for stage 1 on the fold's own rows.
        test_rows: to ask it about.
        negatives: of a row that it is asked about, at most.
        sources: there are.
        seed: for every choice.
    """

    rows: int = 2000
    contrast_steps: int = 60
    start: Path | None = None
    test_rows: int = 110
    negatives: int = 4
    sources: tuple[str, ...] = tuple(prepare.SOURCES)
    seed: int = 0


# --- making a fold


def make_fold(fold: Fold, data: Path, folder: Path, recipe: Recipe, *, n_threads: int = 1) -> None:
    """Train an adapter without the fold's sources and styles, and ask it and the bare model about them.

    Args:
        fold: what to leave out.
        data: the folder of the recorded data.
        folder: for everything that is made; what lies there already is not made again.
        recipe: how.
        n_threads: processor threads.

    Raises:
        FlipEdgeError: an input cannot be used.
        KeyboardInterrupt: the training was interrupted; its checkpoint is kept.
    """
    # Here, because the table alone needs no torch.
    import torch

    from training.export import export
    from training.model import best_dtype
    from training.train import Options, train

    torch.set_num_threads(n_threads)
    folder.mkdir(parents=True, exist_ok=True)
    _keep_recipe(folder, recipe)
    rows, adapter = folder / "rows.jsonl", folder / "adapter.gguf"
    if not rows.exists():
        prepare.write_rows(_known(fold, data, recipe), rows)
    if not adapter.exists():
        first = Options(rows, dtype=best_dtype("cpu"), seed=recipe.seed)
        second = replace(
            first,
            objective="contrast",
            start=recipe.start or folder / "likelihood",
            learning_rate=5e-4,
            steps=recipe.contrast_steps,
        )
        stages = [("contrast", second)] if recipe.start else [("likelihood", first), ("contrast", second)]
        for stage, options in stages:
            # A stage that has finished goes on for no steps at all.
            if not train(options, folder / stage, every=50, resume=(folder / stage / "checkpoint.pt").exists()):
                raise KeyboardInterrupt
        export(folder / "contrast", adapter)
    for _ in _asked(fold, data, folder, recipe, n_threads):
        pass
    (folder / _FINISHED).touch()


def _keep_recipe(folder: Path, recipe: Recipe) -> None:
    """What lies in a folder must have been made by the same recipe."""
    start = recipe.start and sha256_of(recipe.start)
    file, text = folder / "recipe.json", json.dumps({**vars(recipe), "start": start})
    if file.exists() and file.read_text(encoding="utf-8") != text:
        raise InputError(f"{folder} was begun with another recipe; give the same options, or another folder")
    file.write_text(text, encoding="utf-8")


def _known(fold: Fold, data: Path, recipe: Recipe) -> prepare.Options:
    """What a fold's adapter is trained on."""
    return prepare.Options(
        data,
        recipe.rows,
        seed=recipe.seed,
        sources=tuple(source for source in recipe.sources if source not in fold.sources),
        styles=tuple(style for style in prepare.STYLES if style not in fold.styles),
        part="train",
    )


def _unknown(fold: Fold, data: Path, recipe: Recipe) -> dict[str, prepare.Options]:
    """What it is asked about: sources left out, in any style, and styles left out, of other sources."""
    asked = replace(
        _known(fold, data, recipe),
        limit=recipe.test_rows // 2,
        part="test",
        negatives=recipe.negatives,
        seed=recipe.seed + 1,
    )
    sources = tuple(source for source in recipe.sources if source in fold.sources)
    found = {"style": replace(asked, styles=fold.styles)}
    return found | ({"source": replace(asked, sources=sources, styles=prepare.STYLES)} if sources else {})


def _asked(fold: Fold, data: Path, folder: Path, recipe: Recipe, n_threads: int) -> Iterator[tuple[Observed, Observed]]:
    """Every run that the fold is asked about, with the adapter and without."""
    for what, options in _unknown(fold, data, recipe).items():
        rows = folder / f"test-{what}.jsonl"
        if not rows.exists():
            prepare.write_rows(options, rows)
        scores = folder / "scores"
        yield from zip(
            observed(rows, str(folder / "adapter.gguf"), scores, n_threads=n_threads),
            observed(rows, "none", scores, n_threads=n_threads),
            strict=True,
        )


# --- the table


@dataclass(frozen=True)
class Asked:
    """A run that was asked about: of which fold, and what was found with its adapter and without."""

    fold: str
    adapted: Observed
    bare: Observed


def table(asked: Sequence[Asked]) -> Iterator[str]:
    """Lines of text: sources and styles down, each by group of mismatch; AUROC across."""
    columns = ("score", "without", "words", "gain")
    yield f"{'AUROC':<28}{'runs':>6}" + "".join(f"{column:>10}" for column in columns)
    scored = list(chain.from_iterable(_scored(fold, asked) for fold in FOLDS))
    found: dict[str, list[list[float]]] = {}
    for name in (*prepare.SOURCES, *prepare.STYLES):  # no source is called like a style
        members = [(run, scores) for run, scores in scored if name in (run.source, run.style)]
        for group in GROUPS:
            here = [pair for pair in members if pair[0].sample.matches or pair[0].sample.kind == group]
            match = np.array([run.sample.matches for run, _ in here], dtype=np.bool_)
            if min(match.sum(), (~match).sum()) < _FEWEST:
                continue
            values = [auroc(np.array(column), match) for column in zip(*(scores for _, scores in here), strict=True)]
            found.setdefault(group, []).append(values)
            yield f"{name + ', ' + group:<28}{(~match).sum():>6}" + "".join(f"{value:>10.3f}" for value in values)
    for group, rows in found.items():
        yield f"{'mean, ' + group:<34}" + "".join(f"{value:>10.3f}" for value in np.mean(rows, axis=0))


def _scored(fold: str, asked: Sequence[Asked]) -> Iterator[tuple[Observed, list[float]]]:
    """Of a fold's runs: the scores with and without adapter, words alone, and the gain with the adapter."""
    here = [run for run in asked if run.fold == fold]
    if not here:
        return
    left_out = FOLDS[fold]
    others = [run for run in asked if run.fold != fold and not left_out.has(run.adapted.source, run.adapted.style)]
    adapted, _ = score_weights(run.adapted.sample for run in others)
    bare, _ = score_weights(run.bare.sample for run in others)
    for run in here:
        gain = run.adapted.sample.gain
        scores = [_score(run.adapted, adapted), _score(run.bare, bare), run.adapted.words]
        yield run.adapted, [*scores, -np.inf if gain is None else gain]


def _score(run: Observed, weights: Mapping[str, float]) -> float:
    found = run.sample.found
    return -np.inf if found is None else sum(weight * found[name] for name, weight in weights.items())


# --- the command line


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and return the exit code."""
    default = Recipe()
    parser = argparse.ArgumentParser(
        prog="python -m training.leave_out",
        description="Leave sources and styles out in turn, and measure on what was left out.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder of the recorded data")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="a folder for all that is made")
    parser.add_argument("--fold", action="append", choices=FOLDS, help="make this one; can be repeated (default: all)")
    parser.add_argument("--rows", type=int, default=default.rows, help="that each adapter is trained on")
    parser.add_argument("--contrast-steps", type=int, default=default.contrast_steps, help="of stage 2")
    parser.add_argument("--start", type=Path, metavar="ADAPTER.gguf", help="begin there, without stage 1")
    parser.add_argument("--test-rows", type=int, default=default.test_rows, help="that each is asked about")
    parser.add_argument(
        "--source", action="append", choices=prepare.SOURCES, help="there is; can be repeated (default: all)"
    )
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    arguments = parser.parse_args(argv)
    recipe = Recipe(
        rows=arguments.rows,
        contrast_steps=arguments.contrast_steps,
        start=arguments.start,
        test_rows=arguments.test_rows,
        sources=tuple(arguments.source or default.sources),
        seed=arguments.seed,
    )
    try:
        for name in arguments.fold or FOLDS:
            print(f"fold {name}: without {', '.join((*FOLDS[name].sources, *FOLDS[name].styles))}", file=sys.stderr)
            make_fold(FOLDS[name], arguments.data, arguments.output / name, recipe, n_threads=arguments.threads)
        if missing := [name for name in FOLDS if not (arguments.output / name / _FINISHED).exists()]:
            print(f"no table yet: fold {', '.join(missing)} is missing", file=sys.stderr)
            return 0
        asked = [
            Asked(name, *pair)
            for name, fold in FOLDS.items()
            for pair in _asked(fold, arguments.data, arguments.output / name, recipe, arguments.threads)
        ]
        print("\n".join(table(asked)))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    except (FlipEdgeError, OSError) as error:
        print(f"python -m training.leave_out: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
