"""Wrong runs for a command and wrong commands for a run, made where it is known what is wrong with them.

On neutral plans each kind is a mismatch by construction; where the command is in people's own words, a negative is only
made when those words name what is exchanged. The kinds:

====================  =================================================================================================
``wrong_object``      another thing is handled, or commanded
``wrong_attribute``   the same thing in another colour
``wrong_place``       it goes to another place
``wrong_number``      another amount, count or number of a room
``wrong_direction``   left for right, behind for in front of
``wrong_order``       the parts of an ordered command the other way round
``wrong_role``        X on Y for Y on X, from A to B for from B to A
``wrong_polarity``    opened for closed, done for not to be done
``skipped``           one part of what was commanded was left out
``cut``               the first half of the run, where the rest matters
``cut_before_last``   all but the last act that matters, and what follows it
``last_failed``       the last act that matters fails
``reordered``         acts in an order in which they make no sense: put down before picked up
``search_only``       places were looked at, nothing was done
``other_run``         the run, or the command, of another task, near or far
``recorded_...``      a robot's own failure, recorded
====================  =================================================================================================
"""

from __future__ import annotations

import random

from training.negatives import exchanges, omissions, others
from training.negatives.case import Case, Negative, Pool
from training.plan import Result, Task

__all__ = ["Negative", "Pool", "in_peoples_words", "make_negatives"]

_MAKERS = (*exchanges.MAKERS, *omissions.MAKERS, *others.MAKERS)


def make_negatives(
    task: Task, pool: Pool, draw: random.Random, *, command: str | None = None, peoples_log: bool = False
) -> list[Negative]:
    """Every kind that the task allows, in a random order, the kinds taking turns.

    Args:
        task: the run and its goal.
        pool: where others are taken from.
        draw: for every choice.
        command: people's words, where the row has those and not the goal's.
        peoples_log: whether the run is in people's words, which may name a thing otherwise than the goal does.
    """
    makers = list(_MAKERS)
    draw.shuffle(makers)
    case = Case(task, pool, draw, command, people=peoples_log or command is not None)
    rounds = [list(maker(case)) for maker in makers]
    for made in rounds:
        draw.shuffle(made)
    longest = max(map(len, rounds), default=0)
    return [made[turn] for turn in range(longest) for made in rounds if turn < len(made)]


def in_peoples_words(negative: Negative, task: Task) -> tuple[str, ...] | None:
    """A negative run in the words in which people described the task's own run; None where they have none for it.

    >>> from training.plan import Act
    >>> task = Task("s", "1", "g", "k", (Act("go"), Act("pick", essential=True)), steps=("Go there.", "Pick it up."))
    >>> in_peoples_words(Negative("cut", acts=task.acts[:1]), task)
    ('Go there.',)
    """
    if negative.steps is not None:
        return negative.steps
    if negative.acts is None or len(task.steps) != len(task.acts):
        return None
    said = {id(act): step for act, step in zip(task.acts, task.steps, strict=True)}
    steps = []
    for act in negative.acts:
        if id(act) in said:
            steps.append(said[id(act)])
        elif act.result is Result.FAILED:
            step = task.steps[task.last_essential]
            reason = f": {act.reason}" if act.reason else ""
            steps.append(f"Failed to {step[:1].lower()}{step[1:].rstrip('.')}{reason}")
        else:
            return None
    return tuple(steps)
