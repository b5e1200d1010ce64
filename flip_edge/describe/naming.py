"""Identifiers of a robot's world model as words: `water_bottle_2` is "the water bottle"."""

from __future__ import annotations

import re

_ARTICLES = frozenset({"a", "an", "the", "my", "your", "our"})
_SPOTS = frozenset({"top", "surface", "spawn", "loc", "location", "spot", "pose"})
_SIDES = {
    "left": "left side",
    "right": "right side",
    "middle": "middle",
    "center": "center",
    "centre": "centre",
    "front": "front",
    "back": "back",
}
_PASSAGES = {"hall": "hallway", "hallway": "hallway", "corridor": "corridor", "doorway": "doorway"}

_NOT_A_WORD = re.compile(r"[^\w']+|_+")
_CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_INSTANCE_NUMBER = re.compile(r"(?<=[^\W\d])\d+$")


def split_words(identifier: str) -> list[str]:
    """The lower-case words of an identifier, without the instance numbers of the world model.

    >>> split_words("WaterBottle_02")
    ['water', 'bottle']
    """
    tokens = _CAMEL_HUMP.sub(" ", _NOT_A_WORD.sub(" ", identifier)).split()
    words = (_INSTANCE_NUMBER.sub("", token).lower() for token in tokens)
    return [word for word in words if any(character.isalpha() for character in word)]


def noun_phrase(identifier: str) -> str:
    """What a person would call the thing or place that the world model calls `identifier`.

    An identifier without a letter in it (a pose, a bare number) comes back as it is, blanks collapsed.

    >>> [noun_phrase(name) for name in ("apple0", "my_desk", "table0_tabletop", "counter_left")]
    ['the apple', 'the desk', 'the table', 'the left side of the counter']
    >>> noun_phrase("hall_kitchen_living_room")
    'the hallway between the kitchen and the living room'
    """
    words = split_words(identifier)
    if len(words) > 1 and words[0] in _ARTICLES:
        words = words[1:]
    if not words:
        return " ".join("".join(c if c.isprintable() else " " for c in identifier).split())
    if words[0] in _PASSAGES:
        rooms = _room_names(words[1:])
        if len(rooms) == 2:
            return f"the {_PASSAGES[words[0]]} between the {rooms[0]} and the {rooms[1]}"
    # Simulators name the surface of a piece of furniture after it: `desk_desktop`, `shelf_shelf`.
    while len(words) > 1 and (words[-1] in _SPOTS or words[-1] in (words[-2], words[-2] + "top")):
        words = words[:-1]
    if len(words) > 1 and words[-1] in _SIDES:
        return f"the {_SIDES[words[-1]]} of the {' '.join(words[:-1])}"
    return f"the {' '.join(words)}"


def _room_names(words: list[str]) -> list[str]:
    """Joins "room" to the word before it, so that `living_room_kitchen` is two rooms and not three."""
    rooms: list[str] = []
    for word in words:
        if word == "room" and rooms:
            rooms[-1] += " room"
        else:
            rooms.append(word)
    return rooms
