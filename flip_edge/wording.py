"""Words: where they stand in a text, when two of them are the same, and what a stretch of log mentions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

import snowballstemmer

from flip_edge.lexicon import lexicon
from flip_edge.similarity import is_unspaced
from flip_edge.verbs import present_tense

_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")
_HUMP = re.compile(r"(?=[A-Z])(?<=[a-z])(?:(?=.[a-z])|(?<=[^\W\d_].))")  # not in "mL"; what is rare comes first
# What a logger puts before a line: tags, numbers and times.
_TAGS = re.compile(r"^(?:\s*(?:\[[^\]]*\]|#?\d[\d:.]*\)?|t=[\d.]+s?)(?=\s|$|:))+\s*:?", re.IGNORECASE)
_COMPOUND = 4  # letters from which a word may be found inside a run-together name, as "table" in "coffeetable"
_ABBREVIATIONS = re.compile(r"[bcdfghjklmnpqrtvwxz]{2,}s")
_PART = re.compile(r"(?<!\.)[;.](?:\s+|$)|\b(?:and then|then)\b", re.IGNORECASE)
_SURFACE = re.compile(r"(?<=[a-z]{4})(?:top|basin)$")  # the countertop is a counter
_AND = re.compile(r"\s+and\s+(\w+)", re.IGNORECASE)
_UNCHANGED = re.compile(
    r"\b(?:stay|remain)(?:s|ed|ing)? (?:\w+ )?(?:empty|full|closed|shut|open|locked|on|off|put|still|there|where|as)\b"
    r"|\b(?:unchanged|untouched|no change|left alone)\b",
    re.IGNORECASE,
)
_INFLECTED = re.compile(r"\w{2,}(?:ed|ing|s)|could|couldn|was|were|is|are")
# The result of a step, and neither the level of a log message nor an amount: not "[ERROR]", "no error", "error 0.02 m".
_ERROR = (
    r"(?:(?<=[>:=|] )|(?<=[>:=\"'])|(?<=returned )|(?<=with )|(?<=running ))(?:an )?(?:error|fault|exception)\b"
    r"(?![\]:]|\s*(?:[\d.:=]|of\b|code 0\b|rate\b)|[\"']?\s*:)"
)
_STEMMER = snowballstemmer.stemmer("english")


def word_spans(text: str) -> list[tuple[str, int, int]]:
    """Words and numbers with their places; characters where the script has no spaces."""
    if not is_unspaced(text):
        return [(match.group(), *match.span()) for match in _WORD.finditer(text)]
    found = []
    for match in _WORD.finditer(text):
        if is_unspaced(match.group()):
            found += [
                (char, match.start() + offset, match.start() + offset + 1) for offset, char in enumerate(match.group())
            ]
        else:
            found.append((match.group(), match.start(), match.end()))
    return found


def apart(text: str) -> str:
    """Lower-case text with identifiers taken apart.

    >>> apart("PickObject(mug_1)")
    'pick object(mug 1)'
    """
    # A micro sign is a "u", in either of its forms: "20 \u00b5L".
    return names_apart(text).lower().replace("\u00b5", "u").replace("\u03bc", "u")


def names_apart(text: str) -> str:
    """Text in its own case, with identifiers taken apart."""
    return _HUMP.sub(" ", text).replace("_", " ")


def words_of(text: str) -> list[str]:
    """The words and numbers of a text, in lower case, identifiers taken apart."""
    return [word for word, _, _ in word_spans(apart(text))]


@lru_cache(maxsize=8192)
def word_key(word: str) -> str:
    """What makes two words the same: the stem of a word, the value of a number.

    >>> word_key("mugs") == word_key("mug"), word_key("took") == word_key("taking"), word_key("two") == word_key("2.0")
    (True, True, True)
    """
    word = present_tense(lexicon().plurals.get(word.lower(), word.lower()))
    word = lexicon().same.get(word, word)
    try:
        return repr(float(lexicon().numbers.get(word, word)))
    except ValueError:
        stem = str(_STEMMER.stemWord(word))
        # The stemmer leaves the plural of a word without vowels alone.
        return stem[:-1] if _ABBREVIATIONS.fullmatch(stem) else stem


def same_word(one: str, other: str) -> bool:
    """Whether two words are inflections of one, or two numbers have the same value."""
    return word_key(one) == word_key(other)


def is_among(word: str, words: Iterable[str]) -> bool:
    """Whether a word, in any inflection, is one of several."""
    return any(same_word(word, other) for other in words)


def spellings_of(unit: str) -> tuple[str, ...]:
    """All spellings of a unit of measure; none where the word is no unit."""
    return next((spellings for spellings in lexicon().units if unit in spellings), ())


def is_content(word: str) -> bool:
    """Whether a word can name a thing, a place, a quality, an act or a number."""
    return word not in lexicon().closed_class and (len(word) > 1 or word.isdigit() or not word.isascii())


def is_state(word: str) -> bool:
    """Whether a word asks for an act by its effect: "washed"."""
    return any(word in states for states in lexicon().states.values())


class Mentions:
    """What a stretch of log mentions.

    Attributes:
        keys: of its words; see :func:`word_key`.
    """

    def __init__(self, steps: Sequence[str]) -> None:
        texts = [words_of(step) for step in steps]
        # Identifiers count as a whole, too.
        whole = (word for step in steps for word, _, _ in word_spans(step.lower()))
        self.keys = {word_key(word) for words in (*texts, whole) for word in words}
        for same in lexicon().ways:
            if any(word in same for words in texts for word in words):
                self.keys |= set(map(word_key, same))
        for words in texts:
            # A unit in another spelling is the same behind a number: a letter alone is none.
            self.keys |= {
                word_key(spelling)
                for number, unit in pairwise(words)
                if number[0].isdecimal() or number in lexicon().numbers
                for spelling in spellings_of(unit)
            }
        self._run_together = ["".join(words) for words in texts]

    def hold(self, word: str) -> bool:
        """Whether the word is mentioned, in any inflection."""
        if word_key(word) in self.keys:
            return True
        # Robots run names together: "coffeetable 1" mentions a table, and "coffee table" a coffeetable.
        return any(
            len(form) >= _COMPOUND and form.isalpha() and any(form in text for text in self._run_together)
            for form in (word, word_key(word), _SURFACE.sub("", word))
        )


def untagged(step: str) -> str:
    """A step without what a logger puts before it."""
    return _TAGS.sub("", step)


def parts_of(step: str) -> list[str]:
    """The parts of a step that are told one after the other: a failure in one of them is not one of the others.

    >>> parts_of("could not open the door, then opened the door; went in")
    ['could not open the door,', 'opened the door', 'went in']
    """
    parts = [part.strip() for part in _PART.split(step) if part.strip()]
    return [piece for part in parts for piece in (_told_apart(part) if reports_failure(part) else [part])]


def _told_apart(part: str) -> list[str]:
    """Split at each "and" that another act follows: "failed to open it and drove on", but not "and close it"."""
    pieces, start = [], 0
    for match in _AND.finditer(part):
        word = match[1].lower()
        if _INFLECTED.fullmatch(word) or present_tense(word) != word:
            pieces.append(part[start : match.start()])
            start = match.start(1)
    return [*pieces, part[start:]]


def reports_failure(step: str) -> bool:
    """Whether a step says that something failed."""
    return bool(failure_phrases().search(step))


def says_unchanged(part: str) -> bool:
    """Whether a part of a step says that something is as it was: "the left plate stayed empty"."""
    return bool(_UNCHANGED.search(part))


@lru_cache(maxsize=1)
def failure_phrases() -> re.Pattern[str]:
    """Matches the phrases by which a log says that a step failed."""
    phrases = "|".join(re.escape(phrase) for phrase in sorted(lexicon().failures, key=len, reverse=True))
    return re.compile(rf"\b(?:{phrases})\b|{_ERROR}", re.IGNORECASE)
