"""The table of an evaluation: for every source, kind of mismatch and method, the figures and how sure they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from flip_edge.baselines import Column
from flip_edge.calibration import conformal_threshold, runs_needed
from flip_edge.datasets import RECORDED, LabelledEpisode
from flip_edge.statistics import (
    Bools,
    Estimate,
    Floats,
    Integers,
    auroc_difference,
    auroc_estimate,
    balanced_accuracy,
    balanced_resampled,
    binomial_range,
    correctness,
    detection_rate,
    detection_resampled,
    interval,
    mean_resampled,
    resamples,
    threshold_for,
)

FALSE_ALARM_RATE = 0.05
SPLITS = 20
ALL = "all sources"
_FEWEST = 5  # matches and mismatches of one source among several that are worth a block of their own


@dataclass(frozen=True)
class MethodScores:
    """One column of scores over all episodes.

    Attributes:
        column: its name and threshold.
        scores: one an episode, NaN without an answer. Of a ranker: one a mismatch, how often the true run was
            preferred to it (1, 0.5 or 0), and NaN elsewhere.
        ranks: whether it is a ranker's.
        asked: episodes that the method was asked about.
        median_s: of one computation; rankers compute one for several runs.
    """

    column: Column
    scores: Floats
    ranks: bool
    asked: Bools
    median_s: float

    def part(self, rows: slice) -> MethodScores:
        """The scores of some of the episodes."""
        return replace(self, scores=self.scores[rows], asked=self.asked[rows])


@dataclass(frozen=True)
class Row:
    """One line of the table. Figures that a method cannot have are None.

    Attributes:
        source, kind: what was measured on; ``kind`` is that of the mismatches.
        method: the column's name.
        matches, mismatches: how many episodes.
        unanswered: how many of them the method gave no answer for; they count as chance.
        auroc: of a ranker, the share of mismatches that the true run was preferred to.
        balanced_accuracy: at ``threshold``.
        threshold: the method's own; None where it was set at 5 % false alarms on one half of the groups and
            applied to the other half, both ways.
        false_alarm_rate: share of matches below the threshold.
        detection: share of mismatches found at 5 % false alarms.
        ahead: how far the reference's AUROC lies above this one's, with the paired interval.
        median_s: seconds a check.
    """

    source: str
    kind: str
    method: str
    matches: int
    mismatches: int
    unanswered: int
    auroc: Estimate
    balanced_accuracy: Estimate | None
    threshold: float | None
    false_alarm_rate: float | None
    detection: Estimate | None
    ahead: Estimate | None
    median_s: float


@dataclass(frozen=True)
class Splits:
    """What a conformal threshold for 5 % false alarms, from one half of the groups, alarms on in the other half.

    Attributes:
        source, method: what was measured.
        rates: share of successful runs alarmed on, one for each seeded split.
        within: splits whose count lies where 95 % of a binomial with 5 % would.
    """

    source: str
    method: str
    rates: list[float]
    within: int


@dataclass(frozen=True)
class Results:
    """An evaluation: the table, and the scores that it was computed from."""

    rows: list[Row]
    labelled: Sequence[LabelledEpisode]
    scores: list[MethodScores]
    seed: int
    reference: str | None
    splits: list[Splits] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the table and what made it."""
        table = {"rows": msgspec.to_builtins(self.rows), "splits": msgspec.to_builtins(self.splits)}
        return {**self.notes, "seed": self.seed, "reference": self.reference, **table}

    def selections(self) -> list[tuple[str, str, Bools]]:
        """Each source and kind of mismatch, with the episodes that belong to it; last, all sources together."""
        return _selections(self.labelled)

    @property
    def shown(self) -> list[Row]:
        """The rows for people: without sources of very few runs, where all sources together follow."""
        pooled = any(row.source == ALL for row in self.rows)
        return [
            row for row in self.rows if not pooled or row.source == ALL or min(row.matches, row.mismatches) >= _FEWEST
        ]

    @property
    def too_few(self) -> list[str]:
        """A line about the sources that :attr:`shown` leaves out, where there are some."""
        left_out = {row.source for row in self.rows} - {row.source for row in self.shown}
        if not left_out:
            return []
        return [f"Sources with too few runs for a table of their own: {len(left_out)}; {ALL!r} counts them."]


