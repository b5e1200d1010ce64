"""Fields of ROS messages, as rclpy or rosbags decoded them: objects whose attributes are named after the fields.

What is not as its type promises raises InputError, or AttributeError where a field is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from itertools import islice
from operator import index
from typing import Any

from flip_edge.describe.signals import moment, reading
from flip_edge.errors import InputError

MAX_ENTRIES = 1000
"""Entries of a list that are looked at."""

_MAX_NAME_LENGTH = 256
_UUID_BYTES = 16


def number(name: str, value: object) -> float:
    """A finite number."""
    found = reading(name, value)
    if found is None:
        raise InputError(f"{name} is not finite, or far too large")
    return found


def code(name: str, value: Any) -> int:
    """An integer, such as a status."""
    try:
        return index(value)
    except TypeError as error:
        raise InputError(f"{name} must be an integer, not a {type(value).__name__}") from error


def text(name: str, value: object, limit: int = _MAX_NAME_LENGTH) -> str:
    """A text, cut off at `limit` characters."""
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, not a {type(value).__name__}")
    return value[:limit]


def entries(name: str, value: Any) -> Iterator[Any]:
    """The entries of a list or an array, the first `MAX_ENTRIES` of them."""
    if isinstance(value, str | bytes) or not isinstance(value, Sized):
        raise InputError(f"{name} must be a list, not a {type(value).__name__}")
    return islice(iter(value), MAX_ENTRIES)  # type: ignore[call-overload]


def seconds(stamp: Any, received: float) -> float:
    """A builtin_interfaces/Time in seconds; the arrival where it was left at zero."""
    sec, nanosec = code("sec", stamp.sec), code("nanosec", stamp.nanosec)
    found = moment(sec + nanosec / 1e9) if abs(sec) < 1 << 40 else None
    if found is None:
        raise InputError("the stamp is no time")
    return found if sec or nanosec else received


def stamp_seconds(stamped: Any, received: float) -> float:
    """The `stamp` of a header or a message in seconds; the arrival where there is none, or it was left at zero."""
    stamp = getattr(stamped, "stamp", None)
    return received if stamp is None else seconds(stamp, received)


def identifier(uuid: Any) -> str:
    """A unique_identifier_msgs/UUID as text."""
    values = [code("uuid", value) for value in entries("uuid", uuid.uuid)]
    if len(values) != _UUID_BYTES or not all(0 <= value < 256 for value in values):
        raise InputError("a UUID has 16 bytes")
    return bytes(values).hex()
