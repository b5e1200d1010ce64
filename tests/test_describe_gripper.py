"""The sentences that the width of a gripper becomes."""

from __future__ import annotations

import doctest
import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flip_edge.acts import acts_of
from flip_edge.describe import GripperDescriber, GripperSettings, gripper
from flip_edge.errors import ConfigError, InputError

OPENED, CLOSED = "opened the gripper", "closed the gripper"
GRIPPED, LOST = "closed the gripper on something", "lost what the gripper held"


def moves(
    widths: Sequence[float], *, hz: float = 20.0, noise: float = 0.0003, seed: int = 0
) -> list[tuple[float, float]]:
    """Readings of a gripper that goes from width to width at 5 cm/s and rests a second at each."""
    rng = random.Random(seed)
    width, readings = widths[0], []
    for goal in widths:
        steps = round(abs(goal - width) / 0.05 * hz)
        way = [width + (goal - width) * step / steps for step in range(1, steps + 1)] + [goal] * round(hz)
        readings += [rng.gauss(value, noise) for value in way]
        width = goal
    return [(number / hz, value) for number, value in enumerate(readings)]


def say(readings: Sequence[Sequence[float]], describer: GripperDescriber | None = None) -> list[str]:
    describer = describer or GripperDescriber()
    return [said for reading in readings for said in describer.observe(*reading)] + describer.finish()


@pytest.mark.parametrize("hz", [5.0, 20.0, 200.0])
@pytest.mark.parametrize(
    ("widths", "sentences"),
    [
        ([0.08], []),
        ([0.0], []),
        ([0.0, 0.08], [OPENED]),
        ([0.08, 0.0], [CLOSED]),
        ([0.08, 0.04], [GRIPPED]),
        ([0.0, 0.08, 0.04, 0.08, 0.0], [OPENED, GRIPPED, OPENED, CLOSED]),
        ([0.08, 0.04, 0.0], [GRIPPED, LOST]),
        ([0.08, 0.01, 0.001], [GRIPPED, LOST]),
        ([0.08, 0.04, 0.0, 0.08], [GRIPPED, LOST, OPENED]),
        ([0.08, 0.04, 0.035, 0.03, 0.025], [GRIPPED]),
        ([0.0, 0.04, 0.08], [OPENED]),
        ([0.08, 0.075, 0.08], []),
    ],
)
def test_each_change_is_said_once(widths: list[float], sentences: list[str], hz: float) -> None:
    assert say(moves(widths, hz=hz)) == sentences


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), width=st.floats(0.0, 0.1), hz=st.sampled_from([2.0, 20.0, 100.0]))
def test_noise_does_not_chatter(seed: int, width: float, hz: float) -> None:
    assert say(moves([width] * 30, hz=hz, noise=0.001, seed=seed)) == []


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_noisy_grip_is_one_sentence(seed: int) -> None:
    assert say(moves([0.08, 0.04, 0.04, 0.04], noise=0.0006, seed=seed)) == [GRIPPED]


def test_fingers_that_pause_on_their_way_have_not_arrived() -> None:
    way = [0.08] * 20 + [0.05] * 6 + [0.0] * 20
    readings = [(number / 20, width) for number, width in enumerate(way)]
    assert say(readings) == [CLOSED]
    assert say(readings, GripperDescriber(GripperSettings(settle_s=0.2))) == [GRIPPED, LOST]


def test_a_movement_that_began_with_the_first_reading_is_told() -> None:
    readings = moves([0.08, 0.04])[25:]
    assert say(readings) == [GRIPPED]


def test_effort_tells_a_sheet_from_nothing_where_it_is_asked() -> None:
    readings = [(time, width, -12.0 if width < 0.01 else 0.0) for time, width in moves([0.08, 0.001])]
    assert say(readings) == [CLOSED]
    assert say(readings, GripperDescriber(GripperSettings(holding_effort=10.0))) == [GRIPPED]
    assert say(readings, GripperDescriber(GripperSettings(holding_effort=20.0))) == [CLOSED]


def test_what_is_under_way_is_said_at_the_end() -> None:
    describer = GripperDescriber()
    readings = moves([0.08, 0.0])[:-15]
    assert [said for reading in readings for said in describer.observe(*reading)] == []
    assert describer.finish() == [CLOSED]
    assert describer.finish() == []


def test_readings_that_are_late_or_not_finite_change_nothing_and_a_clock_set_back_begins_anew() -> None:
    readings = moves([0.08, 0.04, 0.0])
    spoiled = [
        entry
        for time, width in readings
        for entry in ((time, width), (time - 0.3, 0.2), (time + 0.01, math.nan), (math.inf, 0.0), (math.nan, 0.0))
    ]
    assert say(spoiled) == [GRIPPED, LOST]
    # Held before the clock was set back; afterwards nobody knows.
    assert say([(time + 100, width) for time, width in moves([0.08, 0.04])] + moves([0.04, 0.0])) == [GRIPPED, CLOSED]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats() | st.integers(0, 20), st.floats() | st.floats(0, 0.1), st.none() | st.floats())))
def test_no_number_raises_and_the_same_readings_give_the_same_sentences(
    readings: list[tuple[float, float, float]],
) -> None:
    describer = GripperDescriber(GripperSettings(holding_effort=1.0))
    said = say(readings, describer)
    assert said == say(readings, describer)
    assert set(said) <= {OPENED, CLOSED, GRIPPED, LOST}


@pytest.mark.parametrize("bad", ["0.1", True, [0.1]])
def test_what_is_not_a_number_is_refused(bad: object) -> None:
    describer = GripperDescriber()
    for arguments, name in (((bad, 0.1, None), "time"), ((0.0, bad, None), "width"), ((0.0, 0.1, bad), "effort")):
        with pytest.raises(InputError, match=f"{name} must be a number"):
            describer.observe(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -1.0, math.nan, "1"])
def test_a_bad_setting_is_named(value: object) -> None:
    with pytest.raises(ConfigError, match=r"GripperSettings\.closed_width"):
        GripperSettings(closed_width=value)  # type: ignore[arg-type]


def test_the_evidence_reads_the_sentences_as_taking_and_letting_go() -> None:
    assert "take" in acts_of(GRIPPED)[0].kinds
    assert "place" in acts_of(OPENED)[0].kinds


def test_the_example_in_the_documentation_is_true() -> None:
    result = doctest.testmod(gripper)
    assert result.attempted > 0
    assert result.failed == 0
