"""Amounts: numbers with a unit, and when two of them are the same."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from flip_edge.lexicon import lexicon
from flip_edge.wording import apart, spellings_of, word_key, words_of

_PICTURES = frozenset(map(word_key, ("picture", "photo", "photograph", "image")))
_GIVEN = re.compile(r"\b([a-z]{2,})['\"]?\s*[:=]\s*['\"]?(\d+(?:\.\d+)?)\b")  # "seconds: 5"
_PER = re.compile(r"(?<=[^\W\d_])/(?=[^\W\d_])")  # 0.5 m/s are no metres
_EXACT = 0.05  # share by which two amounts may differ and be the same: odometry is not exact


class Amount(NamedTuple):
    """A number with a unit.

    Attributes:
        number, unit: as they were told; the unit by its first spelling.
        value, base: the same in the unit that others are converted to.
    """

    number: str
    unit: str
    value: float
    base: str


def amounts_of(text: str) -> list[Amount]:
    """The amounts that a text tells.

    >>> [(amount.value, amount.base) for amount in amounts_of("drive 2 metres, then pause(minutes=5)")]
    [(300.0, 's'), (2.0, 'm')]
    """
    told = [(number, key) for key, number in _GIVEN.findall(apart(text))]
    told += [
        (number, successor)
        for number, successor in pairwise(words_of(_PER.sub("per", text)))
        if number[0].isdecimal() or number in lexicon().numbers
    ]
    found = []
    for number, word in told:
        if unit := _unit(word):
            base, factor = lexicon().conversions.get(unit, (unit, 1.0))
            found.append(Amount(number, unit, value_of(number) * factor, base))
    return found


def value_of(number: str) -> float:
    """What a number or numeral stands for."""
    return float(lexicon().numbers.get(number, number))


def comes_to(wanted: Amount, done: Sequence[Amount]) -> bool:
    """Whether one of the amounts, or all of them together, is the wanted one: a way may be driven in parts."""
    values = [amount.value for amount in done if amount.base == wanted.base]
    return any(equal_amounts(wanted.value, value) for value in (*values, sum(values)))


def equal_amounts(one: float, other: float) -> bool:
    """Whether two amounts of a unit are the same, as far as a robot can tell."""
    return math.isclose(one, other, rel_tol=_EXACT)


def _unit(word: str) -> str:
    if word in lexicon().recordings:
        return "pictures" if word_key(word) in _PICTURES else ""
    return next(iter(spellings_of(word)), "")
