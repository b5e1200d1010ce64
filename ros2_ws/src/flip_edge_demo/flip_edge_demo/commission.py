"""Commissioning: good runs of this robot, and the calibration that they give.

`python -m flip_edge_demo.commission` plays the episodes of `data/commissioning.yaml` in the simulator and records the
runs that reached their goal in `data/good_runs.jsonl`. The demo calibrates on that file, as a team would on its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from flip_edge import Config, SelfCheck
from flip_edge.calibrate import calibrate, observe
from flip_edge.calibration import save_calibration
from flip_edge_demo.episodes import EPISODES_FILE, load_episodes

PLAN_FILE = EPISODES_FILE.with_name("commissioning.yaml")
GOOD_RUNS_FILE = EPISODES_FILE.with_name("good_runs.jsonl")
FALSE_ALARM_RATE = 0.025  # nearly the lowest that so many runs can promise; its failures score far below them


def record(target: Path) -> int:
    """Play the commissioning episodes and write the good runs; returns how many there are."""
    from flip_edge_demo.robot import DemoRobot  # here, because the simulator takes a second to import

    robot = DemoRobot()
    lines = []
    for episode in load_episodes(PLAN_FILE):
        run = robot.play(episode)
        if not run.reached:
            print(f"not a good run: {episode.id}: {episode.command}", file=sys.stderr)
            continue
        steps = [report.sentence for report in run.reports]
        lines.append(json.dumps({"id": episode.id, "command": episode.command, "actions": steps}) + "\n")
    target.write_text("".join(lines), encoding="utf-8")
    return len(lines)


def commission(config: Config, target: Path) -> str:
    """Calibrate on the recorded good runs and write the calibration; returns what it came to, in words.

    Raises:
        CalibrationError: there are no weights for the model.
    """
    with SelfCheck(config) as check:
        made = calibrate(
            observe(check, GOOD_RUNS_FILE),
            id="demo-robot",
            model_id=check.model_id,
            prompt_id=check.prompt_id,
            false_alarm_rate=FALSE_ALARM_RATE,
            base=check.calibration,
            made_from=GOOD_RUNS_FILE.name,
        )
    save_calibration(made, target)
    return (
        f"calibrated on {made.runs} other, good runs of this robot for {FALSE_ALARM_RATE:.1%} false alarms: "
        f"alert below a score of {made.threshold:.2f}"
    )


if __name__ == "__main__":
    print(f"{record(GOOD_RUNS_FILE)} good runs in {GOOD_RUNS_FILE}")
