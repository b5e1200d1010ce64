"""Rows to train on: ``python -m training.prepare --data DIR -o OUT.jsonl``.

A row is one run with its command, and wrong runs or wrong commands for it::

    {"source", "style", "id", "group", "command", "actions", "negatives": [{"kind", "actions" or "command"}]}

The same options give the same file on every machine. What the development measurements use is kept out:
trajectories, commands and logs of ``alfred_dev`` and ``alfworld_runs_dev``, and the commands of the contrast set. These
files are read for nothing else.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flip_edge.contrast_set import contrast_pairs
from flip_edge.datasets import read_runs
from flip_edge.errors import FlipEdgeError, InputError
from flip_edge.similarity import normalize
from training import errands, gridworld, roomworld
from training.dressing import Dressing, may_leave
from training.negatives import Negative, Pool, in_peoples_words, make_negatives
from training.parts import part_of_task
from training.plan import Result, Task, seeded
from training.readers import READERS
from training.styles import FAMILIES, Style
from training.wording import Wording

PEOPLE = "people"
STYLES = (PEOPLE, *FAMILIES)
SOURCES: dict[str, float] = {
    "alfred": 0.35,
    "synthetic": 0.35,
    "gridworld": 0.12,
    "virtualhome": 0.09,
    "roomworld": 0.06,
    "saycan": 0.03,
}
"""Every source, with its share of the rows."""

_MAKERS: dict[str, Callable[[int], Iterator[Task]]] = {
    "synthetic": errands.make_tasks,
    "gridworld": gridworld.make_tasks,
    "roomworld": roomworld.make_tasks,
}
UNSEEN = ("alfred_dev.jsonl", "alfworld_runs_dev.jsonl")
PARTS = ("all", "train", "test")
_TEST_SHARE = 0.05
_STYLE_WEIGHTS = {
    "sentences": 3,
    "narrative": 1,
    "describer": 1.5,
    "terse": 1.5,
    "environment": 2,
    "skill_calls": 2,
    "status_lines": 1.5,
    "json": 1,
    "telemetry": 1.5,
}
_PEOPLE_SHARE = {"alfred": 0.5, "virtualhome": 0.4, "saycan": 0.3}
_PEOPLES_COMMANDS = {"alfred": 0.55, "gridworld": 0.35}
_COMMANDED_IN_IDENTIFIERS = {
    "environment": 0.65,
    "terse": 0.15,
    "skill_calls": 0.1,
    "status_lines": 0.1,
    "json": 0.1,
    "telemetry": 0.1,
}
"""How often commands name things as the log does: by those who play text games, or write a robot's missions."""
_PER_COMMAND = 40  # rows of household programs share few commands
_LONGEST_LOG = 1600  # characters; a robot's prompt is not longer either
_PARTS_SHARE = 0.2
_TRIES = 6


@dataclass(frozen=True)
class Options:
    """What to prepare.

    Attributes:
        data: the folder of the recorded data.
        limit: how many rows.
        seed: for every choice.
        styles, sources: which to use.
        part: ``train`` or ``test`` take disjoint groups.
        negatives: how many a row has at most.
    """

    data: Path
    limit: int
    seed: int = 0
    styles: tuple[str, ...] = STYLES
    sources: tuple[str, ...] = tuple(SOURCES)
    part: str = "all"
    negatives: int = 6


