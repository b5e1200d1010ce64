"""The sentences that poses become."""

from __future__ import annotations

import doctest
import math
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flip_edge.acts import acts_of
from flip_edge.describe import MotionDescriber, MotionSettings, Place, load_places, motion, places, signals
from flip_edge.errors import ConfigError, InputError

Pose = tuple[float, float, float, float]
Move = tuple[str, float]
SPEED, TURN_SPEED = 0.5, 45.0  # m/s, degrees/s
SQUARE: list[Move] = [("drive", 2.0), ("turn", 90.0)] * 4


def drive(
    moves: Sequence[Move], *, hz: float = 20.0, noise: float = 1.0, seed: int = 0, yaw: float = 0.0, time: float = 0.0
) -> list[Pose]:
    """Poses of a robot that makes the moves; noise 1 is a standard deviation of 1 cm and 1 degree."""
    rng = random.Random(seed)
    x = y = 0.0
    poses: list[Pose] = []
    for kind, amount in moves:
        seconds = {"wait": amount, "drive": abs(amount) / SPEED, "turn": abs(amount) / TURN_SPEED}.get(kind, 0.0)
        if kind == "curve":  # to the left, of 1 m radius
            seconds = math.radians(amount) / SPEED
        steps = max(1, round(seconds * hz))
        for _ in range(steps):
            turned = math.radians(amount) / steps if kind in ("turn", "curve") else 0.0
            driven = {"drive": amount / steps, "curve": turned}.get(kind, 0.0)
            x += driven * math.cos(yaw + turned / 2)
            y += driven * math.sin(yaw + turned / 2)
            yaw += turned
            time += 1 / hz
            near = [rng.gauss(value, noise * 0.01) for value in (x, y)]
            poses.append((time, *near, math.remainder(rng.gauss(yaw, noise * math.radians(1)), math.tau)))
    return poses


def say(poses: Sequence[Pose], describer: MotionDescriber | None = None) -> list[str]:
    describer = describer or MotionDescriber()
    return [said for pose in poses for said in describer.observe(*pose)] + describer.finish()


@pytest.mark.parametrize("seed", range(20))
def test_a_noisy_square_gives_its_eight_sentences(seed: int) -> None:
    poses = drive([("wait", 1.0), *SQUARE, ("wait", 1.0)], seed=seed, yaw=seed)
    assert say(poses) == ["drove 2.0 m forward", "turned left 90 degrees"] * 4


@pytest.mark.parametrize("hz", [2.0, 10.0, 50.0, 200.0])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_rate_of_the_poses_does_not_matter(hz: float, noise: float) -> None:
    moves = [("wait", 1.0), ("drive", 2.1), ("turn", -90.0), ("drive", -0.5), ("wait", 3.0)]
    expected = ["drove 2.1 m forward", "turned right 90 degrees", "drove 0.5 m backward", "stopped"]
    assert say(drive(moves, hz=hz, noise=noise)) == expected


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), hz=st.sampled_from([1.0, 5.0, 20.0, 100.0]), yaw=st.floats(-10, 10))
def test_a_standing_robot_says_nothing(seed: int, hz: float, yaw: float) -> None:
    assert say(drive([("wait", 60.0)], seed=seed, hz=hz, yaw=yaw)) == []


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), tenths=st.integers(5, 80), yaw=st.floats(-10, 10))
def test_a_noisy_drive_is_one_sentence(seed: int, tenths: int, yaw: float) -> None:
    said = say(drive([("wait", 1.0), ("drive", tenths / 10), ("wait", 4.0)], seed=seed, yaw=yaw))
    assert len(said) == 2
    assert said[1] == "stopped"
    metres = re.fullmatch(r"drove (\d+\.\d) m forward", said[0])
    assert metres is not None
    assert float(metres[1]) == pytest.approx(tenths / 10, abs=0.101)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), turn=st.integers(4, 144), left=st.booleans())
def test_a_noisy_turn_is_one_sentence_beyond_full_circles_too(seed: int, turn: int, left: bool) -> None:
    degrees = 5 * turn
    said = say(drive([("wait", 1.0), ("turn", degrees if left else -degrees), ("wait", 4.0)], seed=seed))
    assert len(said) == 1
    side, told = said[0].split()[1:3]
    assert side == ("left" if left else "right")
    assert float(told) == pytest.approx(degrees, abs=5)


