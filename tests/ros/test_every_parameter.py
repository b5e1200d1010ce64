"""Every parameter that is declared does what it says: one observable effect for each."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")

from flip_edge_msgs.msg import MismatchAlert, Verdict

from flip_edge.blackbox import read_runs
from flip_edge.config import LIVE, settings
from flip_edge.registry import data_dir

from .client import QUIET_S, Client
from .conftest import Connect, StartNode

pytestmark = [pytest.mark.ros, pytest.mark.model]

MUG = "bring the mug to the sink"
MUG_STEPS = ("picked up the mug", "put the mug in the sink")
DOCK = "drove to the charging dock"
ELSEWHERE = (DOCK, "docked at the charger", "began to charge", "charged to 80 percent")

Effect = Callable[[Client], None]
EFFECTS: dict[str, Effect] = {}


def effect(check: Effect) -> Effect:
    """Register the effect of the parameter that the function is named after."""
    EFFECTS[check.__name__] = check
    return check


def test_every_parameter_has_its_effect_below() -> None:
    assert set(EFFECTS) == {setting.name for setting in settings()}


# --- those that may change while the node checks


@effect
def rule(robot: Client) -> None:
    for value in ("f1", "likelihood", "calibrated"):
        robot.change_settings(rule=value)
        assert robot.check(MUG, list(MUG_STEPS)).rule == value


@effect
def score_threshold(robot: Client) -> None:
    assert robot.check(MUG, list(MUG_STEPS)).verdict == Verdict.MATCH
    robot.change_settings(score_threshold=1.0)
    assert robot.check(MUG, list(MUG_STEPS)).verdict == Verdict.MISMATCH


@effect
def f1_threshold(robot: Client) -> None:
    robot.change_settings(rule="f1", f1_threshold=0.0)
    assert robot.check(MUG, [DOCK]).verdict == Verdict.MATCH
    robot.change_settings(f1_threshold=1.0)
    assert robot.check(MUG, [DOCK]).verdict == Verdict.MISMATCH


@effect
def gain_threshold(robot: Client) -> None:
    robot.change_settings(rule="likelihood", gain_threshold=-50.0)
    assert robot.check(MUG, [DOCK]).verdict == Verdict.MATCH
    robot.change_settings(gain_threshold=50.0)
    assert robot.check(MUG, list(MUG_STEPS)).verdict == Verdict.MISMATCH


@effect
def infer(robot: Client) -> None:
    assert robot.check(MUG, list(MUG_STEPS)).inferred_instruction == ""
    robot.change_settings(infer="always")
    assert robot.check(MUG, list(MUG_STEPS)).inferred_instruction != ""


@effect
def samples(robot: Client) -> None:
    robot.change_settings(rule="f1")
    for value in (3, 0):
        robot.change_settings(samples=value)
        assert len(robot.check(MUG, list(MUG_STEPS)).sampled_instructions) == value


@effect
def deadline_s(robot: Client) -> None:
    robot.change_settings(deadline_s=0.001)
    verdict = robot.check(MUG, [f"{step} again, number {number}" for number in range(20) for step in MUG_STEPS])
    assert verdict.verdict == Verdict.UNKNOWN
    assert "deadline" in verdict.reason


@effect
def long_runs(robot: Client) -> None:
    repeated = ["picked up the mug and looked at it from every side"] * 300 + ["put the mug in the sink"]
    for value, fits in (("unknown", False), ("summarise", True)):
        robot.change_settings(long_runs=value)
        assert ("context overflow" not in robot.check(MUG, repeated).reason) is fits
    different = [f"picked up the toy number {number} from the floor" for number in range(300)]
    for value, fits in (("summarise", False), ("window", True)):
        robot.change_settings(long_runs=value)
        assert ("the model read the first and the last" in robot.check("pick up the toys", different).reason) is fits


@effect
def idle_timeout_s(robot: Client) -> None:
    robot.command(MUG)
    robot.action(*MUG_STEPS)
    robot.spin(QUIET_S)
    assert robot.verdicts == []
    robot.change_settings(idle_timeout_s=0.1)
    assert robot.one().verdict == Verdict.MATCH


@effect
def settle_s(robot: Client) -> None:
    robot.change_settings(settle_s=1.5)
    robot.command_stamped(MUG, "a")
    robot.action_stamped(MUG_STEPS[0], "a")
    robot.command_stamped("go on", "b")
    robot.action_stamped(MUG_STEPS[1], "a")
    assert robot.verdicts == []
    assert list(robot.verdict_of("a").steps) == list(MUG_STEPS)
    robot.change_settings(settle_s=0.0)
    robot.command_stamped("stop", "c")
    robot.action_stamped("too late", "b")
    assert list(robot.verdict_of("b").steps) == []


@effect
def max_run_s(robot: Client) -> None:
    robot.command_stamped(MUG, "a")
    robot.action_stamped(MUG_STEPS[0], "a")
    robot.change_settings(max_run_s=0.1)
    assert robot.verdict_of("a").verdict == Verdict.MISMATCH
    before = int(robot.values()["descriptions late"])
    robot.action_stamped(MUG_STEPS[1], "a")
    assert int(robot.values()["descriptions late"]) == before + 1


@effect
def commands(robot: Client) -> None:
    robot.change_settings(commands="overlapping")
    robot.command_stamped(MUG, "a")
    robot.command_stamped("go to the charging dock", "b")
    robot.action_stamped(DOCK, "b", final=True)
    assert robot.verdict_of("b").verdict == Verdict.MATCH  # and none of a
    robot.change_settings(commands="successive")
    robot.command_stamped("go on", "c")
    robot.command_stamped("stop", "d")
    assert robot.verdict_of("c").command == "go on"


@effect
def confirm_mismatches(robot: Client) -> None:
    robot.change_settings(confirm_mismatches=2)
    robot.run(MUG, DOCK, id="first")
    assert robot.alerts == []
    robot.run(MUG, DOCK, id="second")
    robot.until(lambda: robot.alerts, "the alert")
    assert [(alert.state, alert.consecutive_mismatches) for alert in robot.alerts] == [(MismatchAlert.RAISED, 2)]


@effect
def drift_check_steps(robot: Client) -> None:
    robot.change_settings(drift_check_steps=4)
    robot.command_stamped(MUG, "a")
    for step in ELSEWHERE:
        robot.action_stamped(step, "a")
    drift = robot.verdict_of("a")
    assert drift.interim
    assert drift.verdict == Verdict.MISMATCH
    assert drift.reason.startswith("drifting: ")
    robot.until(lambda: robot.alerts, "the alert")
    robot.action_stamped("", "a", final=True)
    whole = robot.verdict_of("a")
    assert (whole.verdict, whole.interim) == (Verdict.MISMATCH, False)
    assert len(robot.alerts) == 1


@effect
def max_steps(robot: Client) -> None:
    robot.change_settings(max_steps=1)
    assert "dropped" in robot.run(MUG, *MUG_STEPS, id="a").reason


@effect
def queue_size(robot: Client) -> None:
    robot.change_settings(queue_size=1, settle_s=0.0)
    for number in range(6):  # each takes longer to check than the next to be told
        robot.command(f"go to room {number}")
        robot.action(f"drove past door {number} and on along the corridor " * 20)
    robot.command("stop")
    assert any("queue overflow" in verdict.reason for verdict in robot.expect(6))


@pytest.mark.parametrize("name", sorted(LIVE))
def test_a_live_parameter_is_honoured_from_the_next_check_on(robot: Client, name: str) -> None:
    EFFECTS[name](robot)


# --- those of which a new configuration is made


def configured(operator: Client, **values: object) -> None:
    """Bring the node up anew with some parameters."""
    if operator.state() == "active":
        assert operator.change("deactivate")
    if operator.state() == "inactive":
        assert operator.change("cleanup")
    operator.change_settings(**values)
    for transition in ("configure", "activate"):
        assert operator.change(transition), operator.process.log
    operator.connect()


def checked(operator: Client, **values: object) -> Verdict:
    configured(operator, **values)
    return operator.check(MUG, list(MUG_STEPS))


@effect
def model(operator: Client) -> None:
    from flip_edge.models import resolve

    given = checked(operator, model=str(resolve("default").path), calibration="auto")
    assert given.verdict == Verdict.MATCH
    assert operator.values()["model"] == given.model_id
    operator.change("deactivate")
    operator.change("cleanup")
    operator.change_settings(model="no-such-model")
    assert not operator.change("configure")
    assert "no-such-model" in operator.status().message


@effect
def adapter(operator: Client) -> None:
    assert "robot-logs" in checked(operator).model_id
    assert "robot-logs" not in checked(operator, adapter="none").model_id


@effect
def prompt(operator: Client) -> None:
    assert checked(operator, prompt="log-command").prompt_id.startswith("log-command/")


@effect
def max_new_tokens(operator: Client) -> None:
    assert checked(operator, max_new_tokens=2, infer="always").tokens_generated == 2


@effect
def max_alternatives(operator: Client) -> None:
    command, steps = "put the mug on the desk", ["picked up the cup", "put the cup on the desk"]
    configured(operator, max_alternatives=8, infer="always")
    with_rivals = operator.check(command, steps)
    configured(operator, max_alternatives=0)
    assert operator.check(command, steps).tokens_prefilled < with_rivals.tokens_prefilled


@effect
def n_ctx(operator: Client) -> None:
    many = [f"picked up the toy number {number} from the floor" for number in range(30)]
    configured(operator, n_ctx=2048)
    assert "context overflow" not in operator.check("pick up the toys", many).reason
    configured(operator, n_ctx=256)
    assert "context overflow" in operator.check("pick up the toys", many).reason


@effect
def n_threads(operator: Client) -> None:
    process = psutil.Process(operator.process.process.pid)
    threads = []
    for value in (1, 3):
        checked(operator, n_threads=value)
        threads.append(process.num_threads())
    assert threads[1] > threads[0]


@effect
def nice(operator: Client) -> None:
    configured(operator, nice=7)
    operator.check(MUG, list(MUG_STEPS))
    process = operator.process.process.pid
    levels = {os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in Path(f"/proc/{process}/task").iterdir()}
    assert levels == {os.getpriority(os.PRIO_PROCESS, 0), 7}


@effect
def cpus(operator: Client) -> None:
    wanted = max(os.sched_getaffinity(0))
    configured(operator, cpus=str(wanted))
    operator.check(MUG, list(MUG_STEPS))
    process = operator.process.process.pid
    assert {wanted} in [os.sched_getaffinity(int(task.name)) for task in Path(f"/proc/{process}/task").iterdir()]


@effect
def n_gpu_layers(operator: Client) -> None:
    import llama_cpp

    checked(operator, n_gpu_layers=-1)
    if not llama_cpp.llama_supports_gpu_offload():
        assert "running on the CPU" in operator.status().message


@effect
def calibration(operator: Client) -> None:
    (own,) = (data_dir() / "calibrations").glob("*robot-logs*")
    given = own.read_text(encoding="utf-8").replace("\nid: ", "\nid: of-this-robot-", 1)
    file = Path(operator.process._log.parent) / "calibration.yaml"
    file.write_text(given, encoding="utf-8")
    assert "of-this-robot" in checked(operator, calibration=str(file)).calibration_id


@effect
def sources(operator: Client) -> None:
    from geometry_msgs.msg import PoseStamped  # ROS from pip has no nav_msgs

    file = Path(operator.process._log.parent) / "describe.yaml"
    file.write_text("sources:\n  - pose: pose\n    type: geometry_msgs/msg/PoseStamped\n", encoding="utf-8")
    configured(operator, sources=str(file))
    publisher = operator.node.create_publisher(PoseStamped, "pose", 10)
    operator.until(publisher.get_subscription_count, "the describer of poses")
    operator.command_stamped("drive 2 m forward", "a")
    for tick in range(61):
        message = PoseStamped()
        message.header.stamp.sec, message.header.stamp.nanosec = 100 + tick // 20, tick % 20 * 50_000_000
        message.pose.position.x = min(tick / 20, 2.0)
        message.pose.orientation.w = 1.0
        publisher.publish(message)
        operator.spin(0.005)
    operator.until(lambda: int(operator.values()["received on pose"]) >= 55, "poses")
    operator.action_stamped("", "a", final=True)
    verdict = operator.verdict_of("a")
    assert next(iter(verdict.steps)) == "drove 2.0 m forward"


@effect
def black_box(operator: Client) -> None:
    folder = Path(operator.process._log.parent) / "box"
    configured(operator, black_box=str(folder))
    verdict = operator.run(MUG, *MUG_STEPS, id="kept")
    wait_until(lambda: [row["command_id"] for row in read_runs(folder)][-1:] == ["kept"])
    row = read_runs(folder)[-1]
    assert (row["verdict"], row["reason"]) == ("MATCH", verdict.reason)


@effect
def black_box_runs(operator: Client) -> None:
    folder = Path(operator.process._log.parent) / "box"
    configured(operator, black_box=str(folder), black_box_runs=2)
    for number in range(4):
        operator.run(MUG, *MUG_STEPS, id=f"run {number}")
    wait_until(lambda: [row["command_id"] for row in read_runs(folder)] == ["run 2", "run 3"])


def wait_until(reached: Callable[[], bool], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def unconfigured(start_node: StartNode, connect: Connect) -> Client:
    return connect(start_node(autostart=False, idle_timeout_s=3600.0))


@pytest.mark.parametrize("name", sorted({setting.name for setting in settings()} - LIVE))
def test_a_parameter_of_the_configuration_is_honoured(unconfigured: Client, name: str) -> None:
    EFFECTS[name](unconfigured)


def test_a_source_whose_messages_are_not_installed_fails_configure(unconfigured: Client, tmp_path: Path) -> None:
    if importlib.util.find_spec("nav2_msgs"):
        pytest.skip("nav2_msgs is installed")
    file = tmp_path / "describe.yaml"
    file.write_text("sources:\n  - behavior_tree: /behavior_tree_log\n", encoding="utf-8")
    unconfigured.change_settings(sources=str(file))
    assert not unconfigured.change("configure")
    assert "install the package nav2_msgs" in unconfigured.status().message


# --- those that the middleware gives


@pytest.mark.parametrize("topic", ["command", "action_description", "command_stamped", "action_description_stamped"])
def test_quality_of_service_can_be_overridden(start_node: StartNode, connect: Connect, topic: str) -> None:
    from rclpy.qos import ReliabilityPolicy

    namespace = f"/qos_{topic}"
    name = f"qos_overrides.{namespace}/{topic}.subscription.reliability"
    node = start_node(namespace=namespace, idle_timeout_s=3600.0, **{name: "best_effort"})
    client = connect(node)
    client.connect()
    (endpoint,) = client.node.get_subscriptions_info_by_topic(f"{namespace}/{topic}")
    assert endpoint.qos_profile.reliability is ReliabilityPolicy.BEST_EFFORT
