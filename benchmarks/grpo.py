"""What training by a reward does: ``python -m benchmarks.grpo ALFRED_DEV.jsonl --run flip=DIR pointwise=DIR -o DIR``.

The adapters that runs of ``training.grpo`` kept write plans for commands that no policy was taught: drawn ones, and the
likeliest. Measured are both rewards and, by ALFRED's symbolic plan and no model, the quality of the plan
(``training.plan_quality``). Every record is kept in DIR as it comes; the same command goes on.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.kept import Kept
from benchmarks.scaling import estimate, told
from flip_edge.config import Config
from flip_edge.errors import FlipEdgeError, InputError
from flip_edge.evaluation_report import load_matplotlib
from flip_edge.statistics import Floats
from training.export import export
from training.grpo import REWARDS, open_reward
from training.plan_quality import quality
from training.policy import Wish, Writer, wishes

START = "start"
"""What the adapter of step 0 is called, which is the same in every run."""
_STEP = re.compile(r"step-(\d+)")
MEASURES: Mapping[str, str] = {
    "flip": "FLIP reward",
    "pointwise": "judge's reward",
    "quality": "plan quality",
    "exact": "exact plans",
    "words": "words a plan",
}

Adapter = tuple[str, int, Path]
"""A run's name, a step, and the folder of the adapter."""


def adapters(runs: Mapping[str, Path], every: int) -> list[Adapter]:
    """The adapters to measure: of step 0, of every so many steps, and the last one of each run.

    Raises:
        InputError: a run has none, or runs begin with different adapters.
    """
    found: list[Adapter] = []
    first: bytes | None = None
    for name, folder in runs.items():
        steps = {int(match[1]): path for path in folder.glob("step-*") if (match := _STEP.fullmatch(path.name))}
        if 0 not in steps or len(steps) < 2:
            raise InputError(f"{folder} is no finished run of training.grpo: it has no step-0000 or nothing after it")
        weights = (steps[0] / "adapter_model.safetensors").read_bytes()
        if first is None:
            found.append((START, 0, steps[0]))
        elif weights != first:
            raise InputError(f"{folder} goes on from another policy than the runs before it")
        first = weights
        wanted = {step for step in steps if step % every == 0} | {max(steps)}
        found += [(name, step, steps[step]) for step in sorted(wanted - {0})]
    return found


def write(kept: Kept, adapter: Adapter, rows: Sequence[Wish], *, draws: int, folder: Path, n_threads: int) -> None:
    """Let a policy write plans for every row: independent draws, and last the likeliest."""
    name, step, source = adapter
    left = [row for row in rows if not kept.find(name, step, row.id)]
    if not left:
        return
    target = folder / f"{name}-{step:04d}.gguf"
    export(source, target)
    with Writer(target, n_threads=n_threads) as writer:
        for row in tqdm(left, desc=f"{name}, step {step}: plans", unit="command", disable=None):
            plans = [*writer.draw(row.command, draws), writer.likeliest(row.command)]
            measured = [quality(plan, row.acts) for plan in plans]
            kept.add(
                {
                    "run": name,
                    "step": step,
                    "id": row.id,
                    "command": row.command,
                    "plans": plans,
                    "quality": [one.score for one in measured],
                    "exact": [float(one.exact) for one in measured],
                    "words": [float(len(plan.split())) for plan in plans],
                }
            )
    target.unlink()


def reward(rewarded: Kept, kept: Kept, name: str, config: Config) -> None:
    """Reward all plans as :mod:`training.grpo` does."""
    left = [row for row in kept.records.values() if not rewarded.find(name, row["run"], row["step"], row["id"])]
    if not left:
        return
    function, close = open_reward(name, config)
    try:
        for row in tqdm(left, desc=f"rewards: {name}", unit="command", disable=None):
            distinct = list(dict.fromkeys(row["plans"]))
            prompt = [{"role": "user", "content": row["command"]}]
            answers = [[{"role": "assistant", "content": plan}] for plan in distinct]
            found = dict(zip(distinct, function([prompt] * len(answers), answers), strict=True))
            values = [found[plan] or 0.0 for plan in row["plans"]]
            rewarded.add({"reward": name, **{key: row[key] for key in ("run", "step", "id")}, "values": values})
    finally:
        close()


# --- tables


Points = dict[tuple[str, int], Floats]
"""By run and step, a figure a command."""