def tabulate(
    labelled: Sequence[LabelledEpisode],
    scores: Sequence[MethodScores],
    *,
    seed: int = 0,
    bootstrap: int = 1000,
    notes: Mapping[str, Any] | None = None,
) -> Results:
    """Compute the table. The first column with any answer is the reference that others are compared with.

    Args:
        labelled: the episodes.
        scores: every method's scores of them, in their order.
        seed: of the bootstrap and of the split that thresholds are held out by.
        bootstrap: how many samples the intervals are taken from.
        notes: kept with the results.
    """
    reference = next((method for method in scores if not method.ranks and not np.isnan(method.scores).all()), None)
    groups = np.unique([row.group for row in labelled], return_inverse=True)[1] if labelled else np.zeros(0, np.int64)
    match = np.array([row.match for row in labelled], dtype=np.bool_)
    half = np.random.default_rng(seed).permutation(int(groups.max(initial=-1)) + 1)[groups] % 2 == 0
    rows = []
    for source, kind, chosen in _selections(labelled):
        if not match[chosen].any() or match[chosen].all():
            continue
        part = _Part(source, kind, match, groups, half, chosen, bootstrap, seed)
        rows += [part.row(method, reference) for method in scores if not method.ranks or method.asked[chosen].any()]
    splits = [
        _splits(source, reference, match & _of(source, labelled), groups, seed)
        for source in _sources([row for row in labelled if row.match])
        if reference
    ]
    name = reference.column.name if reference else None
    return Results(rows, labelled, list(scores), seed, name, [split for split in splits if split], dict(notes or {}))


