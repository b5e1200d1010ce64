"""Named places of the robot's map, from a YAML file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import yaml

from flip_edge.describe.naming import split_words
from flip_edge.errors import ConfigError

_KEYS = ("x", "y", "radius")


@dataclass(frozen=True)
class Place:
    """A place that has a name.

    Attributes:
        name: As in the robot's world model: `kitchen_table`.
        x, y: Its position in metres, in the frame of the poses.
        radius: Within how many metres of it the robot is near it; None: as far as the describer's own setting says.

    Raises:
        ConfigError: A name without a word in it, a position that is not finite, or a radius that is not above 0.

    >>> Place("kitchen_table", 2.0, 1.5).distance(2.0, 1.0)
    0.5
    """

    name: str
    x: float
    y: float
    radius: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not split_words(self.name):
            raise ConfigError(f"a place is named {self.name!r}: give a name with a word in it")
        for key in ("x", "y"):
            if not _is_finite(getattr(self, key)):
                raise ConfigError(f"place {self.name!r}: {key} is {getattr(self, key)!r}: give a number of metres")
        if self.radius is not None and not (_is_finite(self.radius) and self.radius > 0):
            raise ConfigError(f"place {self.name!r}: radius is {self.radius!r}: give metres above 0, or leave it out")

    def distance(self, x: float, y: float) -> float:
        """Metres from a point to the place."""
        return math.hypot(self.x - x, self.y - y)


def nearest_place(places: Iterable[Place], x: float, y: float, radius: float) -> Place | None:
    """The nearest of the places that the point is near to; `radius` in metres is for those without their own.

    >>> nearest_place([Place("desk", 0, 0), Place("door", 1, 0)], 0.8, 0.0, radius=1.0).name
    'door'
    >>> nearest_place([Place("desk", 0, 0)], 5.0, 0.0, radius=1.0) is None
    True
    """
    near = [place for place in places if place.distance(x, y) <= (place.radius or radius)]
    return min(near, key=lambda place: place.distance(x, y), default=None)


def load_places(path: Path | str) -> tuple[Place, ...]:
    """Reads places from a YAML file: `kitchen_table: {x: 2.0, y: 1.5, radius: 0.8}`, the radius where wanted.

    Raises:
        ConfigError: The file cannot be read, or names the place and the value in it that is wrong.
    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the places {path}: {error}") from error
    return to_places(data, source=str(path))


def to_places(data: object, source: str = "places") -> tuple[Place, ...]:
    """Places from plain data, as such a file has it.

    Raises:
        ConfigError: Naming `source`, the place and the value in it that is wrong.
    """
    if not isinstance(data, dict) or not data:
        raise ConfigError(f"{source}: expected places by name, as `desk: {{x: 1.0, y: 2.0}}`, got {data!r}")
    try:
        return tuple(_place(name, entry) for name, entry in data.items())
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def _place(name: object, entry: object) -> Place:
    if not isinstance(name, str):
        raise ConfigError(f"a place is named {name!r}: give a name with a word in it, in quotes")
    if not isinstance(entry, dict):
        raise ConfigError(f"place {name!r} is {entry!r}: give it as {{x: 1.0, y: 2.0}}")
    unknown = [key for key in entry if key not in _KEYS]
    if unknown:
        raise ConfigError(f"place {name!r}: unknown key {unknown[0]!r}; known: {', '.join(_KEYS)}")
    missing = [key for key in ("x", "y") if key not in entry]
    if missing:
        raise ConfigError(f"place {name!r} has no {missing[0]}: give it as {{x: 1.0, y: 2.0}}")
    return Place(name, entry["x"], entry["y"], entry.get("radius"))


def _is_finite(value: object) -> bool:
    # Compared, not converted: an integer may be too large for a float.
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) <= 1e9  # type: ignore[operator]
