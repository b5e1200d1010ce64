"""From kept scores to tables in Markdown.

A row's credit is counted in three ways, which differ in ties and in verdicts that were not found:

- ``rb2``, as RewardBench 2 does: a tie for the first place counts by share; an answer without a rating is the last; a
  row without any verdict counts as chance.
- ``strict``: the chosen answer alone is the first, or the row is lost.
- ``chance``: as ``rb2``, and a row with any answer without a verdict counts as chance.

What a judge loses from ``chance`` to ``strict`` it loses to format and ties, not to bad taste.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.reward_bench.runs import Record, value_of
from flip_edge.statistics import Estimate, interval

Rule = Literal["rb2", "strict", "chance"]
Floats = npt.NDArray[np.float64]

SUBSETS = ("Focus", "Factuality", "Precise IF", "Math")
PAPER: Mapping[str, tuple[float | None, ...]] = {  # average, then the subsets; the mean of 13 models
    "FLIP, F1 (paper)": (34.5, 59.6, 27.9, 23.3, 27.2),
    "listwise (paper)": (21.0, None, None, None, None),
    "pairwise (paper)": (19.7, None, None, None, None),
    "pointwise (paper)": (17.3, None, None, None, None),
}
LENGTH_EDGES = (1000, 2000, 3000)
_RESAMPLES = 2000
_CHANCE = 25.0


def credit(values: Sequence[float | None], answered: Sequence[bool], rule: Rule = "rb2") -> float:
    """What a row is worth, in [0, 1], of which the first answer is the right one.

    >>> credit([7, 7, 3, None], [True, True, True, False])
    0.5
    >>> credit([7, 7, 3, None], [True, True, True, False], "strict")
    0.0
    >>> credit([7, 7, 3, None], [True, True, True, False], "chance")
    0.25
    """
    scores = [value_of(value) for value in values]
    best = max(scores)
    if rule == "strict":
        return float(scores[0] > max(scores[1:]))
    if best == value_of(None) or (rule == "chance" and not all(answered)):
        return 1 / len(scores)
    return (scores[0] == best) / scores.count(best)


@dataclass(frozen=True)
class Column:
    """One score of a method on one model."""

    model: str
    method: str
    name: str

    def __str__(self) -> str:
        return self.name if self.method == "length" else f"{self.method}: {self.name}"


Rows = Mapping[str, Sequence[Record]]  # a column's records by row, one a seed


def columns_of(records: Iterable[Record], *, attacked: bool = False) -> dict[Column, dict[str, list[Record]]]:
    """The records of every column, by row; as the rows are, or all that are attacked."""
    found: dict[Column, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if (record.attack is not None) == attacked:
            for name in record.values:
                found[Column(record.model, record.method, name)][record.id].append(record)
    return dict(found)


def report(records: Sequence[Record]) -> str:
    """All tables."""
    columns = columns_of(records)
    parts = [
        "## Accuracy, best of 4, %\n\n" + accuracy_table(columns),
        "## Ties and format\n\n" + format_table(columns),
        "## Backward inference against the others, on the rows of both\n\n" + difference_table(columns),
        "## By the mean length of a row's answers, characters\n\n" + length_table(columns),
    ]
    if attacks := attack_tables(columns, columns_of(records, attacked=True)):
        parts.append("## Under attack\n\n" + attacks)
    return "\n\n".join(parts)


def accuracy_table(columns: Mapping[Column, Rows]) -> str:
    """Every column by subset and on average of the subsets, as RewardBench 2 counts, with 95 % intervals."""
    lines = [_line(["model", "method", *SUBSETS, "average"]), _line(["---"] * (len(SUBSETS) + 3))]
    for column, rows in _ordered(columns):
        by_subset = {name: _credits(rows, column.name, name) for name in SUBSETS}
        cells = [_cell(values) for values in by_subset.values()]
        full = [values for values in by_subset.values() if len(values)]
        average = _estimate(full) if len(full) == len(SUBSETS) else None
        lines.append(_line([column.model or "none", str(column), *cells, _told(average) if average else ""]))
    lines.append(_line(["", "chance", *["25"] * (len(SUBSETS) + 1)]))
    for name, (mean, *figures) in PAPER.items():
        lines.append(_line(["13 models", name, *["" if f is None else f"{f:.1f}" for f in figures], f"{mean:.1f}"]))
    return "\n".join(lines)


def format_table(columns: Mapping[Column, Rows]) -> str:
    """Every column in the three ways of counting, with how often there was no verdict, and a tie."""
    heads = ["model", "method", "rows", "as RewardBench 2", "unparsable as chance", "ties and unparsable as wrong"]
    heads += ["answers without a verdict, %", "rows tied at the top, %"]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for column, rows in _ordered(columns):
        if not column.model:
            continue
        some = [(r.values[column.name], r.answered[column.name]) for group in rows.values() for r in group]
        means = [100 * float(np.mean([credit(*one, rule) for one in some])) for rule in _RULES]
        silent = 100 * float(np.mean([not known for _, answered in some for known in answered]))
        tied = 100 * float(np.mean([_tied(values) for values, _ in some]))
        cells = [f"{figure:.1f}" for figure in (*means, silent, tied)]
        lines.append(_line([column.model or "none", str(column), str(len(rows)), *cells]))
    return "\n".join(lines)


_RULES: tuple[Rule, ...] = ("rb2", "chance", "strict")


def difference_table(columns: Mapping[Column, Rows]) -> str:
    """Accuracy of each FLIP column less that of each judge on the same model or of a method without one, by subset."""
    lines = [_line(["model", "FLIP", "other", *SUBSETS]), _line(["---"] * (len(SUBSETS) + 3))]
    for ours, rows in _ordered(columns):
        for other, others in _ordered(columns):
            same = other.model in (ours.model, "")
            if same and ours.method.startswith("flip") and not other.method.startswith("flip"):
                cells = []
                for subset in SUBSETS:
                    common = [i for i in rows if i in others and rows[i][0].subset == subset]
                    first = _credits({i: rows[i] for i in common}, ours.name)
                    second = _credits({i: others[i] for i in common}, other.name)
                    cells.append(_cell(first - second, sign=True))
                lines.append(_line([ours.model, str(ours), str(other), *cells]))
    return "\n".join(lines)


def length_table(columns: Mapping[Column, Rows], edges: Sequence[int] = LENGTH_EDGES) -> str:
    """Accuracy by the mean length of a row's answers; Focus, which has the longest, apart."""
    names = [f"under {edges[0]}", *[f"{a} to {b - 1}" for a, b in pairwise(edges)]]
    names.append(f"{edges[-1]} and more")
    lines = [_line(["model", "method", "subsets", *names]), _line(["---"] * (len(names) + 3))]
    for column, rows in _ordered(columns):
        for title, in_focus in (("Focus", True), ("others", False)):
            some = {i: group for i, group in rows.items() if (group[0].subset == SUBSETS[0]) == in_focus}
            bins = [
                {i: g for i, g in some.items() if bin_of(g[0].lengths, edges) == place} for place in range(len(names))
            ]
            if some:
                cells = [_cell(_credits(inside, column.name)) for inside in bins]
                lines.append(_line([column.model or "none", str(column), title, *cells]))
    return "\n".join(lines)