class Unseen:
    """What must stay unseen: trajectories, commands and logs of the development data."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._groups: set[str] = set()
        self._commands = {_key(pair) for both in contrast_pairs() for pair in (both.command, both.contrast)}
        self._logs: set[tuple[tuple[str, ...], ...]] = set()
        for path in files:
            for run in read_runs(path, keep_numbers=True):
                self._groups.add(run.group.partition(":")[2])
                self._commands.add(_key(run.command))
                self._logs.add(_log_key(run.actions))

    def task(self, task: Task) -> bool:
        """Whether the task is of such a trajectory or has such words."""
        return (
            task.group in self._groups
            or any(_key(command) in self._commands for command in task.commands)
            or (bool(task.steps) and _log_key(task.steps) in self._logs)
        )

    def text(self, command: str, actions: Sequence[str]) -> bool:
        """Whether a command or a log is among them."""
        return _key(command) in self._commands or _log_key(actions) in self._logs


def _key(text: str) -> tuple[str, ...]:
    return tuple(normalize(text))


def _log_key(steps: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(_key(step) for step in steps)


def rows(options: Options) -> Iterator[dict[str, Any]]:
    """The rows, sources mixed.

    Raises:
        InputError: a file is missing or nothing is left to make rows of.
        MissingSimulatorError: a source is wanted whose simulator is not installed: MiniGrid of ``gridworld``,
            pyrobosim of ``roomworld``.
    """
    for name in UNSEEN:
        if not (options.data / name).is_file():
            raise InputError(f"{options.data / name} is missing: without it nobody can tell that it stays unseen")
    unseen = Unseen(options.data / name for name in UNSEEN)
    streams = {}
    shares = {source: SOURCES[source] for source in options.sources if _styles_of(source, options.styles)}
    for source in shares:
        needed = round(options.limit * shares[source] / sum(shares.values())) + 1
        tasks = [task for task in _tasks(source, options, needed) if not unseen.task(task)]
        if not tasks:
            raise InputError(f"source {source!r} has no tasks left")
        streams[source] = _rows_of(source, tasks, Pool(tasks), options, unseen)
    if not streams:
        raise InputError("no source and style is left: " + ", ".join(options.styles or ("no style",)))
    draw = seeded(options.seed, "mix")
    made = 0
    while made < options.limit and streams:
        source = draw.choices(list(streams), [shares[name] for name in streams])[0]
        row = next(streams[source], None)
        if row is None:
            del streams[source]
            continue
        made += 1
        yield row


def _styles_of(source: str, styles: Sequence[str]) -> list[str]:
    return [style for style in styles if style != PEOPLE or source in _PEOPLE_SHARE]


def _tasks(source: str, options: Options, needed: int) -> list[Task]:
    """The tasks of a source that belong to the part, in a random order."""
    wanted: Callable[[Task], bool] = lambda task: options.part == "all" or part_of(task.group) == options.part  # noqa: E731
    if source in READERS:
        file, read = READERS[source]
        path = options.data / file
        if not path.is_file():
            raise InputError(f"{path} is missing; --hold-out-source {source} leaves it out")
        tasks = [task for task in read(path) if wanted(task)]
        tasks.sort(key=lambda task: seeded(options.seed, "order", task.id).random())
        return _at_most_per_command(tasks) if source == "virtualhome" else _with_parts(tasks, options.seed)
    # Groups are made and not found: every part has a seed of its own.
    seed = seeded(options.seed, options.part).randrange(2**31)
    made = _MAKERS[source](seed)
    # What is acted takes time; each task gives two rows, in two styles.
    number = max(50, needed if source == "synthetic" else needed // 2 + 1)
    return _with_parts(itertools.islice(made, number), options.seed)


def _with_parts(tasks: Iterable[Task], seed: int) -> list[Task]:
    """The tasks, some of them replaced by a part of themselves."""
    result = []
    for task in tasks:
        draw = seeded(seed, "part", task.id)
        result.append((draw.random() < _PARTS_SHARE and part_of_task(task, draw)) or task)
    return result


def part_of(group: str) -> str:
    """``train`` or ``test``: a group is always in the same part.

    >>> {part_of(f"group {number}") for number in range(200)} == {"train", "test"}
    True
    """
    return "test" if seeded("part", group).random() < _TEST_SHARE else "train"


def _at_most_per_command(tasks: Sequence[Task]) -> list[Task]:
    count: Counter[str] = Counter()
    kept = []
    for task in tasks:
        count[task.kind] += 1
        if count[task.kind] <= _PER_COMMAND:
            kept.append(task)
    return kept


def _rows_of(
    source: str, tasks: Sequence[Task], pool: Pool, options: Options, unseen: Unseen
) -> Iterator[dict[str, Any]]:
    """Rows of one source: every task once, then every task again in another style."""
    seen: set[tuple[object, object]] = set()
    for turn in itertools.count():
        fresh = False
        for task in tasks:
            row = make_row(task, pool, options, turn)
            if row is None or unseen.text(row["command"], row["actions"]):
                continue
            row["negatives"] = [
                negative
                for negative in row["negatives"]
                if not unseen.text(negative.get("command", ""), negative.get("actions", ()))
            ]
            key = (_key(row["command"]), _log_key(row["actions"]))
            if key not in seen:
                seen.add(key)
                fresh = True
                yield row
        if not fresh and turn > _TRIES:
            return


def make_row(task: Task, pool: Pool, options: Options, turn: int = 0) -> dict[str, Any] | None:
    """One task in one style; None where that makes no row.

    Args:
        task: the run and its goal.
        pool: the tasks of its source, to take negatives from.
        options: the styles, the seed and the number of negatives.
        turn: another turn, another style.
    """
    draw = seeded(options.seed, "row", task.source, task.id, turn)
    style_name = _drawn_style(task, options.styles, draw.random(), draw.random())
    if style_name is None:
        return None
    style = Style(style_name, draw.randrange(2**31)) if style_name != PEOPLE else None
    dressing = Dressing.drawn(draw)
    if not any(act.verb == "pick" for act in task.acts):  # else only a wrong run that picks up would have searched
        dressing = replace(dressing, search=0)
    if any(act.source for act in task.goal):  # the command tells where from, so the log must
        dressing = replace(dressing, ways="full")
    if not may_leave(task.goal or task.acts[task.last_essential :]):
        dressing = replace(dressing, after=None)
    alike = style and draw.random() < _COMMANDED_IN_IDENTIFIERS.get(style.family, 0)
    wording = Wording(draw.randrange(2**31), style.naming if style and alike else None)
    said = bool(task.commands) and (
        not task.goal or style is None or (not alike and draw.random() < _PEOPLES_COMMANDS.get(task.source, 1.0))
    )
    command = draw.choice(task.commands) if said else wording.render(task.goal, ordered=task.ordered)
    places = pool.places(task)

    def actions_of(negative: Negative) -> tuple[str, ...] | None:
        if style is None:
            return in_peoples_words(negative, task)
        # Where no result is told, a run that ends with a failure reads like one that succeeds.
        if negative.acts and negative.acts[-1].result is Result.FAILED and not style.tells_results:
            return None
        return style.render(dressing.dress(negative.acts, places)) if negative.acts else None

    actions = task.steps if style is None else style.render(dressing.dress(task.acts, places))
    if not actions or sum(map(len, actions)) > _LONGEST_LOG:
        return None
    negatives: list[dict[str, Any]] = []
    known = {_log_key(actions), _key(command)}
    for negative in make_negatives(task, pool, draw, command=command if said else None, peoples_log=style is None):
        if len(negatives) == options.negatives:
            break
        if negative.command is not None or negative.goal is not None:
            ordered = task.ordered and negative.kind != "other_run"
            text = negative.command or wording.render(negative.goal or (), ordered=ordered)
            entry: dict[str, Any] = {"kind": negative.kind, "command": text}
            key: tuple[Any, ...] = _key(text)
        else:
            steps = actions_of(negative)
            if not steps or sum(map(len, steps)) > _LONGEST_LOG:
                continue
            entry = {"kind": negative.kind, "actions": list(steps)}
            key = _log_key(steps)
        if key not in known:  # where a style leaves out what differs, the wrong run reads like the right one
            known.add(key)
            negatives.append(entry)
    return {
        "source": task.source,
        "style": style_name,
        "id": f"{task.id} {style_name} {turn}",
        "group": task.group,
        "command": command,
        "actions": list(actions),
        "negatives": negatives,
    }


def _drawn_style(task: Task, styles: Sequence[str], people: float, which: float) -> str | None:
    families = [style for style in styles if style != PEOPLE]
    if PEOPLE in styles and task.steps and (people < _PEOPLE_SHARE.get(task.source, 0) or not families):
        return PEOPLE
    if not families:
        return None
    weights = [_STYLE_WEIGHTS[style] for style in families]
    place = which * sum(weights)
    for style, weight in zip(families, weights, strict=True):
        place -= weight
        if place <= 0:
            return style
    return families[-1]


# --- the command line


def write_rows(options: Options, target: Path) -> Counter[tuple[str, str]]:
    """Write the file, with a progress bar; returns the number of rows by source and style.

    The file is complete or not there: it is written under another name first.
    """
    count: Counter[tuple[str, str]] = Counter()
    part = target.with_name(target.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as out:
            for row in tqdm(rows(options), total=options.limit, unit="row", disable=None):
                count[row["source"], row["style"]] += 1
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return count


def table(count: Counter[tuple[str, str]]) -> str:
    """The numbers of rows, styles down and sources across."""
    sources = [source for source in SOURCES if any(key[0] == source for key in count)]
    styles = [style for style in STYLES if any(key[1] == style for key in count)]
    lines = [f"{'':<14}" + "".join(f"{source:>13}" for source in (*sources, "all"))]
    for style in styles:
        numbers = [count[source, style] for source in sources]
        lines.append(f"{style:<14}" + "".join(f"{number:>13}" for number in (*numbers, sum(numbers))))
    totals = [sum(count[source, style] for style in styles) for source in sources]
    lines.append(f"{'all':<14}" + "".join(f"{number:>13}" for number in (*totals, sum(totals))))
    return "\n".join(lines)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.prepare", description="Make rows to train on: runs, their commands, and mismatches."
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder of the recorded data")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.jsonl")
    parser.add_argument("--limit", type=int, default=20000, metavar="N", help="how many rows (default: 20000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--negatives", type=int, default=6, metavar="N", help="of each row at most (default: 6)")
    parser.add_argument("--part", choices=PARTS, default="all", help="train and test have no group in common")
    for what, names in (("style", STYLES), ("source", tuple(SOURCES))):
        group = parser.add_mutually_exclusive_group()
        group.add_argument(
            f"--hold-out-{what}", action="append", default=[], choices=names, metavar=what.upper(),
            help=f"leave it out: one of {', '.join(names)}; can be repeated",
        )  # fmt: skip
        group.add_argument(
            f"--only-{what}", action="append", default=[], choices=names, metavar=what.upper(),
            help="use only this, to measure on what was left out; can be repeated",
        )  # fmt: skip
    return parser.parse_args(argv)


def _chosen(names: Iterable[str], held_out: Sequence[str], only: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in held_out and (not only or name in only))


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and return the exit code."""
    arguments = _arguments(argv)
    options = Options(
        data=arguments.data,
        limit=arguments.limit,
        seed=arguments.seed,
        styles=_chosen(STYLES, arguments.hold_out_style, arguments.only_style),
        sources=_chosen(SOURCES, arguments.hold_out_source, arguments.only_source),
        part=arguments.part,
        negatives=arguments.negatives,
    )
    try:
        count = write_rows(options, arguments.output)
    except (FlipEdgeError, OSError) as error:
        print(f"python -m training.prepare: error: {error}", file=sys.stderr)
        return 2
    print(table(count), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
