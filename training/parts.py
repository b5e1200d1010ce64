"""Parts of a task as tasks of their own: "pick up the mug" where the whole was to bring it.

Without them a log that ends with the mug in the gripper would be a mismatch whatever was commanded, and a model need
not read the command to say so.
"""

from __future__ import annotations

import random
from dataclasses import replace

from training.lexicon import verb
from training.plan import Act, Result, Task


def part_of_task(task: Task, draw: random.Random) -> Task | None:
    """A task that ends earlier, with the goal that it reaches; None where the task has none.

    Args:
        task: with a goal of its own.
        draw: which part, and how its goal is said.
    """
    parts = [(index, goal) for index, act in enumerate(task.acts[:-1]) if (goal := _goal(task, index, act))]
    if not task.goal or not parts:
        return None
    index, goal = draw.choice(parts)
    if goal.source and draw.random() < 0.5:
        goal = replace(goal, source=None)
    acts = tuple(_marked(act, goal, last=place == index) for place, act in enumerate(task.acts[: index + 1]))
    return replace(
        task,
        id=f"{task.id} part {index}",
        kind=f"part: {goal.verb}",
        acts=acts,
        goal=(goal,),
        ordered=False,
        commands=(),
        steps=task.steps[: index + 1],
        failures=(),
    )


def _goal(task: Task, index: int, act: Act) -> Act | None:
    """What was reached with this act, in one act; None where more was done than can be said so."""
    before = task.acts[:index]
    if act.result is Result.FAILED:
        return None
    if act.verb == "go" and not any(other.verb != "go" for other in before):
        return Act("go", place=act.place)
    if not act.essential or not act.thing:
        return None
    handled = [other for other in before if other.essential and other.verb != "go"]
    if act.verb == "pick" and not handled:
        return Act("pick", thing=replace(act.thing, instance=0), source=act.source)
    same = all(other.verb == "pick" and other.thing == act.thing for other in handled)
    if verb(act.verb).state and same:
        return Act(act.verb, thing=replace(act.thing, instance=0))
    if act.verb == "place" and same and act.place:
        return Act("place", thing=replace(act.thing, instance=0), place=act.place, relation=act.relation)
    return None


def _marked(act: Act, goal: Act, *, last: bool) -> Act:
    """The act, essential where this goal needs it."""
    needed = act.verb == "pick" and act.thing is not None and act.thing == goal.thing
    return replace(act, essential=last or needed)