def bin_of(lengths: Sequence[int], edges: Sequence[int] = LENGTH_EDGES) -> int:
    """The bin of a row's mean length; an edge belongs to the bin above it."""
    return int(np.searchsorted(edges, np.mean(lengths), side="right"))


# --- attacks


@dataclass(frozen=True)
class Attacked:
    """A column under one attack.

    Attributes:
        rows: how many were attacked.
        before, after: the accuracy on them, as RewardBench 2 counts, in %.
        loss: before less after, in points.
        overtaken: of the rows in which the attacked answer was behind the chosen one, those in which it is before it
            with the attack, in %; a tie counts half. NaN where there is none.
    """

    rows: int
    before: float
    after: float
    loss: Estimate
    overtaken: float


def attacked(column: Column, rows: Rows, under: Rows) -> dict[str, Attacked]:
    """What every attack does to a column. Seed by seed, so that nothing else differs."""
    pairs: dict[str, list[tuple[Record, Record]]] = defaultdict(list)
    for id_, group in under.items():
        plain = {record.seed: record for record in rows.get(id_, ())}
        for record in group:
            if record.seed in plain:
                pairs[str(record.attack)].append((plain[record.seed], record))
    name = column.name
    found = {}
    for attack, some in pairs.items():
        before = np.array([credit(one.values[name], one.answered[name]) for one, _ in some])
        after = np.array([credit(one.values[name], one.answered[name]) for _, one in some])
        overtakes = []
        for one, other in some:
            assert other.target is not None
            if _ahead(one.values[name], other.target) == 0:
                overtakes.append(_ahead(other.values[name], other.target))
        found[attack] = Attacked(
            len(some),
            100 * float(before.mean()),
            100 * float(after.mean()),
            _estimate([before - after]),
            100 * float(np.mean(overtakes)) if overtakes else float("nan"),
        )
    return found


