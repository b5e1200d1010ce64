"""What was commanded and what was done: one run of a robot, cleaned and ready to be checked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from flip_edge.errors import InputError

_SPACE = re.compile(r"\s+")


def clean_text(text: str) -> str:
    """Return ``text`` as one printable line.

    Line breaks and other white space become single spaces, so that a step cannot end its line and pose as
    another part of the prompt. Control characters go, and lone surrogates (bytes that were not UTF-8) become
    U+FFFD. Everything else, other scripts and emoji included, stays.
    """
    text = _SPACE.sub(" ", text)
    if not text.isprintable():
        text = "".join(_printable(char) for char in text)
        text = _SPACE.sub(" ", text)
    return text.strip()


def _printable(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Cc":
        return " "
    return "\N{REPLACEMENT CHARACTER}" if category == "Cs" else char


@dataclass(frozen=True)
class Episode:
    """One run: a command and the descriptions of what was done, oldest first.

    Attributes:
        command: what the robot was told; empty when descriptions came without a command.
        steps: one entry a described action, none of them blank.
        id: the caller's name for this run, carried into the verdict.
        dropped_steps: descriptions that were lost before the check; a run with losses is never a match.
        finished: False for a look at a run that goes on.
        cancelled: whether the command was withdrawn; such a run is never a match, nor a failure.
    """

    command: str
    steps: tuple[str, ...] = ()
    id: str = ""
    dropped_steps: int = 0
    finished: bool = True
    cancelled: bool = False

    @classmethod
    def of(cls, command: str, steps: Iterable[str], *, id: str = "", dropped_steps: int = 0) -> Episode:
        """Clean the texts and build an episode.

        Blank steps are left out. A blank command or an empty run is no error here: it is a run that cannot
        be judged, and :meth:`problem` says why.

        Raises:
            InputError: the command or a step is not text, or ``steps`` is one string.
        """
        if not isinstance(command, str):
            raise InputError(f"the command must be text, not {type(command).__name__}: {command!r:.80}")
        if isinstance(steps, (str, bytes)) or not isinstance(steps, Iterable):
            raise InputError(f"steps must be a list of texts, not {type(steps).__name__}: {steps!r:.80}")
        cleaned = []
        for number, step in enumerate(steps, start=1):
            if not isinstance(step, str):
                raise InputError(f"step {number} must be text, not {type(step).__name__}: {step!r:.80}")
            if text := clean_text(step):
                cleaned.append(text)
        return cls(clean_text(command), tuple(cleaned), id, dropped_steps)

    def without(self, places: Collection[int]) -> Episode:
        """The run without the steps at these places."""
        if not places:
            return self
        return replace(self, steps=tuple(step for place, step in enumerate(self.steps) if place not in places))

    def problem(self) -> str | None:
        """Why this run cannot be judged at all, or None when it can."""
        if not self.command:
            return "no command: actions were described, but nothing was commanded"
        if self.cancelled:
            return "cancelled: the command was withdrawn before its run ended"
        if self.dropped_steps:
            total = self.dropped_steps + len(self.steps)
            return f"incomplete: {self.dropped_steps} of its {total} descriptions were dropped or lost"
        if not self.steps:
            return "no actions: nothing was described for this command"
        return None
