"""The words of ``lexicon.yaml``, and how a phrase with slots is filled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec
import yaml

_SLOT = re.compile(r"\{(\w+)\}")
_OPTIONAL = re.compile(r"\[([^\]]*)\]")
# A phrase that leaves one of these unsaid says less than the act.
_TELLING = ("thing", "place", "amount", "side")
_STANDS_FOR = {"at": "place"}


class Verb(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one act is said; ``lexicon.yaml`` tells what the fields mean."""

    say: tuple[str, ...]
    skills: tuple[str, ...]
    command: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    terse: str = ""
    env: str = ""
    opposite: str = ""
    state: tuple[str, ...] = ()
    unit: str = "task"


class _Lexicon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    verbs: dict[str, Verb]


@cache
def verbs() -> Mapping[str, Verb]:
    """All verbs by name."""
    text = Path(__file__).with_name("lexicon.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), _Lexicon).verbs


def verb(name: str) -> Verb:
    """The entry of a verb; one made up from its words where the lexicon has none.

    >>> verb("juggle").say[0]
    'juggle[ {thing}][ {at}][ with {tool}]'
    """
    known = verbs().get(name)
    return known or Verb(say=(f"{name}[ {{thing}}][ {{at}}][ with {{tool}}]",), skills=(name,))


def slots_of(phrase: str) -> list[str]:
    """The names of the slots of a phrase, in order.

    >>> slots_of("pick up {thing}[ from {source}]")
    ['thing', 'source']
    """
    return _SLOT.findall(phrase)


def fill(phrase: str, slots: Mapping[str, str]) -> str | None:
    """The phrase with its slots filled and its optional parts kept where they can be; None where a slot is missing.

    >>> fill("pick up {thing}[ from {source}]", {"thing": "the mug"})
    'pick up the mug'
    """
    kept = _OPTIONAL.sub(lambda part: part[1] if all(slot in slots for slot in slots_of(part[1])) else "", phrase)
    if any(slot not in slots for slot in slots_of(kept)):
        return None
    return _SLOT.sub(lambda slot: slots[slot[1]], kept).strip()


def unsaid(phrase: str, slots: Mapping[str, str]) -> list[str]:
    """What is known and tells runs apart, and the phrase leaves out.

    >>> unsaid("{thing} pushed", {"thing": "box", "side": "left"})
    ['side']
    """
    used = {_STANDS_FOR.get(slot, slot) for slot in slots_of(phrase)}
    return [slot for slot in _TELLING if slot in slots and slot not in used]


def fitting(phrases: Sequence[str], slots: Mapping[str, str]) -> list[str]:
    """The phrases that can be filled and that say most of what is known.

    >>> fitting(["turn {side}", "turn {side} by {amount}"], {"side": "left", "amount": "90 degrees"})
    ['turn {side} by {amount}']
    """

    possible = [phrase for phrase in phrases if fill(phrase, slots) is not None]
    fewest = min((len(unsaid(phrase, slots)) for phrase in possible), default=0)
    return [phrase for phrase in possible if len(unsaid(phrase, slots)) == fewest]
