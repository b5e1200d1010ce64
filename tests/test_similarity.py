from __future__ import annotations

import random
import re
import string
from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flip_edge.similarity import compare, content_words, normalize, spelled_as, word_f1

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
WORDS = ["the", "a", "An", "mug", "Mug.", "red", "sink!", "to", "to", "bring", "1.5", "15", "tea-cup", "o'clock", "Ünï"]


def by_the_formula(inferred: str, command: str) -> float:
    """F1 written from the formula 2PR / (P + R) of the paper, with multisets counted by removing from a list."""

    def words(text: str) -> list[str]:
        kept = "".join(char for char in text.lower() if char not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", kept).split()

    left, right = words(inferred), words(command)
    pool, same = list(right), 0
    for word in left:
        if word in pool:
            pool.remove(word)
            same += 1
    if same == 0:
        return 0.0
    precision, recall = same / len(left), same / len(right)
    return 2 * precision * recall / (precision + recall)


def test_f1_is_flips_on_ten_thousand_random_pairs() -> None:
    source = random.Random(20260213)
    alphabet = [*WORDS, *string.punctuation, "\t", "\n", "ß", "漢字", "\N{EN DASH}", "\u00a0", "🤖"]
    scores = []
    for _ in range(10_000):
        pair = [
            source.choice(("", " ")).join(source.choices(alphabet, k=source.randint(0, 9)))
            if source.random() < 0.3
            else " ".join(source.choices(WORDS, k=source.randint(0, 9)))
            for _ in range(2)
        ]
        expected = by_the_formula(*pair)
        assert word_f1(*pair) == pytest.approx(expected, abs=1e-12), pair
        scores.append(expected)
    assert sum(0 < score < 1 for score in scores) > 3_000  # the pairs are not all trivial


@settings(max_examples=500)
@given(TEXT, TEXT)
@example("a-n apple", "apple")
@example("a\N{EN DASH}b", "b")
@example("THE the", "")
def test_f1_is_flips_on_any_text(inferred: str, command: str) -> None:
    assert word_f1(inferred, command) == pytest.approx(by_the_formula(inferred, command), abs=1e-12)


@given(TEXT, TEXT)
def test_parts_are_consistent(inferred: str, command: str) -> None:
    overlap = compare(inferred, command)
    assert 0 <= overlap.f1 <= 1
    assert min(overlap.precision, overlap.recall) <= overlap.f1 + 1e-12
    assert overlap.f1 <= max(overlap.precision, overlap.recall) + 1e-12
    if overlap.unit == "word":
        assert overlap.f1 == word_f1(inferred, command)
    shared = len(content_words(command)) - len(overlap.missing)
    assert overlap.recall == pytest.approx(shared / len(content_words(command)) if content_words(command) else 0)


@pytest.mark.parametrize(
    ("command", "inferred", "f1"),
    [
        ("move forward 1.5 m", "move forward 15 m", 1.0),
        ("pick up the red cup", "pick up the blue cup", 0.75),
        ("go to the kitchen", "navigate to the kitchen", 2 / 3),
        ("do not enter the lab", "enter the lab", 2 / 3),
        ("open the gripper", "release the object", 0.0),
        ("bring the mug", "Bring a mug!", 1.0),
    ],
)
def test_known_scores(command: str, inferred: str, f1: float) -> None:
    assert word_f1(inferred, command) == pytest.approx(f1)


def test_missing_and_unexpected_keep_order_and_count() -> None:
    overlap = compare("put the mug, the mug and the plate in the sink", "bring the mug to the sink to the sink")
    assert overlap.missing == ("bring", "to", "to", "sink")
    assert overlap.unexpected == ("put", "mug", "and", "plate", "in")


def test_articles_inside_words_stay() -> None:
    assert normalize("The theatre, an ant a-theme") == "theatre ant atheme"


def test_scripts_without_spaces_are_compared_by_character() -> None:
    overlap = compare("去厨房。", "去卧室")
    assert overlap.unit == "character"
    assert overlap.f1 == pytest.approx(1 / 3)
    assert overlap.missing == ("卧", "室")
    assert word_f1("去厨房。", "去卧室") == 0.0  # FLIP's own definition is left as it is


def test_character_units_keep_words_of_other_scripts_and_vowel_marks() -> None:
    assert content_words("把USB插到ポート2") == ["把", "usb", "插", "到", "ポ", "ー", "ト", "2"]
    assert content_words("ไปที่ครัว") == ["ไ", "ป", "ที่", "ค", "รั", "ว"]


def test_scripts_with_spaces_are_words() -> None:
    assert compare("Перейти на кухню", "перейти на склад").f1 == pytest.approx(2 / 3)
    assert compare("부엌으로 가", "부엌으로 가").unit == "word"


@pytest.mark.parametrize(
    ("inferred", "command", "spelled"),
    [
        ("Put the card on the coffee table.", "put a card in coffeetable", "Put the card on the coffeetable."),
        ("dock at the charging station 2", "Dock at charging_station_2!", "dock at the charging_station_2"),
        ("PickUp the sidetable", "pick up the side-table", "pick up the sidetable"),
        ("move the sidetable", "move the side table", "move the side table"),
        ("go to bay12", "go to bay 12", "go to bay 12"),
        # nothing to do: as the command has it, two numbers, two names
        ("coffee table, not coffeetable", "coffeetable or coffee table", "coffee table, not coffeetable"),
        ("go to dock 1 2", "go to dock 12", "go to dock 1 2"),
        ("bring coffee, table and chairs", "bring the coffeetable", "bring coffee, table and chairs"),
        ("put the coffee on the table", "put it on the coffeetable", "put the coffee on the table"),
        ("look for it", "look at the cup", "look for it"),
        ("", "go", ""),
    ],
)  # fmt: skip
def test_names_are_spelled_as_the_command_spells_them(inferred: str, command: str, spelled: str) -> None:
    assert spelled_as(inferred, command) == spelled


@settings(max_examples=500)
@given(
    st.lists(st.sampled_from(WORDS), max_size=8),
    st.lists(st.sampled_from(WORDS), max_size=8),
    st.lists(st.sampled_from(["", " ", "_", "-"]), min_size=8, max_size=8),
)
def test_spelling_changes_spaces_alone(text: list[str], reference: list[str], between: list[str]) -> None:
    told = " ".join(text)
    like = "".join(chain.from_iterable(zip(reference, between)))  # noqa: B905 - as many as there are words
    spelled = spelled_as(told, like)
    assert _bare(spelled) == _bare(told)
    assert spelled_as(told, told) == told


def _bare(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum())
