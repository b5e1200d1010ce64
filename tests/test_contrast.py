from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flip_edge.contrast import alternatives
from flip_edge.support import support


def others(command: str, steps: list[str], limit: int = 16) -> list[str]:
    pieces = [f" {word}" for word in command.split()] + ["\n"]
    values = -np.full(len(pieces), 2.0)
    words = support(steps, pieces, values, values).words
    return [alternative.command for alternative in alternatives(command, words, steps, limit)]


@pytest.mark.parametrize(
    ("command", "steps", "expected"),
    [
        ("put the apple on the desk", ["picked up the banana", "put it on the desk"], "put the banana on the desk"),
        ("put the red mug down", ["picked up the blue mug", "put it down"], "put the blue mug down"),
        ("drive to the kitchen", ["drove to the bedroom"], "drive to the bedroom"),
        ("move 1.5 m forward", ["drove 15 m forward"], "move 15 m forward"),
        ("turn left", ["turned right"], "turn right"),
        ("Open the door", ["closed the door"], "close the door"),
        ("do not enter the lab", ["entered the lab"], "enter the lab"),
        ("put the mug on the box", ["put the box on the mug"], "put the box on the mug"),
    ],
)
def test_the_near_miss_is_among_the_alternatives(command: str, steps: list[str], expected: str) -> None:
    assert expected.lower() in [other.lower() for other in others(command, steps)]


def test_what_the_log_mentions_is_not_exchanged_for_other_things_in_it() -> None:
    found = others("bring the mug", ["picked up the mug", "drove past the sofa"])
    assert found == []


@pytest.mark.parametrize(
    ("command", "steps"),
    [
        ("put the mug down", ["placed the mug"]),  # acts are compared as acts
        ("go back to your charger", ["returned to dock"]),
        ("bring the mug", ["grasp(plate): executed successfully"]),
    ],
)
def test_another_word_for_the_same_and_a_result_are_no_other_command(command: str, steps: list[str]) -> None:
    told = {"place", "placed", "dock", "returned", "executed", "successfully"}
    assert not any(told & set(other.split()) for other in others(command, steps))


def test_the_last_steps_come_first_and_the_limit_holds() -> None:
    steps = ["saw a fork", "saw a spoon", "saw a knife", "saw a plate", "saw a bowl"]
    assert others("bring the mug", steps, limit=2) == ["bring the bowl", "bring the plate"]
    assert others("bring the mug", steps, limit=0) == []


def test_a_name_inside_another_word_is_left_alone() -> None:
    assert "catch the hat" in others("catch the cat", ["took the hat"])


@given(st.text(max_size=40), st.lists(st.text(max_size=40), max_size=4))
def test_any_text_is_survived(command: str, steps: list[str]) -> None:
    found = others(command, steps, limit=8)
    assert len(found) <= 8
    assert len(set(found)) == len(found)
    assert command not in found
