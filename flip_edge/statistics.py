"""The figures of an evaluation and how sure they are.

Scores are higher for a better match; NaN means that a method gave no answer, and counts as chance everywhere.
Intervals come from a bootstrap that resamples groups (trajectories), not rows: the negatives made from one run, and
the several wordings of one run, are not independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


# --- figures


def auroc(scores: Floats, match: Bools) -> float:
    """The share of (match, mismatch) pairs in which the match scores higher, ties counting half; NaN without pairs.

    >>> auroc(np.array([3.0, 1.0, 2.0]), np.array([True, True, False]))
    0.5
    """
    return float(auroc_resampled(scores, match, _once(scores))[0])


def detection_rate(scores: Floats, match: Bools, false_alarm_rate: float) -> float:
    """The share of mismatches that score below the highest threshold which alarms on at most that share of matches.

    The curve is taken as a staircase: a monitor cannot draw lots between two thresholds.
    """
    return float(detection_resampled(scores, match, _once(scores), false_alarm_rate)[0])


def threshold_for(matches: Floats, false_alarm_rate: float) -> float:
    """The highest threshold below which at most ``false_alarm_rate`` of the matches' scores lie."""
    answered = np.sort(matches[~np.isnan(matches)])
    if not len(answered):
        return float("nan")
    return float(answered[min(int(false_alarm_rate * len(answered) + 1e-9), len(answered) - 1)])


def correctness(scores: Floats, match: Bools, threshold: float | Floats) -> Floats:
    """1 where ``score >= threshold`` agrees with the label, 0 where not, 0.5 where there is no answer."""
    right = np.where((scores >= threshold) == match, 1.0, 0.0)
    return np.where(np.isnan(scores) | np.isnan(threshold), 0.5, right)


def balanced_accuracy(scores: Floats, match: Bools, threshold: float | Floats) -> float:
    """The mean of the accuracies on matches and on mismatches at a threshold (a match is ``score >= threshold``)."""
    return float(balanced_resampled(correctness(scores, match, threshold), match, _once(scores))[0])


def _once(scores: Floats) -> Integers:
    return np.ones((1, len(scores)), dtype=np.int64)


# --- the same figures under many weightings of the rows, one row of ``weights`` each


def auroc_resampled(scores: Floats, match: Bools, weights: Integers) -> Floats:
    """:func:`auroc` for every weighting of the rows; O(n log n) once, then O(n) each."""
    answered = ~np.isnan(scores)
    positives, negatives = _by_score(scores[answered], match[answered], weights[:, answered])
    below = np.cumsum(negatives, axis=1) - negatives
    wins = (positives * (below + 0.5 * negatives)).sum(axis=1)
    pairs_answered = positives.sum(axis=1) * negatives.sum(axis=1)
    pairs = weights[:, match].sum(axis=1) * weights[:, ~match].sum(axis=1)
    return _ratio(wins + 0.5 * (pairs - pairs_answered), pairs)


def detection_resampled(scores: Floats, match: Bools, weights: Integers, false_alarm_rate: float) -> Floats:
    """:func:`detection_rate` for every weighting; what has no answer is found as often as chance would.

    That is every mismatch where no match has an answer: no threshold can be set by it.
    """
    answered = ~np.isnan(scores)
    positives, negatives = _by_score(scores[answered], match[answered], weights[:, answered])
    alarms = np.cumsum(positives, axis=1) - positives
    found = np.cumsum(negatives, axis=1) - negatives
    allowed = alarms <= false_alarm_rate * positives.sum(axis=1, keepdims=True) + 1e-9
    best = np.where(allowed, found, 0).max(axis=1, initial=0)
    mismatches = weights[:, ~match].sum(axis=1)
    silent = weights[:, ~match & ~answered].sum(axis=1)
    settable = positives.sum(axis=1) > 0
    return _ratio(np.where(settable, best + false_alarm_rate * silent, false_alarm_rate * mismatches), mismatches)


def balanced_resampled(correct: Floats, match: Bools, weights: Integers) -> Floats:
    """Balanced accuracy, from the correctness of every row, for every weighting."""
    return (mean_resampled(correct[match], weights[:, match]) + mean_resampled(correct[~match], weights[:, ~match])) / 2


def mean_resampled(values: Floats, weights: Integers) -> Floats:
    """The mean of ``values`` under every weighting."""
    return _ratio(weights @ values, weights.sum(axis=1))


def _by_score(scores: Floats, match: Bools, weights: Integers) -> tuple[Integers, Integers]:
    """The weights of matches and of mismatches at every distinct score, ascending: two arrays [weighting, score]."""
    if not len(scores):
        nothing = np.zeros((len(weights), 0), dtype=np.int64)
        return nothing, nothing
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    weights, match = weights[:, order], match[order]
    positives = np.add.reduceat(weights * match, starts, axis=1)
    negatives = np.add.reduceat(weights * ~match, starts, axis=1)
    return positives, negatives