def test_movement_is_told_when_it_has_ended_and_not_before() -> None:
    describer = MotionDescriber()
    under_way = [said for pose in drive([("drive", 3.0)]) for said in describer.observe(*pose)]
    assert under_way == []
    assert describer.finish() == ["drove 3.0 m forward"]
    assert describer.finish() == []


def test_a_pause_shorter_than_the_standstill_time_interrupts_nothing() -> None:
    moves = [("drive", 1.0), ("wait", 1.0), ("drive", 1.0), ("wait", 3.0)]
    assert say(drive(moves)) == ["drove 2.0 m forward", "stopped"]
    impatient = MotionDescriber(MotionSettings(standstill_s=0.5))
    assert say(drive(moves), impatient) == ["drove 1.0 m forward", "stopped"] * 2


def test_forward_and_backward_are_two_drives() -> None:
    moves = [("wait", 1.0), ("drive", 1.0), ("drive", -0.6), ("wait", 3.0)]
    assert say(drive(moves)) == ["drove 1.0 m forward", "drove 0.6 m backward", "stopped"]


def test_a_drive_around_a_bend_is_one_sentence() -> None:
    moves = [("wait", 1.0), ("drive", 2.0), ("curve", 90.0), ("drive", 2.0), ("wait", 3.0)]
    assert say(drive(moves)) == ["drove 5.6 m forward, turning left 90 degrees", "stopped"]


def test_a_robot_that_drives_sideways_is_told_to() -> None:
    poses = [(tick / 20, 0.0, min(tick / 40, 1.5), 0.0) for tick in range(120)]
    assert say(poses) == ["drove 1.5 m to the left", "stopped"]
    assert say([(time, x, -y, yaw) for time, x, y, yaw in poses])[0] == "drove 1.5 m to the right"


def test_little_movements_are_not_told_but_where_wanted() -> None:
    moves = [("wait", 1.0), ("drive", 0.18), ("wait", 3.0), ("turn", 10.0), ("wait", 3.0)]
    assert say(drive(moves, noise=0.1)) == []
    fine = MotionDescriber(
        MotionSettings(least_distance_m=0.05, least_angle_deg=5, still_distance_m=0.01, still_angle_deg=1)
    )
    assert say(drive(moves, noise=0.1), fine) == ["drove 0.2 m forward", "stopped", "turned left 10 degrees"]


def test_a_turn_alone_does_not_end_in_a_stop() -> None:
    assert say(drive([("turn", 90.0), ("wait", 5.0)])) == ["turned left 90 degrees"]


def test_a_stop_names_the_nearest_place_within_its_radius() -> None:
    poses = drive([("drive", 2.0), ("wait", 3.0)])
    far = Place("hall", 3.5, 0.0)
    near = Place("kitchen_table0", 2.0, 0.4)
    nearer = Place("door", 2.0, 0.3, radius=0.1)
    assert say(poses, MotionDescriber(places=[far, nearer, near]))[-1] == "stopped near the kitchen table"
    assert say(poses, MotionDescriber(places=[far]))[-1] == "stopped"
    assert say(poses, MotionDescriber(MotionSettings(place_radius_m=2), [far]))[-1] == "stopped near the hall"


def test_a_jump_of_the_localisation_is_no_movement() -> None:
    def with_jump(poses: Sequence[Pose]) -> Iterator[Pose]:
        for number, (time, x, y, yaw) in enumerate(poses):
            jumped = number > len(poses) // 3
            yield (time, 5 - y, x - 7, yaw + math.pi / 2) if jumped else (time, x, y, yaw)

    assert say(list(with_jump(drive([("wait", 20.0)])))) == []
    moves = [("wait", 1.0), ("drive", 2.0), ("wait", 3.0)]
    place = Place("dock", 5.0, -5.0)
    said = say(list(with_jump(drive(moves))), MotionDescriber(places=[place]))
    assert said == ["drove 2.0 m forward", "stopped near the dock"]


def test_single_outliers_and_poses_that_are_not_finite_change_nothing() -> None:
    poses = drive([*SQUARE, ("wait", 1.0)])
    spoiled: list[Pose] = []
    for number, (time, x, y, yaw) in enumerate(poses):
        if number % 37 == 20:
            spoiled.append((time - 0.02, x + 30, y, yaw))
        if number % 41 == 20:
            spoiled += [(time - 0.01, math.nan, y, yaw), (math.inf, x, y, yaw), (time - 0.01, x, y, -math.inf)]
        spoiled.append((time, x, y, yaw))
    assert say(spoiled) == say(poses)


