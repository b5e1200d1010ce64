"""What is recorded of a live robot and replayed says what the node said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs real ROS 2: pip install 'flip_edge[ros]'")
pytest.importorskip("rosbags", reason="pip install 'flip_edge[replay]'")

pytest.importorskip("flip_edge_demo", reason="pip install ./ros2_ws/src/flip_edge_demo")

from flip_edge_demo.recording import Recorder

from .client import Client

pytestmark = [pytest.mark.ros, pytest.mark.model]

MUG = "bring the mug to the sink"
CODES = {"UNKNOWN": 0, "MATCH": 1, "MISMATCH": 2}
# As where ROS is not installed.
WITHOUT_ROS = """
import sys
sys.modules.update(dict.fromkeys(["rclpy", "flip_edge_msgs", "flip_edge_ros", "std_msgs"]))
from flip_edge.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_recording_replayed_without_ros_says_what_the_node_said(robot: Client, tmp_path: Path) -> None:
    recorder = Recorder(robot.node)
    robot.spin(0.5)
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


def test_the_demo_recorded_and_replayed_without_ros_says_the_same(tmp_path: Path) -> None:
    pytest.importorskip("pyrobosim", reason="the demo robot needs pyrobosim")
    bag, rows, lines = tmp_path / "demo", tmp_path / "live.jsonl", tmp_path / "replayed.jsonl"
    demo = [sys.executable, "-m", "flip_edge_demo", "--speed", "0", "--record", str(bag), "--json", str(rows)]
    ran = subprocess.run(demo, capture_output=True, text=True, check=False, timeout=500)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    words = ["replay", str(bag), "--calibration", f"{bag}.calibration.yaml", "--infer", "always", "-o", str(lines)]
    ran = subprocess.run([sys.executable, "-c", WITHOUT_ROS, *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stderr
    live = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    replayed = {row["command_id"]: row for row in map(json.loads, lines.read_text(encoding="utf-8").splitlines())}
    assert len(live) == len(replayed) == 18
    for row in live:
        again = replayed[row["id"]]
        assert again["steps"] == row["done"]
        assert again["score"] == pytest.approx(row["score"], abs=0.03)
        if abs(row["score"] - again["score_threshold"]) > 0.03:
            assert again["verdict"] == row["verdict"]
