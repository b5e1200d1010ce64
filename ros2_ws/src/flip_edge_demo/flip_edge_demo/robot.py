"""The simulated robot: real planning and execution in pyrobosim, one action at a time, without window or ROS.

An action is said to have done what it did in the world, not what the plan asked for: a robot that stands at
the table when it is told to put the apple on the desk has put it on the table.
"""

from __future__ import annotations

import copy
import logging
import math
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pyrobosim.core.hallway import Hallway
from pyrobosim.core.locations import Location, ObjectSpawn
from pyrobosim.core.objects import Object
from pyrobosim.core.robot import Robot
from pyrobosim.core.room import Room
from pyrobosim.core.types import Entity
from pyrobosim.core.world import World
from pyrobosim.core.yaml_utils import WorldYamlLoader
from pyrobosim.planning.actions import TaskAction

from flip_edge.describe import SkillDescriber, SkillOutcome, SkillResult, SkillTemplate
from flip_edge.errors import FlipEdgeError
from flip_edge_demo.episodes import DemoEpisode, PlannedAction
from flip_edge_demo.goals import Goal, find_entity
from flip_edge_demo.reasons import plain_reason

WORLD_FILE = Path(__file__).parent / "data" / "world.yaml"

_POLL_S = 0.02
_STOP_GRACE_S = 10.0
# The simulator looks whether to stop once in each step of 0.1 simulated seconds.
_MIN_SPEED = 0.1
_TEMPLATES: Mapping[str, SkillTemplate] = {
    # The simulator calls it a success when nothing had to be done; a person would not say "opened".
    "found open": SkillTemplate("found {target} already open", "open {target}"),
    "found closed": SkillTemplate("found {target} already closed", "close {target}"),
}
_ENTITY_KINDS: Mapping[str, tuple[type[Entity], ...]] = {
    "navigate": (Room, Location, Hallway),
    "place": (Location,),
    "open": (Location, Hallway),
    "close": (Location, Hallway),
}


class RobotError(FlipEdgeError):
    """The robot is busy, or the simulator did not stop when it had to; `DemoRobot.reset` starts afresh."""


@dataclass(frozen=True)
class ActionReport:
    """What became of one planned action.

    Attributes:
        action: What the planner asked for.
        result: What happened in the world.
        sentence: The same in words: "put the apple on the desk".
        simulator_status: The name of pyrobosim's ExecutionStatus, or TIMEOUT.
        simulator_message: pyrobosim's own message.
        duration_s: How long it took, in seconds of the wall clock.
    """

    action: PlannedAction
    result: SkillResult
    sentence: str
    simulator_status: str
    simulator_message: str
    duration_s: float

    @property
    def succeeded(self) -> bool:
        """Whether the simulator executed the action."""
        return self.result.outcome is SkillOutcome.SUCCEEDED


@dataclass(frozen=True)
class EpisodeRun:
    """A whole episode: what was done, and whether the goal holds in the world at the end."""

    episode: DemoEpisode
    reports: tuple[ActionReport, ...]
    reached: bool


