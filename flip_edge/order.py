"""What a command wants done first, and whether the log has it the other way round."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from flip_edge.acts import acts_of, is_verb
from flip_edge.wording import Mentions, apart, is_among, is_content, words_of

_MOST = 12  # parts that a command may be made of; what has more is none that a person would give
_THEN = re.compile(r"\b(?:and then|then|after that)\b")
_BEFORE = re.compile(r"\bbefore\b")
_AFTER = re.compile(r"\bafter\b(?! (?:that|this|which)\b)")
_ONCE = re.compile(r"\bafter (?!that\b|this\b|which\b)(?P<first>[^,]*),(?P<second>.*)")


def out_of_order(command: str, steps: Sequence[str]) -> Iterator[str]:
    """What the log has in the reverse of the order that the command asks for, in words.

    Args:
        command: the command.
        steps: the log.
    """
    parts = _in_order(apart(command))
    if len(parts) > _MOST:
        return
    mentioned = [Mentions([step]) for step in steps] if parts else []
    said = [
        [word for word in words_of(part) if word == "one" or (is_content(word) and not is_verb(word))] for part in parts
    ]
    for one, other in pairwise(range(len(parts))):
        first, second = _only(said[one], said[other]), _only(said[other], said[one])
        early, late = (
            _mentioning(words, mentioned) if words else _doing(parts[part], steps)
            for words, part in ((first, one), (second, other))
        )
        if _reversed(early, late):
            told = " ".join(first or [parts[one].strip(" ,")]), " ".join(second or [parts[other].strip(" ,")])
            yield f"first {told[0]}, then {told[1]} was commanded, the reverse was done"


def _in_order(text: str) -> Sequence[str]:
    """The parts of a command in the order in which they are to be done; none where it asks for no order."""
    if match := _ONCE.search(text):
        return match["first"], match["second"]
    for marks in (_THEN, _BEFORE):
        if len(parts := marks.split(text)) > 1:
            return parts
    if len(parts := _AFTER.split(text)) == 2:
        return parts[::-1]
    return ()


def _only(words: Sequence[str], others: Sequence[str]) -> list[str]:
    """The words of one part that the other lacks; in "the red button" and "the green one" both are buttons."""
    named = words[:-1] if len(words) > 1 and "one" in others else words
    return [word for word in named if word != "one" and not is_among(word, others)]


def came_in_reverse(first: Sequence[str], second: Sequence[str], steps: Sequence[str]) -> bool:
    """Whether every mention of the words ``first`` that matters comes after those of ``second``."""
    mentioned = [Mentions([step]) for step in steps]
    return _reversed(_mentioning(first, mentioned), _mentioning(second, mentioned))


def _reversed(early: Sequence[int], late: Sequence[int]) -> bool:
    """Whether what should come early begins and ends after what should come late."""
    return bool(early and late) and late[0] < early[0] and late[-1] < early[-1]


def _mentioning(words: Sequence[str], mentioned: Sequence[Mentions]) -> list[int]:
    return [number for number, said in enumerate(mentioned) if any(said.hold(word) for word in words)]


def _doing(part: str, steps: Sequence[str]) -> list[int]:
    """The numbers of the steps that do an act of a kind that a part of the command asks for."""
    kinds = frozenset(kind for act in acts_of(part) for kind in act.kinds)
    return [number for number, step in enumerate(steps) if any(act.kinds & kinds for act in acts_of(step))]
