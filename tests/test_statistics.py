from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flip_edge.statistics import (
    Estimate,
    auroc,
    auroc_difference,
    auroc_estimate,
    auroc_resampled,
    balanced_accuracy,
    binomial_interval,
    binomial_range,
    detection_rate,
    detection_resampled,
    interval,
    ratio_estimate,
    resamples,
    threshold_for,
)

NAN = float("nan")


def arrays(scores: list[float], match: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(scores, dtype=np.float64), np.array(match, dtype=np.bool_)


def auroc_by_hand(scores: np.ndarray, match: np.ndarray) -> float:
    """Every pair, as the definition says; a pair with a missing score is a coin."""
    total = [
        0.5 if np.isnan(good) or np.isnan(bad) else float(good > bad) + 0.5 * float(good == bad)
        for good in scores[match]
        for bad in scores[~match]
    ]
    return sum(total) / len(total)


def detection_by_hand(scores: np.ndarray, match: np.ndarray, rate: float) -> float:
    best = 0.0
    for threshold in scores:
        if (scores[match] < threshold).mean() <= rate + 1e-12:
            best = max(best, float((scores[~match] < threshold).mean()))
    return best


labelled_scores = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, NAN]), st.booleans()), min_size=2, max_size=40
).filter(lambda rows: len({match for _, match in rows}) == 2)


def test_auroc_of_a_case_worked_out_by_hand() -> None:
    # matches 3, 1, 2; mismatches 2, 0: wins 2 + 1 + 1.5 of 6
    assert auroc(*arrays([3, 1, 2, 2, 0], [1, 1, 1, 0, 0])) == pytest.approx(4.5 / 6)


@given(labelled_scores)
def test_auroc_is_the_share_of_ordered_pairs(rows: list[tuple[float, bool]]) -> None:
    scores, match = arrays([score for score, _ in rows], [label for _, label in rows])
    assert auroc(scores, match) == pytest.approx(auroc_by_hand(scores, match))


def test_a_method_that_never_answers_is_chance() -> None:
    scores, match = arrays([NAN] * 4, [1, 1, 0, 0])
    assert auroc(scores, match) == 0.5
    assert balanced_accuracy(scores, match, 0.5) == 0.5
    assert detection_rate(scores, match, 0.05) == 0.05


def test_auroc_without_pairs_is_not_a_number() -> None:
    assert np.isnan(auroc(*arrays([1.0, 2.0], [1, 1])))


def test_detection_at_a_false_alarm_rate_by_hand() -> None:
    matches = [0.30, 0.50, 0.60, 0.70, 0.80, 0.81, 0.82, 0.83, 0.84, 0.85]  # one in ten may alarm: threshold 0.50
    scores, match = arrays([*matches, 0.1, 0.4, 0.49, 0.5, 0.9], [1] * 10 + [0] * 5)
    assert detection_rate(scores, match, 0.1) == pytest.approx(3 / 5)
    assert detection_rate(scores, match, 0.05) == pytest.approx(1 / 5)


def test_no_threshold_can_be_set_by_matches_without_an_answer() -> None:
    scores, match = arrays([0.0, NAN, 0.1], [0, 1, 0])
    assert detection_rate(scores, match, 0.2) == pytest.approx(0.2)


@given(labelled_scores, st.sampled_from([0.0, 0.05, 0.2, 0.5]))
def test_detection_is_the_best_of_all_allowed_thresholds(rows: list[tuple[float, bool]], rate: float) -> None:
    scores, match = arrays([0.3 if np.isnan(score) else score for score, _ in rows], [label for _, label in rows])
    assert detection_rate(scores, match, rate) == pytest.approx(detection_by_hand(scores, match, rate))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.sampled_from([0.0, 0.05, 0.1, 0.5]))
def test_a_threshold_keeps_its_false_alarm_rate_and_no_higher_score_would(values: list[int], rate: float) -> None:
    scores = np.array(values, dtype=np.float64)
    threshold = threshold_for(scores, rate)
    assert (scores < threshold).mean() <= rate + 1e-9
    higher = [value for value in scores if value > threshold]
    assert not higher or (scores < min(higher)).mean() > rate


def test_balanced_accuracy_by_hand() -> None:
    scores, match = arrays([0.9, 0.6, 0.2, 0.5, 0.1], [1, 1, 1, 0, 0])
    assert balanced_accuracy(scores, match, 0.5) == pytest.approx((2 / 3 + 1 / 2) / 2)