def _ratio(over: Floats, under: Integers) -> Floats:
    return np.asarray(np.divide(over, under, out=np.full(len(under), np.nan), where=under > 0))


# --- intervals


def resamples(match: Bools, groups: Integers, *, count: int = 1000, seed: int = 0) -> Integers:
    """How often each row counts in each of ``count`` bootstrap samples of the groups.

    Stratified: groups with only matches, only mismatches, or both are drawn separately, so that every sample has as
    many of each as the data. The same labels, groups and seed give the same samples: differences between methods pair.
    """
    generator = np.random.default_rng(seed)
    names, codes = np.unique(groups, return_inverse=True)
    kinds = np.zeros(len(names), dtype=np.int64)
    np.bitwise_or.at(kinds, codes, np.where(match, 1, 2))
    drawn = np.zeros((count, len(names)), dtype=np.int64)
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind)
        drawn[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), size=count)
    return drawn[:, codes]


def interval(samples: Floats) -> tuple[float, float]:
    """The central 95 % of bootstrap figures; NaN where there are none."""
    known = samples[~np.isnan(samples)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def ratio_estimate(times: npt.ArrayLike, base: npt.ArrayLike, *, count: int = 2000, seed: int = 0) -> Estimate:
    """The median ratio of two series of times that were measured by turns, pair by pair, with its interval."""
    ratios = np.asarray(times, dtype=np.float64) / np.asarray(base, dtype=np.float64)
    drawn = np.random.default_rng(seed).choice(ratios, (count, len(ratios)))
    return Estimate(float(np.median(ratios)), *interval(np.median(drawn, axis=1)))


def auroc_estimate(scores: Floats, match: Bools, weights: Integers) -> Estimate:
    """AUROC with its bootstrap interval; ``weights`` are what :func:`resamples` gave for these rows."""
    value = auroc(scores, match)
    low, high = _centred_interval(auroc_resampled(scores, match, weights), value)
    return Estimate(value, max(0.0, low), min(1.0, high))


def auroc_difference(first: Floats, second: Floats, match: Bools, weights: Integers) -> Estimate:
    """AUROC of one method less that of another on the same rows, with the paired bootstrap interval.

    Args:
        first, second: the two methods' scores of the same rows.
        match: the rows' labels.
        weights: what :func:`resamples` gave for these rows.
    """
    value = auroc(first, match) - auroc(second, match)
    samples = auroc_resampled(first, match, weights) - auroc_resampled(second, match, weights)
    return Estimate(value, *_centred_interval(samples, value))


def _centred_interval(samples: Floats, value: float) -> tuple[float, float]:
    """The interval of the samples moved so that their mean is the figure itself.

    Where a run and its negatives are one group, a group that is drawn twice meets its own copy, and the pairs within
    groups weigh more than in the data: by about one in the number of groups.
    """
    if np.isnan(samples).all():
        return float("nan"), float("nan")
    return interval(samples - float(np.nanmean(samples)) + value)


def binomial_interval(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """The exact (Clopper-Pearson) interval of a share, ``successes`` of ``trials``.

    >>> [round(bound, 4) for bound in binomial_interval(0, 10)]
    [0.0, 0.3085]
    """
    if not 0 <= successes <= trials or not trials:
        raise ValueError(f"{successes} of {trials} is not a share")
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else _solve(lambda p: 1 - _binomial_cdf(successes - 1, trials, p) - tail)
    high = 1.0 if successes == trials else _solve(lambda p: tail - _binomial_cdf(successes, trials, p))
    return low, high


def binomial_range(trials: int, share: float, level: float = LEVEL) -> tuple[int, int]:
    """The counts between which a Binomial(``trials``, ``share``) lies with probability ``level`` (equal tails)."""
    tail = (1 - level) / 2
    cumulative = np.cumsum(_binomial_pmf(trials, share))
    return int(np.searchsorted(cumulative, tail)), int(np.searchsorted(cumulative, 1 - tail))


def _binomial_pmf(trials: int, share: float) -> Floats:
    counts = np.arange(trials + 1)
    if share in (0.0, 1.0):
        return np.where(counts == round(trials * share), 1.0, 0.0)
    factorials = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, trials + 1)))))
    choices = factorials[-1] - factorials - factorials[::-1]
    return np.asarray(np.exp(choices + counts * np.log(share) + (trials - counts) * np.log1p(-share)))


def _binomial_cdf(count: int, trials: int, share: float) -> float:
    return float(_binomial_pmf(trials, share)[: count + 1].sum())


def _solve(rising: Callable[[float], float]) -> float:
    """The root of a function that rises from negative to positive over [0, 1]."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
