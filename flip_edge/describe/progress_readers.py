"""Readers of what reports how tasks go: behaviour trees, and the goals of actions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flip_edge.describe.actions import IGNORED_ACTIONS, ActionGoalDescriber
from flip_edge.describe.frames import Transform, frame_name
from flip_edge.describe.messages import code, entries, identifier, stamp_seconds, text
from flip_edge.describe.places import Place, nearest_place
from flip_edge.describe.readers import BAD_ENTRY, POSES, UNREADABLE, Reader
from flip_edge.describe.skills import SkillDescriber
from flip_edge.describe.trees import IGNORED_NODES, TreeDescriber

TREE_LOG = "nav2_msgs/msg/BehaviorTreeLog"
SNAPSHOT = "py_trees_ros_interfaces/msg/BehaviourTree"
STATUSES = "action_msgs/msg/GoalStatusArray"

_LONGEST_S = 600.0  # what takes longer has been forgotten by whoever began it
_PREEMPTED_S = 2.0  # a goal may be a little older than the command that it belongs to
_LATCHED_S = 10.0
_GOAL_POSE_S = 10.0
_OVERTAKEN_S = 0.5  # topics do not keep each other's order
_MAX_REMEMBERED = 4000
_SUCCEEDED = 4  # of action_msgs/GoalStatus
_UNDER_WAY = (1, 2, 3)
_ENDED = (_SUCCEEDED, 5, 6)


class _UnderWay:
    """What has begun and not ended, for no longer than it may take."""

    def __init__(self) -> None:
        self._since: OrderedDict[str, float] = OrderedDict()

    def begin(self, name: str, now: float) -> None:
        self._since.setdefault(name, now)
        if len(self._since) > _MAX_REMEMBERED:
            self._since.popitem(last=False)

    def end(self, name: str) -> None:
        self._since.pop(name, None)

    def clear(self) -> None:
        self._since.clear()

    def any(self, now: float) -> bool:
        return any(abs(now - since) < _LONGEST_S for since in self._since.values())


# --- behaviour trees


class _TreeReader(Reader):
    def __init__(self, topics: Mapping[str, str], skills: SkillDescriber, ignored: Iterable[str]) -> None:
        super().__init__(topics)
        self._skills, self._ignored = skills, IGNORED_NODES | frozenset(ignored)
        self._describer = TreeDescriber(self._skills, self._ignored)
        self._under_way = _UnderWay()

    def _change(self, key: str, name: str, previous: str, current: str, time: float) -> list[str]:
        if current.rpartition(".")[2].upper() != "RUNNING":
            self._under_way.end(key)
        elif TreeDescriber(self._skills, self._ignored).observe(name, "RUNNING", "SUCCESS"):
            self._under_way.begin(key, time)  # a node whose end will be said
        return self._describer.observe(name, previous, current)

    def finish(self, now: float) -> list[str]:
        """See `Reader.finish`. Another run may say what this one said last."""
        self._describer = TreeDescriber(self._skills, self._ignored)
        self._under_way.clear()
        return []

    def is_busy(self, now: float) -> bool:
        """See `Reader.is_busy`."""
        return self._under_way.any(now)


class TreeLogReader(_TreeReader):
    """The changes of status that nav2's BehaviorTreeLog tells."""

    def __init__(self, topic: str, skills: SkillDescriber, ignored: Iterable[str] = ()) -> None:
        super().__init__({topic: TREE_LOG}, skills, ignored)

    def read(self, topic: str, message: Any, time: float) -> Iterator[str | None]:
        """See `Reader.read`."""
        for event in entries("event_log", message.event_log):
            try:
                name = text("node_name", event.node_name)
                previous, current = text("status", event.previous_status), text("status", event.current_status)
                yield from self._change(name, name, previous, current, time)
            except BAD_ENTRY:
                yield UNREADABLE


_PY_TREES_STATUSES = {1: "INVALID", 2: "RUNNING", 3: "SUCCESS", 4: "FAILURE"}
_PY_TREES_LEAVES = (0, 1)  # of unknown type, and behaviours; the others hold behaviours


class SnapshotReader(_TreeReader):
    """What changed from one snapshot of py_trees to the next, of its leaves."""

    def __init__(self, topic: str, skills: SkillDescriber, ignored: Iterable[str] = ()) -> None:
        super().__init__({topic: SNAPSHOT}, skills, ignored)
        self._statuses: OrderedDict[str, str] = OrderedDict()

    def read(self, topic: str, message: Any, time: float) -> Iterator[str | None]:
        """See `Reader.read`. What had ended before the first snapshot is not said: nobody knows when."""
        is_first = not self._statuses
        for behaviour in entries("behaviours", message.behaviours):
            try:
                if code("type", behaviour.type) in _PY_TREES_LEAVES:
                    yield from self._leaf(behaviour, time, is_first=is_first)
            except BAD_ENTRY:
                yield UNREADABLE

    def _leaf(self, behaviour: Any, time: float, *, is_first: bool) -> list[str]:
        status = _PY_TREES_STATUSES.get(code("status", behaviour.status), "INVALID")
        key, name = identifier(behaviour.own_id), text("name", behaviour.name)
        previous = self._statuses.get(key, status if is_first else "INVALID")
        self._statuses[key] = status
        self._statuses.move_to_end(key)
        if len(self._statuses) > _MAX_REMEMBERED:
            self._statuses.popitem(last=False)
        if previous == status and not (is_first and status == "RUNNING"):
            return []
        return self._change(key, name, previous, status, time)


