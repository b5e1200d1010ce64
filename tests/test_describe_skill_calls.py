"""Skills that robots report in one line."""

from __future__ import annotations

import doctest
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flip_edge.describe import SkillDescriber, skill_calls
from flip_edge.describe.skill_calls import parse_skill_call
from flip_edge.errors import InputError


def say(line: str) -> str | None:
    result = parse_skill_call(line)
    return SkillDescriber().describe(result) if result else None


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("pick(mug_1) -> SUCCESS", "picked up the mug"),
        ("  pick( 'mug_1' )=>succeeded  ", "picked up the mug"),
        ("pick(mug_1, desk) -> SUCCESS", "picked up the mug from the desk"),
        ("pick(mug_1, from=desk) -> Status.SUCCESS", "picked up the mug from the desk"),
        ("place(object=mug_1, target=desk) -> DONE", "put the mug on the desk"),
        ("place(mug_1, sink, desk) -> OK", "put the mug in the sink"),
        ("navigate(kitchen) -> SUCCESS", "drove to the kitchen"),
        ("navigate(to=kitchen, from=desk) -> SUCCESS", "drove from the desk to the kitchen"),
        ("navigate(1.5, -2) -> SUCCESS", "drove somewhere else"),
        ("go_to_location(kitchen) -> SUCCESS", "drove to the kitchen"),
        ("open(door) -> FAILURE: it is locked.", "failed to open the door: it is locked"),
        ("open(door) -> FAILURE (it is locked)", "failed to open the door: it is locked"),
        ("open(door) -> ABORTED", "failed to open the door"),
        ("open(door) -> CANCELED", "was stopped before it could open the door"),
        ("open(door) -> not_quite", "failed to open the door"),
        ("pick(mug_1, grasp_force=0.5, mode=soft) -> SUCCESS", "picked up the mug"),
        ("scan() -> SUCCESS", "scanned"),
        ('{"action": "place", "object": "mug_1", "target": "desk", "status": "SUCCESS"}', "put the mug on the desk"),
        (
            '{"action": "open", "target": "door", "status": "FAILURE", "message": "Locked.", "force": 3}',
            "failed to open the door: locked",
        ),
    ],
)
def test_a_report_is_said(line: str, sentence: str) -> None:
    assert say(line) == sentence


@pytest.mark.parametrize(
    "line",
    [
        "pick(mug_1)",
        "pick(mug_1) -> RUNNING",
        "pick(mug_1) -> STATUS_EXECUTING",
        "pick(mug_1) ->",
        "pick(mug_1) ...",
        '{"action": "pick", "object": "mug_1"}',
        '{"action": "pick", "object": "mug_1", "status": "started"}',
    ],
)
def test_a_skill_that_has_not_ended_says_nothing(line: str) -> None:
    assert say(line) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "pick mug_1 -> SUCCESS",
        "(mug_1) -> SUCCESS",
        "9pick(mug) -> SUCCESS",
        "{",
        "[]",
        "{}",
        '{"action": 3, "status": "SUCCESS"}',
        '{"action": "pick", "status": 3}',
        '{"action": "pick", "status": "SUCCESS", "object": ["mug"]}',
        "pick(" + "mug," * 1000 + ") -> SUCCESS",
    ],
)
def test_what_is_no_report_is_an_input_error(line: str) -> None:
    with pytest.raises(InputError):
        parse_skill_call(line)


@given(
    st.one_of(st.text(), st.from_regex(r"\w+\([^)]*\) ?-> ?.*"), st.dictionaries(st.text(), st.text()).map(json.dumps))
)
def test_any_text_is_a_report_or_an_input_error(line: Any) -> None:
    try:
        said = say(line)
    except InputError:
        return
    assert said is None or (said == " ".join(said.split()) and said)


def test_the_examples_in_the_module_are_right() -> None:
    assert doctest.testmod(skill_calls).failed == 0
    assert doctest.testmod(skill_calls).attempted > 0
