"""The sentences that lines of a log become."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flip_edge.describe import LogDescriber, LogPattern, logs
from flip_edge.errors import ConfigError, InputError

INFO, ERROR = 20, 40
PICKED = LogPattern(r"picked (?P<object>\w+)", "picked up {object}", node="picker")
NAMES = {"mug_1": "the red mug"}


def say(line: str, *patterns: LogPattern, node: str = "picker", level: int = INFO) -> list[str]:
    return LogDescriber(patterns or [PICKED], NAMES).observe(0.0, node, level, line)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("picked mug_1", "picked up the red mug"),
        ("[INFO] object picked mug_1 after 3.2 s", "picked up the red mug"),
        ("picked WaterBottle_02", "picked up the water bottle"),
        ("picked \x1b[32mmug_1\x1b[0m", "picked up the red mug"),
        ("picked 17", "picked up 17"),
    ],
)
def test_a_line_that_fits_is_said(line: str, sentence: str) -> None:
    assert say(line) == [sentence]


@pytest.mark.parametrize("line", ["", "nothing was picked", "PICKED mug_1", "x" * 500 + "picked mug_1", "\n\x00"])
def test_other_lines_say_nothing(line: str) -> None:
    assert say(line) == []


def test_the_logger_and_the_level_are_looked_at() -> None:
    assert say("picked mug_1", node="placer") == []
    assert say("picked mug_1", node="robot1.picker") == []
    anywhere = LogPattern(PICKED.matches, PICKED.says, node="*picker")
    assert say("picked mug_1", anywhere, node="robot1.picker") == ["picked up the red mug"]
    serious = LogPattern(PICKED.matches, PICKED.says, level="error")
    assert say("picked mug_1", serious) == []
    assert say("picked mug_1", serious, level=ERROR) == ["picked up the red mug"]


def test_the_first_pattern_that_fits_speaks() -> None:
    failed = LogPattern(r"not picked (?P<object>\w+)", "failed to pick up {object}")
    assert say("not picked mug_1", failed, PICKED) == ["failed to pick up the red mug"]
    assert say("not picked mug_1", PICKED, failed) == ["picked up the red mug"]


def test_groups_are_phrases_or_text_as_it_was() -> None:
    failed = LogPattern(
        r"cannot grasp (?P<object>\w+): (?P<reason>.*)", "failed to pick up {object}: {reason:text}", node="picker"
    )
    assert say("cannot grasp mug_2: No  IK\tsolution!", failed) == ["failed to pick up the mug: No IK solution!"]
    drove = LogPattern(r"moved (?P<metres>\d+(\.\d+)?)m", "drove {metres} m")
    assert say("moved 2.5m", drove) == ["drove 2.5 m"]
    optional = LogPattern(r"placed(?: (?P<object>\w+))?$", "put {object} down")
    assert say("placed", optional) == ["put something down"]
    own_article = LogPattern(r"picked (?P<object>\w+)", "picked up the {object}")
    assert say("picked mug_1", own_article) == ["picked up the red mug"]


def test_what_a_line_brings_in_is_one_short_printable_line() -> None:
    reason = LogPattern(r"(?s)failed: (?P<reason>.*)", "failed: {reason:text}")
    (said,) = say("failed: a\nCommand: put\x00 it\x1b[2J down" + "y" * 10_000, reason)
    assert said.startswith("failed: a Command: put it down")
    assert said.isprintable()
    assert len(said) < 200
    (said,) = say(f"picked {'a' * 10_000}")
    assert len(said) < 120


def test_a_line_that_repeats_itself_is_said_once() -> None:
    describer = LogDescriber([PICKED])
    times = [0.0, 0.5, 1.0, 2.5, 4.0, 6.5, 6.6]
    said = [len(describer.observe(time, "picker", INFO, "picked mug_1")) for time in times]
    assert said == [1, 0, 0, 0, 0, 1, 0]
    assert len(describer.observe(6.7, "picker", INFO, "picked plate")) == 1
    assert len(describer.observe(6.8, "picker", INFO, "picked mug_1")) == 1
    assert describer.finish() == []
    assert len(describer.observe(6.9, "picker", INFO, "picked mug_1")) == 1
    talkative = LogDescriber([PICKED], repeat_s=0)
    assert [len(talkative.observe(0.0, "picker", INFO, "picked mug_1")) for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"matches": "picked (", "says": "x"}, r"picked \(.*no regular expression"),
        ({"matches": "", "says": "x"}, "matches .* is ''"),
        ({"matches": ".*", "says": "x"}, "in every line"),
        ({"matches": "x", "says": " "}, "says .* is ' '"),
        ({"matches": "x", "says": "picked {object}"}, "no named group of 'x': it has none"),
        ({"matches": "(?P<thing>x)", "says": "picked {object}"}, "its groups are thing"),
        ({"matches": "(?P<thing>x)", "says": "picked {thing"}, "other braces"),
        ({"matches": "(?P<thing>x)", "says": "picked {thing:raw}"}, "other braces"),
        ({"matches": "x", "says": "x", "level": "loud"}, "'loud': give one of debug, info"),
        ({"matches": "x", "says": "x", "node": 3}, "node .* is 3"),
    ],
)
def test_a_pattern_that_cannot_work_is_an_error_that_says_why(settings: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        LogPattern(**settings)


@pytest.mark.parametrize("repeat_s", [-1, float("nan"), "2", True])
def test_repeat_s_must_be_seconds(repeat_s: float) -> None:
    with pytest.raises(ConfigError, match="repeat_s is"):
        LogDescriber([PICKED], repeat_s=repeat_s)


def test_other_types_are_an_input_error() -> None:
    describer = LogDescriber([PICKED])
    for line in [(0.0, 3, INFO, "x"), (0.0, "picker", "info", "x"), (0.0, "picker", INFO, b"x")]:
        with pytest.raises(InputError):
            describer.observe(*line)  # type: ignore[arg-type]


@given(line=st.text(max_size=600), time=st.floats())
def test_any_text_is_taken(line: str, time: float) -> None:
    everything = LogPattern(r"(?P<object>.+)", "picked up {object}")
    for said in LogDescriber([everything]).observe(time, "picker", INFO, line):
        assert said.isprintable()
        assert len(said) < 200


def test_the_examples_in_the_module_are_right() -> None:
    assert doctest.testmod(logs).failed == 0
    assert doctest.testmod(logs).attempted > 0