# --- actions


@dataclass(frozen=True)
class GoalPlaces:
    """Where the goals of an action lie, if a topic tells.

    Attributes:
        topic: Of geometry_msgs/PoseStamped, on which goals are sent.
        places: Places that a goal may be near to.
        frame: The frame of the places; goals in other frames have no name.
        radius: How near is near, in metres, for places without a radius of their own.
    """

    topic: str
    places: tuple[Place, ...]
    frame: str = "map"
    radius: float = 1.0


@dataclass(frozen=True)
class _Goal:
    began: float
    place: str | None = None  # None: not known; "": near to none
    has_ended: bool = False


class ActionReader(Reader):
    """How the goals of one action ended.

    Not said: goals that had ended long before the first message, which a latched topic repeats, and goals of the run
    before that did not succeed, as those do that make way for the next command.
    """

    def __init__(
        self, action: str, skills: SkillDescriber, ignored: Iterable[str] = (), goals: GoalPlaces | None = None
    ) -> None:
        self._action = action.removesuffix("/_action/status")
        self._status_topic = f"{self._action}/_action/status"
        self._goals_at = goals
        super().__init__({self._status_topic: STATUSES} | ({goals.topic: POSES["PoseStamped"]} if goals else {}))
        self._describer = ActionGoalDescriber(skills, IGNORED_ACTIONS | frozenset(ignored), _MAX_REMEMBERED)
        self._goals: OrderedDict[str, _Goal] = OrderedDict()
        self._latest = ""  # the goal that began last
        self._sent: tuple[str, float] | None = None  # the place of a goal that was sent, and when, until it begins
        self._under_way = _UnderWay()
        self._finished = float("-inf")
        self._is_first = True

    def read(self, topic: str, message: Any, time: float) -> Iterator[str | None]:
        """See `Reader.read`."""
        if topic != self._status_topic:
            self._hear_goal(message, time)
            return
        is_first, self._is_first = self._is_first, False
        for entry in entries("status_list", message.status_list):
            try:
                yield from self._status(entry, time, is_first=is_first)
            except BAD_ENTRY:
                yield UNREADABLE

    def _hear_goal(self, message: Any, time: float) -> None:
        """A goal is sent; its status may come before it does, from another topic."""
        at = self._goals_at
        pose = Transform.of(message.pose.position, message.pose.orientation)
        if at is None or frame_name(message.header.frame_id) != frame_name(at.frame):
            self._sent = None
            return
        place = nearest_place(at.places, pose.position[0], pose.position[1], at.radius)
        name = place.name if place else ""
        latest = self._goals.get(self._latest)
        overtook = latest and not latest.has_ended and abs(time - latest.began) < _OVERTAKEN_S
        if latest and overtook and latest.place is None:
            self._goals[self._latest] = replace(latest, place=name)
            self._sent = None
        else:
            self._sent = (name, time)

    def _status(self, entry: Any, time: float, *, is_first: bool) -> list[str]:
        goal_id, status = identifier(entry.goal_info.goal_id), code("status", entry.status)
        goal = self._goals.get(goal_id)
        if goal is None:
            goal = _Goal(time, self._place_of_new(time))
            self._goals[goal_id], self._latest = goal, goal_id
        if goal.has_ended:
            return []
        has_ended = status in _ENDED
        if has_ended:
            self._under_way.end(goal_id)
        elif status in _UNDER_WAY:
            self._under_way.begin(goal_id, time)
        self._goals[goal_id] = replace(goal, has_ended=has_ended)
        self._goals.move_to_end(goal_id)
        if len(self._goals) > _MAX_REMEMBERED:
            self._goals.popitem(last=False)
        said = self._describer.observe(goal_id, self._action, status, goal=goal.place or "")
        if is_first and has_ended and self._is_old(entry.goal_info, time):
            return []
        if has_ended and status != _SUCCEEDED and goal.began < self._finished - _PREEMPTED_S:
            return []
        return said

    def _place_of_new(self, time: float) -> str | None:
        sent, self._sent = self._sent, None
        return sent[0] if sent and abs(time - sent[1]) < _GOAL_POSE_S else None

    def _is_old(self, info: Any, time: float) -> bool:
        return time - stamp_seconds(info, time) > _LATCHED_S

    def finish(self, now: float) -> list[str]:
        """See `Reader.finish`."""
        self._finished = now
        self._under_way.clear()
        return []

    def is_busy(self, now: float) -> bool:
        """See `Reader.is_busy`."""
        return self._under_way.any(now)
