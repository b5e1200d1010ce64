"""Status changes of behaviour trees as sentences: "picked up the mug", "failed to open the door"."""

from __future__ import annotations

from collections.abc import Iterable

from flip_edge.describe.node_names import describe_name, is_among, name_words, reads_as_skill
from flip_edge.describe.skills import SkillDescriber
from flip_edge.errors import InputError

_IGNORED = """
    * sequence, * fallback, * selector, * parallel, * tree, * subtree, * decorator, * controller, * recovery, * loop,
    * condition, * blackboard, * bb, * until *, * ok, * valid, * done, * available, * reached, * completed, * succeeded,
    * failed, * updated, * detected, * received, * expired, * grasped,
    check, check *, use *, set, set *, get *, wait for *, monitor *, start, step, switch, sleep, load, position, back,
    face, hand, idle, light, store, rest, cover, mount, remove passed goals, remove in collision goals
"""
IGNORED_NODES: frozenset[str] = frozenset(" ".join(name.split()) for name in _IGNORED.split(","))
"""Shell patterns over the lower-case words of a name: control nodes, conditions, and names that say too little."""

_STATUSES = frozenset({"IDLE", "RUNNING", "SUCCESS", "FAILURE", "INVALID", "SKIPPED"})


class TreeDescriber:
    """Says what the action nodes of a behaviour tree did, from their changes of status.

    Only a change to SUCCESS or FAILURE is said, and only of names that begin with a verb, as `PickObject` or
    "put the mug on the table"; names that end with a question mark are conditions. Logs of BehaviorTree.CPP, of
    nav2's BehaviorTreeLog and of py_trees read alike. What repeats the sentence before it, as retries do, is not said
    again.

    >>> describer = TreeDescriber()
    >>> describer.observe("NavigateToKitchen", "RUNNING", "SUCCESS")
    ['drove to the kitchen']
    >>> describer.observe("PickObject", "RUNNING", "FAILURE")
    ['failed to pick up the object']
    >>> describer.observe("RetryUntilSuccessful", "RUNNING", "FAILURE")
    []

    Args:
        skills: Says the skills; a verb that is not known by itself is known from its templates.
        ignored: Names that say nothing, as `IGNORED_NODES`, which it replaces.
    """

    def __init__(self, skills: SkillDescriber | None = None, ignored: Iterable[str] = IGNORED_NODES) -> None:
        self._skills = skills or SkillDescriber()
        self._ignored = frozenset(ignored)
        self._last = ""

    def observe(self, name: str, previous: str, new: str) -> list[str]:
        """Takes one change of status; the sentence for it, if it is worth one.

        Args:
            name: The node's name, with or without its path and number.
            previous: The status before: IDLE, RUNNING, SUCCESS, FAILURE, INVALID or SKIPPED, in any case, or with the
                name of its type before it: "Status.SUCCESS". Others are taken for "no status".
            new: The status after, likewise.

        Raises:
            InputError: One of them is not text.
        """
        for key, value in (("name", name), ("previous status", previous), ("new status", new)):
            if not isinstance(value, str):
                raise InputError(f"the {key} of a tree's node must be text, not {value!r}")
        status, words = _status(new), name_words(name)
        if status not in ("SUCCESS", "FAILURE") or status == _status(previous) or name.rstrip().endswith("?"):
            return []
        if is_among(words, self._ignored) or not reads_as_skill(words, self._skills):
            return []
        sentence = describe_name(self._skills, words, status)
        if sentence == self._last:
            return []
        self._last = sentence
        return [sentence]


def _status(name: str) -> str:
    status = name.strip().upper().replace("::", ".").rpartition(".")[2]
    return status if status in _STATUSES else ""
