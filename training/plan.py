"""The neutral plan: what was to be done and what was done, before anybody has put it into words.

A task has a goal and a run, and both are sequences of the same :class:`Act`. What makes a run wrong for a command is
decided here, where it is exactly true; how it reads is decided by :mod:`training.styles` and :mod:`training.wording`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum


class Result(Enum):
    """How an act ended."""

    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Thing:
    """An object, a piece of furniture, a room or a person.

    Attributes:
        name: what people call it, in lower case: "alarm clock".
        attributes: "red", "sliced", "left".
        count: how many of them; a goal may have more than one, an act of a run handles one at a time.
        label: what tells it apart by name: "4" of "room 4".
        proper: it takes no article: "me", "dock B".
        instance: tells apart several of a kind in a robot's identifiers; never said in words.
        alias: what some robots call it: "sink basin".
    """

    name: str
    attributes: tuple[str, ...] = ()
    count: int = 1
    label: str = ""
    proper: bool = False
    instance: int = 0
    alias: str = ""

    @property
    def words(self) -> str:
        """Attributes, name and label, without article.

        >>> Thing("door", ("red",), label="4").words
        'red door 4'
        """
        return " ".join([*self.attributes, self.name, *([self.label] if self.label else [])])


@dataclass(frozen=True)
class Quantity:
    """A number with its unit: metres, degrees, pictures. An empty unit is a bare number."""

    value: float
    unit: str = ""


@dataclass(frozen=True)
class Act:
    """One thing done, or to be done.

    Attributes:
        verb: a verb of ``lexicon.yaml``; any other verb phrase is said as it is.
        thing: what is handled.
        place: where it goes or where the act takes place.
        source: where it comes from.
        relation: how thing and place lie to each other, where that is more than the usual "in" or "on".
        tool: what it is done with.
        amount: how far, how much, how many.
        side: left, right, forward, up, and so on.
        negated: of a goal: this must not be done.
        result, reason: how it ended, and why it failed.
        essential: without it the goal is not reached. Ways and noise are not essential.
    """

    verb: str
    thing: Thing | None = None
    place: Thing | None = None
    source: Thing | None = None
    relation: str = ""
    tool: Thing | None = None
    amount: Quantity | None = None
    side: str = ""
    negated: bool = False
    result: Result = Result.DONE
    reason: str = ""
    essential: bool = False

    @property
    def things(self) -> tuple[Thing, ...]:
        """Everything that it names."""
        return tuple(thing for thing in (self.thing, self.place, self.source, self.tool) if thing)

    def exchanged(self, name: str, other: Thing) -> Act:
        """The act with every thing of one name exchanged for another, which keeps what is said of it besides."""

        def change(thing: Thing | None) -> Thing | None:
            if thing is None or thing.name != name:
                return thing
            attributes = other.attributes or thing.attributes
            return replace(other, attributes=attributes, count=thing.count, instance=thing.instance)

        return replace(
            self,
            thing=change(self.thing),
            place=change(self.place),
            source=change(self.source),
            tool=change(self.tool),
        )


@dataclass(frozen=True)
class Task:
    """What was commanded and what was done about it.

    Attributes:
        source: the data or generator that it comes from.
        id: unique within the source.
        group: the trajectory, scene or mission; a split keeps it whole.
        kind: tasks of one kind are each other's near misses.
        setting: what can be confused there comes from there: "office".
        acts: the run. It reaches the goal.
        goal: the command; empty where only people's words for it are known.
        ordered: the acts of the goal must come in their order.
        commands: people's words for the goal.
        steps: people's words for the acts, one for one.
        failures: recorded runs that did not reach the goal, with the kind of each.
    """

    source: str
    id: str
    group: str
    kind: str
    acts: tuple[Act, ...]
    setting: str = ""
    goal: tuple[Act, ...] = ()
    ordered: bool = False
    commands: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    failures: tuple[tuple[str, tuple[Act, ...]], ...] = ()

    @property
    def last_essential(self) -> int:
        """The index of the last act without which the goal is not reached; -1 where none is known."""
        return max((index for index, act in enumerate(self.acts) if act.essential), default=-1)


def names(acts: tuple[Act, ...]) -> Iterator[str]:
    """The names of all that the acts mention."""
    for act in acts:
        for thing in act.things:
            yield thing.name


def seeded(*key: object) -> random.Random:
    """A random generator of its own for every choice, the same on every machine."""
    return random.Random(int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big"))
