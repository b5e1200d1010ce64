"""What a robot may be told in a building, when that is done, and how a robot goes about it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flip_edge_demo.episodes import PlannedAction
from flip_edge_demo.terms import Term

from training.plan import Act
from training.roomworld.layout import CORRIDOR, KINDS, Layout
from training.roomworld.robot import Arrangement


@dataclass(frozen=True)
class Wish:
    """One thing that is wanted, in the simulator's names.

    Attributes:
        verb: ``go``, ``pick``, ``place``, ``bring``, ``open`` or ``close``.
        thing: what to carry, to open or to close.
        place: where to go or to bring it.
        source: where to take it from, where the command says so.
    """

    verb: str
    thing: str = ""
    place: str = ""
    source: str = ""

    @property
    def condition(self) -> Term:
        """What holds in the world when it is fulfilled."""
        if self.verb == "go":
            return Term("robot_at", (self.place,))
        if self.verb == "pick":
            return Term("holding", (self.thing,))
        if self.verb in ("place", "bring"):
            return Term("object_at", (self.thing, self.place))
        return Term("is_open" if self.verb == "open" else "is_closed", (self.thing,))

    def act(self, layout: Layout) -> Act:
        """The same as an act of a goal."""
        words = layout.words
        return Act(self.verb, thing=words.get(self.thing), place=words.get(self.place), source=words.get(self.source))


@dataclass(frozen=True)
class Manner:
    """How a robot goes about things.

    Attributes:
        rooms: it goes to a room before it goes to the furniture there.
        search: at how many places it looks for the first thing before it comes to the right one.
        tidy: it closes what it has opened and put something in.
        tries: how often it tries what failed by chance.
    """

    rooms: bool = False
    search: int = 0
    tidy: bool = False
    tries: int = 1

    @classmethod
    def drawn(cls, draw: random.Random) -> Manner:
        """A common one: most robots go straight."""
        return cls(
            rooms=draw.random() < 0.25,
            search=draw.choice((0, 0, 0, 0, 1, 2)),
            tidy=draw.random() < 0.4,
            tries=draw.choice((1, 2, 3)),
        )


class Planner:
    """Plans for the building as the robot believes it to be, which need not be as it is."""

    def __init__(self, layout: Layout, believed: Arrangement, manner: Manner, draw: random.Random) -> None:
        self._layout, self._believed, self._manner, self._draw = layout, believed, manner, draw

    def plan(self, wishes: Sequence[Wish]) -> list[PlannedAction]:
        """The actions that fulfil the wishes, if the building is as believed and nothing fails."""
        self._actions: list[PlannedAction] = []
        self._open = set(self._believed.open)
        self._place = self._believed.start
        self._search = self._manner.search
        for index, wish in enumerate(wishes):
            if wish.verb == "go":
                self._enter(wish.place)
                self._go(wish.place)
            elif wish.verb in ("open", "close"):
                self._operate(wish.verb, wish.thing)
            else:
                # Nothing can be opened with a full gripper.
                self._prepare(wish)
                for later in wishes[index + 1 :] if wish.verb == "pick" else ():
                    self._prepare(later)
                self._carry(wish)
        return self._actions

    def _carry(self, wish: Wish) -> None:
        source = self._believed.objects[wish.thing]
        self._enter(source)
        self._open_container(source)
        if self._search and not wish.source:
            for place in self._searched(source):
                self._go(place)
                self._actions.append(PlannedAction("detect", wish.thing))
            self._go(source)
            self._actions.append(PlannedAction("detect", wish.thing))
            self._search = 0
        self._go(source)
        self._actions.append(PlannedAction("pick", wish.thing))
        if wish.place:
            self._go(wish.place)
            self._actions.append(PlannedAction("place", wish.thing, wish.place))
            if self._manner.tidy and wish.place in self._layout.closable and wish.place not in self._believed.open:
                self._operate("close", wish.place)

    def _searched(self, source: str) -> list[str]:
        """Places to look at on the way, where nothing must be opened."""
        possible = [
            place
            for room, furniture in self._layout.rooms.items()
            if self._layout.doors[room] in self._open
            for place in furniture
            if place != source and place not in self._layout.closable
        ]
        return self._draw.sample(possible, min(self._search, len(possible)))

    def _prepare(self, wish: Wish) -> None:
        self._enter(wish.place)
        if wish.verb in ("place", "bring"):
            self._open_container(wish.place)

    def _open_container(self, place: str) -> None:
        if place in self._layout.closable and place not in self._open:
            self._operate("open", place)

    def _enter(self, place: str) -> None:
        """Open the door of the room, where it is closed."""
        room = self._layout.room_of(place)
        if room and self._layout.doors[room] not in self._open:
            self._operate("open", self._layout.doors[room])

    def _operate(self, verb: str, thing: str) -> None:
        self._enter(thing)
        if (verb == "open") == (thing in self._open):
            return
        self._go(thing)
        self._actions.append(PlannedAction(verb, target=thing))
        self._open ^= {thing}

    def _go(self, place: str) -> None:
        if place == self._place:
            return
        room = self._layout.room_of(place)
        if self._manner.rooms and room not in (None, place, self._layout.room_of(self._place)):
            self._actions.append(PlannedAction("navigate", target=room))
        self._actions.append(PlannedAction("navigate", target=place))
        self._place = place


CAPACITY = {"wide_surface": 3, "closable_container": 2, "small_surface": 1, "open_container": 1}
"""How many things lie on or in a piece of furniture at first; there is room for one or two more."""

_ACTIONS = ("navigate", "pick", "place", "open", "close")


def arranged(layout: Layout, draw: random.Random) -> Arrangement:
    """The building on some day: things lie about, doors are open or closed, the robot stands somewhere."""
    room_left = {name: CAPACITY[kind] for name, kind in layout.kinds.items()}
    objects = {}
    for thing in layout.things:
        place = draw.choice([name for name, room in room_left.items() if room])
        room_left[place] -= 1
        objects[thing] = place
    doors_open = [door for door in layout.doors.values() if draw.random() < 0.8]
    containers_open = [name for name in layout.closable if draw.random() < 0.3]
    starts = [CORRIDOR, CORRIDOR, *(room for room, door in layout.doors.items() if door in doors_open)]
    unreliable = draw.random() < 0.25
    return Arrangement(
        objects=objects,
        open=frozenset([*doors_open, *containers_open]),
        start=draw.choice(starts),
        reliability=dict.fromkeys(_ACTIONS, 0.8) if unreliable else {},
        seed=draw.randrange(2**31),
    )


# --- what is wanted


def _deliver(layout: Layout, at: Arrangement, draw: random.Random) -> list[Wish]:
    thing = draw.choice(sorted(layout.things))
    source = at.objects[thing]
    target = draw.choice([name for name in layout.kinds if name != source])
    if draw.random() < 0.5:
        return [Wish("place", thing, target)]
    return [Wish("bring", thing, target, source if draw.random() < 0.5 else "")]


def _deliver_two(layout: Layout, at: Arrangement, draw: random.Random) -> list[Wish]:
    # Of two that differ in their colour alone, a log could not tell which is meant by "it".
    plain = [name for name in sorted(layout.things) if not layout.words[name].attributes]
    things = draw.sample(plain, 2)
    sources = {at.objects[thing] for thing in things}
    wide = [name for name, kind in layout.kinds.items() if kind == KINDS["wide"] and name not in sources]
    if draw.random() < 0.5:
        targets = [draw.choice(wide)] * 2
    else:
        targets = draw.sample([name for name in layout.kinds if name not in sources], 2)
    return [Wish("place", thing, target) for thing, target in zip(things, targets, strict=True)]


def _stow(layout: Layout, at: Arrangement, draw: random.Random) -> list[Wish]:
    thing = draw.choice(sorted(layout.things))
    target = draw.choice([name for name in layout.closable if name != at.objects[thing]])
    return [Wish("place", thing, target), Wish("close", target)]


def _go(layout: Layout, at: Arrangement, draw: random.Random) -> list[Wish]:
    places = [*layout.rooms, CORRIDOR] if draw.random() < 0.6 else [*layout.kinds, *layout.doors.values()]
    return [Wish("go", place=draw.choice([place for place in places if place != at.start]))]


def _tour(layout: Layout, at: Arrangement, draw: random.Random) -> list[Wish]:
    places = [room for room in layout.rooms if room != at.start]
    return [Wish("go", place=room) for room in draw.sample(places, min(len(places), draw.choice((2, 2, 3))))]


def _pick(layout: Layout, at: Arrangement, draw: random.Random) -> list[Wish]:
    thing = draw.choice(sorted(layout.things))
    return [Wish("pick", thing, source=at.objects[thing] if draw.random() < 0.5 else "")]


def _fetch(layout: Layout, at: Arrangement, draw: random.Random) -> list[Wish]:
    [wish] = _pick(layout, at, draw)
    rooms = [room for room in layout.rooms if room != layout.room_of(at.objects[wish.thing])]
    return [wish, Wish("go", place=draw.choice([*rooms, CORRIDOR]))]


def _deliver_and_go(layout: Layout, at: Arrangement, draw: random.Random) -> list[Wish]:
    [wish] = _deliver(layout, at, draw)
    rooms = [room for room in layout.rooms if room != layout.room_of(wish.place)]
    return [wish, Wish("go", place=draw.choice([*rooms, CORRIDOR]))]


def _operate(layout: Layout, at: Arrangement, draw: random.Random) -> list[Wish]:
    thing = draw.choice(layout.openable)
    return [Wish("close" if thing in at.open else "open", thing)]


def _operate_two(layout: Layout, at: Arrangement, draw: random.Random) -> list[Wish]:
    things = draw.sample(layout.openable, 2)
    return [Wish("close" if thing in at.open else "open", thing) for thing in things]


KINDS_OF_WISHES: dict[str, tuple[float, Callable[[Layout, Arrangement, random.Random], list[Wish]]]] = {
    "deliver": (4, _deliver),
    "deliver two": (2, _deliver_two),
    "stow": (1.5, _stow),
    "go": (2, _go),
    "tour": (1, _tour),
    "pick": (1.5, _pick),
    "fetch": (1, _fetch),
    "deliver and go": (1, _deliver_and_go),
    "operate": (2, _operate),
    "operate two": (0.7, _operate_two),
}
"""What is wanted, with how often it is drawn. An IndexError or ValueError means: not in this building."""

ORDERED = frozenset(["tour", "fetch", "deliver and go"])
"""The kinds whose wishes are to be fulfilled in their order."""


def wanted(layout: Layout, at: Arrangement, draw: random.Random) -> tuple[str, list[Wish]]:
    """Something to tell the robot, and its kind; no wishes where the building has nothing for that kind."""
    kind = draw.choices(list(KINDS_OF_WISHES), [weight for weight, _ in KINDS_OF_WISHES.values()])[0]
    try:
        return kind, KINDS_OF_WISHES[kind][1](layout, at, draw)
    except (IndexError, ValueError):  # a choice or a sample among too few
        return kind, []
