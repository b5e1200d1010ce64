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
    """

    opposites: tuple[tuple[str, str], ...]
    negations: tuple[str, ...]
    relations: frozenset[str]
    closed_class: frozenset[str]
    failures: tuple[str, ...]


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """The lexicon that comes with flip_edge."""
    text = files("flip_edge").joinpath("lexicon.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), Lexicon)
