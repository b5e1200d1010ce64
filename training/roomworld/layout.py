"""Buildings drawn by seed: rooms along a corridor, furniture along their walls, and the things that lie about.

What a building has comes from ``settings.yaml``. Its plan is always the same, for a log does not tell metres; which
rooms, furniture and things there are, and where, is drawn.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from training.plan import Thing

FOLDER = Path(__file__).parent
CORRIDOR = "corridor"
GRIPPER_M = 0.175
KINDS = {
    "wide": "wide_surface",
    "small": "small_surface",
    "closed": "closable_container",
    "open": "open_container",
}
"""The furniture of ``settings.yaml``, and its kind in ``furniture.yaml``."""

_SHAPES = ("round_thing", "long_thing", "flat_thing")
_COLOURS = ("red", "blue", "green", "yellow", "black", "white", "orange", "grey")
_THINGS = 7
# Rooms are 4.4 m by 4 m, two on each side of the corridor; seen from its middle, the door is in front.
_ROOM = (4.4, 4.0)
_ROOM_PLACES = ((-2.6, 1), (2.6, 1), (-2.6, -1), (2.6, -1))
_ROOM_Y = 3.6
_FURNITURE_PLACES = ((-1.2, 1.6, 0), (1.2, 1.6, 0), (-1.8, -0.3, 90), (1.8, -0.3, -90))


class Room(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The furniture that a room may have, by kind."""

    wide: tuple[str, ...]
    small: tuple[str, ...]
    closed: tuple[str, ...]
    open: tuple[str, ...]


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What there may be in one kind of building."""

    rooms: dict[str, Room]
    things: tuple[str, ...]
    coloured: tuple[str, ...]


class _Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    settings: dict[str, Setting]


@cache
def settings() -> Mapping[str, Setting]:
    """All of ``settings.yaml``, read once."""
    text = (FOLDER / "settings.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), _Settings).settings


@dataclass(frozen=True)
class Layout:
    """One building, in the simulator's names: words joined by underscores.

    Attributes:
        setting: the kind of building.
        rooms: each room, without the corridor, with its furniture.
        kinds: the kind of each piece of furniture, as in ``furniture.yaml``.
        things: what a robot may carry, with its shape.
        words: everything that has a name, in words.
    """

    setting: str
    rooms: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, str]
    things: Mapping[str, str]
    words: Mapping[str, Thing]

    @classmethod
    def drawn(cls, draw: random.Random) -> Layout:
        """A building: three or four rooms of a setting, with three or four pieces of furniture each."""
        name = draw.choice(sorted(settings()))
        setting = settings()[name]
        rooms: dict[str, tuple[str, ...]] = {}
        kinds: dict[str, str] = {}
        words = {CORRIDOR: Thing(CORRIDOR)}
        for room in draw.sample(sorted(setting.rooms), draw.choice((3, 4, 4))):
            possible = [(kind, draw.choice(getattr(setting.rooms[room], kind))) for kind in KINDS]
            chosen = draw.sample(possible, draw.choice((3, 4)))
            rooms[_named(words, Thing(room))] = tuple(_named(words, Thing(furniture)) for _, furniture in chosen)
            kinds |= {_joined(furniture): KINDS[kind] for kind, furniture in chosen}
            _named(words, Thing(f"{room} door"))
        coloured = draw.choice(setting.coloured)
        carried = [Thing(thing) for thing in draw.sample(setting.things, _THINGS)]
        carried += [Thing(coloured, (colour,)) for colour in draw.sample(_COLOURS, 2)]
        things = {_named(words, thing): draw.choice(_SHAPES) for thing in carried}
        return cls(name, rooms, kinds, things, words)

    @property
    def doors(self) -> dict[str, str]:
        """The door of each room."""
        return {room: f"{room}_door" for room in self.rooms}

    @property
    def closable(self) -> tuple[str, ...]:
        """The containers that can be opened and closed."""
        return tuple(name for name, kind in self.kinds.items() if kind == KINDS["closed"])

    @property
    def openable(self) -> tuple[str, ...]:
        """All that can be opened and closed: doors and containers."""
        return (*self.doors.values(), *self.closable)

    def room_of(self, place: str) -> str | None:
        """The room in which a piece of furniture stands or that is meant itself; None for the corridor and doors."""
        if place in self.rooms:
            return place
        return next((room for room, furniture in self.rooms.items() if place in furniture), None)

    def world(self) -> dict[str, Any]:
        """The building as pyrobosim reads it, everything open, with the robot in the corridor."""
        rooms, hallways, locations = [_corridor()], [], []
        for (room, furniture), (x, side) in zip(self.rooms.items(), _ROOM_PLACES, strict=False):
            rooms.append(_room(room, _ROOM, x, side * _ROOM_Y, stand=side * (_ROOM_Y - 0.3)))
            ends = [[x, side * 0.4], [x, side * 2.1]]
            hallways.append(
                {
                    "name": self.doors[room],
                    "room_start": CORRIDOR,
                    "room_end": room,
                    "width": 1.0,
                    "conn_method": "points",
                    "conn_points": ends,
                }
            )
            for name, (along, deep, turn) in zip(furniture, _FURNITURE_PLACES, strict=False):
                pose = _pose(x + side * along, side * (_ROOM_Y + deep), turn + (0 if side > 0 else 180))
                # Locked while open: nobody closes a table.
                locked = name not in self.closable
                locations.append(
                    {"name": name, "category": self.kinds[name], "parent": room, "pose": pose, "is_locked": locked}
                )
        roomy = [name for name, kind in self.kinds.items() if kind in (KINDS["wide"], KINDS["closed"])]
        objects = [
            {"name": name, "category": shape, "parent": roomy[number % len(roomy)]}
            for number, (name, shape) in enumerate(self.things.items())
        ]
        return {
            "params": {"name": "roomworld", "object_radius": 0.03},
            "metadata": {
                "locations": [(FOLDER / "furniture.yaml").as_posix()],
                "objects": [(FOLDER / "things.yaml").as_posix()],
            },
            "robots": [_robot()],
            "rooms": rooms,
            "hallways": hallways,
            "locations": locations,
            "objects": objects,
        }


def _joined(words: str) -> str:
    return words.replace(" ", "_").replace("-", "_")


def _named(words: dict[str, Thing], thing: Thing) -> str:
    """Note down a thing under the simulator's name for it, and return the name."""
    name = _joined(thing.words)
    words[name] = thing
    return name


