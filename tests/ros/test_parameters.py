"""The node's parameters: what they say of themselves, what they refuse, and when they take effect."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")

from flip_edge_msgs.msg import Verdict
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue

from flip_edge.config import LIVE, Config, settings

from .client import Client
from .conftest import Connect, StartNode

pytestmark = [pytest.mark.ros, pytest.mark.model]

MUG = "bring the mug to the sink"
MUG_STEPS = ["picked up the mug", "put the mug in the sink"]
KINDS = {
    str: ParameterType.PARAMETER_STRING,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
}


@pytest.fixture
def untouched(robot: Client) -> Iterator[Client]:
    """The test must leave every parameter as it was."""
    names = list(Config.__struct_fields__)
    before = robot.get(*names)
    yield robot
    assert robot.get(*names) == before


def test_every_setting_is_declared_and_described(robot: Client) -> None:
    rows = settings()
    declared = robot.declared()
    assert {row.name for row in rows} <= set(declared)
    ours = [name for name in declared if name in Config.__struct_fields__ or name == "autostart"]
    assert len(ours) == len(rows) + 1
    for row, descriptor in zip(rows, robot.describe(*(row.name for row in rows)), strict=True):
        assert descriptor.type == KINDS[type(row.default)]
        assert descriptor.description == row.description
        assert not descriptor.dynamic_typing
        if isinstance(row.default, int):
            (integers,) = descriptor.integer_range
            assert (integers.from_value, integers.to_value) == (row.low, row.high)
        elif isinstance(row.default, float):
            (reals,) = descriptor.floating_point_range
            assert (reals.from_value, reals.to_value) == (row.low, row.high)
        if row.choices:
            assert all(choice in descriptor.additional_constraints for choice in row.choices)
    (autostart,) = robot.describe("autostart")
    assert autostart.description
    assert autostart.read_only


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("f1_threshold", 1.5, "f1_threshold out of range"),
        ("f1_threshold", -0.1, "f1_threshold out of range"),
        ("f1_threshold", math.nan, "f1_threshold out of range"),
        ("gain_threshold", math.inf, "gain_threshold out of range"),
        ("gain_threshold", math.nan, "gain_threshold out of range"),
        ("idle_timeout_s", 0.0, "idle_timeout_s out of range"),
        ("max_steps", 0, "max_steps out of range"),
        ("queue_size", 10_001, "queue_size out of range"),
        ("queue_size", -1, "queue_size out of range"),
        ("f1_threshold", "high", "type"),  # the middleware's words from here on
        ("idle_timeout_s", 5, "type"),
        ("max_steps", 3.0, "type"),
        ("max_steps", True, "type"),
        ("rule", 1, "type"),
        ("rule", ["f1"], "type"),
        ("autostart", False, "read"),
        ("no_such_parameter", 1, "undeclared"),
        ("rule", "vibes", "Invalid enum value 'vibes' - at `$.rule`"),
        ("rule", "", "Invalid enum value '' - at `$.rule`"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(untouched: Client, name: str, value: object, why: str) -> None:
    (result,) = untouched.set(**{name: value})
    assert not result.successful
    assert why in result.reason


def test_a_value_of_no_type_is_refused(untouched: Client) -> None:
    (result,) = untouched.set_raw(Parameter(name="rule", value=ParameterValue()))
    assert not result.successful
    assert result.reason


def test_one_bad_value_does_not_take_the_others_down(robot: Client) -> None:
    results = robot.set(f1_threshold=0.4, rule="vibes", max_steps=7)
    assert [result.successful for result in results] == [True, False, True]
    assert robot.get("f1_threshold", "rule", "max_steps") == [0.4, "calibrated", 7]


def test_a_setting_of_the_model_is_refused_while_one_is_loaded(untouched: Client) -> None:
    changed = {"model": "other.gguf", "prompt": "flip", "max_new_tokens": 8, "n_ctx": 512, "n_threads": 1}
    changed |= {"n_gpu_layers": 1, "max_alternatives": 1, "calibration": "other.yaml", "adapter": "none"}
    changed |= {"nice": 5, "cpus": "0", "sources": "describe.yaml", "black_box": "box", "black_box_runs": 9}
    assert set(changed) == set(Config.__struct_fields__) - LIVE
    for state in ("active", "inactive"):
        for (name, value), result in zip(changed.items(), untouched.set(**changed), strict=True):
            assert not result.successful, (name, value)
            assert name in result.reason
            assert "clean up" in result.reason
        if state == "active":
            assert untouched.change("deactivate")
    assert all(result.successful for result in untouched.set(n_ctx=2048, model="default"))  # no change
    assert untouched.change("activate")


def test_a_rule_that_the_prompt_cannot_serve_is_refused(start_node: StartNode, connect: Connect) -> None:
    node = start_node(prompt="flip", rule="f1")
    operator = connect(node)
    operator.connect()
    (result,) = operator.set(rule="likelihood")
    assert not result.successful
    assert "rule 'likelihood' needs a completion prompt" in result.reason
    assert operator.get("rule") == ["f1"]


def test_live_settings_take_effect_on_the_next_check(robot: Client) -> None:
    right = robot.check(MUG, MUG_STEPS)
    assert right.verdict == Verdict.MATCH
    robot.change_settings(score_threshold=1.0)
    stricter = robot.check(MUG, MUG_STEPS)
    assert stricter.verdict == Verdict.MISMATCH
    assert stricter.score_threshold == 1.0

    robot.change_settings(rule="likelihood", gain_threshold=right.gain + 0.5)
    by_gain = robot.check(MUG, MUG_STEPS)
    assert (by_gain.verdict, by_gain.rule) == (Verdict.MISMATCH, "likelihood")
    assert by_gain.gain_threshold == pytest.approx(right.gain + 0.5, abs=1e-4)

    robot.change_settings(rule="f1", f1_threshold=0.0)
    by_f1 = robot.check(MUG, MUG_STEPS)
    assert (by_f1.verdict, by_f1.rule) == (Verdict.MATCH, "f1")
    assert len(by_f1.sampled_instructions) == Config().samples
    robot.change_settings(f1_threshold=1.0)
    assert robot.check("wash the car", MUG_STEPS).verdict == Verdict.MISMATCH

    robot.change_settings(deadline_s=0.0001)
    late = robot.check(MUG, MUG_STEPS)
    assert late.verdict == Verdict.UNKNOWN
    assert "deadline" in late.reason
    robot.change_settings(deadline_s=0.0, rule="likelihood", gain_threshold=0.5)
    assert robot.check(MUG, MUG_STEPS).verdict == Verdict.MATCH
    robot.expect(7)

    robot.change_settings(max_steps=1)
    cut = robot.run(MUG, *MUG_STEPS, id="cut")
    assert "1 of its 2 descriptions were dropped" in cut.reason
    robot.change_settings(idle_timeout_s=0.5)
    robot.command("go to the kitchen")
    assert "no actions" in robot.one().reason


def test_settings_of_the_model_change_after_cleanup(start_node: StartNode, connect: Connect) -> None:
    node = start_node(idle_timeout_s=3600.0)
    operator = connect(node)
    operator.connect()
    assert operator.change("deactivate")
    assert operator.change("cleanup")
    operator.change_settings(max_new_tokens=2, n_threads=1, n_ctx=4096, infer="always")
    assert operator.change("configure")
    assert operator.change("activate")
    assert operator.check(MUG, MUG_STEPS).tokens_generated == 2


@pytest.mark.parametrize(
    ("parameter", "why"),
    [
        ({"rule": "vibes"}, "Invalid enum value 'vibes'"),
        ({"f1_threshold": 2.0}, "f1_threshold out of range"),
        ({"f1_threshold": ".nan"}, "f1_threshold out of range"),
        ({"idle_timeout_s": 5}, "expecting type 'DOUBLE'"),
    ],
    ids=["rule", "range", "nan", "type"],
)
def test_a_node_that_is_started_with_a_bad_value_says_so_and_ends(
    start_node: StartNode, parameter: dict[str, object], why: str
) -> None:
    node = start_node(**parameter)
    assert node.wait() == 1
    assert "cannot start" in node.log
    assert why in node.log
    assert "Traceback" not in node.log
