from __future__ import annotations

from collections import Counter

import pytest

from flip_edge.baselines.overlap import WordOverlap
from flip_edge.contrast_set import SYNONYM, contrast_pairs, episodes, measure, to_text
from flip_edge.episode import Episode
from flip_edge.similarity import normalize

KINDS = {"number", "role_swap", "negation", "colour", "left_right", "opposite", "place", "object"}


def test_there_are_hundreds_of_pairs_and_dozens_of_every_kind() -> None:
    kinds = Counter(pair.kind for pair in contrast_pairs())
    assert set(kinds) == {*KINDS, SYNONYM}
    assert sum(kinds.values()) - kinds[SYNONYM] >= 300
    assert min(kinds.values()) >= 30


def test_the_pairs_are_different_filled_in_and_always_the_same() -> None:
    pairs = contrast_pairs()
    assert len(set(pairs)) == len(pairs)
    for pair in pairs:
        texts = (pair.command, pair.contrast, *pair.steps)
        assert all(text and "{" not in text and "None" not in text for text in texts), pair
        assert pair.command != pair.contrast
    contrast_pairs.cache_clear()
    assert contrast_pairs() == pairs


def test_many_objects_and_places_are_used() -> None:
    words = {word for pair in contrast_pairs() for word in normalize(pair.command).split()}
    assert len(words) > 120


def test_a_score_that_ignores_the_log_is_a_coin_on_every_kind() -> None:
    longer = {result.kind: result for result in measure("length", lambda run: float(len(run.command)), None)}
    alphabetical = measure("order", lambda run: float(sum(map(ord, run.command))), None)
    for result in [*longer.values(), *alphabetical]:
        if result.kind != SYNONYM:
            assert result.share is not None
            assert result.share.value == pytest.approx(0.5), result


def test_word_counting_cannot_see_roles() -> None:
    overlap = WordOverlap()
    results = {result.kind: result for result in measure("overlap", lambda run: overlap.scores(run)[0], None)}
    assert results["role_swap"].share is not None
    assert results["role_swap"].share.value == pytest.approx(0.5)
    assert results["colour"].share is not None
    assert results["colour"].share.value == 1.0
    assert results[SYNONYM].share is None  # nothing passes without a threshold


def test_synonyms_pass_where_both_wordings_reach_the_threshold() -> None:
    def score(run: Episode) -> float:
        return 0.2 if "navigate" in run.command else 0.8

    results = {result.kind: result for result in measure("mine", score, 0.5)}
    synonyms = [pair for pair in contrast_pairs() if pair.kind == SYNONYM]
    failing = sum("navigate" in pair.command + pair.contrast for pair in synonyms)
    assert failing
    share = results[SYNONYM].share
    assert share is not None
    assert share.value == pytest.approx(1 - failing / len(synonyms))
    assert share.low < share.value < share.high


def test_missing_answers_count_half_and_are_counted() -> None:
    results = measure("silent", lambda run: None, 0.5)
    everything = next(result for result in results if result.kind == "all")
    assert everything.unanswered == everything.pairs
    assert everything.share is not None
    assert everything.share.value == 0.5
    assert "silent" in to_text(results)


def test_every_side_of_every_pair_can_be_scored_in_one_go() -> None:
    rows = {(row.episode.command, row.episode.steps) for row in episodes()}
    assert len(rows) == len(episodes())
    assert all((side.command, side.steps) in rows for pair in contrast_pairs() for side in pair.episodes())
