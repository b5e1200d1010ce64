"""From commands and descriptions to verdicts and alerts, in the node's ordinary life."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")

from flip_edge_msgs.msg import MismatchAlert, Verdict

from .client import QUIET_S, Client
from .conftest import Connect, StartNode

pytestmark = [pytest.mark.ros, pytest.mark.model]

MUG = "bring the mug to the sink"
MUG_STEPS = ("picked up the mug", "carried the mug to the sink", "put the mug in the sink")
DOCK = "drove to the charging dock"


def test_strings_make_one_verdict_when_the_next_command_comes(robot: Client) -> None:
    robot.command(MUG)
    robot.action(*MUG_STEPS)
    robot.spin(QUIET_S)
    assert robot.verdicts == []  # the run is still open
    robot.command("go to the kitchen")
    verdict = robot.one()
    assert (verdict.verdict, verdict.command, tuple(verdict.steps)) == (Verdict.MATCH, MUG, MUG_STEPS)
    assert verdict.command_id.startswith("#")
    assert verdict.inferred_instruction == ""
    assert "no instruction was inferred, as none could change the verdict" in verdict.reason


def test_a_run_is_read_while_it_goes_on(robot: Client) -> None:
    steps = ("picked up the mug from the shelf", *MUG_STEPS[1:])
    at_once = robot.check(MUG, list(steps))
    robot.one()
    robot.command_stamped(MUG, "goes on")
    for step in steps:
        robot.action_stamped(step, "goes on")
    robot.spin(QUIET_S)
    robot.action_stamped("", "goes on", final=True)
    verdict = robot.verdict_of("goes on")
    assert verdict.tokens_reused > at_once.tokens_reused
    assert verdict.tokens_prefilled < at_once.tokens_prefilled
    read = [found.tokens_reused + found.tokens_prefilled for found in (verdict, at_once)]
    assert read[0] == read[1]
    assert verdict.score == pytest.approx(at_once.score, abs=0.02)


def test_a_verdict_message_is_complete(robot: Client) -> None:
    robot.change_settings(infer="always")
    verdict = robot.run(MUG, *MUG_STEPS, id="complete")
    assert verdict.inferred_instruction
    assert 0 <= verdict.f1 <= 1
    assert 0 <= verdict.precision <= 1
    assert 0 <= verdict.recall <= 1
    assert verdict.log_likelihood < 0
    assert verdict.gain == pytest.approx(verdict.log_likelihood - verdict.log_likelihood_without_log, abs=1e-4)
    expected = 1 - verdict.log_likelihood / verdict.log_likelihood_without_log
    assert verdict.explained == pytest.approx(expected, abs=1e-4)
    assert 0.5 < verdict.confirmed <= 1
    assert 0 < verdict.score_threshold <= verdict.score <= 1
    assert verdict.rule == "calibrated"
    assert verdict.calibration_id.startswith("smollm2")
    assert verdict.model_id.startswith("smollm2-135m-instruct-q4_1+robot-logs")
    assert verdict.prompt_id.startswith("log-command-confirm/")
    assert verdict.computed_s > 0
    assert verdict.waited_s >= 0
    assert verdict.tokens_reused >= 0
    assert verdict.tokens_prefilled > 0
    assert verdict.tokens_generated > 0
    assert verdict.header.stamp.sec > 0


def test_an_undecided_verdict_has_no_figures(robot: Client) -> None:
    verdict = robot.run(MUG, id="nothing done")
    assert verdict.verdict == Verdict.UNKNOWN
    assert "no actions" in verdict.reason
    assert all(math.isnan(value) for value in (verdict.f1, verdict.log_likelihood, verdict.gain, verdict.score))
    assert verdict.inferred_instruction == ""


def test_an_alert_is_raised_once_latched_and_cleared_by_a_match(start_node: StartNode, connect: Connect) -> None:
    node = start_node(idle_timeout_s=3600.0)
    robot = connect(node)
    robot.connect()

    assert robot.run(MUG, id="unknown first").verdict == Verdict.UNKNOWN
    assert robot.run(MUG, *MUG_STEPS, id="right first").verdict == Verdict.MATCH
    robot.spin(QUIET_S)
    assert robot.alerts == []  # UNKNOWN raises nothing, and there is nothing to clear

    assert robot.run(MUG, DOCK, id="wrong").verdict == Verdict.MISMATCH
    robot.until(lambda: robot.alerts, "the alert")
    robot.spin(QUIET_S)
    (raised,) = robot.alerts
    assert (raised.state, raised.alert_id, raised.consecutive_mismatches) == (MismatchAlert.RAISED, 1, 1)
    assert (raised.verdict.command_id, raised.verdict.command, raised.verdict.steps) == ("wrong", MUG, [DOCK])

    joined_later = connect(node)
    joined_later.until(lambda: joined_later.alerts, "the latched alert")
    joined_later.spin(QUIET_S)
    assert [(alert.state, alert.alert_id) for alert in joined_later.alerts] == [(MismatchAlert.RAISED, 1)]
    assert joined_later.verdicts == []

    assert robot.run(MUG, id="unknown").verdict == Verdict.UNKNOWN
    robot.spin(QUIET_S)
    assert len(robot.alerts) == 1  # UNKNOWN clears nothing

    assert robot.run(MUG, DOCK, id="wrong again").verdict == Verdict.MISMATCH
    robot.until(lambda: len(robot.alerts) == 2, "the second alert")
    assert (robot.alerts[1].state, robot.alerts[1].alert_id) == (MismatchAlert.RAISED, 2)
    assert robot.alerts[1].consecutive_mismatches == 2

    assert robot.run(MUG, *MUG_STEPS, id="right").verdict == Verdict.MATCH
    robot.until(lambda: len(robot.alerts) == 3, "the alert to clear")
    cleared = robot.alerts[2]
    assert (cleared.state, cleared.alert_id, cleared.consecutive_mismatches) == (MismatchAlert.CLEARED, 2, 0)
    assert cleared.verdict.command_id == "right"

    assert robot.run(MUG, *MUG_STEPS, id="right again").verdict == Verdict.MATCH
    robot.spin(QUIET_S)
    assert len(robot.alerts) == 3
    assert [alert.alert_id for alert in joined_later.alerts] == [1]
    joined_later.spin(QUIET_S)
    assert [alert.alert_id for alert in joined_later.alerts][-1] == 2
    assert robot.values()["alerts raised"] == "2"


def test_a_final_description_ends_the_run(robot: Client) -> None:
    robot.command_stamped(MUG, "mug-1")
    robot.action_stamped(MUG_STEPS[0], "mug-1")
    robot.action_stamped(MUG_STEPS[2], "mug-1", final=True)
    verdict = robot.verdict_of("mug-1")
    assert (verdict.command, verdict.steps) == (MUG, [MUG_STEPS[0], MUG_STEPS[2]])
    robot.command("go to the kitchen")
    robot.spin(QUIET_S)
    assert robot.verdicts == []  # it is not checked again


def test_a_description_without_an_id_belongs_to_the_active_command(robot: Client) -> None:
    robot.command_stamped(MUG, "mug-2")
    robot.action(MUG_STEPS[0])
    robot.action_stamped(MUG_STEPS[2], final=True)
    assert robot.verdict_of("mug-2").steps == [MUG_STEPS[0], MUG_STEPS[2]]


def test_a_description_that_names_another_run_goes_there(robot: Client) -> None:
    robot.action_stamped("turned on the lamp", "lamp")  # its command is still on its way
    robot.command_stamped(MUG, "mug-3")
    robot.action_stamped("", "lamp", final=True)  # it never came
    ended = robot.verdict_of("lamp")
    assert (ended.verdict, ended.command, ended.steps) == (Verdict.UNKNOWN, "", ["turned on the lamp"])
    robot.action_stamped(DOCK, "dock")
    robot.action_stamped(MUG_STEPS[2], "mug-3", final=True)
    assert robot.verdict_of("mug-3").steps == [MUG_STEPS[2]]
    robot.command_stamped("go to the charging dock", "dock")
    robot.action_stamped("docked", "dock", final=True)
    dock = robot.verdict_of("dock")
    assert (dock.command, dock.steps) == ("go to the charging dock", [DOCK, "docked"])


def test_descriptions_that_come_late_are_counted_and_not_used(robot: Client) -> None:
    before = int(robot.values()["descriptions late"])
    robot.run(MUG, *MUG_STEPS, id="mug-4")
    robot.action_stamped(DOCK, "mug-4")
    robot.action_stamped(DOCK, "mug-4", final=True)
    after = robot.values()
    assert int(after["descriptions late"]) == before + 2
    assert after["runs open"] == "0"
    assert robot.verdicts == []


def test_the_same_command_again_is_no_new_run(robot: Client) -> None:
    robot.command(MUG)
    robot.command(MUG)
    robot.action(*MUG_STEPS)
    robot.command("go to the kitchen")
    assert tuple(robot.one().steps) == MUG_STEPS


def test_silence_ends_a_run_and_a_later_description_corrects_it(robot: Client) -> None:
    robot.change_settings(idle_timeout_s=1.5)
    robot.command(MUG)
    robot.action(MUG_STEPS[0])
    early = robot.one()
    assert early.steps == [MUG_STEPS[0]]
    robot.spin(2.0)
    assert robot.verdicts == []  # once, not each second
    robot.action(MUG_STEPS[2])
    late = robot.one()
    assert late.steps == [MUG_STEPS[0], MUG_STEPS[2]]
    assert late.command_id == early.command_id


def test_a_command_with_no_descriptions_is_unknown(robot: Client) -> None:
    robot.change_settings(idle_timeout_s=0.5)
    robot.command(MUG)
    verdict = robot.one()
    assert (verdict.verdict, verdict.command, verdict.steps) == (Verdict.UNKNOWN, MUG, [])
    assert "no actions" in verdict.reason


def test_descriptions_without_a_command_are_unknown(robot: Client) -> None:
    robot.change_settings(idle_timeout_s=0.5)
    robot.action("picked up the mug", "put it down")
    verdict = robot.one()
    assert (verdict.verdict, verdict.command) == (Verdict.UNKNOWN, "")
    assert verdict.steps == ["picked up the mug", "put it down"]
    assert "no command" in verdict.reason
