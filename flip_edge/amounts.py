"""Amounts: numbers with a unit, and when two of them are the same."""

from __future__ import annotations

import math
import re
from itertools import pairwise

from flip_edge.lexicon import lexicon
from flip_edge.wording import apart, spellings_of, word_key, words_of

_PICTURES = frozenset(map(word_key, ("picture", "photo", "photograph", "image")))
_GIVEN = re.compile(r"\b([a-z]{2,})['\"]?\s*[:=]\s*['\"]?(\d+(?:\.\d+)?)\b")  # "seconds: 5"
_PER = re.compile(r"(?<=[^\W\d_])/(?=[^\W\d_])")  # 0.5 m/s are no metres
_EXACT = 0.05  # share by which two amounts may differ and be the same: odometry is not exact


def amounts_of(text: str) -> list[tuple[str, str]]:
    """Numbers with a unit, and the unit's first spelling.

    >>> amounts_of("drive 2 metres, then pause(seconds=5)")
    [('5', 's'), ('2', 'm')]
    """
    given = [(number, unit) for key, number in _GIVEN.findall(apart(text)) if (unit := _unit(key))]
    return given + [
        (number, unit)
        for number, successor in pairwise(words_of(_PER.sub("per", text)))
        if (unit := _unit(successor)) and (number[0].isdecimal() or number in lexicon().numbers)
    ]


def value_of(number: str) -> float:
    """What a number or numeral stands for."""
    return float(lexicon().numbers.get(number, number))


def equal_amounts(one: float, other: float) -> bool:
    """Whether two amounts of a unit are the same, as far as a robot can tell."""
    return math.isclose(one, other, rel_tol=_EXACT)


def _unit(word: str) -> str:
    if word in lexicon().recordings:
        return "pictures" if word_key(word) in _PICTURES else ""
    return next(iter(spellings_of(word)), "")
