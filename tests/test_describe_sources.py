"""The sentences that messages on topics become."""

from __future__ import annotations

import doctest
import math
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from test_describe_gripper import moves
from test_describe_motion import Move, Pose, drive

from flip_edge.describe import Sources, frames, messages, progress_readers, readers, sources, sources_file
from flip_edge.errors import ConfigError

ROOT = Path(__file__).parent.parent
START = 1_700_000_000.0
ACCEPTED, EXECUTING, CANCELING, SUCCEEDED, CANCELED, ABORTED = range(1, 7)
INVALID, RUNNING, SUCCESS, FAILURE = range(1, 5)
BEHAVIOUR, SEQUENCE = 1, 2
STATUS = "/navigate_to_pose/_action/status"
PLACES = {"kitchen_table": {"x": 2.0, "y": 1.5}, "loc_7": {"x": -3.0, "y": 0.0, "radius": 0.5}}

Heard = tuple[float, str, Any]


def make(*entries: dict[str, Any], tmp_path: Path, **shared: Any) -> Sources:
    path = tmp_path / "describe.yaml"
    path.write_text(yaml.safe_dump({"sources": list(entries), **shared}))
    return Sources.load(path)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Sources]:
    return lambda *entries, **shared: make(*entries, tmp_path=tmp_path, **shared)


def say(source: Sources, heard: Iterable[Heard], *, end: bool = True) -> list[str]:
    said = [sentence for time, topic, message in heard for sentence in source.observe(topic, message, time)]
    return said + source.finish() if end else said


# --- messages, field by field


