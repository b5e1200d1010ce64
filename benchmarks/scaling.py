"""Best of N plans: ``python -m benchmarks.scaling ALFRED_DEV.jsonl --policy POLICY.gguf -o DIR``.

A small policy (``training.policy``) draws plans for commands that it was not taught; backward inference, judges on the
same model and what needs no model pick one of the first 1, 2, 4, 8, 16. How good the pick is says ALFRED's symbolic
plan, and no model (``training.plan_quality``). Every record is kept in DIR as it comes; the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.kept import Kept
from flip_edge.baselines.judges import ChoiceJudge, PointwiseJudge
from flip_edge.config import Config
from flip_edge.episode import Episode
from flip_edge.errors import FlipEdgeError
from flip_edge.evaluation_report import load_matplotlib
from flip_edge.exchange import steps_of
from flip_edge.prompts import DEFAULT_PROMPT
from flip_edge.rank import config_for
from flip_edge.reward import FlipReward
from flip_edge.selfcheck import SelfCheck
from flip_edge.similarity import compare
from flip_edge.statistics import Estimate, Floats, interval
from training.plan_quality import quality
from training.policy import Wish, Writer, wishes

SIZES = (1, 2, 4, 8, 16)
"""What the best is picked of; smaller ones are the first of the same draws."""
_RESAMPLES = 5000

Picks = dict[str, list[int]]
"""By size, the places of the plans that tie for the first place."""


# --- pickers: plans without repetitions, in the order in which they were drawn


def best_of(scores: Sequence[float | None], drawn: Sequence[int]) -> Picks:
    """The picks of a method that scores plans one by one.

    Args:
        scores: of the distinct plans; None, where there is none, comes last.
        drawn: which of them each draw was.
    """
    known = [float("-inf") if score is None else score for score in scores]
    picks: Picks = {}
    for size in SIZES:
        among = sorted(set(drawn[:size]))
        best = max(known[plan] for plan in among)
        picks[str(size)] = [plan for plan in among if known[plan] == best]
    return picks


class Picker:
    """Picks plans for a command; a subclass for each way to.

    Attributes:
        name: in tables.
    """

    name: str

    def pick(self, command: str, plans: Sequence[str], drawn: Sequence[int]) -> dict[str, Picks]:
        """The picks, by the name of the variant; one without a name has the picker's own."""
        raise NotImplementedError

    def close(self) -> None:
        """Free the model."""


class Flip(Picker):
    """Backward inference: likelihood of the command and, from the same reading, word F1 of the inferred one."""

    def __init__(self, name: str, config: Config, *, prompt: str = "auto", both: bool = False) -> None:
        self.name, self._both = name, both
        self._reward = FlipReward(config, prompt=prompt, method="likelihood", both=both)

    def pick(self, command: str, plans: Sequence[str], drawn: Sequence[int]) -> dict[str, Picks]:  # noqa: D102
        results = [self._reward.score(command, plan) for plan in plans]
        picks = {"": best_of([one.reward for one in results], drawn)}
        if self._both:
            picks["F1"] = best_of([one.f1s[0] if one.f1s else 0.0 for one in results], drawn)
        return picks

    def close(self) -> None:  # noqa: D102
        self._reward.close()


class _Judge(Picker):
    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self._check = SelfCheck(config_for("pointwise", config))

    def close(self) -> None:
        self._check.close()


class Pointwise(_Judge):
    """A rating of each, the expected one under the model's probabilities."""

    def pick(self, command: str, plans: Sequence[str], drawn: Sequence[int]) -> dict[str, Picks]:  # noqa: D102
        judge = PointwiseJudge(self._check.engine, self._check.model_id)
        return {"": best_of([judge.scores(run)[0] for run in _runs(command, plans)], drawn)}


class Pairwise(_Judge):
    """A choice between the best so far and the next, both ways round: N - 1 choices, as a tournament has."""

    def pick(self, command: str, plans: Sequence[str], drawn: Sequence[int]) -> dict[str, Picks]:  # noqa: D102
        judge = ChoiceJudge(self._check.engine, self._check.model_id)
        runs = _runs(command, plans)
        best, picks = 0, {}
        for size, plan in enumerate(drawn, 1):
            if plan not in drawn[: size - 1] and plan != best:
                preferred = judge.rank(command, [runs[best], runs[plan]])
                if preferred and preferred[1] > preferred[0]:
                    best = plan
            if size in SIZES:
                picks[str(size)] = [best]
        return {"": picks}


