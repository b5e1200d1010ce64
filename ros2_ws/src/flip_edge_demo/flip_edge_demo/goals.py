"""Goals, checked in the simulated world itself: whatever the robot planned, tried or reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyrobosim.core.hallway import Hallway
from pyrobosim.core.locations import Location
from pyrobosim.core.objects import Object
from pyrobosim.core.robot import Robot
from pyrobosim.core.room import Room
from pyrobosim.core.types import Entity
from pyrobosim.core.world import World

from flip_edge_demo.terms import EpisodeError, Term


@dataclass(frozen=True)
class _Predicate:
    kinds: tuple[tuple[type[Entity], ...], ...]
    holds: Callable[..., bool]


def places_of(entity: Entity | None) -> set[str]:
    """The names of the surface, the piece of furniture and the room (or the door) in which an entity is.

    What a robot holds is in no place: it is not in the room before it has been put down.
    """
    places: set[str] = set()
    while entity is not None and not isinstance(entity, Robot):
        places.add(entity.name)
        entity = entity.parent
    return places


def _robot(world: World) -> Robot:
    return world.robots[0]


_THINGS = (Object,)
_PLACES = (Room, Location, Hallway)
_OPENABLE = (Location, Hallway)
_PREDICATES: dict[str, _Predicate] = {
    "object_at": _Predicate((_THINGS, _PLACES), lambda world, thing, place: place.name in places_of(thing.parent)),
    "robot_at": _Predicate((_PLACES,), lambda world, place: place.name in places_of(_robot(world).location)),
    "holding": _Predicate((_THINGS,), lambda world, thing: _robot(world).manipulated_object is thing),
    "is_open": _Predicate((_OPENABLE,), lambda world, place: bool(place.is_open)),
    "is_closed": _Predicate((_OPENABLE,), lambda world, place: not place.is_open),
}


@dataclass(frozen=True)
class Goal:
    """A conjunction of conditions on the world.

    `object_at(object, place)`, `robot_at(place)`, `holding(object)`, `is_open(place)`, `is_closed(place)`.
    A place is a room, a piece of furniture or a door. An object is at a place when it lies there, or in or on
    something that is there.
    """

    conditions: tuple[Term, ...]

    @classmethod
    def parse(cls, conditions: object) -> Goal:
        """Reads a list of conditions.

        Raises:
            EpisodeError: The list is empty, or a condition is not known or has the wrong number of arguments.
        """
        if not isinstance(conditions, list) or not conditions:
            raise EpisodeError(f"a goal is a list of conditions, not {conditions!r}")
        terms = tuple(Term.parse(condition) for condition in conditions)
        for term in terms:
            predicate = _PREDICATES.get(term.name)
            if predicate is None:
                raise EpisodeError(f"unknown condition {term}: known are {', '.join(_PREDICATES)}")
            if len(term.arguments) != len(predicate.kinds):
                raise EpisodeError(f"{term}: {term.name} takes {len(predicate.kinds)} arguments")
        return cls(terms)

    def is_reached(self, world: World) -> bool:
        """Whether all conditions hold in the world as it is now.

        Raises:
            EpisodeError: A condition names what this world does not have.
        """
        return not self.unmet(world)

    def unmet(self, world: World) -> tuple[Term, ...]:
        """The conditions that do not hold in the world as it is now.

        Raises:
            EpisodeError: A condition names what this world does not have.
        """
        return tuple(term for term in self.conditions if not self._holds(world, term))

    @staticmethod
    def _holds(world: World, term: Term) -> bool:
        predicate = _PREDICATES[term.name]
        entities = [
            find_entity(world, name, kinds) for name, kinds in zip(term.arguments, predicate.kinds, strict=True)
        ]
        return predicate.holds(world, *entities)


def find_entity(world: World, name: str, kinds: tuple[type[Entity], ...]) -> Entity:
    """The entity of that name.

    Raises:
        EpisodeError: There is none of these kinds in the world.
    """
    entity = world.name_to_entity.get(name)
    if isinstance(entity, kinds):
        return entity
    known = sorted(name for name, entity in world.name_to_entity.items() if isinstance(entity, kinds))
    raise EpisodeError(f"there is no {name!r} in the world; there are: {', '.join(known)}")
