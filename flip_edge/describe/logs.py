"""Lines of a robot's log as sentences, by patterns of its owner: "picked mug_1" is "picked up the red mug"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

from flip_edge.describe.naming import noun_phrase
from flip_edge.describe.signals import moment
from flip_edge.errors import ConfigError, InputError

MAX_LINE_LENGTH = 500
"""Characters of a line that patterns are tried on."""

LEVELS: Mapping[str, int] = {"debug": 10, "info": 20, "warn": 30, "error": 40, "fatal": 50}
"""The levels of rcl_interfaces/Log."""

_MAX_GROUP_LENGTH = 80
_MAX_TEXT_LENGTH = 160
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_SLOT = re.compile(r"\{(\w+)(:text)?\}")
_ARTICLE = re.compile(r"\b(?:the|an|a|my|your|our)\s+$", re.IGNORECASE)


@dataclass(frozen=True)
class LogPattern:
    r"""What some lines of a log say.

    In `says`, `{object}` is the named group `(?P<object>...)` as a noun phrase, and `{reason:text}` a group as the
    line has it.

    Attributes:
        matches: A regular expression, looked for anywhere in the line.
        says: The sentence: "picked up {object}".
        node: Shell pattern over the whole name of the logger, such as "*picker"; a node `picker` in the namespace
            `/robot1` logs as "robot1.picker".
        level: The least level, of `LEVELS`.

    Raises:
        ConfigError: A pattern, a placeholder or a level that is not one, or an empty text.

    >>> LogPattern(r"picked (?P<object>\w+)", "picked up {object}", node="picker").level
    'debug'
    """

    matches: str
    says: str
    node: str = "*"
    level: str = "debug"

    def __post_init__(self) -> None:
        for key in ("matches", "says", "node", "level"):
            value = getattr(self, key)
            if not isinstance(value, str) or not value.strip():
                raise ConfigError(f"{key} of a log pattern is {value!r}: give a text that is not blank")
        if self.level not in LEVELS:
            raise ConfigError(f"level of a log pattern is {self.level!r}: give one of {', '.join(LEVELS)}")
        groups = sorted(self.expression.groupindex)
        for name, _ in _SLOT.findall(self.says):
            if name not in groups:
                known = f"its groups are {', '.join(groups)}" if groups else "it has none"
                raise ConfigError(
                    f"{self.says!r} says {{{name}}}, which is no named group of {self.matches!r}: {known}"
                )
        if set(_SLOT.sub("", self.says)) & set("{}"):
            raise ConfigError(f"{self.says!r} has other braces than those of {{group}} and {{group:text}}")

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """`matches`, compiled."""
        try:
            expression = re.compile(self.matches)
        except (re.error, RecursionError, OverflowError) as error:
            raise ConfigError(
                f"matches of a log pattern is {self.matches!r}, no regular expression: {error}"
            ) from error
        if expression.search(""):
            raise ConfigError(f"matches of a log pattern is {self.matches!r}, which is in every line: ask for more")
        return expression


class LogDescriber:
    r"""Says what lines of a log tell, each line by the first pattern that fits it.

    A sentence that is told again and again without a break is said once.

    >>> pattern = LogPattern(r"picked (?P<object>\w+)", "picked up {object}")
    >>> describer = LogDescriber([pattern], names={"mug_1": "the red mug"})
    >>> describer.observe(0.0, "picker", 20, "[picker] picked mug_1 after 3.2 s")
    ['picked up the red mug']
    >>> describer.observe(0.1, "picker", 20, "moving to the next one")
    []

    Args:
        patterns: What to look for.
        names: Phrases for identifiers that do not read well by themselves.
        repeat_s: Seconds within which the same sentence again is a repetition; 0 for none.

    Raises:
        ConfigError: `repeat_s` is no number of seconds.
    """

    def __init__(
        self, patterns: Iterable[LogPattern], names: Mapping[str, str] | None = None, repeat_s: float = 2.0
    ) -> None:
        if isinstance(repeat_s, bool) or not isinstance(repeat_s, int | float) or not 0 <= repeat_s <= 1e9:
            raise ConfigError(f"repeat_s is {repeat_s!r}: give seconds, 0 for none")
        self._patterns = tuple(patterns)
        self._names = dict(names or {})
        self._repeat_s = repeat_s
        self._last = ("", 0.0)

    def observe(self, time: float, node: str, level: int, message: str) -> list[str]:
        """Takes one line; the sentence that it tells, if any.

        Args:
            time: In seconds.
            node: The name of its logger.
            level: As in rcl_interfaces/Log.
            message: The line; colours and control characters are left out, and what is beyond `MAX_LINE_LENGTH`.

        Raises:
            InputError: One of them is of another type.
        """
        if not isinstance(node, str) or not isinstance(message, str):
            raise InputError(f"a logger and its message must be text, not {node!r:.80} and {message!r:.80}")
        if not isinstance(level, int):
            raise InputError(f"the level of a log must be an integer, not {level!r:.80}")
        line = _plain(message[:MAX_LINE_LENGTH])
        for pattern in self._patterns:
            if level < LEVELS[pattern.level] or not fnmatchcase(node, pattern.node):
                continue
            if found := pattern.expression.search(line):
                return self._say(self._fill(pattern.says, found), moment(time))
        return []

    def finish(self) -> list[str]:
        """Forgets what was said before; nothing is ever under way."""
        self._last = ("", 0.0)
        return []

    def _say(self, sentence: str, time: float | None) -> list[str]:
        before, told_at = self._last
        if time is not None:
            self._last = (sentence, time)
        is_repeated = sentence == before and time is not None and abs(time - told_at) < self._repeat_s
        return [] if is_repeated else [sentence]

    def _fill(self, says: str, found: re.Match[str]) -> str:
        parts: list[str] = []
        end = 0
        for slot in _SLOT.finditer(says):
            parts.append(says[end : slot.start()])
            end = slot.end()
            value = found[slot[1]] or ""
            phrase = value.strip()[:_MAX_TEXT_LENGTH] if slot[2] else self._phrase(value.strip()[:_MAX_GROUP_LENGTH])
            # A sentence may bring its own article.
            if not slot[2] and _ARTICLE.search(parts[-1]):
                phrase = phrase.removeprefix("the ")
            parts.append(phrase)
        return " ".join("".join([*parts, says[end:]]).split())

    def _phrase(self, value: str) -> str:
        return self._names.get(value) or noun_phrase(value) or "something"


def _plain(line: str) -> str:
    """The line as a person reads it on a terminal."""
    return "".join(c if c.isprintable() else " " for c in _COLOUR.sub("", line))