def _pose(x: float, y: float, yaw: float = 0.0) -> dict[str, Any]:
    return {"position": {"x": x, "y": y}, "rotation_eul": {"yaw": yaw, "angle_units": "degrees"}}


def _room(name: str, size: tuple[float, float], x: float, y: float, *, stand: float) -> dict[str, Any]:
    return {
        "name": name,
        "footprint": {"type": "box", "dims": list(size)},
        "pose": _pose(x, y),
        "wall_width": 0.2,
        "nav_poses": [_pose(x, stand)],
    }


def _corridor() -> dict[str, Any]:
    return _room(CORRIDOR, (9.6, 1.6), 0.0, 0.0, stand=0.0)


def _robot() -> dict[str, Any]:
    return {
        "name": "robot",
        "radius": 0.15,
        "location": CORRIDOR,
        "pose": _pose(0.0, 0.0),
        # Nothing is thinner than 0.5 m with the robot's radius about it, so that steps of 0.2 m miss no wall.
        "path_planner": {"type": "world_graph", "collision_check_step_dist": 0.2},
        "path_executor": {"type": "constant_velocity"},
        "grasping": {
            "generator": "parallel_grasp",
            "max_width": GRIPPER_M,
            "depth": 0.1,
            "height": 0.04,
            "width_clearance": 0.01,
            "depth_clearance": 0.01,
        },
    }
