"""The few words that flip_edge must know by itself, from the YAML file beside this module."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import msgspec
import yaml


class Lexicon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """English words with a role of their own.

    Attributes:
        opposites: pairs of words that turn a command into another one.
        negations: phrases that forbid what follows.
        relations: words after which a thing and its place may change roles.
        closed_class: words that are never an object or a place.
        failures: phrases that say that a step failed.
        announcements: words that tell of a command, rather than of what was done.
        claims: words that say that something went well.
        talk: phrases that speak to whoever judges.
        acts: verbs by the kind of act they stand for.
        done_by: kinds of act in a log that fulfil another kind in a command.
        states: words that ask for an act by its effect, by the kind of act.
        traces: things by which such an act is done, by its kind.
        numbers: numerals.
        same: words for which another one is as good.
        plurals: irregular ones, with their singulars.
        units: words after a number that make it an amount, by their spellings.
        conversions: units that are so many of another.
        qualities: groups of meanings that exclude each other, each with its words.
        rooms: places that go by the word before.
        same_rooms: words before one that mean the same.
        sides: groups of places beside a thing that exclude each other, each with its phrases.
        reverses: pairs of kinds of acts that undo each other.
        switched: verbs of switching, by whether they switch on or off.
        ways: directions, those that are the same together.
        numbered: words before a number that make it a name.
        articles: words that a name follows.
        boundaries: words at which a clause ends.
        leading: words that may stand before a clause's verb.
        participles: irregular ones, after an object that comes first.
        statuses: results that may end a clause.
        negators: words that turn a clause into its opposite.
        particles: words that may follow a verb and belong to it.
        beside: other words that say where.
        prepositions: words at which a verb's object ends.
        generic: words in place of a name.
        keys: words before a ":" or "=" whose value is a name.
        body: the robot's own parts.
        directions, routes, recordings: objects that change what "take" and "make" stand for.
    """

    opposites: tuple[tuple[str, str], ...]
    negations: tuple[str, ...]
    relations: frozenset[str]
    closed_class: frozenset[str]
    failures: tuple[str, ...]
    announcements: frozenset[str]
    claims: frozenset[str]
    talk: tuple[str, ...]
    acts: dict[str, frozenset[str]]
    done_by: dict[str, frozenset[str]]
    states: dict[str, frozenset[str]]
    traces: dict[str, frozenset[str]]
    numbers: dict[str, int]
    same: dict[str, str]
    plurals: dict[str, str]
    units: tuple[tuple[str, ...], ...]
    conversions: dict[str, tuple[str, float]]
    qualities: tuple[tuple[frozenset[str], ...], ...]
    rooms: frozenset[str]
    same_rooms: tuple[frozenset[str], ...]
    sides: tuple[tuple[frozenset[str], ...], ...]
    reverses: tuple[tuple[str, str], ...]
    switched: dict[str, frozenset[str]]
    ways: tuple[frozenset[str], ...]
    numbered: frozenset[str]
    articles: frozenset[str]
    boundaries: frozenset[str]
    leading: frozenset[str]
    participles: frozenset[str]
    statuses: frozenset[str]
    negators: frozenset[str]
    particles: frozenset[str]
    beside: frozenset[str]
    prepositions: frozenset[str]
    generic: frozenset[str]
    keys: frozenset[str]
    body: frozenset[str]
    directions: frozenset[str]
    routes: frozenset[str]
    recordings: frozenset[str]


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The lexicon that comes with flip_edge."""
    text = files("flip_edge").joinpath("lexicon.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), Lexicon)
