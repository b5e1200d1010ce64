"""The runs and the commands of other tasks, and recorded failures."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from flip_edge.similarity import normalize
from training.naming import USER
from training.negatives.case import Case, Negative
from training.negatives.words import confusable, mention
from training.plan import Act, Task

_STOPWORDS = frozenset(["on", "in", "of", "to", "the", "a", "and", "up", "down", "from", "at", "off", "out", "with"])


def _other_run(case: Case) -> Iterator[Negative]:
    task = case.task
    near = case.pool.by_kind[task.source, task.kind]
    far = case.pool.by_source[task.source]
    for others, wanted in ((near, 2), (far, 3 if case.vague else 1)):
        for other in _sampled(case.draw, others, 30):
            if other.group == task.group or not _differs(case, other):
                continue
            if case.command is not None and task.steps:
                yield Negative("other_run", steps=other.steps or None, acts=None if other.steps else other.acts)
            else:
                yield Negative("other_run", acts=other.acts)
            if case.command is None and other.goal and not _covered(other.goal, task.acts):
                yield Negative("other_run", goal=other.goal)
            elif case.command is not None and other.commands and _differs(_case_of(case, other), task):
                yield Negative("other_run", command=other.commands[0])
            wanted -= 1
            if not wanted:
                break


def _sampled(draw: random.Random, tasks: Sequence[Task], number: int) -> Iterator[Task]:
    for _ in range(min(number, len(tasks))):
        yield tasks[draw.randrange(len(tasks))]


def _case_of(case: Case, task: Task) -> Case:
    """The same for another task, with the first of people's commands for it."""
    return Case(task, case.pool, case.draw, task.commands[0] if task.commands else None, case.people)


def _differs(case: Case, other: Task) -> bool:
    """Whether the other task's run is a mismatch for this command."""
    task = case.task
    if case.command is None:
        sure = not case.people or _goal_differs(task.goal, other.goal)
        return sure and not _covered(task.goal, other.acts)
    if task.goal:  # people's words for a known goal
        return _goal_differs(task.goal, other.goal, case.command)
    if task.source == "virtualhome":
        words, others = _content(case.command), _content(other.commands[0])
        shared = len(_handled(task) & _handled(other)) / max(1, min(len(_handled(task)), len(_handled(other))))
        return not words & others and shared <= 0.34
    if _last_place(task) != _last_place(other) and not _handled(task) & _handled(other):
        return True
    mine = _handled(task)
    return (
        bool(mine)
        and all(mention(case.command, name) for name in mine)
        and not any(confusable(name, one, people=True) for name in mine for one in _handled(other))
    )


def _goal_differs(goal: Sequence[Act], other: Sequence[Act], command: str | None = None) -> bool:
    """Whether people's words for one goal cannot mean the other: its object, or the place they name, is another."""
    if not goal or not other:
        return False
    thing, place = goal[0].thing, goal[-1].place
    other_thing, other_place = other[0].thing, other[-1].place
    if thing and other_thing and not confusable(thing.name, other_thing.name, people=True):
        return True
    if not place or not other_place or (command is not None and mention(command, place.name) is None):
        return False
    return not confusable(place.name, other_place.name, people=True)


def _covered(goal: Sequence[Act], acts: Sequence[Act]) -> bool:
    """Whether a run names and does all that the goal asks for, so that it might be called fulfilled."""
    done = " ".join(_words(act) for act in acts)
    return all(
        thing.words in done for act in goal if not act.negated for thing in act.things if thing.name != USER
    ) and all(_amount_words(act) in done for act in goal)


def _words(act: Act) -> str:
    return " ".join([act.verb, *(thing.words for thing in act.things), _amount_words(act)])


def _amount_words(act: Act) -> str:
    return " ".join([f"{act.amount.value:g} {act.amount.unit}" if act.amount else "", act.side]).strip()


def _content(command: str) -> set[str]:
    return set(normalize(command)) - _STOPWORDS


def _handled(task: Task) -> set[str]:
    return {act.thing.name for act in task.acts if act.thing and act.essential}


def _last_place(task: Task) -> str:
    return next((act.place.name for act in reversed(task.acts) if act.place), "")


def _recorded(case: Case) -> Iterator[Negative]:
    for kind, acts in case.task.failures:
        yield Negative(f"recorded_{kind}", acts=acts)


MAKERS = (_other_run, _recorded)
"""Each makes the negatives of one kind."""