def test_outliers_in_a_row_are_no_movement() -> None:
    poses = drive([("wait", 1.0), ("drive", 2.0), ("wait", 3.0)])
    wild = [(poses[50][0] + step / 1000, 50.0 * step, -30.0 * step, float(step)) for step in range(1, 20)]
    assert say([*poses[:51], *wild, *poses[51:]]) == say(poses) == ["drove 2.0 m forward", "stopped"]


def test_a_turn_begins_where_the_robot_stood_last_though_it_stood_long_elsewhere() -> None:
    moves = [("wait", 300.0), *[("wait", 1.0), ("turn", 0.3)] * 15, ("turn", 90.0), ("wait", 3.0)]
    assert say(drive(moves, noise=0.1)) == ["turned left 90 degrees"]


def test_a_turn_after_a_bend_is_the_turn_alone() -> None:
    moves = [("wait", 1.0), ("curve", 90.0), ("turn", -20.0), ("wait", 3.0)]
    bend, turn, stop = say(drive(moves, noise=0.1))
    assert bend.startswith("drove 1.6 m forward, turning left")
    assert turn in ("turned right 15 degrees", "turned right 20 degrees", "turned right 25 degrees")
    assert stop == "stopped"


def test_late_poses_are_left_out_and_a_clock_set_back_begins_anew() -> None:
    poses = drive([("drive", 2.0), ("wait", 3.0)])
    late = [entry for pose in poses for entry in (pose, (pose[0] - 0.5, 9.0, 9.0, 1.0))]
    assert say(late) == say(poses)
    again = drive([("drive", 1.0)])
    twice = [*drive([("drive", 2.0)], time=100.0), *again]
    assert say(twice) == ["drove 2.0 m forward", "drove 1.0 m forward"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[st.floats() | st.integers() | st.floats(-3, 3)] * 4), max_size=30))
def test_no_number_raises_and_the_same_poses_give_the_same_sentences(poses: list[Pose]) -> None:
    said = say(poses)
    assert said == say(poses)
    for sentence in said:
        assert re.match(r"drove \d+\.\d m |turned (left|right) \d+ degrees|stopped", sentence)


def test_numbers_of_numpy_are_numbers_and_others_are_refused() -> None:
    describer = MotionDescriber()
    assert describer.observe(np.float64(0), np.float32(0), np.int32(0), np.float64(0)) == []
    for bad in ("1", None, True, [0.0]):
        with pytest.raises(InputError, match="x must be a number"):
            describer.observe(0.0, bad, 0.0, 0.0)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="time must be"):
            describer.observe(bad, 0.0, 0.0, 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, "1", True])
def test_a_bad_setting_is_named(value: object) -> None:
    with pytest.raises(ConfigError, match=r"MotionSettings\.standstill_s"):
        MotionSettings(standstill_s=value)  # type: ignore[arg-type]


def test_the_evidence_reads_the_sentences_as_going() -> None:
    for said in say(drive([("drive", 2.0), ("turn", 90.0), ("drive", -1.0)])):
        assert [act.kinds for act in acts_of(said)] == [{"go"}], said


def test_places_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "places.yaml"
    path.write_text("kitchen_table: {x: 2, y: -1.5}\ndock: {x: 0, y: 0, radius: 0.5}\n")
    assert load_places(path) == (Place("kitchen_table", 2, -1.5), Place("dock", 0, 0, 0.5))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected places by name"),
        ("[1, 2]", "expected places by name"),
        ("desk: {x: 1", "cannot read the places"),
        ("desk: 4", "'desk' is 4"),
        ("7: {x: 1, y: 2}", "named 7"),
        ("'?': {x: 1, y: 2}", "named '\\?'"),
        ("desk: {x: 1}", "'desk' has no y"),
        ("desk: {x: 1, y: up}", "'desk': y is 'up'"),
        ("desk: {x: .nan, y: 1}", "'desk': x is nan"),
        ("desk: {x: 1, y: true}", "'desk': y is True"),
        ("desk: {x: 1, y: 2, radius: 0}", "'desk': radius is 0"),
        ("desk: {x: 1, y: 2, z: 0}", "'desk': unknown key 'z'"),
    ],
)
def test_a_bad_file_of_places_says_what_is_wrong_and_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "places.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        load_places(path)
    assert str(path) in str(error.value)


def test_a_missing_file_of_places_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_places(tmp_path / "none.yaml")


@pytest.mark.parametrize("module", [motion, places, signals])
def test_the_examples_in_the_documentation_are_true(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
