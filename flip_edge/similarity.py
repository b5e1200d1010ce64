"""How alike two instructions are: the word F1 of FLIP, exactly, and which words make the difference.

Source of the definition: FLIP, "Small Reward Models via Backward Inference", arXiv 2602.13551, section on the
reward, and the normalisation of SQuAD that it uses.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

_DELETE_PUNCTUATION = str.maketrans("", "", string.punctuation)
_TOKEN = re.compile(r"\S+")
_LONGEST_NAME = 4  # words of a name that may be written as one
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")

# Scripts written without spaces between words: Thai, Lao, Tibetan, Myanmar, Khmer, kana, Han.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class Overlap:
    """What an inferred instruction shares with the command.

    Attributes:
        f1, precision, recall: in [0, 1]; precision counts the inferred words, recall the commanded ones.
        missing: words of the command that the inferred instruction lacks, in the command's order.
        unexpected: words of the inferred instruction that the command lacks, in its order.
        unit: ``word``, or ``character`` where the script has no spaces between words.
    """

    f1: float
    precision: float
    recall: float
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    unit: str = "word"


def normalize(text: str) -> str:
    """Normalise as FLIP does: lower-case, delete ASCII punctuation, drop articles, squeeze white space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_DELETE_PUNCTUATION)).split())


def word_f1(inferred: str, command: str) -> float:
    """FLIP's word F1 of an inferred instruction against a command, in [0, 1].

    The harmonic mean of precision and recall over the multiset overlap of normalised words; 0 where nothing
    is shared.

    >>> word_f1("Bring the mug to the sink!", "bring a mug to sink")
    1.0
    """
    return _overlap(normalize(inferred).split(), normalize(command).split(), "word").f1


def compare(inferred: str, command: str) -> Overlap:
    """Word F1 with its parts and the words that differ.

    Where the command is written in a script without spaces, FLIP's words would be whole sentences. There, and
    only there, every character of such a script counts as a word of its own (our extension, ``unit`` says so).
    """
    if is_unspaced(command):
        return _overlap(_characters(inferred), _characters(command), "character")
    return _overlap(normalize(inferred).split(), normalize(command).split(), "word")


def spelled_as(text: str, reference: str) -> str:
    """``text`` with names run together, or taken apart, as ``reference`` has them; all else as it was.

    People, robots and models differ in where a name has its spaces, and word F1 takes every spelling for other words.

    >>> spelled_as("Put the mug on the coffee table.", "put a mug on coffeetable")
    'Put the mug on the coffeetable.'
    >>> spelled_as("go to the charging station 2", "go to charging_station_2")
    'go to the charging_station_2'
    """
    spellings: dict[str, dict[tuple[str, ...], str]] = {}
    for words in _names(reference):
        spelling = reference[words[0].start : words[-1].end]
        spellings.setdefault(_joined(words), {}).setdefault(_letters(words), spelling)
    written, done = [], 0
    for words in _names(text):
        known = spellings.get(_joined(words))
        if known and words[0].start >= done and _letters(words) not in known:
            written += [text[done : words[0].start], next(iter(known.values()))]
            done = words[-1].end
    return "".join([*written, text[done:]])


class _Word(NamedTuple):
    letters: str  # normalised
    start: int
    end: int


def _names(text: str) -> Iterator[list[_Word]]:
    """Whatever may be a name: runs of words with nothing but space between, the longest first at each place."""
    words = []
    for found in _TOKEN.finditer(text):
        bare = found.group().strip(string.punctuation)
        if letters := normalize(bare):
            start = found.start() + found.group().index(bare)
            words.append(_Word(letters, start, start + len(bare)))
    for first in range(len(words)):
        for size in range(min(_LONGEST_NAME, len(words) - first), 0, -1):
            name = words[first : first + size]
            # Two numbers are not one, and what has a comma between is not a name.
            if all(
                text[one.end : other.start].isspace() and not (one.letters[-1].isdigit() and other.letters[0].isdigit())
                for one, other in pairwise(name)
            ):
                yield name


def _letters(words: Sequence[_Word]) -> tuple[str, ...]:
    return tuple(word.letters for word in words)


def _joined(words: Sequence[_Word]) -> str:
    return "".join(_letters(words))


def is_unspaced(text: str) -> bool:
    """Whether ``text`` holds a script that is written without spaces between words."""
    return bool(_UNSPACED.search(text))


def content_words(text: str) -> list[str]:
    """The units that :func:`compare` would count in ``text``; empty for punctuation or articles alone."""
    return _characters(text) if is_unspaced(text) else normalize(text).split()


def _characters(text: str) -> list[str]:
    units: list[str] = []
    for word in normalize(text).split():
        spaced = ""
        for char in word:
            category = unicodedata.category(char)
            if _UNSPACED.match(char) and category[0] == "M" and units and not spaced:
                units[-1] += char  # a vowel or tone mark belongs to the letter before it
            elif _UNSPACED.match(char):
                units += [spaced] if spaced else []
                units.append(char)
                spaced = ""
            elif category[0] != "P":
                spaced += char
        units += [spaced] if spaced else []
    return units


def _overlap(inferred: list[str], command: list[str], unit: str) -> Overlap:
    shared = Counter(inferred) & Counter(command)
    count = sum(shared.values())
    precision = count / len(inferred) if inferred else 0.0
    recall = count / len(command) if command else 0.0
    f1 = 2 * precision * recall / (precision + recall) if count else 0.0
    return Overlap(f1, precision, recall, _without(command, shared), _without(inferred, shared), unit)


def _without(words: list[str], shared: Counter[str]) -> tuple[str, ...]:
    """``words`` less one occurrence for every shared one, order kept."""
    left = Counter(shared)
    rest = []
    for word in words:
        if left[word] > 0:
            left[word] -= 1
        else:
            rest.append(word)
    return tuple(rest)