@settings(max_examples=30)
@given(labelled_scores, st.integers(0, 5))
@example([(0.0, False), (NAN, True), (0.0, True), (0.1, False)], 1)  # a sample whose only match has no answer
def test_a_weighting_is_the_same_as_repeating_the_rows(rows: list[tuple[float, bool]], seed: int) -> None:
    scores, match = arrays([score for score, _ in rows], [label for _, label in rows])
    weights = resamples(match, np.arange(len(rows)) // 2, count=3, seed=seed)
    repeated = [np.repeat(np.arange(len(rows)), row) for row in weights]
    by_weight = auroc_resampled(scores, match, weights)
    assert by_weight == pytest.approx([auroc(scores[rows], match[rows]) for rows in repeated], nan_ok=True)
    found = detection_resampled(scores, match, weights, 0.2)
    assert found == pytest.approx([detection_rate(scores[rows], match[rows], 0.2) for rows in repeated], nan_ok=True)


def test_bootstrap_draws_whole_groups_and_keeps_their_kinds() -> None:
    match = np.array([1, 0, 1, 0, 1, 0, 0, 0], dtype=np.bool_)
    groups = np.array([0, 0, 1, 1, 2, 3, 4, 5])  # two with both, one match alone, three mismatches alone
    weights = resamples(match, groups, count=200, seed=1)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == weights[:, 3]).all()
    assert (weights[:, 4] == 1).all()
    assert (weights.sum(axis=1) == 8).all()
    assert (weights[:, 5:].sum(axis=1) == 3).all()
    assert (weights == resamples(match, groups, count=200, seed=1)).all()
    assert (weights != resamples(match, groups, count=200, seed=2)).any()


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        match = np.repeat([True, False], 60)
        scores = generator.normal(np.where(match, 1.0, 0.0))  # true AUROC: Phi(1 / sqrt(2)) = 0.760
        found = auroc_estimate(scores, match, resamples(match, np.arange(120), count=300, seed=seed))
        covered += found.low <= 0.7602 <= found.high
    assert 51 <= covered <= 60


def test_repeated_rows_of_one_group_do_not_narrow_the_interval() -> None:
    generator = np.random.default_rng(3)
    match = np.repeat([True, False], 40)
    scores = generator.normal(np.where(match, 1.0, 0.0))
    once = interval(auroc_resampled(scores, match, resamples(match, np.arange(80), seed=0)))
    copies = np.tile(np.arange(80), 5)
    again = interval(auroc_resampled(scores[copies], match[copies], resamples(match[copies], copies, seed=0)))
    assert again[1] - again[0] == pytest.approx(once[1] - once[0], rel=0.1)


def test_pairs_within_groups_do_not_shift_the_interval() -> None:
    scores = np.arange(40, dtype=np.float64)  # every match just above its own mismatch, in no other order
    match = np.arange(40) % 2 == 1
    found = auroc_estimate(scores, match, resamples(match, np.arange(40) // 2, seed=0))
    assert found.value == pytest.approx(0.525)
    assert found.low < found.value < found.high


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    generator = np.random.default_rng(0)
    match = np.repeat([True, False], 100)
    good = generator.normal(np.where(match, 1.0, 0.0))
    worse = good + generator.normal(scale=0.4, size=200)
    weights = resamples(match, np.arange(200), seed=0)
    ahead = auroc_difference(good, worse, match, weights)
    assert ahead.value == pytest.approx(auroc(good, match) - auroc(worse, match))
    assert ahead.low <= ahead.value <= ahead.high
    low, high = interval(auroc_resampled(good, match, weights))
    assert ahead.high - ahead.low < high - low
    assert auroc_difference(good, good, match, weights).high == 0


def test_exact_binomial_intervals_from_tables() -> None:
    assert binomial_interval(0, 10) == pytest.approx((0.0, 0.30850), abs=1e-4)
    assert binomial_interval(10, 10) == pytest.approx((0.69150, 1.0), abs=1e-4)
    assert binomial_interval(5, 100) == pytest.approx((0.01643, 0.11284), abs=1e-4)
    assert binomial_interval(81, 263) == pytest.approx((0.2527, 0.3676), abs=1e-4)  # Brown, Cai and DasGupta
    with pytest.raises(ValueError, match="is not a share"):
        binomial_interval(3, 2)


def test_exact_binomial_intervals_against_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for successes, trials in [(1, 7), (12, 150), (900, 1000), (3000, 5000)]:
        expected = stats.binomtest(successes, trials).proportion_ci(method="exact")
        assert binomial_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-8)
    assert binomial_range(175, 0.05) == tuple(int(value) for value in stats.binom(175, 0.05).interval(0.95))


def test_the_range_of_a_binomial_count() -> None:
    assert binomial_range(100, 0.05) == (1, 10)
    assert binomial_range(10, 0.0) == (0, 0)


def test_a_ratio_is_of_pairs_that_were_measured_together() -> None:
    base = [1.0, 10.0, 100.0]  # a machine that grew busy slowed both alike
    found = ratio_estimate([2.0, 20.0, 300.0], base)
    assert (found.value, found.low, found.high) == (2.0, 2.0, 3.0)
    assert ratio_estimate(base, base) == Estimate(1.0, 1.0, 1.0)
