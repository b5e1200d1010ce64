"""The sentences that the goals of ROS 2 actions become."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flip_edge.describe import ActionGoalDescriber, SkillDescriber, actions, node_names
from flip_edge.errors import ConfigError, InputError

ACCEPTED, EXECUTING, CANCELING, SUCCEEDED, CANCELED, ABORTED = range(1, 7)


def say(action: str, status: int = SUCCEEDED, goal: str = "", reason: str = "") -> list[str]:
    return ActionGoalDescriber().observe("5f3a", action, status, goal, reason)


@pytest.mark.parametrize(
    ("action", "goal", "sentence"),
    [
        ("/navigate_to_pose", "", "drove to the goal"),
        ("/robot1/navigate_to_pose", "kitchen_table0", "drove to the kitchen table"),
        ("/navigate_to_pose/_action/status", "kitchen", "drove to the kitchen"),
        ("/pick_object", "", "picked up the object"),
        ("/pick_object", "red_mug", "picked up the red mug"),
        ("/dock_robot", "", "docked"),
        ("/spin", "", "spun"),
        ("/backup", "", "backed up"),
        ("/open_gripper", "", "opened the gripper"),
        ("/arm_calibration", "", 'ran "arm calibration"'),
        ("/sanitize", "", "sanitized"),
        ("/patrol", "", "patrolled"),
    ],
)
def test_a_goal_that_succeeded_is_said_in_the_past_tense(action: str, goal: str, sentence: str) -> None:
    assert say(action, SUCCEEDED, goal) == [sentence]


def test_an_aborted_goal_has_failed_for_its_reason() -> None:
    assert say("/navigate_to_pose", ABORTED, "kitchen") == ["failed to drive to the kitchen"]
    assert say("/navigate_to_pose", ABORTED, "kitchen", "No path was found.") == [
        "failed to drive to the kitchen: no path was found"
    ]


def test_a_canceled_goal_was_stopped() -> None:
    assert say("/navigate_to_pose", CANCELED, "kitchen") == [
        "was stopped before it could drive to the kitchen: cancelled"
    ]
    assert say("/spin", CANCELED, reason="by the operator") == ["was stopped before it could spin: by the operator"]


@pytest.mark.parametrize("status", [0, ACCEPTED, EXECUTING, CANCELING, -1, 7, 10**30])
def test_a_goal_that_has_not_ended_says_nothing(status: int) -> None:
    assert say("/navigate_to_pose", status) == []


def test_each_goal_is_told_once_though_its_status_is_repeated() -> None:
    describer = ActionGoalDescriber()
    statuses = [ACCEPTED, EXECUTING, SUCCEEDED, SUCCEEDED, EXECUTING, ABORTED, SUCCEEDED]
    assert [said for status in statuses for said in describer.observe("1", "/spin", status)] == ["spun"]
    assert describer.observe("2", "/spin", SUCCEEDED) == ["spun"]
    assert describer.observe("1", "/wait", SUCCEEDED) == ["waited"]


def test_what_the_goal_was_is_kept_until_it_ends() -> None:
    describer = ActionGoalDescriber()
    assert describer.observe("1", "/navigate_to_pose", ACCEPTED, goal="kitchen") == []
    assert describer.observe("2", "/navigate_to_pose", ACCEPTED, goal="office") == []
    assert describer.observe("1", "/navigate_to_pose", SUCCEEDED) == ["drove to the kitchen"]
    assert describer.observe("2", "/navigate_to_pose", ABORTED) == ["failed to drive to the office"]


def test_the_oldest_goals_are_forgotten_and_those_still_repeated_are_not() -> None:
    describer = ActionGoalDescriber(remembered=2)
    assert describer.observe("1", "/spin", SUCCEEDED) == ["spun"]
    assert describer.observe("2", "/spin", SUCCEEDED) == ["spun"]
    assert describer.observe("1", "/spin", SUCCEEDED) == []
    assert describer.observe("3", "/spin", SUCCEEDED) == ["spun"]
    assert describer.observe("1", "/spin", SUCCEEDED) == []
    assert describer.observe("2", "/spin", SUCCEEDED) == ["spun"]


def test_inner_steps_of_a_navigation_say_nothing_unless_they_are_wanted() -> None:
    assert say("/compute_path_to_pose") == say("/follow_path", ABORTED) == []
    assert ActionGoalDescriber(ignored=()).observe("1", "/follow_path", SUCCEEDED) == ["followed the path"]


def test_names_of_the_skill_describer_are_used() -> None:
    describer = ActionGoalDescriber(SkillDescriber(names={"loc_7": "the charging dock"}))
    assert describer.observe("1", "/navigate_to_pose", SUCCEEDED, "loc_7") == ["drove to the charging dock"]


def test_what_is_ill_typed_is_refused() -> None:
    describer = ActionGoalDescriber()
    for arguments in ((1, "/spin", 4), ("1", None, 4), ("1", "/spin", 4, 2), ("1", "/spin", 4, "", b"")):
        with pytest.raises(InputError, match="must be text"):
            describer.observe(*arguments)  # type: ignore[arg-type]
    for status in ("4", 4.0, True, None):
        with pytest.raises(InputError, match="must be a code of GoalStatus"):
            describer.observe("1", "/spin", status)  # type: ignore[arg-type]
    for remembered in (0, 1.5, True):
        with pytest.raises(ConfigError, match="remembered"):
            ActionGoalDescriber(remembered=remembered)  # type: ignore[arg-type]


@given(action=st.text(), goal=st.text(max_size=30), reason=st.text(max_size=30))
def test_any_text_says_one_printable_line_or_nothing(action: str, goal: str, reason: str) -> None:
    for status, opening in ((SUCCEEDED, ""), (ABORTED, "failed to "), (CANCELED, "was stopped before it could ")):
        said = say(action, status, goal, reason)
        assert len(said) <= 1
        for sentence in said:
            assert sentence == " ".join(sentence.split())
            assert sentence.isprintable()
            assert sentence.startswith(opening)


@pytest.mark.parametrize("module", [actions, node_names])
def test_the_examples_in_the_documentation_are_true(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