class Listwise(_Judge):
    """A choice among all, in the order in which they were drawn: in every rotation it would take a day."""

    def pick(self, command: str, plans: Sequence[str], drawn: Sequence[int]) -> dict[str, Picks]:  # noqa: D102
        judge = ChoiceJudge(self._check.engine, self._check.model_id, at_once=max(3, len(plans)), rotated=False)
        runs = _runs(command, plans)
        picks: Picks = {}
        known: dict[int, list[int]] = {}  # by how many distinct plans: larger sizes may bring no new one
        for size in SIZES:
            count = max(drawn[:size]) + 1
            if count not in known:
                preferred = judge.rank(command, runs[:count]) if count > 1 else [1.0]
                values = list(preferred or [0.0] * count)
                known[count] = [plan for plan in range(count) if values[plan] == max(values)]
            picks[str(size)] = known[count]
        return {"": picks}


class Words(Picker):
    """No model: the word F1 of the plan itself and the command."""

    name = "word overlap"

    def pick(self, command: str, plans: Sequence[str], drawn: Sequence[int]) -> dict[str, Picks]:  # noqa: D102
        return {"": best_of([compare(plan, command).f1 for plan in plans], drawn)}


class Vote(Picker):
    """No model: the plan that was drawn most often."""

    name = "most frequent plan"

    def pick(self, command: str, plans: Sequence[str], drawn: Sequence[int]) -> dict[str, Picks]:  # noqa: D102
        picks: Picks = {}
        for size in SIZES:
            counts = Counter(drawn[:size])
            picks[str(size)] = sorted(plan for plan in counts if counts[plan] == max(counts.values()))
        return {"": picks}


def _runs(command: str, plans: Sequence[str]) -> list[Episode]:
    return [Episode.of(command, steps_of(plan) or ["nothing"]) for plan in plans]


def _bare(config: Config) -> Config:
    return config.replace(adapter="none")


PICKERS: Mapping[str, Callable[[Config], Picker]] = {
    "flip": partial(Flip, "FLIP likelihood", both=True),
    "flip-bare": lambda config: Flip("FLIP likelihood, no adapter", _bare(config), prompt=DEFAULT_PROMPT, both=True),
    "pointwise": partial(Pointwise, "judge: pointwise"),
    "pairwise": partial(Pairwise, "judge: pairwise"),
    "listwise": partial(Listwise, "judge: listwise"),
    "words": lambda _: Words(),
    "vote": lambda _: Vote(),
}


# --- running


def draw(kept: Kept, policy: Path, rows: Sequence[Wish], *, seed: int, n_threads: int) -> None:
    """Draw every row's plans and measure them."""
    left = [row for row in rows if not kept.find(row.id, seed)]
    if not left:
        return
    with Writer(policy, n_threads=n_threads) as writer:
        for row in tqdm(left, desc="drawing plans", unit="command", disable=None):
            plans = writer.draw(row.command, max(SIZES), seed=seed)
            distinct = list(dict.fromkeys(plans))
            measured = [quality(plan, row.acts) for plan in distinct]
            kept.add(
                {
                    "id": row.id,
                    "seed": seed,
                    "command": row.command,
                    "plans": distinct,
                    "drawn": [distinct.index(plan) for plan in plans],
                    "quality": [one.score for one in measured],
                    "exact": [one.exact for one in measured],
                }
            )


def pick(picked: Kept, drawn: Kept, name: str, config: Config) -> None:
    """Let a picker pick for every row that was drawn."""
    left = [row for row in drawn.records.values() if not picked.find(row["id"], row["seed"], name)]
    if not left:
        return
    picker = PICKERS[name](config)
    try:
        for row in tqdm(left, desc=picker.name, unit="command", disable=None):
            found = picker.pick(row["command"], row["plans"], row["drawn"])
            named = {f"{picker.name}, {variant}" if variant else picker.name: picks for variant, picks in found.items()}
            picked.add({"id": row["id"], "seed": row["seed"], "picker": name, "picks": named})
    finally:
        picker.close()


# --- tables


@dataclass(frozen=True)
class Curve:
    """The measure of the picks of a method.

    Attributes:
        name: of the method.
        values: a row a command, a column a size.
    """

    name: str
    values: Floats


