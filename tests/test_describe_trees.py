"""The sentences that the status changes of behaviour trees become."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flip_edge.describe import SkillDescriber, SkillTemplate, TreeDescriber, trees
from flip_edge.describe.trees import IGNORED_NODES
from flip_edge.errors import InputError

SILENT = """
    Sequence ReactiveSequence PickSequence Fallback PlaceFallback RetryUntilSuccessful RepeatNode RateController
    RecoveryNode RoundRobin PipelineSequence Inverter ForceSuccess Parallel Switch3 IfThenElse SubTree MainTree
    Timeout Delay SetBlackboard ComputePathToPose ClearEntireCostmap PlannerSelector GoalUpdated GoalReached
    IsBatteryLow IsDoorOpen CheckBattery BatteryOK DoorOpen WaitForButton HoldReached Root Kitchen Action Step1 Idle
    LeftArm
"""


def say(name: str, new: str = "SUCCESS", previous: str = "RUNNING") -> list[str]:
    return TreeDescriber().observe(name, previous, new)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("NavigateToPose", "drove to the goal"),
        ("NavigateThroughPoses", "drove to the goal"),
        ("NavigateToKitchen", "drove to the kitchen"),
        ("MoveBase", "drove to the goal"),
        ("ReturnToDock", "drove to the dock"),
        ("ReturnHome", "went home"),
        ("PickObject", "picked up the object"),
        ("pick_red_mug", "picked up the red mug"),
        ("Pick", "picked up something"),
        ("Pick up the mug", "picked up the mug"),
        ("TakeMugFromTable", "picked up the mug from the table"),
        ("PlaceObjectOnTable", "put the object on the table"),
        ("PutMugInSink", "put the mug in the sink"),
        ("PourWaterIntoCup", "poured the water into the cup"),
        ("BringMugToKitchen", "brought the mug to the kitchen"),
        ("MoveArmToHome", "moved the arm to home"),
        ("PlaceMugAtPose", "put the mug down"),
        ("MoveForward", "moved forward"),
        ("TurnLeft", "turned left"),
        ("TurnOnLamp", "turned on the lamp"),
        ("LookAtTable", "looked at the table"),
        ("OpenGripper", "opened the gripper"),
        ("DockRobot", "docked"),
        ("Spin", "spun"),
        ("Wait", "waited"),
        ("BackUp", "backed up"),
        ("FollowPath", "followed the path"),
        ("main/Deliver::3/OpenDoorAction::12", "opened the door"),
    ],
)
def test_names_that_read_as_skills_are_said(name: str, sentence: str) -> None:
    assert say(name) == [sentence]


def test_failures_are_said_as_failures() -> None:
    assert say("PickObject", "FAILURE") == ["failed to pick up the object"]
    assert say("NavigateToKitchen", "FAILURE") == ["failed to drive to the kitchen"]
    assert say("PourWaterIntoCup", "FAILURE") == ["failed to pour the water into the cup"]
    assert say("TurnLeft", "FAILURE") == ["failed to turn left"]


@pytest.mark.parametrize("name", SILENT.split())
def test_control_nodes_conditions_and_names_without_an_act_say_nothing(name: str) -> None:
    assert say(name) == say(name, "FAILURE") == []


def test_a_name_that_asks_is_a_condition() -> None:
    assert say("Open door?") == []
    assert say("Open door") == ["opened the door"]


@pytest.mark.parametrize("new", ["IDLE", "RUNNING", "INVALID", "SKIPPED", "", "DONE", "2"])
def test_only_success_and_failure_are_said(new: str) -> None:
    assert say("PickObject", new) == []


@pytest.mark.parametrize("new", ["success", " SUCCESS ", "Status.SUCCESS", "NodeStatus::SUCCESS"])
def test_statuses_read_alike_from_every_library(new: str) -> None:
    assert say("PickObject", new) == ["picked up the object"]


def test_a_status_that_did_not_change_says_nothing() -> None:
    assert say("PickObject", "SUCCESS", "Status.SUCCESS") == []
    assert say("PickObject", "SUCCESS", "FAILURE") == ["picked up the object"]


def test_retries_merge_until_something_else_happens() -> None:
    describer = TreeDescriber()
    log = [
        ("PickMug", "FAILURE"),
        ("RetryUntilSuccessful", "RUNNING"),
        ("PickMug", "FAILURE"),
        ("PickMug", "SUCCESS"),
        ("main/PickMug::4", "SUCCESS"),
        ("PutMugOnTable", "SUCCESS"),
        ("PickMug", "SUCCESS"),
    ]
    assert [said for name, new in log for said in describer.observe(name, "RUNNING", new)] == [
        "failed to pick up the mug",
        "picked up the mug",
        "put the mug on the table",
        "picked up the mug",
    ]


def test_what_is_ignored_and_how_it_is_said_can_be_chosen() -> None:
    skills = SkillDescriber(templates={"tidy": SkillTemplate("tidied[ {object}]", "tidy[ {object}]")})
    describer = TreeDescriber(skills, ignored=IGNORED_NODES | {"follow *"})
    assert describer.observe("FollowPath", "RUNNING", "SUCCESS") == []
    assert describer.observe("TidyWarehouse", "RUNNING", "SUCCESS") == ["tidied the warehouse"]
    assert say("TidyWarehouse") == []
    assert say("SendGoal") == []
    assert say("PatrolWarehouse") == ["patrolled the warehouse"]
    assert TreeDescriber(ignored=()).observe("CheckBattery", "RUNNING", "SUCCESS") == ["checked the battery"]


@pytest.mark.parametrize("bad", [None, 2, b"SUCCESS"])
def test_what_is_not_text_is_refused(bad: object) -> None:
    for arguments in (("PickMug", "RUNNING", bad), ("PickMug", bad, "SUCCESS"), (bad, "RUNNING", "SUCCESS")):
        with pytest.raises(InputError, match="must be text"):
            TreeDescriber().observe(*arguments)  # type: ignore[arg-type]


PARTS = st.sampled_from(
    ["Pick", "Move", "Go", "to", "In", "From", "Goal", "Base", "Home", "Left", "Up", "Mug", "::1", "/"]
)


@given(name=st.text() | st.lists(PARTS).map("".join))
def test_any_name_says_one_printable_line_or_nothing(name: str) -> None:
    said, failed = say(name), say(name, "FAILURE")
    assert len(said) == len(failed) <= 1
    for sentence in said + failed:
        assert sentence == " ".join(sentence.split())
        assert sentence.isprintable()
    assert all(sentence.startswith("failed to ") for sentence in failed)


def test_the_example_in_the_documentation_is_true() -> None:
    result = doctest.testmod(trees)
    assert result.attempted > 0
    assert result.failed == 0