def _ahead(values: Sequence[float | None], target: int) -> float:
    """Whether an answer is before the chosen one; half in a tie."""
    chosen, other = value_of(values[0]), value_of(values[target])
    return 0.5 if chosen == other else float(other > chosen)


def attack_tables(columns: Mapping[Column, Rows], under: Mapping[Column, Rows]) -> str:
    """The accuracy under every attack, how often the attacked answer overtakes, and the worst loss."""
    measured = {column: attacked(column, columns.get(column, {}), rows) for column, rows in _ordered(under)}
    measured = {column: found for column, found in measured.items() if found}
    if not measured:
        return ""
    names = list(dict.fromkeys(name for found in measured.values() for name in found))
    heads = [f"{column} ({column.model or 'no model'})" for column in measured]
    tables = []
    cells: list[tuple[str, Callable[[Attacked], str]]] = [
        ("accuracy, %", lambda one: f"{one.after:.1f}"),
        ("overtakes, %", lambda one: f"{one.overtaken:.0f}"),
    ]
    for title, told in cells:
        lines = [_line([title, *heads]), _line(["---"] * (len(heads) + 1))]
        if told is cells[0][1]:
            plain = [next(iter(found.values())) for found in measured.values()]
            lines.append(_line(["rows", *[str(one.rows) for one in plain]]))
            lines.append(_line(["none", *[f"{one.before:.1f}" for one in plain]]))
        for name in names:
            lines.append(_line([name, *[told(found[name]) if name in found else "" for found in measured.values()]]))
        tables.append("\n".join(lines))
    lines = [_line(["", "worst attack", "points lost"]), _line(["---"] * 3)]
    for head, found in zip(heads, measured.values(), strict=True):
        name, worst = max(found.items(), key=lambda item: item[1].loss.value)
        lines.append(_line([head, name, _told(worst.loss, sign=True)]))
    return "\n\n".join([*tables, "\n".join(lines)])


# --- figures


def _credits(rows: Rows, name: str, subset: str | None = None) -> Floats:
    """A row's credit, the mean over its seeds."""
    return np.array(
        [
            np.mean([credit(one.values[name], one.answered[name]) for one in group])
            for group in rows.values()
            if subset is None or group[0].subset == subset
        ]
    )


def _estimate(groups: Sequence[Floats]) -> Estimate:
    """The mean of the groups' means in %, with the bootstrap interval of rows drawn within each."""
    generator = np.random.default_rng(0)
    drawn = np.zeros(_RESAMPLES)
    for values in groups:
        drawn += generator.choice(values, (_RESAMPLES, len(values))).mean(axis=1) / len(groups)
    low, high = interval(100 * drawn)
    return Estimate(100 * float(np.mean([values.mean() for values in groups])), low, high)


def _tied(values: Sequence[float | None]) -> bool:
    scores = [value_of(value) for value in values]
    return scores.count(max(scores)) > 1


def _ordered(columns: Mapping[Column, Rows]) -> list[tuple[Column, Rows]]:
    return sorted(columns.items(), key=lambda item: (item[0].model, item[0].method, item[0].name))


def _cell(values: Floats, *, sign: bool = False) -> str:
    return f"{_told(_estimate([values]), sign=sign)}, n {len(values)}" if len(values) else ""


def _told(estimate: Estimate, *, sign: bool = False) -> str:
    form = "+.1f" if sign else ".1f"
    bound = "+.0f" if sign else ".0f"
    return f"{estimate.value:{form}} [{estimate.low:{bound}}, {estimate.high:{bound}}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
