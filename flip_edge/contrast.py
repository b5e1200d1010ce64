"""Other commands that the same log might fulfil: the command with one thing exchanged.

A near miss is a run that fits such a command better than its own. What may be exchanged comes from the log (objects,
places, colours, numbers that it mentions and the command does not) and from a list of opposites.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from flip_edge.acts import HOME, NOT_A_PLACE, acts_of, is_verb
from flip_edge.lexicon import lexicon
from flip_edge.support import Word
from flip_edge.wording import is_among, words_of

_INFORMATION = 0.3  # nats from which a word of the command is worth exchanging
_CANDIDATES = 4  # words of the log tried in one place


@dataclass(frozen=True)
class Alternative:
    """A command that differs in one thing.

    Attributes:
        command: the whole text.
        told: the word of the original that it lacks, or has in another place.
        difference: what it would mean that the run fits it better, for a person.
    """

    command: str
    told: str
    difference: str


def alternatives(command: str, words: Sequence[Word], steps: Sequence[str], limit: int) -> list[Alternative]:
    """Commands that differ from ``command`` in one thing, the most telling first.

    Args:
        command: the command.
        words: its words, as :func:`flip_edge.support.support` weighs them.
        steps: the log.
        limit: how many at most.
    """
    unique: dict[str, Alternative] = {}
    sources: Iterable[Iterator[Alternative]] = (
        _opposites(command, words),
        _without_negation(command),
        _roles(command),
        _substitutes(command, words, steps),
    )
    for source in sources:
        for alternative in source:
            if alternative.command.lower() != command.lower():
                unique.setdefault(alternative.command, alternative)
    return list(unique.values())[:limit]


def _exchange(command: str, told: str, instead: str) -> Alternative:
    changed = re.sub(rf"(?<!\w){re.escape(told)}(?!\w)", lambda _: instead, command, count=1, flags=re.IGNORECASE)
    return Alternative(changed, told, f"'{told}' was commanded, '{instead}' was done")


def _opposites(command: str, words: Sequence[Word]) -> Iterator[Alternative]:
    for word in words:
        for one, other in lexicon().opposites:
            if word.text in (one, other):
                yield _exchange(command, word.text, other if word.text == one else one)


def _without_negation(command: str) -> Iterator[Alternative]:
    for negation in lexicon().negations:
        if re.match(rf"{re.escape(negation)}\s", command, re.IGNORECASE):
            difference = f"'{negation}' was commanded, and it was done"
            yield Alternative(command[len(negation) :].strip(), negation, difference)


def _roles(command: str) -> Iterator[Alternative]:
    """Thing and place exchanged, or start and goal."""
    for act in acts_of(command):
        pairs = []
        if act.object and act.place and act.relation not in NOT_A_PLACE:
            pairs.append((act.object[-1], act.place[-1]))
        if act.source and act.place and act.relation != "from":
            pairs.append((act.source[-1], act.place[-1]))
        for one, other in pairs:
            if one != other:
                held = _exchange(command, one, "\0").command
                swapped = _exchange(held, other, one).command.replace("\0", other)
                yield Alternative(swapped, one, f'the run fits "{swapped}" better')


def _substitutes(command: str, words: Sequence[Word], steps: Sequence[str]) -> Iterator[Alternative]:
    """Words that the log lacks, exchanged for words that it has; place by place in turn, the last steps first."""
    spots = [
        word.text
        for position, word in enumerate(words)
        if word.asked
        and not word.found
        and not word.is_act  # acts are compared as such: "put" and "place" are one
        and word.surprise >= _INFORMATION
        and (position > 0 or word.text[0].isdigit())
    ]
    told = [word.text for word in words]
    numbers: list[str] = []
    names: list[str] = []
    for step in reversed(steps):
        for candidate in reversed(words_of(step)[1:]):
            if is_among(candidate, (*told, *numbers, *names)):
                continue
            if candidate[0].isdigit():
                numbers.append(candidate)
            elif len(candidate) > 2 and not _names_nothing(candidate):
                names.append(candidate)
    for rank in range(_CANDIDATES):
        for spot in spots:
            pool = numbers if spot[0].isdigit() else names
            if rank < len(pool) and not {spot, pool[rank]} <= HOME:
                yield _exchange(command, spot, pool[rank])


def _names_nothing(word: str) -> bool:
    """Whether a word of a log is no name that a command could have instead: a result, or what was done."""
    return word in _no_names() or (word.endswith(("ed", "ing")) and is_verb(word))


@lru_cache(maxsize=1)
def _no_names() -> frozenset[str]:
    words = lexicon()
    return words.closed_class.union(words.statuses, words.claims, words.generic, words.negators, words.failures)