def curves(drawn: Kept, picked: Kept, measure: str) -> list[Curve]:
    """The curves of every method that has picked for all rows, and of the references.

    Args:
        drawn, picked: the records.
        measure: ``quality`` or ``exact``.
    """
    rows = list(drawn.records.values())
    values: dict[str, list[list[float]]] = {}
    for row in rows:
        figures = [float(value) for value in row[measure]]
        of_draws = [figures[plan] for plan in row["drawn"]]
        values.setdefault("at random", []).append([float(np.mean(of_draws[:size])) for size in SIZES])
        values.setdefault("the best there is", []).append([max(of_draws[:size]) for size in SIZES])
        for picker in PICKERS:
            record = picked.find(row["id"], row["seed"], picker)
            for name, picks in (record["picks"] if record else {}).items():
                values.setdefault(name, []).append(
                    [float(np.mean([figures[plan] for plan in picks[str(size)]])) for size in SIZES]
                )
    return [Curve(name, np.array(some)) for name, some in values.items() if len(some) == len(rows)]


def estimate(values: Floats, *, seed: int = 0) -> Estimate:
    """A mean over commands with its bootstrap interval."""
    drawn = np.random.default_rng(seed).integers(len(values), size=(_RESAMPLES, len(values)))
    return Estimate(float(values.mean()), *interval(values[drawn].mean(axis=1)))


def table(some: Sequence[Curve]) -> str:
    """Means over commands by size, with 95 % intervals."""
    lines = [
        "| pick of N by | " + " | ".join(map(str, SIZES)) + " |",
        "|---|" + "---|" * len(SIZES),
    ]
    for curve in some:
        cells = [told(estimate(curve.values[:, place])) for place in range(len(SIZES))]
        lines.append(f"| {curve.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def differences(some: Sequence[Curve], ours: str) -> str:
    """One method less every other, at the largest size, and less the first draw: paired, by command."""
    by_name = {curve.name: curve.values for curve in some}
    if ours not in by_name:
        return ""
    lines = [f"| {ours}, N = {SIZES[-1]}, less | difference |", "|---|---|"]
    lines.append(f"| the first draw | {told(estimate(by_name[ours][:, -1] - by_name[ours][:, 0]), sign=True)} |")
    for name, values in by_name.items():
        if name != ours:
            lines.append(f"| {name} | {told(estimate(by_name[ours][:, -1] - values[:, -1]), sign=True)} |")
    return "\n".join(lines)


def told(figure: Estimate, *, sign: bool = False) -> str:
    """A figure with its interval."""
    form = "+.3f" if sign else ".3f"
    return f"{figure.value:{form}} [{figure.low:{form}}, {figure.high:{form}}]"


def report(drawn: Kept, picked: Kept) -> str:
    """All tables."""
    rows = list(drawn.records.values())
    if not rows:
        return "no plans yet"
    distinct = float(np.mean([len(row["plans"]) for row in rows]))
    parts = [f"{len(rows)} commands, {distinct:.1f} distinct plans of {max(SIZES)} on average"]
    for measure, title in (("quality", "Quality of the plan"), ("exact", "Share of exact plans")):
        some = curves(drawn, picked, measure)
        parts.append(f"## {title}\n\n{table(some)}")
        for name in dict.fromkeys(curve.name for curve in some if curve.name.startswith("FLIP")):
            parts.append(differences(some, name))
    return "\n\n".join(parts)


def plot(some: Sequence[Curve], path: Path) -> None:
    """The curves as a picture."""
    figure = load_matplotlib(".figure").Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for curve in some:
        style = "--" if curve.name in ("at random", "the best there is") else "-"
        axes.plot(SIZES, curve.values.mean(axis=0), style, marker="o", markersize=3, label=curve.name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(SIZES, [str(size) for size in SIZES])
    axes.set_xlabel("plans to pick of")
    axes.set_ylabel("mean quality of the pick")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    figure.savefig(path)


# --- the command


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line names and print the tables. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.split("\n\n")[1])
    parser.add_argument("rows", type=Path, metavar="ALFRED_DEV.jsonl")
    parser.add_argument("--policy", type=Path, required=True, metavar="GGUF", help="an adapter of training.policy")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--limit", type=int, default=160, help="commands (default: %(default)s)")
    parser.add_argument("--picker", nargs="*", choices=tuple(PICKERS), default=list(PICKERS), help="(default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    options = parser.parse_args(argv)
    try:
        drawn = Kept(options.output / "plans.jsonl", ("id", "seed"))
        picked = Kept(options.output / "picks.jsonl", ("id", "seed", "picker"))
        draw(drawn, options.policy, wishes(options.rows)[: options.limit], seed=options.seed, n_threads=options.threads)
        for name in options.picker:
            pick(picked, drawn, name, Config(n_threads=options.threads))
        print(report(drawn, picked))
        if options.plot:
            plot(curves(drawn, picked, "quality"), options.plot)
    except FlipEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on from {options.output}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
