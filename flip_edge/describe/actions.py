"""Goals of ROS 2 actions as sentences: "drove to the kitchen", "failed to dock: the charger was not found"."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from flip_edge.describe.node_names import describe_name, is_among, name_words
from flip_edge.describe.skills import SkillDescriber
from flip_edge.errors import ConfigError, InputError

IGNORED_ACTIONS: frozenset[str] = frozenset({"compute *", "smooth *", "follow path", "assisted teleop"})
"""Shell patterns over the words of an action's name: inner steps of a navigation that is itself an action."""

_SUCCEEDED, _CANCELED, _ABORTED = 4, 5, 6  # of action_msgs/GoalStatus, as those below
_ENDS = {_SUCCEEDED: "SUCCEEDED", _CANCELED: "CANCELED", _ABORTED: "ABORTED"}
_CODES = range(7)


class ActionGoalDescriber:
    """Says how the goals of actions ended, from the statuses of their topics, each goal once.

    Nothing is said of a goal that was accepted or is under way: it is not done yet.

    >>> describer = ActionGoalDescriber()
    >>> describer.observe("5f3a", "/navigate_to_pose", 2, goal="kitchen")
    []
    >>> describer.observe("5f3a", "/navigate_to_pose", 6, reason="No path was found.")
    ['failed to drive to the kitchen: no path was found']
    >>> describer.observe("5f3a", "/navigate_to_pose", 6)
    []

    Args:
        skills: Says the skills.
        ignored: Actions that are not said, as `IGNORED_ACTIONS`, which it replaces.
        remembered: How many of the latest goals are known again; at least 1. A status topic repeats goals that have
            ended for as long as their results are kept.

    Raises:
        ConfigError: `remembered` is not an integer above 0.
    """

    def __init__(
        self,
        skills: SkillDescriber | None = None,
        ignored: Iterable[str] = IGNORED_ACTIONS,
        remembered: int = 1000,
    ) -> None:
        if not isinstance(remembered, int) or isinstance(remembered, bool) or remembered < 1:
            raise ConfigError(f"ActionGoalDescriber.remembered is {remembered!r}: give the number of goals, 1 or more")
        self._skills = skills or SkillDescriber()
        self._ignored = frozenset(ignored)
        self._remembered = remembered
        # What each goal was, or None once it has been told.
        self._goals: OrderedDict[tuple[str, str], str | None] = OrderedDict()

    def observe(self, goal_id: str, action: str, status: int, goal: str = "", reason: str = "") -> list[str]:
        """Takes the status of one goal; the sentence when it has ended.

        Args:
            goal_id: The goal's id, as text.
            action: The action's name, such as "/navigate_to_pose"; also the name of its status topic.
            status: As in action_msgs/GoalStatus: 0 unknown, 1 accepted, 2 executing, 3 canceling, 4 succeeded,
                5 canceled, 6 aborted. Other codes say nothing.
            goal: What or where to, in the robot's words, if that is known: "kitchen". Kept until the goal ends.
            reason: Why it failed or was cancelled, if that is known.

        Raises:
            InputError: A text is not text, or the status is not an integer.
        """
        for key, value in (("goal_id", goal_id), ("action", action), ("goal", goal), ("reason", reason)):
            if not isinstance(value, str):
                raise InputError(f"{key} of an action's goal must be text, not {value!r}")
        if not isinstance(status, int) or isinstance(status, bool):
            raise InputError(f"status of an action's goal must be a code of GoalStatus, not {status!r}")
        words = name_words(action.removesuffix("/_action/status"))
        if status not in _CODES or not words or is_among(words, self._ignored):
            return []
        what = self._remember((action, goal_id), goal)
        if status not in _ENDS or what is None:
            return []
        self._goals[action, goal_id] = None
        if status == _CANCELED:
            reason = reason or "cancelled"
        return [describe_name(self._skills, words, _ENDS[status], what=what, reason=reason)]

    def _remember(self, key: tuple[str, str], goal: str) -> str | None:
        known = self._goals.get(key, "")
        what = None if known is None else goal.strip() or known
        self._goals[key] = what
        self._goals.move_to_end(key)
        if len(self._goals) > self._remembered:
            self._goals.popitem(last=False)
        return what