def stamp(seconds: float) -> SimpleNamespace:
    nanoseconds = round(seconds * 1e9)
    return SimpleNamespace(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def header(seconds: float, frame: str = "map") -> SimpleNamespace:
    return SimpleNamespace(stamp=stamp(seconds), frame_id=frame)


def vector(x: float, y: float = 0.0, z: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(x=x, y=y, z=z)


def rotation(yaw: float) -> SimpleNamespace:
    return SimpleNamespace(x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2))


def at(x: float, y: float, yaw: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(position=vector(x, y), orientation=rotation(yaw))


def odometry(seconds: float, x: float, y: float, yaw: float) -> SimpleNamespace:
    pose = SimpleNamespace(pose=at(x, y, yaw), covariance=np.zeros(36))
    return SimpleNamespace(header=header(seconds, "odom"), child_frame_id="base_link", pose=pose)


def pose_stamped(seconds: float, x: float, y: float, yaw: float = 0.0, frame: str = "map") -> SimpleNamespace:
    return SimpleNamespace(header=header(seconds, frame), pose=at(x, y, yaw))


def transform(seconds: float, parent: str, child: str, x: float, y: float, yaw: float) -> SimpleNamespace:
    moved = SimpleNamespace(translation=vector(x, y), rotation=rotation(yaw))
    return SimpleNamespace(header=header(seconds, parent), child_frame_id=child, transform=moved)


def tf(*transforms: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(transforms=list(transforms))


def joints(seconds: float, **positions: float) -> SimpleNamespace:
    return SimpleNamespace(
        header=header(seconds, ""),
        name=list(positions),
        position=np.array(list(positions.values())),
        velocity=np.array([]),
        effort=np.array([]),
    )


def uuid(number: int) -> SimpleNamespace:
    return SimpleNamespace(uuid=np.array([number % 256, *[7] * 15], dtype=np.uint8))


def statuses(accepted: float, *goals: tuple[int, int]) -> SimpleNamespace:
    """Goals by number, with their status; all accepted at one time."""
    info = [SimpleNamespace(goal_id=uuid(number), stamp=stamp(accepted)) for number, _ in goals]
    both = zip(info, goals, strict=True)
    return SimpleNamespace(status_list=[SimpleNamespace(goal_info=info, status=goal[1]) for info, goal in both])


def changes(*events: tuple[str, str, str]) -> SimpleNamespace:
    log = [SimpleNamespace(node_name=name, previous_status=old, current_status=new) for name, old, new in events]
    return SimpleNamespace(timestamp=stamp(0.0), event_log=log)


def snapshot(**nodes: int) -> SimpleNamespace:
    """A sequence of behaviours, with their statuses."""
    root = SimpleNamespace(name="Pick up everything", type=SEQUENCE, status=min(nodes.values()), own_id=uuid(0))
    leaves = [
        SimpleNamespace(name=name, type=BEHAVIOUR, status=status, own_id=uuid(sum(map(ord, name))))
        for name, status in nodes.items()
    ]
    return SimpleNamespace(behaviours=[root, *leaves])


def log(line: str, node: str = "picker", level: int = 20, seconds: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(stamp=stamp(seconds), level=level, name=node, msg=line)


def text(line: str) -> SimpleNamespace:
    return SimpleNamespace(data=line)


# --- motion

ERRAND: list[Move] = [("wait", 3.0), ("drive", 2.0), ("turn", 90.0), ("drive", 1.5), ("wait", 6.0)]
ERRAND_SAID = ["drove 2.0 m forward", "turned left 90 degrees", "drove 1.5 m forward", "stopped near the kitchen table"]


def odometries(poses: Iterable[Pose], *, stamped: bool = True, topic: str = "/odom") -> Iterator[Heard]:
    for time, x, y, yaw in poses:
        yield START + time + 0.02, topic, odometry(START + time if stamped else 0.0, x, y, yaw)


@pytest.mark.parametrize("seed", range(5))
def test_odometry_is_told_as_a_person_would(load: Callable[..., Sources], seed: int) -> None:
    source = load({"odometry": "/odom"}, places=PLACES)
    assert source.topics == {"/odom": "nav_msgs/msg/Odometry"}
    assert say(source, odometries(drive(ERRAND, hz=50.0, seed=seed))) == ERRAND_SAID
    assert source.received == {"/odom": len(drive(ERRAND, hz=50.0))}
    assert not source.unreadable.total()


def test_the_time_of_arrival_serves_where_there_is_no_stamp(load: Callable[..., Sources]) -> None:
    poses = drive(ERRAND)
    source = load({"odometry": "/odom"}, places=PLACES)
    assert say(source, odometries(poses, stamped=False)) == ERRAND_SAID
    # Of messages that came all at once, only their stamps tell.
    at_once = [(START, topic, message) for _, topic, message in odometries(poses)]
    assert say(load({"odometry": "/odom"}, places=PLACES), at_once) == ERRAND_SAID


def test_settings_are_those_of_the_source(load: Callable[..., Sources]) -> None:
    poses = drive([("wait", 1.0), ("drive", 0.6), ("wait", 4.0)])
    assert say(load({"odometry": "/odom"}), odometries(poses)) == ["drove 0.6 m forward", "stopped"]
    assert say(load({"odometry": "/odom", "least_distance_m": 1}), odometries(poses)) == []


@pytest.mark.parametrize("kind", ["PoseStamped", "PoseWithCovarianceStamped"])
def test_poses_of_both_types_are_read(load: Callable[..., Sources], kind: str) -> None:
    source = load({"pose": "/pose", "type": kind}, places=PLACES)
    assert source.topics == {"/pose": f"geometry_msgs/msg/{kind}"}
    heard = []
    for time, x, y, yaw in drive(ERRAND):
        message = pose_stamped(time + 1, x, y, yaw)
        if kind != "PoseStamped":
            message.pose = SimpleNamespace(pose=message.pose, covariance=np.zeros(36))
        heard.append((START + time, "/pose", message))
    assert say(source, heard) == ERRAND_SAID


def test_a_run_that_ends_on_the_way_is_told_so_far_and_the_next_one_without_it(load: Callable[..., Sources]) -> None:
    source = load({"odometry": "/odom"})
    heard = list(odometries(drive([("drive", 2.0), ("wait", 4.0)])))
    half = len(drive([("drive", 1.0)]))
    assert say(source, heard[:half]) == ["drove 1.0 m forward"]
    assert source.finish() == []
    assert say(source, heard[half:]) == ["drove 1.0 m forward", "stopped"]


# --- transforms


def transforms(poses: Iterable[Pose], *, drift: float = 0.0) -> Iterator[Heard]:
    """What a robot with AMCL sends: odometry that drifts, and twice a second where it has drifted to, dated ahead."""
    corrected = (0.0, 0.0, 0.0)
    for step, (time, x, y, yaw) in enumerate(poses):
        if step % 10 == 0:
            angle = drift * math.radians(step / 20)
            corrected = (drift * step / 1000, -drift * step / 500, angle)
            message = tf(transform(START + time + 1.0, "map", "odom", *corrected))
            yield START + time, "/tf", message
        dx, dy, turned = x - corrected[0], y - corrected[1], corrected[2]
        back_x = dx * math.cos(turned) + dy * math.sin(turned)
        back_y = dy * math.cos(turned) - dx * math.sin(turned)
        wheel = transform(START + time, "base_link", "left_wheel", 0.0, 0.2, 7 * time)
        yield START + time, "/tf", tf(wheel, transform(START + time, "odom", "base_link", back_x, back_y, yaw - turned))


TRANSFORM = {"transform": "/tf", "parent": "map", "child": "base_link"}


@pytest.mark.parametrize("drift", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_chain_of_transforms_is_followed(load: Callable[..., Sources], drift: float, seed: int) -> None:
    source = load(TRANSFORM, places=PLACES)
    assert source.topics == dict.fromkeys(["/tf", "/tf_static"], "tf2_msgs/msg/TFMessage")
    assert say(source, transforms(drive(ERRAND, seed=seed), drift=drift)) == ERRAND_SAID
    assert not source.unreadable.total()


def test_static_transforms_are_part_of_the_chain(load: Callable[..., Sources]) -> None:
    # The footprint looks backward, and the map is where the odometry began, turned by a quarter.
    still = tf(
        transform(0.0, "world", "map", 0.0, 0.0, math.pi / 2), transform(0.0, "base_link", "rear", -0.3, 0.0, math.pi)
    )
    heard = [(START, "/tf_static", still), *transforms(drive(ERRAND))]
    places = {"kitchen_table": {"x": -1.5, "y": 2.0}}
    whole = load({**TRANSFORM, "parent": "/world", "child": "rear"}, places=places)
    assert say(whole, heard)[::3] == ["drove 2.0 m backward", "stopped near the kitchen table"]
    without = load({**TRANSFORM, "parent": "world", "child": "rear", "static": None}, places=places)
    assert list(without.topics) == ["/tf"]
    assert say(without, heard) == []


def test_a_transform_may_be_sent_the_other_way_round(load: Callable[..., Sources]) -> None:
    heard = []
    for time, x, y, yaw in drive(ERRAND):
        forth = frames.Transform.of(vector(x, y), rotation(yaw)).inverse()
        back = transform(START + time, "base_link", "odom", forth.position[0], forth.position[1], forth.yaw)
        heard.append((START + time, "/tf", tf(back)))
    assert say(load({**TRANSFORM, "parent": "odom"}, places=PLACES), heard) == ERRAND_SAID


def test_another_robots_transforms_and_broken_ones_do_not_matter(load: Callable[..., Sources]) -> None:
    other = [
        (time, topic, tf(transform(time, "map", "other/base_link", 50 - time % 50, 0.0, 0.0)))
        for time, topic, _ in transforms(drive(ERRAND))
    ]
    camera = tf(transform(START, "base_link", "camera", 0.0, 0.0, 0.0))
    camera.transforms[0].transform.rotation = vector(0.0)
    heard = sorted([*transforms(drive(ERRAND)), *other, (START, "/tf_static", camera)], key=lambda heard: heard[0])
    source = load(TRANSFORM, places=PLACES)
    assert say(source, heard) == ERRAND_SAID
    assert not source.unreadable.total()


def test_frames_that_go_round_in_circles_or_are_endless_are_nowhere(load: Callable[..., Sources]) -> None:
    circle = tf(
        transform(START, "base_link", "odom", 1.0, 0.0, 0.0), transform(START, "odom", "base_link", 1.0, 0.0, 0.0)
    )
    source = load(TRANSFORM)
    assert say(source, [(START, "/tf", circle)]) == []
    for number in range(20):
        flood = tf(*(transform(START, "map", f"frame_{number}_{i}", 0.0, 0.0, 0.0) for i in range(500)))
        assert source.observe("/tf", flood, START) == []
    (reader,) = source._readers
    assert isinstance(reader, readers.TransformReader)
    assert len(reader._frames._edges) <= 2000


def test_the_latest_transform_counts_whatever_order_they_come_in() -> None:
    tree = frames.FrameTree()
    moving, still = (
        transform(9.0, "odom", "base_link", 1.0, 0.0, 0.0),
        transform(9.0, "base_link", "arm", 0.0, 0.0, 0.0),
    )
    assert [tree.hear(moving, START, is_static=False), tree.hear(still, START, is_static=True)] == ["base_link", "arm"]
    moving.header.stamp, still.header.stamp = stamp(8.5), stamp(0.5)
    assert tree.hear(moving, START, is_static=False) == ""
    assert tree.time("base_link") == 9.0
    assert tree.hear(still, START, is_static=True) == "arm"
    moving.header.stamp = stamp(2.0)  # the clock was set back
    assert tree.hear(moving, START, is_static=False) == "base_link"
    assert tree.time("base_link") == 2.0


def test_the_times_are_those_of_the_odometry_not_of_the_localisation() -> None:
    tree = frames.FrameTree()
    for parent, child, time in [("map", "odom", 11.0), ("odom", "base_link", 10.0), ("base_link", "camera", 1.0)]:
        tree.hear(transform(time, parent, child, 1.0, 0.0, 0.0), START, is_static=child == "camera")
    assert [tree.leading("map", "camera"), tree.leading("camera", "map")] == ["base_link", "odom"]
    assert tree.leading("map", "odom") == "odom"
    assert tree.leading("base_link", "camera") == tree.leading("map", "nowhere") == ""
    assert tree.pose("map", "nowhere") is None


def test_rotations_are_composed_in_space() -> None:
    """A robot on a ramp, seen by a map that lies on its side: as scipy has it."""
    spatial = pytest.importorskip("scipy.spatial.transform")
    rng = np.random.default_rng(3)
    for _ in range(20):
        chain, matrix = frames.IDENTITY, np.eye(4)
        for _ in range(3):
            turned, moved = spatial.Rotation.random(random_state=rng), rng.normal(size=3)
            x, y, z, w = turned.as_quat()
            chain = chain.then(frames.Transform.of(vector(*moved), SimpleNamespace(x=x, y=y, z=z, w=w)))
            step = np.eye(4)
            step[:3, :3], step[:3, 3] = turned.as_matrix(), moved
            matrix = matrix @ step
        assert chain.position == pytest.approx(matrix[:3, 3])
        assert chain.yaw == pytest.approx(math.atan2(matrix[1, 0], matrix[0, 0]))
        back = chain.then(chain.inverse())
        assert [*back.position, *back.rotation[:3]] == pytest.approx([0.0] * 6)


# --- the gripper


def grips(widths: list[float], *, seed: int = 0) -> Iterator[Heard]:
    for time, width in moves(widths, seed=seed):
        yield START + time, "/joint_states", joints(START + time, arm=time, left=width / 2, right=width / 2)


GRIPPER = {"gripper": "/joint_states", "joints": ["left", "right"]}
OPENED, CLOSED, GRIPPED = "opened the gripper", "closed the gripper", "closed the gripper on something"


def test_two_fingers_are_one_gripper(load: Callable[..., Sources]) -> None:
    source = load(GRIPPER)
    assert say(source, grips([0.0, 0.08, 0.04, 0.08, 0.0])) == [OPENED, GRIPPED, OPENED, CLOSED]
    assert not source.unreadable.total()


def test_fingers_may_come_in_messages_of_their_own(load: Callable[..., Sources]) -> None:
    heard = []
    for time, width in moves([0.0, 0.08, 0.03]):
        heard += [
            (START + time, "/joint_states", joints(START + time, arm=1.0)),
            (START + time, "/joint_states", joints(START + time, left=width / 2)),
            (START + time + 0.01, "/joint_states", joints(START + time + 0.01, right=width / 2)),
        ]
    assert say(load(GRIPPER), heard) == [OPENED, GRIPPED]


def test_half_a_gripper_says_nothing(load: Callable[..., Sources]) -> None:
    heard = [
        (START + time, "/joint_states", joints(START + time, left=width, arm=1.0)) for time, width in moves([0.0, 0.08])
    ]
    assert say(load(GRIPPER), heard) == []
    assert say(load({**GRIPPER, "joints": "left"}), heard) == [OPENED]


def test_two_robots_on_one_topic_do_not_mix(load: Callable[..., Sources]) -> None:
    heard = []
    for (time, mine), (_, other) in zip(moves([0.0, 0.08, 0.08]), moves([0.08, 0.03, 0.03]), strict=False):
        heard.append((START + time, "/joint_states", joints(START + time, left=mine / 2, right=mine / 2)))
        heard.append((START + time, "/joint_states", joints(START + time, other_left=other, other_right=0.0)))
    other = {"gripper": "/joint_states", "joints": ["other_left", "other_right"]}
    assert say(load(GRIPPER), heard) == [OPENED]
    assert say(load(other), heard) == [GRIPPED]
    assert sorted(say(load(GRIPPER, other), heard)) == [GRIPPED, OPENED]


def test_a_joint_that_grows_as_the_gripper_closes_is_turned_round(load: Callable[..., Sources]) -> None:
    heard = [
        (START + time, "/joint_states", joints(START + time, knuckle=0.8 - 10 * width))
        for time, width in moves([0.08, 0.04, 0.08, 0.0])
    ]
    settings = {"closed_width": 0.05, "least_change": 0.1, "still_width": 0.02}
    source = load({"gripper": "/joint_states", "joints": "knuckle", "closed_position": 0.8, **settings})
    assert say(source, heard) == [GRIPPED, OPENED, CLOSED]


def test_effort_tells_of_thin_things_and_efforts_that_are_not_measured_do_not_matter(
    load: Callable[..., Sources],
) -> None:
    def with_effort(effort: float) -> list[Heard]:
        heard = list(grips([0.08, 0.0]))
        for _, _, message in heard:
            message.effort = np.array([99.0, -effort, -effort / 2])
        return heard

    source = load({**GRIPPER, "holding_effort": 5})
    assert say(source, with_effort(8.0)) == [GRIPPED]
    assert say(load({**GRIPPER, "holding_effort": 5}), with_effort(1.0)) == [CLOSED]
    assert say(load({**GRIPPER, "holding_effort": 5}), with_effort(float("nan"))) == [CLOSED]


def test_what_a_gripper_holds_it_holds_in_the_next_run(load: Callable[..., Sources]) -> None:
    source = load(GRIPPER)
    heard = list(grips([0.08, 0.04, 0.0]))
    reached = next(i for i, (_, _, message) in enumerate(heard) if message.position[1:].sum() < 0.035)
    assert say(source, heard[:reached]) == [GRIPPED]
    assert say(source, heard[reached:]) == ["lost what the gripper held"]
    # A run that ends while they close says nothing of it, and the next one what they came to.
    source = load(GRIPPER)
    heard = list(grips([0.08, 0.0]))
    halfway = next(i for i, (_, _, message) in enumerate(heard) if message.position[1:].sum() < 0.04)
    assert say(source, heard[:halfway]) == []
    assert say(source, heard[halfway:]) == [CLOSED]


def test_a_grip_right_before_the_end_of_a_run_is_of_that_run(load: Callable[..., Sources]) -> None:
    heard = list(grips([0.08, 0.04]))
    source = load(GRIPPER)
    closed = next(i for i, (_, _, message) in enumerate(heard) if message.position[1:].sum() < 0.042)
    assert say(source, heard[: closed + 8], end=False) == []
    assert source.finish() == [GRIPPED]


# --- behaviour trees

PICK = [("PickRedMug", "IDLE", "RUNNING"), ("PickRedMug", "RUNNING", "SUCCESS")]


def test_a_behavior_tree_log_is_read(load: Callable[..., Sources]) -> None:
    source = load({"behavior_tree": "/behavior_tree_log"})
    heard = [
        changes(("MainSequence", "IDLE", "RUNNING"), ("ComputePathToPose", "IDLE", "RUNNING")),
        changes(("ComputePathToPose", "RUNNING", "SUCCESS"), ("NavigateToKitchen", "IDLE", "RUNNING")),
        changes(("GoalUpdated", "IDLE", "FAILURE"), ("GoalUpdated", "FAILURE", "IDLE")),
        changes(("NavigateToKitchen", "RUNNING", "SUCCESS"), *PICK, ("OpenDoor", "RUNNING", "FAILURE")),
        changes(("MainSequence", "RUNNING", "FAILURE")),
        changes(),
    ]
    assert source.topics == {"/behavior_tree_log": "nav2_msgs/msg/BehaviorTreeLog"}
    assert say(source, [(START + i, "/behavior_tree_log", message) for i, message in enumerate(heard)]) == [
        "drove to the kitchen",
        "picked up the red mug",
        "failed to open the door",
    ]


def test_the_next_run_may_say_what_the_last_one_said(load: Callable[..., Sources]) -> None:
    source = load({"behavior_tree": "/log"})
    assert say(source, [(START, "/log", changes(*PICK)), (START + 9, "/log", changes(*PICK))]) == [
        "picked up the red mug"
    ]
    assert say(source, [(START + 20, "/log", changes(*PICK))]) == ["picked up the red mug"]


def test_nodes_can_be_ignored_and_skills_said_otherwise(load: Callable[..., Sources]) -> None:
    entry = {"behavior_tree": "/log"}
    event = (START, "/log", changes(*PICK, ("SanitizeDesk", "RUNNING", "SUCCESS"), ("GoalReached", "IDLE", "SUCCESS")))
    wiped = {"sanitize": {"past": "wiped down {object}", "base": "wipe down {object}"}}
    assert say(load(entry, templates=wiped), [event]) == ["picked up the red mug", "wiped down the desk"]
    assert say(load({**entry, "ignore": ["pick *"]}, templates=wiped), [event]) == ["wiped down the desk"]


def test_ignored_names_come_beside_those_that_say_too_little(load: Callable[..., Sources]) -> None:
    event = (START, "/log", changes(("SetGoal", "RUNNING", "SUCCESS"), *PICK))
    assert say(load({"behavior_tree": "/log", "ignore": ["open *"]}), [event]) == ["picked up the red mug"]


def test_of_endless_lists_the_beginning_is_read(load: Callable[..., Sources]) -> None:
    quiet = [("GoalUpdated", "IDLE", "FAILURE")]
    assert say(load({"behavior_tree": "/log"}), [(START, "/log", changes(*quiet * 990, *PICK))]) != []
    assert say(load({"behavior_tree": "/log"}), [(START, "/log", changes(*quiet * 1000, *PICK))]) == []


def test_snapshots_of_py_trees_are_compared(load: Callable[..., Sources]) -> None:
    source = load({"py_trees": "/tree/snapshots"})
    assert source.topics == {"/tree/snapshots": "py_trees_ros_interfaces/msg/BehaviourTree"}
    heard = [
        snapshot(go_to_kitchen=RUNNING, pick_mug=INVALID, put_mug_on_desk=INVALID, battery_ok=SUCCESS),
        snapshot(go_to_kitchen=SUCCESS, pick_mug=RUNNING, put_mug_on_desk=INVALID, battery_ok=SUCCESS),
        snapshot(go_to_kitchen=SUCCESS, pick_mug=RUNNING, put_mug_on_desk=INVALID, battery_ok=FAILURE),
        snapshot(go_to_kitchen=SUCCESS, pick_mug=SUCCESS, put_mug_on_desk=FAILURE, battery_ok=SUCCESS),
        snapshot(go_to_kitchen=SUCCESS, pick_mug=SUCCESS, put_mug_on_desk=FAILURE, battery_ok=SUCCESS),
    ]
    assert say(source, [(START + i, "/tree/snapshots", message) for i, message in enumerate(heard)]) == [
        "drove to the kitchen",
        "picked up the mug",
        "failed to put the mug on the desk",
    ]
    assert not source.unreadable.total()


def test_what_had_ended_before_the_first_snapshot_is_not_said(load: Callable[..., Sources]) -> None:
    source = load({"py_trees": "/tree"})
    assert say(source, [(START, "/tree", snapshot(pick_mug=SUCCESS, go_to_desk=RUNNING))]) == []
    assert say(source, [(START + 1, "/tree", snapshot(pick_mug=SUCCESS, go_to_desk=SUCCESS))]) == ["drove to the desk"]
    # A tree that is made for the next command is new; what it says has just happened.
    assert say(source, [(START + 9, "/tree", snapshot(open_door=SUCCESS))]) == ["opened the door"]


# --- actions

ACTION = {"action": "/navigate_to_pose"}


def ends(status: int, number: int = 1, *, began: float = START) -> list[Heard]:
    return [
        (began, STATUS, statuses(began, (number, ACCEPTED))),
        (began + 1, STATUS, statuses(began, (number, EXECUTING))),
        (began + 9, STATUS, statuses(began, (number, status))),
        (began + 10, STATUS, statuses(began, (number, status))),
    ]


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (SUCCEEDED, "drove to the goal"),
        (ABORTED, "failed to drive to the goal"),
        (CANCELED, "was stopped before it could drive to the goal: cancelled"),
    ],
)
def test_a_goal_is_said_when_it_has_ended_and_once(load: Callable[..., Sources], status: int, sentence: str) -> None:
    source = load(ACTION)
    assert source.topics == {STATUS: "action_msgs/msg/GoalStatusArray"}
    assert say(source, ends(status)) == [sentence]
    assert load({"action": STATUS}).topics == source.topics


@pytest.mark.parametrize("late", [False, True])
def test_a_goal_is_named_by_the_place_it_is_near(load: Callable[..., Sources], late: bool) -> None:
    source = load({**ACTION, "goal_topic": "/goal_pose"}, places=PLACES, names={"loc_7": "charging dock"})
    assert source.topics["/goal_pose"] == "geometry_msgs/msg/PoseStamped"
    heard = []
    for number, (x, y) in enumerate([(2.1, 1.4), (-3.0, 0.2), (50.0, 50.0)]):
        began = START + 100 * number
        goal = (began + (0.1 if late else -0.1), "/goal_pose", pose_stamped(began, x, y))
        heard += [goal, *ends(SUCCEEDED if number else ABORTED, number, began=began)]
    heard += ends(SUCCEEDED, 3, began=START + 300)  # sent by other ways
    assert say(source, sorted(heard, key=lambda heard: heard[0])) == [
        "failed to drive to the kitchen table",
        "drove to the charging dock",
        "drove to the goal",
        "drove to the goal",
    ]


def test_a_pose_names_the_goal_that_follows_it_soon_and_no_other(load: Callable[..., Sources]) -> None:
    entry = {**ACTION, "goal_topic": "/goal_pose"}
    sent = (START - 11, "/goal_pose", pose_stamped(START, 2.0, 1.5))
    assert say(load(entry, places=PLACES), [sent, *ends(SUCCEEDED)]) == ["drove to the goal"]
    heard = [(START - 1, *sent[1:]), *ends(ABORTED)[:1], *ends(SUCCEEDED, 2, began=START + 1), *ends(ABORTED)[2:]]
    assert say(load(entry, places=PLACES), heard) == ["drove to the goal", "failed to drive to the kitchen table"]


def test_goals_of_other_frames_have_no_name(load: Callable[..., Sources]) -> None:
    entry = {**ACTION, "goal_topic": "/goal_pose"}
    heard = [(START, "/goal_pose", pose_stamped(START, 2.0, 1.5, frame="base_link")), *ends(SUCCEEDED)]
    assert say(load(entry, places=PLACES), heard) == ["drove to the goal"]
    assert say(load({**entry, "goal_frame": "base_link"}, places=PLACES), heard) == ["drove to the kitchen table"]
    heard[0] = (START, "/goal_pose", pose_stamped(START, 2.0, 2.8))
    assert say(load(entry, places=PLACES), heard) == ["drove to the goal"]
    assert say(load({**entry, "goal_radius_m": 1.5}, places=PLACES), heard) == ["drove to the kitchen table"]


def test_goals_that_a_latched_topic_repeats_are_history(load: Callable[..., Sources]) -> None:
    old = statuses(START - 500, (1, SUCCEEDED), (2, ABORTED))
    source = load(ACTION)
    assert say(source, [(START, STATUS, old), (START + 1, STATUS, old)]) == []
    assert say(source, ends(SUCCEEDED, 3)) == ["drove to the goal"]
    # A goal that has just ended is not, though it is the first that is heard.
    assert say(load(ACTION), [(START, STATUS, statuses(START - 2, (1, SUCCEEDED)))]) == ["drove to the goal"]
    assert say(load(ACTION), [(START, STATUS, statuses(0.0, (1, SUCCEEDED)))]) == ["drove to the goal"]


def test_a_goal_that_made_way_for_the_next_command_is_not_held_against_it(load: Callable[..., Sources]) -> None:
    source = load(ACTION)
    assert say(source, ends(CANCELED)[:2]) == []  # and its run ends, seconds after the goal began
    assert say(source, [(START + 5, STATUS, statuses(START, (1, EXECUTING)))]) == []
    assert say(source, ends(CANCELED)[2:]) == []
    assert say(source, ends(CANCELED, 2, began=START + 20)) == [
        "was stopped before it could drive to the goal: cancelled"
    ]


def test_a_goal_that_goes_on_and_succeeds_is_said_in_the_next_run(load: Callable[..., Sources]) -> None:
    source = load(ACTION)
    say(source, [*ends(SUCCEEDED)[:2], (START + 5, STATUS, statuses(START, (1, EXECUTING)))])
    assert say(source, ends(SUCCEEDED)[2:]) == ["drove to the goal"]


def test_a_goal_a_little_older_than_its_command_counts(load: Callable[..., Sources]) -> None:
    source = load(ACTION)
    assert say(source, ends(ABORTED)[:2]) == []
    assert say(source, ends(ABORTED)[2:]) == ["failed to drive to the goal"]


# --- texts


def test_lines_of_the_log_are_read(load: Callable[..., Sources]) -> None:
    pattern = {"node": "picker", "matches": r"picked (?P<object>\w+)", "says": "picked up {object}"}
    source = load({"log": "/rosout", "patterns": [pattern]}, names={"mug_1": "red mug", "guest": "Alice"})
    assert source.topics == {"/rosout": "rcl_interfaces/msg/Log"}
    heard = [log("picked mug_1"), log("picked mug_2", node="tester"), log("nothing"), log("picked guest")]
    assert say(source, [(START + i, "/rosout", message) for i, message in enumerate(heard)]) == [
        "picked up the red mug",
        "picked up Alice",
    ]


def test_skills_that_report_themselves_are_read(load: Callable[..., Sources]) -> None:
    source = load({"skill": "/skill_calls"}, names={"mug_1": "red mug"})
    assert source.topics == {"/skill_calls": "std_msgs/msg/String"}
    heard = ["pick(mug_1)", "pick(mug_1) -> RUNNING", "pick(mug_1) -> SUCCESS", "put(mug_1, desk) -> FAILURE: no room"]
    assert say(source, [(START, "/skill_calls", text(line)) for line in heard]) == [
        "picked up the red mug",
        "failed to put the red mug on the desk: no room",
    ]
    assert source.observe("/skill_calls", text("hello"), START) == []
    assert source.unreadable == {"/skill_calls": 1}


# --- several sources


def test_what_two_sources_tell_is_said_once(load: Callable[..., Sources]) -> None:
    source = load({"behavior_tree": "/log"}, {"skill": "/skills"})
    both = [(0.0, "/log", changes(*PICK)), (1.0, "/skills", text("pick(red_mug) -> SUCCESS"))]
    assert say(source, both) == ["picked up the red mug"]
    assert say(source, both[::-1]) == ["picked up the red mug"]
    apart = [both[0], (6.0, *both[1][1:])]
    assert say(source, apart) == ["picked up the red mug"] * 2
    # One source that says it twice means twice; the other one follows with two of its own.
    twice = [both[1], both[1], both[0], (2.0, "/skills", text("open(door) -> SUCCESS")), both[1]]
    assert say(source, twice) == ["picked up the red mug"] * 2 + ["opened the door", "picked up the red mug"]


def test_runs_do_not_share_what_two_sources_tell(load: Callable[..., Sources]) -> None:
    source = load({"behavior_tree": "/log"}, {"skill": "/skills"})
    assert say(source, [(0.0, "/log", changes(*PICK))]) == ["picked up the red mug"]
    assert say(source, [(1.0, "/skills", text("pick(red_mug) -> SUCCESS"))]) == ["picked up the red mug"]


def test_a_drive_is_told_before_what_is_done_at_its_end(load: Callable[..., Sources]) -> None:
    source = load({"odometry": "/odom"}, {"skill": "/skills"}, places=PLACES)
    heard = list(odometries(drive([*ERRAND[:-1], ("wait", 1.0)])))
    end = heard[-1][0]
    heard += [(end, "/skills", text("pick(mug) -> SUCCESS"))]
    heard += [(time + end - START + 0.05, *rest) for time, *rest in odometries([(5, 2.0, 1.5, math.pi / 2)])]
    assert say(source, heard, end=False) == [*ERRAND_SAID, "picked up the mug"]
    # While it drives, it has not driven yet.
    early = heard[: len(drive(ERRAND[:2]))]
    assert say(source, [*early, (early[-1][0], "/skills", text("pick(mug) -> SUCCESS"))]) == [
        "picked up the mug",
        "drove 2.0 m forward",
    ]


def test_a_topic_may_serve_several_sources_of_its_type(load: Callable[..., Sources]) -> None:
    both = load(GRIPPER, {"gripper": "/joint_states", "joints": ["arm"], "closed_width": 0.1, "least_change": 2.0})
    assert list(both.topics) == ["/joint_states"]
    assert say(both, grips([0.0, 0.08]))[0] == OPENED
    with pytest.raises(ConfigError, match=r"topic /odom is nav_msgs/msg/Odometry to one source and .*JointState"):
        load({"odometry": "/odom"}, {"gripper": "/odom", "joints": ["left"]})


def test_a_monitor_learns_whether_something_is_under_way(load: Callable[..., Sources]) -> None:
    source = load({"odometry": "/odom"}, {"behavior_tree": "/log"}, ACTION, {"py_trees": "/tree"})
    assert not source.is_busy
    poses = drive([("wait", 3.0), ("drive", 3.0), ("wait", 4.0)])
    busy = {
        time: not say(source, [heard], end=False) and source.is_busy
        for (time, *_), heard in zip(poses, odometries(poses), strict=True)
    }
    assert not any(busy[time] for time in busy if time < 3)
    assert all(busy[time] for time in busy if 3.7 < time < 9)
    assert not any(busy[time] for time in busy if time > 12)

    source.observe("/log", changes(PICK[0], ("MainSequence", "IDLE", "RUNNING")), START + 20)
    assert source.is_busy
    source.observe("/log", changes(PICK[1]), START + 21)
    assert not source.is_busy
    source.observe(STATUS, statuses(START + 22, (1, EXECUTING)), START + 22)
    assert source.is_busy
    source.observe(STATUS, statuses(START + 22, (1, ABORTED)), START + 23)
    assert not source.is_busy
    source.observe("/tree", snapshot(go_to_desk=RUNNING), START + 24)
    assert source.is_busy
    source.observe("/tree", snapshot(go_to_desk=RUNNING), START + 24 + 700)  # forgotten by whoever began it
    assert not source.is_busy
    source.observe("/log", changes(PICK[0]), START + 800)
    source.finish()
    assert not source.is_busy


def test_a_robot_whose_odometry_has_died_is_not_busy_for_ever(load: Callable[..., Sources]) -> None:
    source = load({"odometry": "/odom"}, {"skill": "/skills"})
    say(source, odometries(drive([("wait", 1.0), ("drive", 2.0)])), end=False)
    assert source.is_busy
    source.observe("/skills", text("hello"), START + 60)
    assert not source.is_busy


# --- hostile input


class Raises:
    """A message whose fields raise what nobody expects."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name) if name.startswith("p") else MemoryError(name)


ALL = (
    {"odometry": "/odom"},
    TRANSFORM,
    {"pose": "/pose", "type": "PoseStamped"},
    GRIPPER,
    {"behavior_tree": "/log"},
    {"py_trees": "/tree"},
    {**ACTION, "goal_topic": "/goal_pose"},
    {"log": "/rosout", "patterns": [{"matches": "(?P<object>.+)", "says": "picked up {object}"}]},
    {"skill": "/skills"},
)
GOOD: dict[str, SimpleNamespace] = {
    "/odom": odometry(START, 1.0, 2.0, 0.0),
    "/tf": tf(transform(START, "map", "base_link", 1.0, 2.0, 0.0)),
    "/pose": pose_stamped(START, 1.0, 2.0),
    "/joint_states": joints(START, left=0.01, right=0.01),
    "/log": changes(*PICK),
    "/tree": snapshot(pick_mug=RUNNING),
    STATUS: statuses(START, (1, EXECUTING)),
    "/goal_pose": pose_stamped(START, 1.0, 2.0),
    "/rosout": log("picked mug_1"),
    "/skills": text("pick(mug_1) -> SUCCESS"),
}
JUNK = [None, 3, -1, 10**400, float("nan"), float("inf"), True, "", "x" * 10_000, "\ud800\x00", b"\xff", [], [None], {}]
JUNK += [object(), [[]], np.array([1.0]), np.array(["a"]), SimpleNamespace(), SimpleNamespace(x="a", sec=1), Raises()]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return make(*ALL, tmp_path=tmp_path_factory.mktemp("all"), places=PLACES)


def paths_of(message: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The ways to all fields of a message, and to the first entries of its lists."""
    if isinstance(message, SimpleNamespace):
        for name, value in vars(message).items():
            yield (*path, name)
            yield from paths_of(value, (*path, name))
    elif isinstance(message, list) and message:
        yield (*path, 0)
        yield from paths_of(message[0], (*path, 0))


def copied(message: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A message with another value at one place; without that field where the value is a `Raises`."""
    if not path:
        return value
    if isinstance(message, list):
        return [copied(message[0], path[1:], value), *message[1:]]
    fields = dict(vars(message))
    if len(path) == 1 and isinstance(value, Raises):
        del fields[str(path[0])]
    else:
        fields[str(path[0])] = copied(fields[str(path[0])], path[1:], value)
    return SimpleNamespace(**fields)


@settings(max_examples=1000, deadline=None)
@given(data=st.data())
def test_whatever_a_message_holds_nothing_raises(data: st.DataObject, everything: Sources) -> None:
    topic = data.draw(st.sampled_from(sorted(GOOD)))
    path = data.draw(st.sampled_from([(), *paths_of(GOOD[topic])]))
    time = data.draw(st.sampled_from([START, -1.0, float("nan"), float("inf"), None, "now", 10**400]))
    message = copied(GOOD[topic], path, data.draw(st.sampled_from(JUNK)))
    before = everything.received[topic]
    for sentence in everything.observe(topic, message, time):
        assert isinstance(sentence, str)
        assert len(sentence) <= 400
    assert everything.received[topic] == before + 1
    assert isinstance(everything.is_busy, bool)


@pytest.mark.parametrize("topic", sorted(GOOD))
def test_what_is_not_of_its_type_is_counted(load: Callable[..., Sources], topic: str) -> None:
    source = load(*ALL, places=PLACES)
    source.observe(topic, GOOD[topic], START)
    assert source.received == {topic: 1}
    assert not source.unreadable.total()
    for junk in (None, SimpleNamespace(), Raises(), text("") if topic != "/skills" else odometry(START, 0, 0, 0)):
        source.observe(topic, junk, START)
    assert source.received == {topic: 5}
    assert source.unreadable == {topic: 4}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (("pose", "pose", "position", "x"), float("nan")),
        (("pose", "pose", "position", "y"), "left"),
        (("pose", "pose", "orientation"), SimpleNamespace(x=0.0, y=0.0, z=0.0, w=0.0)),
        (("pose", "pose", "orientation"), SimpleNamespace(x=0.0, y=0.0, z=0.0, w=2.0)),
        (("header", "stamp", "sec"), 1.5),
    ],
)
def test_poses_that_are_none_are_unreadable_and_do_not_move_the_robot(
    load: Callable[..., Sources], field: tuple[str, ...], value: Any
) -> None:
    source = load({"odometry": "/odom"}, places=PLACES)
    heard = [
        (time, topic, copied(message, field, value) if number % 3 == 0 else message)
        for number, (time, topic, message) in enumerate(odometries(drive(ERRAND)))
    ]
    assert say(source, heard) == ERRAND_SAID
    assert source.unreadable["/odom"] == math.ceil(len(heard) / 3)


def test_one_bad_entry_does_not_take_the_others_with_it(load: Callable[..., Sources]) -> None:
    source = load({"behavior_tree": "/log"}, {"py_trees": "/tree"}, ACTION)
    events = changes(*PICK)
    events.event_log.insert(1, SimpleNamespace(node_name=3))
    assert source.observe("/log", events, START) == ["picked up the red mug"]
    goals = statuses(START, (1, SUCCEEDED))
    goals.status_list.insert(0, None)
    assert source.observe(STATUS, goals, START) == ["drove to the goal"]
    source.observe("/tree", snapshot(open_door=RUNNING), START)
    nodes = snapshot(open_door=SUCCESS)
    nodes.behaviours[0] = SimpleNamespace(own_id=SimpleNamespace(uuid=b"short"), type=1, status=3, name="x")
    assert source.observe("/tree", nodes, START) == ["opened the door"]
    assert source.unreadable == {"/log": 1, STATUS: 1, "/tree": 1}


def test_nothing_grows_without_bounds(load: Callable[..., Sources]) -> None:
    source = load(*ALL, places=PLACES)
    for number in range(6000):
        time = START + number / 1000
        info = SimpleNamespace(goal_id=SimpleNamespace(uuid=list(number.to_bytes(16, "big"))), stamp=stamp(time))
        goal = SimpleNamespace(status_list=[SimpleNamespace(goal_info=info, status=EXECUTING)])
        source.observe(STATUS, goal, time)
        source.observe("/log", changes((f"Pick{'ab' * (number % 50)}{chr(0x4E00 + number)}", "IDLE", "RUNNING")), time)
        node = SimpleNamespace(name="pick", type=BEHAVIOUR, status=RUNNING, own_id=info.goal_id)
        source.observe("/tree", SimpleNamespace(behaviours=[node]), time)
        source.observe("/skills", text(f"pick(thing{chr(0x4E00 + number)}) -> SUCCESS"), time)
        source.observe(f"/unknown{number}", None, time)
    sizes = [len(value) for value in held(source) if hasattr(value, "__len__")]
    assert max(sizes) <= 4000
    assert len(source.received) == 4


def held(thing: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Whatever an object of flip_edge holds, however deep."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return
    seen.add(id(thing))
    yield thing
    if isinstance(thing, dict):
        inner: Iterable[Any] = thing.values()
    elif isinstance(thing, list | tuple):
        inner = thing
    else:
        inner = (
            vars(thing).values()
            if type(thing).__module__.startswith("flip_edge") and hasattr(thing, "__dict__")
            else ()
        )
    for value in inner:
        yield from held(value, seen)


# --- the file


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("sources: [", "cannot read the sources"),
        ("- odometry: /odom", "expected keys and values"),
        ("", "expected keys and values"),
        ("names: {}", "sources is None: give a list"),
        ("sources: []", r"sources is \[\]: give a list"),
        ("sources: [/odom]", "source 1: expected a mapping"),
        ("sources: [{odometer: /odom}]", "source 1: expected one of the kinds odometry, transform"),
        ("sources: [{odometry: /odom, skill: /s}]", "got odometry and skill"),
        ("source: [{odometry: /odom}]", "unknown key 'source'; did you mean 'sources'"),
        (
            "sources: [{odometry: /odom, least_distance: 1}]",
            r"source 1 \(odometry\): unknown key 'least_distance'; did",
        ),
        ("sources: [{odometry: /odom, least_distance_m: far}]", "least_distance_m is 'far': give a number above 0"),
        ("sources: [{odometry: /odom, least_distance_m: }]", "least_distance_m has no value"),
        ("sources: [{odometry: /odom, least_distance_m: .nan}]", "least_distance_m is nan"),
        ("sources: [{odometry: 3}]", "odometry is 3: give a text"),
        ("sources: [{odometry: }]", "has no odometry: name it"),
        ("sources: [{odometry: 'od om'}]", "'od om': give the name of a topic"),
        ("sources: [{odometry: /odom}, {skill: /odom}]", "topic /odom is nav_msgs/msg/Odometry to one source"),
        ("sources: [{transform: /tf, child: base_link}]", r"source 1 \(transform\) has no parent"),
        ("sources: [{transform: /tf, parent: odom, child: /odom}]", "both 'odom'"),
        ("sources: [{transform: /tf, parent: a, child: b, static: 3}]", "static is 3"),
        ("sources: [{pose: /pose, type: Pose}]", "'Pose': give one of PoseWithCovarianceStamped, PoseStamped"),
        ("sources: [{gripper: /joint_states}]", r"joints is \[\]: name"),
        ("sources: [{gripper: /joint_states, joints: [a, a]}]", "each once"),
        ("sources: [{gripper: /joint_states, joints: [a, 3]}]", "give a list of texts"),
        ("sources: [{gripper: /joint_states, joints: a, closed_width: -1}]", "closed_width is -1"),
        ("sources: [{gripper: /joint_states, joints: a, closed_position: shut}]", "closed_position is 'shut'"),
        ("sources: [{action: /go, goal_frame: map}]", "give goal_topic too"),
        ("sources: [{action: /go, goal_topic: /goal}]", "there are no places"),
        ("places: {a: {x: 0, y: 0}}\nsources: [{action: /go, goal_topic: /g, goal_radius_m: 0}]", "goal_radius_m is 0"),
        ("places: {a: {x: 0, y: 0}}\nsources: [{action: /go, goal_topic: 'a b'}]", "'a b': give the name of a topic"),
        ("sources: [{log: /rosout}]", r"patterns is \[\]"),
        ("sources: [{log: /rosout, patterns: [{matches: x}]}]", r"\(log\): pattern 1 has no says"),
        ("sources: [{log: /rosout, patterns: [{matches: '(', says: x}]}]", "pattern 1: matches .* no regular"),
        ("sources: [{log: /rosout, patterns: [{matches: x, says: x, nodes: y}]}]", "unknown key 'nodes'; did you mean"),
        ("sources: [{log: /rosout, repeat_s: -1, patterns: [{matches: x, says: x}]}]", "repeat_s is -1"),
        ("sources: [{behavior_tree: /log, ignore: 3}]", "ignore is 3: give a list of texts"),
        ("sources: [{skill: /s}]\nnames: [mug]", r"names is \['mug'\]"),
        ("sources: [{skill: /s}]\nnames: {mug: 3}", "names: 'mug': 3: give two texts"),
        ("sources: [{skill: /s}]\nplaces: 3", "places is 3"),
        ("sources: [{skill: /s}]\nplaces: nowhere.yaml", "cannot read the places .*nowhere.yaml"),
        ("sources: [{skill: /s}]\nplaces: {desk: {x: 1}}", "place 'desk' has no y"),
        ("sources: [{skill: /s}]\ntemplates: {wipe: wiped}", "template 'wipe': expected"),
        ("sources: [{skill: /s}]\ntemplates: {wipe: {past: wiped}}", "template 'wipe' has no base"),
        (
            "sources: [{skill: /s}]\ntemplates: {wipe: {past: 'wiped {it}', base: wipe}}",
            "bad skill template 'wiped {it}'",
        ),
    ],
)
def test_a_file_that_is_wrong_is_an_error_that_says_where(tmp_path: Path, written: str, told: str) -> None:
    path = tmp_path / "describe.yaml"
    path.write_text(written)
    with pytest.raises(ConfigError, match=told) as raised:
        Sources.load(path)
    assert str(path) in str(raised.value) or "nowhere.yaml" in str(raised.value)
    assert str(raised.value).count("source 1 (") <= 1


def test_a_file_that_is_not_there_or_is_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the sources"):
        Sources.load(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"cannot read the sources .*binary\.yaml"):
        Sources.load(str(tmp_path / "binary.yaml"))


def test_names_are_phrases_with_an_article_where_one_is_due(load: Callable[..., Sources]) -> None:
    names = {"a": "red mug", "b": "Alice", "c": "my mug", "d": "An apple", "kitchen_table": "big  desk"}
    source = load({"skill": "/skills"}, {"odometry": "/odom"}, names=names, places=PLACES)
    heard = [(START, "/skills", text(f"pick({name}) -> SUCCESS")) for name in "abcd"]
    picked = ["the red mug", "Alice", "my mug", "An apple"]
    assert say(source, heard) == [f"picked up {phrase}" for phrase in picked]
    assert say(source, odometries(drive(ERRAND)))[-1] == "stopped near the big desk"


def test_places_are_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "home.yaml").write_text(yaml.safe_dump(PLACES))
    source = make({"odometry": "/odom"}, tmp_path=tmp_path, places="maps/home.yaml")
    assert say(source, odometries(drive(ERRAND))) == ERRAND_SAID


def test_the_example_can_be_used_as_it_is() -> None:
    source = Sources.load(ROOT / "examples" / "describe.yaml")
    still = [(START, STATUS, statuses(START, (1, EXECUTING))), *transforms(drive(ERRAND))]
    heard = [(START - 1, "/goal_pose", pose_stamped(START, 2.0, 1.4)), *still]
    end = heard[-1][0]
    heard += [
        (end + 1, STATUS, statuses(START, (1, SUCCEEDED))),
        (end + 2, "/rosout", log("picked mug_2 from kitchen_table", "robot1.picker")),
        (end + 3, "/rosout", log("cannot grasp mug_1: too heavy", "robot1.picker", level=40)),
        (end + 4, "/skill_calls", text("sanitize(kitchen_table) -> SUCCESS")),
        (end + 5, "/behavior_tree_log", changes(("NavigateToPose", "RUNNING", "SUCCESS"), *PICK)),
    ]
    assert say(source, heard) == [
        *ERRAND_SAID,
        "drove to the kitchen table",
        "picked up the blue mug from the kitchen table",
        "failed to pick up the red mug: too heavy",
        "wiped down the kitchen table",
        "picked up the red mug",
    ]


def test_the_files_in_the_documentation_are_right(tmp_path: Path) -> None:
    (tmp_path / "places.yaml").write_text(yaml.safe_dump(PLACES))
    blocks = (ROOT / "docs" / "describers.md").read_text().split("```yaml\n")[1:]
    assert len(blocks) >= 9
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.yaml"
        written = block.split("```")[0]
        path.write_text(written if "sources:" in written else f"places: places.yaml\nsources:\n{written}")
        assert Sources.load(path).topics


@pytest.mark.parametrize("module", [frames, messages, progress_readers, readers, sources, sources_file])
def test_the_examples_in_the_modules_are_right(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_noise_alone_says_nothing(load: Callable[..., Sources]) -> None:
    source = load({"odometry": "/odom"}, GRIPPER, places=PLACES)
    rng = random.Random(1)
    for tick in range(3000):
        time = START + tick / 50
        pose = odometry(time, rng.gauss(2.0, 0.01), rng.gauss(1.5, 0.01), rng.gauss(0.3, 0.02))
        assert source.observe("/odom", pose, time) == []
        assert source.observe("/joint_states", joints(time, left=rng.gauss(0.02, 0.0003), right=0.02), time) == []
        assert not source.is_busy
    assert source.finish() == []
