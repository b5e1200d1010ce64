"""The demo's robot in another building, which is put in order anew for every run.

Needs pyrobosim and flip_edge_demo.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from flip_edge_demo.episodes import PlannedAction
from flip_edge_demo.robot import ActionReport, DemoRobot, RobotError
from pyrobosim.core.objects import Object
from pyrobosim.planning.actions import ExecutionOptions, ExecutionResult, ExecutionStatus
from pyrobosim.utils.pose import Pose

from training.roomworld.layout import CORRIDOR, GRIPPER_M, KINDS, Layout

# Long enough that no busy computer decides what becomes of a run.
_TIMEOUT_S = 600.0
_PLACEMENT_TRIES = 200


@dataclass(frozen=True)
class Arrangement:
    """How a building is before a run: all that differs between two runs in it.

    Attributes:
        objects: on or in which furniture each thing lies.
        open: the doors and containers that stand open, of those that can be closed.
        start: the room in which the robot stands.
        locked: doors and containers that cannot be opened or closed.
        full: furniture with no place left.
        gripper_m: how wide the gripper opens.
        reliability: with which probability an action works where nothing speaks against it, by its type.
        seed: for what the simulator draws.
    """

    objects: Mapping[str, str]
    open: frozenset[str]
    start: str = CORRIDOR
    locked: frozenset[str] = frozenset()
    full: frozenset[str] = frozenset()
    gripper_m: float = GRIPPER_M
    reliability: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


class RoomRobot(DemoRobot):
    """The demo's robot in a building of its own. `arrange` comes before every run."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        with tempfile.TemporaryDirectory() as folder:  # the simulator reads worlds from files
            file = Path(folder) / "world.yaml"
            file.write_text(yaml.safe_dump(layout.world()), encoding="utf-8")
            super().__init__(file, action_timeout_s=_TIMEOUT_S)

    def reset(self) -> None:
        """Builds the building anew."""
        super().reset()
        self._world.max_object_sample_tries = _PLACEMENT_TRIES
        self._robot.set_path_executor(_Leaps())
        self._keep_roads()
        # Made now: the kinds of things are the simulator's global state, which another world replaces.
        self._clutter = {
            name: Object(name=f"{name}_clutter", category=f"{kind}_clutter", inflation_radius=self._world.object_radius)
            for name, kind in self._layout.kinds.items()
        }
        self._doors_open: frozenset[str] | None = None

    def arrange(self, arrangement: Arrangement) -> bool:
        """Puts everything where it is before a run, whatever was done before; builds nothing, so it is fast.

        Returns whether everything found room; if not, the building is in no order.
        """
        np.random.seed(arrangement.seed)
        self._canceled.clear()
        self._set_down()
        for name, place in arrangement.objects.items():
            if not self._world.update_object(name, loc=place):
                return False
        for place in sorted(arrangement.full):
            spot = self._world.get_entity_by_name(place).children[0]
            for thing in list(spot.children):
                spot.children.remove(thing)
            self._world.update_object(self._clutter[place], loc=spot, pose=_copy(spot.pose))
        self._set_doors(arrangement)
        robot = self._robot
        robot.grasp_generator.properties.max_width = arrangement.gripper_m
        robot.action_execution_options = {
            action: ExecutionOptions(success_probability=probability, rng_seed=arrangement.seed + number)
            for number, (action, probability) in enumerate(sorted(arrangement.reliability.items()))
        }
        robot.location = None
        robot.set_pose(_copy(self._world.get_entity_by_name(arrangement.start).nav_poses[0]))
        return True

    def execute(self, action: PlannedAction) -> ActionReport:
        """Executes one action, as the demo's robot does.

        Raises:
            RobotError: besides the demo's reasons, it ran into the time limit, so that the run would differ elsewhere.
        """
        report = super().execute(action)
        if report.simulator_status == "TIMEOUT":
            raise RobotError(f"{action} took more than {_TIMEOUT_S:g} s")
        return report

    def _set_down(self) -> None:
        """Nothing lies anywhere, the gripper is empty."""
        robot = self._robot
        robot.manipulated_object = None
        robot.last_grasp_selection = None
        holders = [robot, *(spot for place in self._world.locations for spot in place.children)]
        for holder in holders:
            holder.children.clear()
        for thing in (*self._world.objects, *self._clutter.values()):
            thing.parent = None

    def _set_doors(self, arrangement: Arrangement) -> None:
        doors = {hallway.name: hallway for hallway in self._world.hallways}
        closable = {place.name: place for place in self._world.locations if place.category == KINDS["closed"]}
        for name, entity in (*doors.items(), *closable.items()):
            entity.set_open(name in arrangement.open)
            entity.is_locked = name in arrangement.locked
        if self._doors_open != (doors_open := frozenset(doors) & arrangement.open):
            self._world.update_polygons()
            self._robot.update_polygons()
            self._robot.reset_path_planner()
        self._doors_open = doors_open

    def _keep_roads(self) -> None:
        """Keeps the roadmap for every set of open doors: to make one costs more than a run, and each opening does."""
        planner: Any = self._robot.path_planner
        make = planner.reset
        kept: dict[frozenset[str], Any] = {}

        def reset() -> None:
            doors_open = frozenset(hallway.name for hallway in self._world.hallways if hallway.is_open)
            if doors_open not in kept:
                make()
                kept[doors_open] = planner.graph
            planner.graph = kept[doors_open]

        planner.reset = reset

    def _simulate(self, robot: Any, action: PlannedAction) -> tuple[str, str]:
        if action.type in ("open", "close"):
            self._doors_open = None
        return super()._simulate(robot, action)


class _Leaps:
    """Drives a planned path from way point to way point in no time: a log does not tell how long it took.

    Of the simulator's own executor, a run would spend nine tenths of its time asleep.
    """

    def __init__(self) -> None:
        self.robot: Any = None
        self.following_path = False
        self.cancel_execution = False

    def execute(self, path: Any, realtime_factor: float = 1.0, battery_usage: float = 0.0) -> ExecutionResult:
        """Put the robot at each way point in turn, with what it holds."""
        for pose in path.poses:
            self.robot.set_pose(_copy(pose))
            if self.robot.manipulated_object is not None:
                self.robot.manipulated_object.set_pose(_copy(pose))
        return ExecutionResult(status=ExecutionStatus.SUCCESS)


def _copy(pose: Any) -> Any:
    """The same pose as an object of its own: the simulator changes the height of the one it is given."""
    return Pose(x=pose.x, y=pose.y, yaw=pose.get_yaw())