class DemoRobot:
    """A robot in a simulated household.

    Each action runs in a thread of its own, so that it can be stopped and is bounded in time; one at a time.
    `cancel` may be called from any thread, everything else from one thread.

    Attributes:
        speed: How many times faster than real time the robot drives, from 0.1; 0 is as fast as the computer can.
        action_timeout_s: After how many seconds of the wall clock an action is stopped and counted as failed.
    """

    def __init__(
        self,
        world_file: Path = WORLD_FILE,
        *,
        seed: int = 0,
        speed: float = 0.0,
        action_timeout_s: float = 60.0,
        describer: SkillDescriber | None = None,
    ) -> None:
        if not math.isfinite(speed) or (speed != 0 and speed < _MIN_SPEED):
            raise RobotError(f"speed must be 0 or at least {_MIN_SPEED} times real time, not {speed}")
        if not (math.isfinite(action_timeout_s) and action_timeout_s > 0):
            raise RobotError(f"action_timeout_s must be above 0, not {action_timeout_s}")
        self.speed = speed
        self.action_timeout_s = action_timeout_s
        self._seed = seed
        self._describer = describer or SkillDescriber(templates=_TEMPLATES)
        self._world_directory = world_file.parent
        self._world_data = _read_world(world_file)
        self._canceled = threading.Event()
        self._busy = threading.Lock()
        _leave_logging_to_the_application(self._world_data)
        self.reset()

    @property
    def world(self) -> World:
        """The simulator's world, for looking at."""
        return self._world

    def reset(self) -> None:
        """Puts the robot and everything else back to where the world file has them.

        Seeds numpy's global generator, which is the one that pyrobosim draws from.

        Raises:
            RobotError: Something in the world file could not be put where the file wants it.
        """
        np.random.seed(self._seed)
        self._world = WorldYamlLoader().from_yaml(copy.deepcopy(self._world_data), self._world_directory)
        lost = _named_entities(self._world_data) - set(self._world.name_to_entity)
        if lost:
            # The simulator leaves out what it finds no room for, and only logs it.
            raise RobotError(f"the world has no room for {', '.join(sorted(lost))}: mend its file")
        self._robot: Robot = self._world.robots[0]
        self._canceled.clear()

    def validate(self, episode: DemoEpisode) -> None:
        """Checks that the world has everything that a plan and its goal name.

        Raises:
            EpisodeError: It has not; the message lists what there is.
        """
        for action in episode.plan:
            if action.object is not None:
                find_entity(self._world, action.object, (Object,))
            if action.target is not None:
                find_entity(self._world, action.target, _ENTITY_KINDS[action.type])
        episode.goal.unmet(self._world)

    def play(self, episode: DemoEpisode) -> EpisodeRun:
        """Resets the world, runs the episode's plan to its end and looks whether the goal holds.

        Raises:
            EpisodeError: The world does not have what the episode names.
        """
        self.reset()
        self.validate(episode)
        reports = tuple(self.run(episode.plan))
        return EpisodeRun(episode, reports, self.reached(episode.goal))

    def run(self, plan: Iterable[PlannedAction]) -> Iterator[ActionReport]:
        """Executes a plan, one action for each report taken, until it ends, fails or is canceled."""
        self._canceled.clear()
        return self._run(plan)

    def _run(self, plan: Iterable[PlannedAction]) -> Iterator[ActionReport]:
        for action in plan:
            if self._canceled.is_set():
                return
            report = self.execute(action)
            yield report
            if not report.succeeded:
                return

    def cancel(self) -> None:
        """Stops the action that is being executed; none follows until `run` or `reset` is called."""
        self._canceled.set()

    def reached(self, goal: Goal) -> bool:
        """Whether a goal holds in the world now."""
        return goal.is_reached(self._world)

    def execute(self, action: PlannedAction) -> ActionReport:
        """Executes one action and says what came of it. A failed action is a report, not an exception.

        Raises:
            RobotError: Another action is being executed, or the simulator could not be stopped.
        """
        if not self._busy.acquire(blocking=False):
            raise RobotError("the robot is executing an action already: wait for its report, or cancel it")
        try:
            started = time.monotonic()
            held = self._robot.manipulated_object
            was_open = self._is_open_here()
            status, message = self._execute_bounded(action)
            result = self._what_happened(action, status, message, held, was_open)
        finally:
            self._busy.release()
        return ActionReport(
            action=action,
            result=result,
            sentence=self._describer.describe(result),
            simulator_status=status,
            simulator_message=message,
            duration_s=time.monotonic() - started,
        )

    def _execute_bounded(self, action: PlannedAction) -> tuple[str, str]:
        """The simulator's final status and message, or TIMEOUT."""
        if self._canceled.is_set():
            return "CANCELED", ""
        results: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        robot = self._robot
        threading.Thread(target=lambda: results.put(self._simulate(robot, action)), daemon=True).start()
        deadline = time.monotonic() + self.action_timeout_s
        while not self._canceled.is_set() and time.monotonic() < deadline:
            with suppress(queue.Empty):
                return results.get(timeout=_POLL_S)
        canceled = self._canceled.is_set()
        deadline = time.monotonic() + _STOP_GRACE_S
        while time.monotonic() < deadline:
            # At each turn, because the simulator clears this when it goes from planning to driving.
            robot.path_executor.cancel_execution = True
            with suppress(queue.Empty):
                status, message = results.get(timeout=_POLL_S)
                if status != "CANCELED":
                    return status, message
                return ("CANCELED", "") if canceled else ("TIMEOUT", "it took too long")
        raise RobotError(f"the simulator did not stop {action}: reset the robot")

    def _simulate(self, robot: Robot, action: PlannedAction) -> tuple[str, str]:
        task = TaskAction(action.type, object=action.object, target_location=action.target)
        try:
            result = robot.execute_action(task, realtime_factor=self.speed or -1.0)
            if action.type in ("open", "close"):
                # The roadmap has an edge for each open door.
                robot.reset_path_planner()
        except Exception as error:
            logging.getLogger(__name__).exception("the simulator failed at %s", task)
            return "EXECUTION_FAILURE", f"{type(error).__name__}: {error}"
        return result.status.name, result.message or ""

    def _what_happened(
        self, action: PlannedAction, status: str, message: str, held: Object | None, was_open: bool | None
    ) -> SkillResult:
        """The action as the world shows it: what the gripper really holds, where the robot really is."""
        succeeded = SkillOutcome.from_status(status) is SkillOutcome.SUCCEEDED
        name, thing, source, target = action.type, action.object, None, action.target
        if name == "navigate":
            target = (succeeded and self._here()) or target
        elif name == "pick":
            source = self._furniture_here()
            if succeeded:
                thing = self._robot.manipulated_object.name
        elif name == "place":
            thing = held.name if held is not None else thing
            target = self._furniture_here() or target
        elif name in ("open", "close"):
            target = self._here() if self._is_open_here() is not None else target
            if succeeded and was_open == (name == "open"):
                name = "found open" if was_open else "found closed"
        elif name == "detect":
            target = self._furniture_here()
        return SkillResult(name, thing, source, target, status, plain_reason(message))

    def _here(self) -> str | None:
        """The furniture, door or room at which the robot is."""
        location = self._robot.location
        return self._furniture_here() or (location.name if location is not None else None)

    def _furniture_here(self) -> str | None:
        """The furniture in front of which the robot stands, if it does."""
        location = self._robot.location
        return location.parent.name if isinstance(location, ObjectSpawn) else None

    def _is_open_here(self) -> bool | None:
        """Whether the furniture or door at which the robot is stands open; None when it is at neither."""
        location = self._robot.location
        if isinstance(location, ObjectSpawn):
            return bool(location.parent.is_open)
        return bool(location.is_open) if isinstance(location, Hallway) else None


def _read_world(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RobotError(f"{path}: the world cannot be read: {error}") from error
    if not isinstance(data, dict) or len(data.get("robots") or ()) != 1:
        raise RobotError(f"{path}: a world file of pyrobosim with exactly one robot is needed")
    return data


def _named_entities(world_data: Mapping[str, Any]) -> set[str]:
    kinds = ("rooms", "hallways", "locations", "objects", "robots")
    return {entity["name"] for kind in kinds for entity in world_data.get(kind) or () if "name" in entity}


def _leave_logging_to_the_application(world_data: Mapping[str, Any]) -> None:
    """Keeps pyrobosim from printing each event to stderr; what it logs still reaches the root logger."""
    names = ["pyrobosim", world_data.get("params", {}).get("name", "world")]
    names.append(world_data["robots"][0].get("name", "robot0"))
    for name in names:
        logger = logging.getLogger(name)
        for handler in logger.handlers[:]:
            if type(handler) is logging.StreamHandler:
                logger.removeHandler(handler)
        if not logger.handlers:
            # pyrobosim adds its own handler to a logger that has none.
            logger.addHandler(logging.NullHandler())
