from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flip_edge.wording import Mentions, is_content, reports_failure, same_word, word_spans, words_of


@pytest.mark.parametrize(
    ("word", "step", "expected"),
    [
        ("opened", "opens the door", True),
        ("drive", "drove 2.0 m", True),
        ("left", "left the room", True),
        ("leave", "turned left", False),
        ("2", "drove 2.0 m", True),
        ("two", "drove 2.0 m", True),
        ("2", "lifted both boxes", True),
        ("1.5", "drove 15 m", False),
        ("table", "went to coffeetable 1", True),
        ("tables", "went to coffeetable 1", True),
        ("coffeetable", "went to the coffee table", True),
        ("mug", "PickObject(mug_1) -> SUCCESS", True),
        ("pick", "PickObject(mug_1) -> SUCCESS", True),
        ("mug", "picked up the smuggled cup", False),  # too short to be looked for inside other words
        ("blue", "picked up the red mug", False),
        ("厨", "开到厨房", True),
    ],
)
def test_mentions(word: str, step: str, expected: bool) -> None:
    assert Mentions([step]).hold(word) is expected


def test_same_word() -> None:
    assert same_word("washing", "washed")
    assert same_word("2", "2.00")
    assert same_word("DVDs", "dvd")
    assert not same_word("glass", "glas")
    assert same_word("Two", "2")
    assert not same_word("15", "1.5")
    assert same_word("shelves", "shelf")
    assert same_word("Knives", "knife")


def test_identifiers_are_taken_apart() -> None:
    assert words_of("NavigateToPose(dock_2)") == ["navigate", "to", "pose", "dock", "2"]


def test_content_words() -> None:
    words = words_of("put the mug in bay 4 of X")
    assert [word for word in words if is_content(word)] == ["put", "mug", "bay", "4"]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("failed to grasp the mug", True),
        ("navigate(dock) -> ABORTED", True),
        ("placed the failsafe key", False),
        ("opened the canister", False),
        ('BT node move_base["pallet 1"] returned error', True),
        ('{"skill": "pick", "outcome": "error"}', True),
        ("GoTo(dock) -> error (blocked)", True),
        ("status=ERROR", True),
        ("[ERROR] [tf]: extrapolation into the future", False),
        ("tracking error 0.02 m", False),
        ("reached the goal with an error of 2 cm", False),
        ("finished, error: none", False),
        ('{"error": null, "ok": true}', False),
    ],
)
def test_reported_failures(step: str, expected: bool) -> None:
    assert reports_failure(step) is expected


@given(st.text(max_size=60))
def test_words_stand_where_they_are_said_to(text: str) -> None:
    for word, start, end in word_spans(text):
        assert text[start:end] == word
