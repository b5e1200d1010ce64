"""One task while negatives are made for it, and what can stand in for what."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from training.naming import USER
from training.negatives.words import confusable, mention
from training.plan import Act, Task, Thing, names

# How words begin that say that something is to be put somewhere: "placing", "moved".
_PUTTING_STEMS = """
    put plac set mov leav return bring carr throw toss transf transp stor drop discard depos dispos lay insert hang
    stow stack give relocat add
"""
_PUTTING = tuple(_PUTTING_STEMS.split())


@dataclass(frozen=True)
class Negative:
    """One mismatch: the task with another run or another command. Exactly one of the four is not None.

    Attributes:
        kind: what is wrong.
        acts: another run.
        goal: another goal.
        steps: another run in people's words.
        command: another command in people's words.
    """

    kind: str
    acts: tuple[Act, ...] | None = None
    goal: tuple[Act, ...] | None = None
    steps: tuple[str, ...] | None = None
    command: str | None = None


_USUAL = 0.7


def _partner(slot: str, act: Act) -> str:
    other = act.place if slot == "thing" else act.thing
    return other.name if other else ""


class Pool:
    """The tasks that others are taken from, and the things of their worlds, by where and how they occur."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.by_kind: dict[tuple[str, str], list[Task]] = defaultdict(list)
        self.by_source: dict[str, list[Task]] = defaultdict(list)
        self._things: dict[tuple[str, str, str], Counter[Thing]] = defaultdict(Counter)
        self._together: dict[tuple[str, str, str, str], set[Thing]] = defaultdict(set)
        self._places: dict[tuple[str, str], dict[str, Thing]] = defaultdict(dict)
        self.deeds: set[tuple[str, str]] = set()
        for task in tasks:
            self.deeds.update((task.source, act.verb) for act in task.acts if act.essential)
            self.by_kind[task.source, task.kind].append(task)
            self.by_source[task.source].append(task)
            done = {act.verb for act in task.acts}
            for act in (*task.acts, *(act for act in task.goal if act.verb not in done)):
                self._add(task, act)

    def _add(self, task: Task, act: Act) -> None:
        for slot in ("thing", "place", "source"):
            thing: Thing | None = getattr(act, slot)
            if thing and thing.name != USER:
                plain = replace(thing, attributes=(), count=1, instance=0)
                key = (task.source, task.setting, f"{slot} of {act.verb}")
                self._things[key][plain] += 1
                self._together[(*key, _partner(slot, act))].add(plain)
                # Things are kept where others are taken from; what else is put down on may be carried itself.
                kept = slot == "source" or (task.source == "saycan" and act.verb == "place" and slot == "place")
                if act.verb in ("pick", "place") and kept and not thing.label:
                    self._places[task.source, task.setting][thing.name] = plain

    def like(self, task: Task, slot: str, act: Act) -> list[tuple[Thing, int]]:
        """What else occurs in this place of such an act, in the same setting, and how often."""
        return list(self._things[task.source, task.setting, f"{slot} of {act.verb}"].items())

    def together(self, task: Task, slot: str, act: Act, thing: Thing) -> bool:
        """Whether the thing has been there with what else the act names: a tomato in the fridge, not in the bathtub."""
        key = (task.source, task.setting, f"{slot} of {act.verb}", _partner(slot, act))
        return thing in self._together[key]

    def is_place(self, task: Task, thing: Thing) -> bool:
        """Whether things are kept there in this setting."""
        return thing.name in self._places[task.source, task.setting]

    def places(self, task: Task) -> list[Thing]:
        """Where things are kept in the setting, and the task has nothing to do with."""
        taken = {*names(task.acts), *names(task.goal)}
        return [thing for name, thing in self._places[task.source, task.setting].items() if name not in taken]


@dataclass
class Case:
    """One task while negatives are made for it.

    Attributes:
        task, pool, draw: see :func:`training.negatives.make_negatives`.
        command: people's words for the goal, where they are what is told.
        people: whether command or log are people's words, for whom a mug may be a cup.
    """

    task: Task
    pool: Pool
    draw: random.Random
    command: str | None
    people: bool

    @property
    def vague(self) -> bool:
        """Whether the command says less than the run, so that only coarse differences are certain."""
        return not self.task.goal and self.task.source == "virtualhome"

    def other(self, slot: str, act: Act) -> Thing | None:
        """Something else for this place of the act, which occurs nowhere in the task."""
        wanted: Thing = getattr(act, slot)
        taken = {*names(self.task.acts), *names(self.task.goal)}
        options = [
            (thing, count)
            for thing, count in self.pool.like(self.task, slot, act)
            if self.pool.is_place(self.task, thing) == self.pool.is_place(self.task, wanted)
            and not any(confusable(thing.name, name, people=self.people) for name in taken)
        ]
        usual = [option for option in options if self.pool.together(self.task, slot, act, option[0])]
        if usual and self.draw.random() < _USUAL:
            options = usual
        if not options:
            return None
        # As often as they occur, so that what is rare in good runs is not common in wrong ones.
        things, counts = zip(*options, strict=True)
        chosen: Thing = self.draw.choices(things, counts)[0]
        return replace(chosen, attributes=wanted.attributes)

    @property
    def asks_for_the_end(self) -> bool:
        """Whether the command asks for the last essential act: people may say "wash the cup", the rest being open."""
        if self.command is None:
            return True
        last = self.task.acts[self.task.last_essential]
        if last.verb != "place" or (last.place and mention(self.command, last.place.name)):
            return True
        return any(word.startswith(_PUTTING) for word in self.command.lower().split())

    def named(self, thing: Thing) -> bool:
        """Whether the command names the thing, so that another one would be wrong."""
        if self.command is not None:
            return mention(self.command, thing.name) is not None
        return any(thing.name == name for name in names(self.task.goal))
