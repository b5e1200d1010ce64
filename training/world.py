"""A small world for made-up tasks: what there is in a home, an office, a warehouse, and what a robot does there.

A task makes its goal and its run together from one draw of the world, so that log and command agree by construction.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from training.plan import Act, Thing


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What there is in one kind of place; ``world.yaml`` has them."""

    rooms: tuple[str, ...]
    surfaces: tuple[str, ...]
    containers: tuple[str, ...]
    objects: tuple[str, ...]
    coloured: tuple[str, ...]
    devices: tuple[str, ...]
    doors: tuple[str, ...]
    inspect: tuple[str, ...]
    people: tuple[str, ...]
    cleanable: tuple[str, ...]
    floors: tuple[str, ...]
    vessels: tuple[str, ...]
    drinks: tuple[str, ...]
    plants: tuple[str, ...]
    docks: tuple[str, ...]


class Worlds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of ``world.yaml``."""

    version: int
    colours: tuple[str, ...]
    settings: dict[str, Setting]
    measured: tuple[str, ...]
    gauges: tuple[str, ...]
    openable: frozenset[str]


@cache
def worlds() -> Worlds:
    """The settings, read once."""
    text = Path(__file__).with_name("world.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), Worlds)


@dataclass
class Draft:
    """A task in the making: the world it takes place in and the run so far.

    Attributes:
        setting: what there is.
        draw: every choice comes from it.
        acts: the run so far.
        goal: the command so far.
        used: names that are taken; one name means one thing in a task.
        place: where the robot is.
    """

    setting: Setting
    draw: random.Random
    acts: list[Act] = field(default_factory=list)
    goal: list[Act] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    place: Thing | None = None

    def thing(self, names: Sequence[str], *, colour: float = 0.0) -> Thing:
        """Something of the list that the task has not used yet, in a colour now and then.

        Raises:
            LookupError: all of them are used.
        """
        free = [name for name in names if name.split(" #")[0] not in self.used]
        if not free:
            raise LookupError(f"nothing left of {', '.join(names)}")
        name = self.draw.choice(free)
        label = ""
        if name.endswith(" #"):
            name = name.removesuffix(" #")
            label = self.label()
        self.used.add(name)
        attributes = (self.draw.choice(worlds().colours),) if self.draw.random() < colour else ()
        return Thing(name, attributes, label=label)

    def label(self) -> str:
        """What tells apart rooms, shelves and pumps: a number, a letter, both."""
        kind = self.draw.random()
        number = self.draw.choice((self.draw.randint(1, 9), self.draw.randint(10, 30), self.draw.randint(101, 420)))
        if kind < 0.6:
            return str(number)
        letter = self.draw.choice("ABCDEF")
        return letter if kind < 0.8 else f"{letter}{self.draw.randint(1, 12)}"

    def portable(self) -> Thing:
        """Something to carry."""
        if self.draw.random() < 0.35:
            return self.thing(self.setting.coloured, colour=0.9)
        return self.thing(self.setting.objects, colour=0.05)

    def spot(self) -> Thing:
        """Somewhere to put it."""
        return self.thing((*self.setting.surfaces, *self.setting.containers))

    def do(self, verb: str, thing: Thing | None = None, *, essential: bool = True, **more: Any) -> Act:
        """Add an act to the run."""
        act = replace(Act(verb, thing=thing, essential=essential), **more)
        self.acts.append(act)
        return act

    def go(self, place: Thing, *, essential: bool = False) -> None:
        """Go there, unless the robot is there."""
        if self.place != place:
            self.do("go", place=place, essential=essential)
        self.place = place

    def want(self, verb: str, thing: Thing | None = None, **more: Any) -> None:
        """Add an act to the goal."""
        self.goal.append(replace(Act(verb, thing=thing), **more))

    def carry(self, thing: Thing, source: Thing, target: Thing, *, relation: str = "") -> None:
        """Fetch the thing and put it there; what can be opened is opened."""
        self.visit(source)
        self.do("pick", thing, source=source)
        self.visit(target)
        self.do("place", thing, place=target, relation=relation)
        if target.name in worlds().openable and self.draw.random() < 0.5:
            self.do("close", target, essential=False)

    def visit(self, place: Thing) -> None:
        """Go there and open it, where it can be opened."""
        self.go(place)
        self._open(place)

    def _open(self, place: Thing) -> None:
        if place.name in worlds().openable and self.draw.random() < 0.7:
            self.do("open", place, essential=False)
