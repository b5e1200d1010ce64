"""Which parts of a command its log supports, word by word, and which failures the log itself reports.

A word counts by its surprise: the information, in nats, that the model had not expected in a command. Function words
are cheap to the model and so weigh little; no list of them is needed, in any language.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import snowballstemmer

from flip_edge.lexicon import lexicon
from flip_edge.similarity import is_unspaced

_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")
_COMPOUND = 4  # letters from which a word may be found inside a run-together name, as "table" in "coffeetable"
_RECOVERED = 0.8  # share of a failed step's words that a later step must repeat to count as its success
_STEMMER = snowballstemmer.stemmer("english")


@dataclass(frozen=True)
class Word:
    """A word of the command.

    Attributes:
        text: as it stands in the command, in lower case.
        surprise: nats it cost the model without the log.
        given_log: nats it cost the model with the log.
        found: whether the log mentions it.
        found_last: whether the last step mentions it.
    """

    text: str
    surprise: float
    given_log: float
    found: bool
    found_last: bool


@dataclass(frozen=True)
class Support:
    """What of a command its log supports.

    Attributes:
        words: the command's words, in order.
        failures: steps that report a failure which no later step made good.
    """

    words: tuple[Word, ...]
    failures: tuple[str, ...]

    @property
    def found(self) -> float:
        """Share of the command's information whose words the log mentions, in [0, 1]."""
        return _share(self.words, [word.found for word in self.words])

    @property
    def found_last(self) -> float:
        """The same for the last step alone: what completes a task tends to be the last thing done."""
        return _share(self.words, [word.found_last for word in self.words])


def support(
    steps: Sequence[str],
    pieces: Sequence[str],
    given_log: npt.NDArray[np.float64],
    without_log: npt.NDArray[np.float64],
) -> Support:
    """Weigh a command's words against its log.

    Args:
        steps: the log.
        pieces: the texts of the command's tokens.
        given_log, without_log: natural log-probabilities of those tokens.
    """
    command = "".join(pieces).lower()
    whole, last = _Mentions(steps), _Mentions(steps[-1:])
    ends = np.cumsum([len(piece) for piece in pieces])
    words = []
    for text, start, end in _words(command):
        # A token counts for a word by the share of its letters that lie in the word.
        shares = [
            max(0, min(end, stop) - max(start, stop - len(piece))) / (len(piece.strip()) or 1)
            for piece, stop in zip(pieces, ends, strict=True)
        ]
        weights = np.minimum(shares, 1.0)
        words.append(
            Word(
                text=text,
                surprise=float(-(weights @ without_log)),
                given_log=float(-(weights @ given_log)),
                found=whole.hold(text),
                found_last=last.hold(text),
            )
        )
    return Support(tuple(words), unrecovered_failures(steps))


def words_of(text: str) -> list[str]:
    """The words and numbers of a text, in lower case."""
    return [word for word, _, _ in _words(text.lower())]


def same_word(one: str, other: str) -> bool:
    """Whether two words are inflections of one, or two numbers have the same value."""
    return _key(one) == _key(other)


def unrecovered_failures(steps: Sequence[str]) -> tuple[str, ...]:
    """Steps that say that something failed, and that no later step made good.

    A later step makes a failure good when it says no failure and repeats most of the failed step's words, as a retry
    that worked does.
    """
    left = []
    for number, step in enumerate(steps):
        if not _failure().search(step):
            continue
        # The reason after a colon is not what was tried.
        tried = {_key(word) for word, _, _ in _words(_failure().sub(" ", step.split(":")[0]).lower())}
        tried -= {_key(word) for word in lexicon().closed_class}
        later = [_Mentions([other]) for other in steps[number + 1 :] if not _failure().search(other)]
        if not any(tried and len(tried & other.keys) >= _RECOVERED * len(tried) for other in later):
            left.append(step)
    return tuple(left)


class _Mentions:
    """What a stretch of log mentions."""

    def __init__(self, steps: Sequence[str]) -> None:
        texts = [[word for word, _, _ in _words(step.lower())] for step in steps]
        self.keys = {_key(word) for words in texts for word in words}
        self._run_together = ["".join(words) for words in texts]

    def hold(self, word: str) -> bool:
        if _key(word) in self.keys:
            return True
        # Robots run names together: "coffeetable 1" mentions a table, and "coffee table" a coffeetable.
        return len(word) >= _COMPOUND and word.isalpha() and any(word in text for text in self._run_together)


def _words(text: str) -> list[tuple[str, int, int]]:
    """Words and numbers with their places; characters where the script has no spaces."""
    found = []
    for match in _WORD.finditer(text):
        if is_unspaced(match.group()):
            found += [
                (char, match.start() + offset, match.start() + offset + 1) for offset, char in enumerate(match.group())
            ]
        else:
            found.append((match.group(), match.start(), match.end()))
    return found


@lru_cache(maxsize=1)
def _failure() -> re.Pattern[str]:
    phrases = "|".join(re.escape(phrase) for phrase in sorted(lexicon().failures, key=len, reverse=True))
    return re.compile(rf"\b(?:{phrases})\b", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _key(word: str) -> str:
    """What makes two words the same: the stem of a word, the value of a number."""
    try:
        return repr(float(word))
    except ValueError:
        return str(_STEMMER.stemWord(word))


def _share(words: Sequence[Word], chosen: Sequence[bool]) -> float:
    weights = [max(word.surprise, 0.0) for word in words]
    total = sum(weights)
    return sum(weight for weight, yes in zip(weights, chosen, strict=True) if yes) / total if total else 0.0
