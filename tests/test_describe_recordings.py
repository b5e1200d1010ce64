"""The sentences that a recorded bag becomes, message by message as rosbags decodes them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from test_describe_gripper import moves
from test_describe_motion import Move, drive

from flip_edge.describe import Sources

pytest.importorskip("rosbags", reason="pip install 'flip_edge[replay]'")

from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

START = 1_700_000_000.0
SUCCEEDED, ABORTED = 4, 6
RUNNING, SUCCESS, FAILURE = 2, 3, 4

# Shortened to the fields that say what happened, where the originals have more.
DEFINITIONS = {
    "nav2_msgs/msg/BehaviorTreeStatusChange": "builtin_interfaces/Time timestamp\nstring node_name\nuint16 uid\n"
    "string previous_status\nstring current_status\n",
    "nav2_msgs/msg/BehaviorTreeLog": "builtin_interfaces/Time timestamp\n"
    "nav2_msgs/BehaviorTreeStatusChange[] event_log\n",
    "py_trees_ros_interfaces/msg/Behaviour": "string name\nstring class_name\nunique_identifier_msgs/UUID own_id\n"
    "unique_identifier_msgs/UUID parent_id\nuint8 type\nuint8 status\nstring message\nbool is_active\n",
    "py_trees_ros_interfaces/msg/BehaviourTree": "int64 tick\nbuiltin_interfaces/Time stamp\n"
    "py_trees_ros_interfaces/Behaviour[] behaviours\n",
}
TYPES = get_typestore(Stores.ROS2_HUMBLE)
for _name, _text in DEFINITIONS.items():
    TYPES.register(get_types_from_msg(_text, _name))

Message = tuple[float, str, Any]


def new(kind: str, *values: Any) -> Any:
    return TYPES.types[kind.replace("/", "/msg/")](*values)


def time_of(seconds: float) -> Any:
    return new("builtin_interfaces/Time", *divmod(round(seconds * 1e9), 10**9))


def header(seconds: float, frame: str) -> Any:
    return new("std_msgs/Header", time_of(seconds), frame)


def rotation(yaw: float) -> Any:
    return new("geometry_msgs/Quaternion", 0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2))


def odometry(seconds: float, x: float, y: float, yaw: float) -> Any:
    pose = new("geometry_msgs/Pose", new("geometry_msgs/Point", x, y, 0.0), rotation(yaw))
    still = new("geometry_msgs/Vector3", 0.0, 0.0, 0.0)
    twist = new("geometry_msgs/TwistWithCovariance", new("geometry_msgs/Twist", still, still), np.zeros(36))
    with_covariance = new("geometry_msgs/PoseWithCovariance", pose, np.zeros(36))
    return new("nav_msgs/Odometry", header(seconds, "odom"), "base_link", with_covariance, twist)


def tf(seconds: float, parent: str, child: str, x: float, y: float, yaw: float) -> Any:
    moved = new("geometry_msgs/Transform", new("geometry_msgs/Vector3", x, y, 0.0), rotation(yaw))
    sent = new("geometry_msgs/TransformStamped", header(seconds, parent), child, moved)
    return new("tf2_msgs/TFMessage", [sent])


def joints(seconds: float, **positions: float) -> Any:
    values = np.array(list(positions.values()))
    return new("sensor_msgs/JointState", header(seconds, ""), list(positions), values, np.zeros(0), np.zeros(0))


def uuid(number: int) -> Any:
    return new("unique_identifier_msgs/UUID", np.full(16, number, dtype=np.uint8))


def statuses(seconds: float, *goals: tuple[int, int]) -> Any:
    found = [
        new("action_msgs/GoalStatus", new("action_msgs/GoalInfo", uuid(number), time_of(seconds)), status)
        for number, status in goals
    ]
    return new("action_msgs/GoalStatusArray", found)


def changes(*events: tuple[str, str, str]) -> Any:
    kind = "nav2_msgs/BehaviorTreeStatusChange"
    return new(
        "nav2_msgs/BehaviorTreeLog", time_of(0), [new(kind, time_of(0), event[0], 1, *event[1:]) for event in events]
    )


def snapshot(tick: int, **nodes: int) -> Any:
    kind = "py_trees_ros_interfaces/Behaviour"
    leaves = [
        new(kind, name, "ActionClient", uuid(number), uuid(0), 1, status, "", True)
        for number, (name, status) in enumerate(nodes.items(), start=1)
    ]
    root = new(kind, "Deliver the mug", "Sequence", uuid(0), uuid(0), 2, min(nodes.values()), "", True)
    return new("py_trees_ros_interfaces/BehaviourTree", tick, time_of(0), [root, *leaves])


def log(seconds: float, node: str, line: str) -> Any:
    return new("rcl_interfaces/Log", time_of(seconds), 20, node, line, "picker.cpp", "pick", 17)


def record(path: Path, messages: list[Message], storage: StoragePlugin = StoragePlugin.MCAP) -> Path:
    with Writer(path, version=8, storage_plugin=storage) as writer:
        connections: dict[str, Any] = {}
        for time, topic, message in sorted(messages, key=lambda message: message[0]):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=TYPES)
            writer.write(connections[topic], round(time * 1e9), TYPES.serialize_cdr(message, kind))
    return path


def play(path: Path) -> Iterator[Message]:
    """The messages of a bag, decoded by what it tells of its types alone."""
    with Reader(path) as reader:
        types = get_typestore(Stores.EMPTY)
        for connection in reader.connections:
            found = get_types_from_msg(connection.msgdef.data, connection.msgtype)
            types.register({name: kind for name, kind in found.items() if name not in types.fielddefs})
        for connection, time, data in reader.messages():
            yield time / 1e9, connection.topic, types.deserialize_cdr(data, connection.msgtype)


def load(folder: Path, entries: list[dict[str, Any]], **shared: Any) -> Sources:
    path = folder / "describe.yaml"
    path.write_text(yaml.safe_dump({"sources": entries, **shared}))
    return Sources.load(path)


def say(source: Sources, path: Path) -> list[str]:
    said = [sentence for time, topic, message in play(path) for sentence in source.observe(topic, message, time)]
    assert source.received.total() > 0
    assert not source.unreadable.total()
    return said + source.finish()


def wheel_odometry(moves: list[Move], seed: int) -> Iterator[Message]:
    """Odometry as wheels measure it, 50 times a second: slip that adds up, ticks, gaps, and a clock that jitters."""
    rng = random.Random(seed)
    scale, bias = rng.gauss(1.0, 0.01), rng.gauss(0.0, math.radians(0.05))
    x = y = yaw = 0.0
    for before, now in pairwise([(0.0, 0.0, 0.0, 0.0), *drive(moves, hz=50.0, noise=0.0)]):
        time = START + now[0] + rng.uniform(-0.004, 0.004)
        way = (now[1] - before[1]) * math.cos(before[3]) + (now[2] - before[2]) * math.sin(before[3])
        x += scale * way * math.cos(yaw)
        y += scale * way * math.sin(yaw)
        yaw += math.remainder(now[3] - before[3], math.tau) + (bias * abs(way) / 0.01 if way else 0.0) / 50
        if rng.random() < 0.98:
            ticks = [round(value / 0.002) * 0.002 for value in (x, y)]
            yield time + abs(rng.gauss(0.0, 0.003)), "/odom", odometry(time, *ticks, rng.gauss(yaw, 0.002))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_recorded_odometry_is_told_as_a_person_would(tmp_path: Path, seed: int, storage: StoragePlugin) -> None:
    errand: list[Move] = [
        ("wait", 4.0),
        ("drive", 2.0),
        ("turn", 90.0),
        ("drive", 1.5),
        ("wait", 5.0),
        ("turn", -180.0),
    ]
    errand += [("drive", 1.0), ("wait", 5.0)]
    path = record(tmp_path / "bag", [*wheel_odometry(errand, seed)], storage)
    source = load(tmp_path, [{"odometry": "/odom"}], places={"kitchen_table": {"x": 2.1, "y": 1.6}})
    assert say(source, path) == [
        "drove 2.0 m forward",
        "turned left 90 degrees",
        "drove 1.5 m forward",
        "stopped near the kitchen table",
        "turned right 180 degrees",
        "drove 1.0 m forward",
        "stopped",
    ]


def test_a_robot_that_stands_in_a_recording_says_nothing(tmp_path: Path) -> None:
    rng = random.Random(5)
    heard: list[Message] = []
    for tick in range(1500):
        time = START + tick / 50
        heard.append((time, "/odom", odometry(time, rng.gauss(0, 0.01), rng.gauss(0, 0.01), rng.gauss(0, 0.02))))
        heard.append((time, "/joint_states", joints(time, left=rng.gauss(0.02, 3e-4), right=rng.gauss(0.02, 3e-4))))
    source = load(tmp_path, [{"odometry": "/odom"}, {"gripper": "/joint_states", "joints": ["left", "right"]}])
    assert say(source, record(tmp_path / "bag", heard)) == []


def test_a_whole_errand(tmp_path: Path) -> None:
    """A robot drives to the table, takes the mug, drives on and fails to put it down; everything tells of it."""
    way: list[Move] = [("wait", 3.0), ("drive", 2.0), ("turn", 90.0), ("drive", 1.5), ("wait", 9.0)]
    back: list[Move] = [("turn", -90.0), ("drive", 1.0), ("wait", 9.0)]
    poses = drive([*way, *back], seed=4)
    arrived, left = drive(way[:-1])[-1][0], drive(way)[-1][0]
    stopped = drive([*way, *back[:-1]])[-1][0]
    heard: list[Message] = [(START, "/tf_static", tf(0.0, "base_footprint", "base_link", 0.0, 0.0, 0.0))]
    for tick, (time, x, y, yaw) in enumerate(poses):
        # The map's origin lies a metre behind that of the odometry.
        heard.append((START + time, "/tf", tf(START + time, "odom", "base_footprint", x - 1.0, y, yaw)))
        if tick % 5 == 0:
            heard.append((START + time, "/tf", tf(START + time + 1.0, "map", "odom", 1.0, 0.0, 0.0)))
    for time, width in moves([0.08, 0.03]):
        at = START + arrived + 3 + time
        heard.append((at, "/joint_states", joints(at, arm=1.0, finger_left=width / 2, finger_right=width / 2)))
    status = "/navigate_to_pose/_action/status"
    goals = [
        (1, START + 2.9, START + arrived + 0.3, SUCCEEDED),
        (2, START + left - 0.1, START + stopped + 0.3, ABORTED),
    ]
    for number, began, ended, how in goals:
        x, y = ((2.0, 1.6), (3.1, 1.5))[number - 1]
        pose = new("geometry_msgs/Pose", new("geometry_msgs/Point", x, y, 0.0), rotation(0.0))
        goal = new("geometry_msgs/PoseStamped", header(began, "map"), pose)
        heard.append((began - 0.02, "/goal_pose", goal))
        heard += [(began + 0.01 * code, status, statuses(began, (number, code))) for code in (1, 2)]
        heard.append((ended, status, statuses(began, (number, how))))
    heard += [
        (START + arrived + 6.5, "/rosout", log(START + arrived + 6.5, "robot1.picker", "\x1b[32mpicked mug_1\x1b[0m")),
        (START + arrived + 6.6, "/rosout", log(START + arrived + 6.6, "controller_server", "picked a new path")),
        (START + arrived + 6.7, "/behavior_tree_log", changes(("PickRedMug", "IDLE", "RUNNING"))),
        (START + arrived + 6.8, "/behavior_tree_log", changes(("PickRedMug", "RUNNING", "SUCCESS"))),
    ]
    nodes = [(0.0, RUNNING), (1.0, RUNNING), (2.0, FAILURE), (2.1, FAILURE)]
    heard += [
        (START + stopped + 4 + late, "/tree", snapshot(tick, check_battery=SUCCESS, put_mug_on_shelf=how))
        for tick, (late, how) in enumerate(nodes)
    ]
    skill = new("std_msgs/String", "say_sorry(operator) -> SUCCESS")
    heard.append((START + stopped + 7, "/skill_calls", skill))
    source = load(
        tmp_path,
        [
            {"transform": "/tf", "parent": "map", "child": "base_link"},
            {"gripper": "/joint_states", "joints": ["finger_left", "finger_right"]},
            {"action": "/navigate_to_pose", "goal_topic": "/goal_pose"},
            {
                "log": "/rosout",
                "patterns": [{"node": "*picker", "matches": r"picked (?P<object>\w+)", "says": "picked up {object}"}],
            },
            {"behavior_tree": "/behavior_tree_log"},
            {"py_trees": "/tree"},
            {"skill": "/skill_calls"},
        ],
        names={"mug_1": "red mug", "operator": "Alice"},
        places={"kitchen_table": {"x": 2.0, "y": 1.5}, "shelf": {"x": 3.0, "y": 1.5, "radius": 0.5}},
    )
    path = record(tmp_path / "bag", heard)
    assert say(source, path) == [
        "drove 2.0 m forward",
        "turned left 90 degrees",
        "drove to the kitchen table",
        "drove 1.5 m forward",
        "stopped near the kitchen table",
        "closed the gripper on something",
        "picked up the red mug",
        "turned right 90 degrees",
        "failed to drive to the shelf",
        "drove 1.0 m forward",
        "stopped near the shelf",
        "failed to put the mug on the shelf",
        'ran "say sorry" with Alice',
    ]
    assert set(source.received) == set(source.topics)
