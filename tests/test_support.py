from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flip_edge.support import Support, support, unrecovered_failures


def weigh(command: str, steps: list[str], surprise: dict[str, float] | None = None) -> Support:
    pieces = [f" {word}" for word in command.split()] + ["\n"]
    without = np.array([-(surprise or {}).get(piece.strip(), 1.0) for piece in pieces])
    return support(steps, pieces, without / 2, without)


def test_words_asked_for_count_by_the_root_of_their_surprise() -> None:
    found = weigh("bring the red mug", ["picked up a mug", "drove off"], {"bring": 1, "the": 100, "red": 4, "mug": 9})
    assert [word.asked for word in found.words] == [True, False, True, True]
    assert found.found == pytest.approx(3 / (2 + 3))
    assert found.found_last == 0.0
    assert [word.surprise for word in found.words] == [1, 100, 4, 9]
    assert [word.given_log for word in found.words] == [0.5, 50, 2, 4.5]


def test_verbs_are_left_to_the_acts_where_there_are_things() -> None:
    found = weigh("go to the kitchen", ["drove to the kitchen"], {"go": 9})
    assert [word.text for word in found.words if word.is_act] == ["go"]
    assert found.found == 1.0
    assert weigh("stop", ["drove off"]).found == 0.0
    assert weigh("stop", ["stopped"]).found == 1.0
    # The same word as a thing counts: it is the dock that is to be reached.
    assert weigh("go to the dock", ["drove to the door"]).found == 0.0
    assert weigh("watch the watch", ["saw the door"]).found == 0.0
    # A verb that no act is known for counts as any word does.
    assert weigh("frobnicate the mug", ["saw the mug"]).found == 0.5


def test_what_a_command_rules_out_is_not_asked_for() -> None:
    found = weigh("inspect the mug but do not touch the plate", ["inspected the mug"])
    assert [word.text for word in found.words if word.asked] == ["inspect", "mug"]
    assert found.found == 1.0


def test_an_amount_is_found_where_the_log_comes_close_to_it() -> None:
    found = weigh("turn 180 degrees", ["spun 90.4 deg", "spun 89.1 deg"])
    assert [word.found for word in found.words if word.text == "180"] == [True]
    assert [word.found_last for word in found.words if word.text == "180"] == [False]
    assert [word.found for word in weigh("turn 180 degrees", ["spun 120 deg"]).words if word.text == "180"] == [False]


def test_an_amount_is_found_in_another_unit() -> None:
    words = weigh("wait 5 minutes", ["waited 300 s"]).words
    assert [word.found for word in words if word.text == "5"] == [True]


def test_a_word_cut_into_tokens_is_one_word() -> None:
    pieces = [" pl", "ates", " 1", ".", "5", "\n"]
    found = support(["washed the plate for 1.50 min"], pieces, -np.ones(6), -np.array([1, 2, 3, 4, 5, 6.0]))
    assert [(word.text, word.surprise, word.found) for word in found.words] == [("plates", 3, True), ("1.5", 12, True)]


@pytest.mark.parametrize(
    ("steps", "left"),
    [
        (["picked up the mug"], []),
        (["failed to pick up the mug"], [0]),
        (["failed to pick up the mug: it slipped", "picked up the mug"], []),
        (["failed to pick up the mug", "picked up the plate"], [0]),
        (["failed to pick up the mug", "failed again to pick up the mug"], [0, 1]),
        (["could not open the door", "opened the window", "opened the door"], []),
        (["navigate(dock) -> ABORTED"], [0]),
        (["the goal was rejected"], [0]),
        (["could not open the door, then opened the door"], []),
        (["failed to drive to the door: no path", "drove to the door"], []),
        (["the robot tried to take the mug but failed (it slipped)", "the robot took the mug"], []),
        (["failed to open the door", "drove to the door"], [0]),
        (["goto dock 1 FAILED", "arrived at dock 1"], []),
        (["keys not found in the hall", "keys found on the shelf in the hall"], []),
        (["following the person", "lost track of the person"], [1]),
        (["the gripper slipped off the mug", "picked up the mug"], []),
        (["placed the failsafe key"], []),
        (["detect(mug, table) returned FAILED", "detect(mug, shelf) returned COMPLETED"], []),
        (["detect(mug, table) returned FAILED", "detect(cup, shelf) returned COMPLETED"], [0]),
        (['GoTo(dock) FAILED "object slipped"', "GoTo(dock) OK"], []),
        (["#1 [nav] goto dock-2 FAILED: timeout", "#2 [nav] at dock-2 OK"], []),
        (["t=4.5s NAV: goto dock FAILED: no grasp found", "t=9.5s NAV: goal dock reached [ok]"], []),
        (["Grasp['Tennis Racket'] returned failure", "Grasp['Tennis Racket'] returned success"], []),
        (["I failed to drive to the door and drove to the door"], []),
        (["Place(mug, table) ABORTED", "Place(cup, shelf) OK"], [0]),
        (["gripper closed, width 0.00, no object"], [0]),
        (["opened the canister"], []),
        (["docking, attempt 1: marker not detected", "docking, attempt 2: docked"], []),
        (["[ERROR] [16.5] [controller]: Failed to make progress", "[controller]: Reached the goal!"], []),
        (["[ERROR] [16.5] [controller]: Failed to make progress", "picked up the mug"], [0]),
        (["the first grasp slipped, then it was grasped again"], []),
        (["failed to pick up the mug", "picked up the plate again"], [0]),
        (["pick up the mug -> Last action is invalid"], [0]),
    ],
)
def test_failures_that_no_later_step_made_good(steps: list[str], left: list[int]) -> None:
    assert unrecovered_failures(steps) == tuple(steps[number] for number in left)


@pytest.mark.parametrize(
    ("step", "counts"),
    [
        ("failed to drive back to the dock", False),  # the command asks for no way there
        ("failed to drive to the sink", True),
        ("failed to put the mug down", True),
        ("motion planning failed", True),
    ],
)
def test_a_way_that_failed_counts_where_the_command_asks_for_it(step: str, counts: bool) -> None:
    assert bool(unrecovered_failures(["put the mug in the sink", step], "put the mug in the sink")) is counts


@given(st.text(max_size=40), st.lists(st.text(max_size=40), max_size=4))
def test_any_text_gives_shares(command: str, steps: list[str]) -> None:
    found = weigh(command, steps)
    assert 0 <= found.found_last <= found.found + 1e-9 <= 1 + 2e-9
    if steps and command:
        assert weigh(command, [command]).found == pytest.approx(1.0)