def points(kept: Kept, rewarded: Kept, measure: str, *, likeliest: bool = False) -> Points:
    """A measure of the drawn plans, their mean by command, or of the likeliest, for commands that all adapters had."""
    rows = list(kept.records.values())
    known: dict[tuple[str, int], dict[str, float]] = {}
    for row in rows:
        if measure in REWARDS:
            record = rewarded.find(measure, row["run"], row["step"], row["id"])
            values = record["values"] if record else None
        else:
            values = row[measure]
        if values is not None:
            mean = values[-1] if likeliest else float(np.mean(values[:-1]))
            known.setdefault((row["run"], row["step"]), {})[row["id"]] = mean
    if not known:
        return {}
    common = sorted(set.intersection(*(set(by_id) for by_id in known.values())))
    return {key: np.array([by_id[id_] for id_ in common]) for key, by_id in known.items()}


def table(kept: Kept, rewarded: Kept, *, likeliest: bool) -> str:
    """Every adapter's means, with 95 % intervals over commands."""
    by_measure = {name: points(kept, rewarded, name, likeliest=likeliest) for name in MEASURES}
    lines = ["| rewarded by | step | " + " | ".join(MEASURES.values()) + " |", "|---|---|" + "---|" * len(MEASURES)]
    for key in by_measure["quality"]:
        cells = [_cell(found, lambda some, key=key: some[key]) for found in by_measure.values()]
        lines.append(f"| {key[0]} | {key[1]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def changes(kept: Kept, rewarded: Kept, *, likeliest: bool) -> str:
    """The last adapter of each run less the start, and less each other's, paired by command."""
    by_measure = {name: points(kept, rewarded, name, likeliest=likeliest) for name in MEASURES}
    last = {name: max(step for run, step in by_measure["quality"] if run == name) for name, _ in by_measure["quality"]}
    ends = list(last.items())
    lines = ["| | " + " | ".join(MEASURES.values()) + " |", "|---|" + "---|" * len(MEASURES)]
    for place, first in enumerate(ends):
        for second in ends[:place]:
            cells = [
                _cell(found, lambda some, a=first, b=second: some[a] - some[b], True) for found in by_measure.values()
            ]
            lines.append(f"| {first[0]} less {second[0]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(found: Points, figure: Callable[[Points], Floats], sign: bool = False) -> str:
    try:
        return told(estimate(figure(found)), sign=sign)
    except KeyError:  # not measured yet
        return ""


def report(kept: Kept, rewarded: Kept) -> str:
    """All tables."""
    if not kept.records:
        return "no plans yet"
    common = len(next(iter(points(kept, rewarded, "quality").values())))
    parts = [f"{common} commands that every adapter wrote plans for"]
    for title, likeliest in (("Drawn plans", False), ("The likeliest plan", True)):
        parts += [
            f"## {title}",
            table(kept, rewarded, likeliest=likeliest),
            changes(kept, rewarded, likeliest=likeliest),
        ]
    return "\n\n".join(parts)


def plot(kept: Kept, rewarded: Kept, path: Path) -> None:
    """Rewards and quality by step as a picture."""
    names = ("flip", "pointwise", "quality")
    figure = load_matplotlib(".figure").Figure(figsize=(9, 3.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names)), names, strict=True):
        found = points(kept, rewarded, name)
        for run in dict.fromkeys(run for run, _ in found if run != START):
            steps = sorted((step, values) for (of, step), values in found.items() if of in (run, START))
            places = [step for step, _ in steps]
            figures = [estimate(values) for _, values in steps]
            axes.plot(places, [one.value for one in figures], marker="o", markersize=3, label=f"rewarded by {run}")
            axes.fill_between(places, [one.low for one in figures], [one.high for one in figures], alpha=0.2)
        axes.set_title(MEASURES[name], fontsize="medium")
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path)


# --- the command


def _run(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not equals or not name or name == START or not re.fullmatch(r"[\w-]+", name):
        raise argparse.ArgumentTypeError(f"NAME=DIR is wanted, not {text!r}")
    return name, Path(folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line names and print the tables. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grpo", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("rows", type=Path, metavar="ALFRED_DEV.jsonl")
    parser.add_argument("--run", type=_run, nargs="+", default=[], metavar="NAME=DIR", help="runs of training.grpo")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--limit", type=int, default=64, help="commands (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=4, help="plans a command (default: %(default)s)")
    parser.add_argument("--every", type=int, default=10, help="steps between adapters (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    options = parser.parse_args(argv)
    try:
        kept = Kept(options.output / "plans.jsonl", ("run", "step", "id"))
        rewarded = Kept(options.output / "rewards.jsonl", ("reward", "run", "step", "id"))
        if options.run:
            rows = wishes(options.rows)[: options.limit]
            for adapter in adapters(dict(options.run), options.every):
                write(kept, adapter, rows, draws=options.draws, folder=options.output, n_threads=options.threads)
            for name in REWARDS:
                reward(rewarded, kept, name, Config(n_threads=options.threads))
        print(report(kept, rewarded))
        if options.plot:
            plot(kept, rewarded, options.plot)
    except (FlipEdgeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on from {options.output}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