def _splits(source: str, method: MethodScores, good: Bools, groups: Integers, seed: int) -> Splits | None:
    """Calibrate on one half of the groups and count alarms on the other, time and again; None where runs are few."""
    chosen = good & ~np.isnan(method.scores)
    scores, members = method.scores[chosen], groups[chosen]
    names = np.unique(members)
    rates, within = [], 0
    for split in range(SPLITS):
        half = np.random.default_rng((seed, split)).permutation(names)[: len(names) // 2]
        set_on = np.isin(members, half)
        if set_on.sum() < runs_needed(FALSE_ALARM_RATE) or set_on.all():
            return None
        alarms = int((scores[~set_on] < conformal_threshold(scores[set_on].tolist(), FALSE_ALARM_RATE)).sum())
        trials = int((~set_on).sum())
        low, high = binomial_range(trials, FALSE_ALARM_RATE)
        rates.append(alarms / trials)
        within += low <= alarms <= high
    return Splits(source, method.column.name, rates, within)


def _selections(labelled: Sequence[LabelledEpisode]) -> list[tuple[str, str, Bools]]:
    found = []
    for source in _sources(labelled):
        here = _of(source, labelled)
        kinds = list(
            dict.fromkeys(row.kind for row, mine in zip(labelled, here, strict=True) if mine and not row.match)
        )
        if sum(kind.startswith(RECORDED) for kind in kinds) > 1:
            kinds.append(RECORDED)  # all of them
        for kind in sorted(kinds, key=lambda kind: kind.startswith(RECORDED)):
            names = {name for name in kinds if name.startswith(RECORDED)} if kind == RECORDED else {kind}
            chosen = here & np.array([row.match or row.kind in names for row in labelled], dtype=np.bool_)
            found.append((source, kind, chosen))
    return found


def _sources(labelled: Sequence[LabelledEpisode]) -> list[str]:
    """The sources, and all of them together where they are several."""
    sources = list(dict.fromkeys(row.source for row in labelled))
    return [*sources, ALL] if len(sources) > 1 else sources


def _of(source: str, labelled: Sequence[LabelledEpisode]) -> Bools:
    """Which episodes are of a source, or of all."""
    return np.array([source in (row.source, ALL) for row in labelled], dtype=np.bool_)


class _Part:
    """The successful runs and one kind of mismatches of one source."""

    def __init__(
        self,
        source: str,
        kind: str,
        match: Bools,
        groups: Integers,
        half: Bools,
        chosen: Bools,
        bootstrap: int,
        seed: int,
    ) -> None:
        self.source, self.kind, self.chosen = source, kind, chosen
        self.match, self.half = match[chosen], half[chosen]
        self.weights = resamples(self.match, groups[chosen], count=bootstrap, seed=seed)

    def row(self, method: MethodScores, reference: MethodScores | None) -> Row:
        scores = method.scores[self.chosen]
        return (self._ranked if method.ranks else self._scored)(method, scores, reference)

    def _scored(self, method: MethodScores, scores: Floats, reference: MethodScores | None) -> Row:
        match, weights = self.match, self.weights
        thresholds = self._thresholds(method.column.threshold, scores)
        correct = correctness(scores, match, thresholds)
        ahead = None
        if reference and reference is not method:
            ahead = auroc_difference(reference.scores[self.chosen], scores, match, weights)
        return Row(
            self.source,
            self.kind,
            method.column.name,
            int(match.sum()),
            int((~match).sum()),
            int(np.isnan(scores).sum()),
            auroc_estimate(scores, match, weights),
            Estimate(
                balanced_accuracy(scores, match, thresholds), *interval(balanced_resampled(correct, match, weights))
            ),
            method.column.threshold,
            float(1 - correct[match].mean()),
            Estimate(
                detection_rate(scores, match, FALSE_ALARM_RATE),
                *interval(detection_resampled(scores, match, weights, FALSE_ALARM_RATE)),
            ),
            ahead,
            method.median_s,
        )

    def _thresholds(self, own: float | None, scores: Floats) -> Floats:
        """The threshold for each episode: the method's own, or one set on the half that it is not in."""
        if own is not None:
            return np.full(len(scores), own)
        set_on_first = threshold_for(scores[self.match & self.half], FALSE_ALARM_RATE)
        set_on_second = threshold_for(scores[self.match & ~self.half], FALSE_ALARM_RATE)
        return np.where(self.half, set_on_second, set_on_first)

    def _ranked(self, method: MethodScores, scores: Floats, _: MethodScores | None) -> Row:
        asked = method.asked[self.chosen]
        wins = np.nan_to_num(scores[asked], nan=0.5)
        samples = mean_resampled(wins, self.weights[:, asked])
        return Row(
            self.source,
            self.kind,
            method.column.name,
            int(self.match.sum()),
            int(asked.sum()),
            int(np.isnan(scores[asked]).sum()),
            Estimate(float(wins.mean()), *interval(samples)),
            None,
            None,
            None,
            None,
            None,
            method.median_s,
        )


# --- as text


def to_text(results: Results) -> str:
    """The table for a terminal, a block for each source and kind of mismatch, and what it means."""
    width = max([len(row.method) for row in results.rows], default=6) + 2
    lines = []
    last = None
    for row in results.shown:
        if (row.source, row.kind) != last:
            last = row.source, row.kind
            lines += [
                "",
                f"{row.source}: {row.matches} matches, {row.mismatches} mismatches ({row.kind})",
                f"  {'':<{width}}{'AUROC':<22}{'balanced accuracy':<22}{'found at 5 % alarms':<22}"
                f"{'alarms':>8}{'no answer':>11}{'s/check':>9}",
            ]
        lines.append(
            f"{'>' if _behind(row) else ' '} {row.method:<{width}}{_cell(row.auroc):<22}"
            f"{_cell(row.balanced_accuracy):<22}{_cell(row.detection):<22}{_number(row.false_alarm_rate):>8}"
            f"{row.unanswered or '-':>11}{row.median_s:>9.3f}"
        )
    for split in results.splits:
        lines += ["", *split_lines(split)]
    return "\n".join([*lines, "", *results.too_few, *legend(results)]).strip("\n")


def split_lines(split: Splits) -> list[str]:
    """What the splits say, in two lines."""
    rates = f"{np.mean(split.rates):.3f} (from {min(split.rates):.3f} to {max(split.rates):.3f})"
    return [
        f"{split.source}: {split.method} calibrated for {FALSE_ALARM_RATE:.0%} alarms on half of the trajectories:",
        f"  alarms on the other half, {len(split.rates)} splits: {rates}; "
        f"{split.within} within the binomial 95 % range of {FALSE_ALARM_RATE:.0%}",
    ]


def legend(results: Results) -> list[str]:
    """What the table's figures mean, in a few lines."""
    ahead = f"> AUROC below that of {results.reference!r} beyond the paired bootstrap interval."
    return [
        *([ahead] if results.reference else []),
        "Brackets: 95 % intervals, from a bootstrap over trajectories. Balanced accuracy and alarms (share of matches",
        "below the threshold): at the method's own threshold, else at the one for 5 % alarms on the other half of the",
        "trajectories. Of pairwise and listwise judges: the share of mismatches that the true run was preferred to.",
    ]


def _behind(row: Row) -> bool:
    return row.ahead is not None and row.ahead.low > 0


def _cell(estimate: Estimate | None) -> str:
    if estimate is None or np.isnan(estimate.value):
        return "-"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _number(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.3f}"
