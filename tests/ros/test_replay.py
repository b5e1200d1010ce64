"""What is recorded of a live robot and replayed says what the node said."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")
pytest.importorskip("rosbags", reason="pip install 'flip_edge[replay]'")

from flip_edge_msgs.msg import ActionDescription, Command
from rosbags.rosbag2 import StoragePlugin, Writer
from std_msgs.msg import String

from flip_edge.bags import typestore
from flip_edge.interfaces import INPUTS

from .client import DEEP, Client

pytestmark = [pytest.mark.ros, pytest.mark.model]

MUG = "bring the mug to the sink"
CODES = {"UNKNOWN": 0, "MATCH": 1, "MISMATCH": 2}
KINDS = {"std_msgs/msg/String": String, "flip_edge_msgs/msg/Command": Command}
# As where ROS is not installed.
WITHOUT_ROS = """
import sys
sys.modules.update(dict.fromkeys(["rclpy", "flip_edge_msgs", "flip_edge_ros", "std_msgs"]))
from flip_edge.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Recorder:
    """Subscribes to what the monitor listens to and keeps it as it came, with the time."""

    def __init__(self, robot: Client) -> None:
        self.messages: list[tuple[int, str, str, bytes]] = []
        namespace = robot.process.namespace
        for name, kind in INPUTS.items():
            topic = f"{namespace}/{name}"

            def keep(data: bytes, topic: str = topic, kind: str = kind) -> None:
                self.messages.append((time.time_ns(), topic, kind, data))

            robot.node.create_subscription(KINDS.get(kind, ActionDescription), topic, keep, DEEP, raw=True)
        robot.spin(0.5)

    def write(self, path: Path) -> Path:
        types = typestore()
        opened: dict[str, Any] = {}
        with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
            for stamp, topic, kind, data in self.messages:
                if topic not in opened:
                    opened[topic] = writer.add_connection(topic, kind, typestore=types)
                writer.write(opened[topic], stamp, data)
        return path


def test_a_recording_replayed_without_ros_says_what_the_node_said(robot: Client, tmp_path: Path) -> None:
    recorder = Recorder(robot)
    robot.command_stamped(MUG, "a")
    robot.action_stamped("picked up the mug", "a")
    robot.action_stamped("put the mug in the sink", "a", final=True)
    robot.command(MUG)
    robot.action("drove to the charging dock")
    robot.command_stamped("go to the kitchen", "b")
    robot.action("navigated to the kitchen")
    robot.action_stamped("", "b", final=True)
    robot.action("went on alone")
    robot.command("open the drawer")
    live = robot.expect(4)

    bag, lines = recorder.write(tmp_path / "bag"), tmp_path / "verdicts.jsonl"
    words = ["replay", str(bag), "-o", str(lines), "--infer", "if_needed", "--threads", "1"]
    ran = subprocess.run([sys.executable, "-c", WITHOUT_ROS, *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stderr
    replayed = [json.loads(line) for line in lines.read_text().splitlines()]
    last = replayed.pop()  # the command that was still active when the recording ended
    assert (last["verdict"], last["command"]) == ("UNKNOWN", "open the drawer")
    assert [found["verdict"] for found in replayed] == ["MATCH", "MISMATCH", "MATCH", "UNKNOWN"]
    assert [(CODES[found["verdict"]], found["command"], found["steps"]) for found in replayed] == [
        (verdict.verdict, verdict.command, list(verdict.steps)) for verdict in live
    ]
    for found, verdict in zip(replayed[:3], live, strict=False):
        assert found["score"] == pytest.approx(verdict.score, abs=0.03)
    ids = [
        (found["command_id"].startswith("#"), verdict.command_id.startswith("#"))
        for found, verdict in zip(replayed, live, strict=True)
    ]
    assert all(one == other for one, other in ids)
