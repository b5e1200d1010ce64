"""Terms such as `place(apple, desk)`, in which plans and goals are written down."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flip_edge.errors import InputError

_TERM = re.compile(r"\s*([a-z_]+)\s*\(([^()]*)\)\s*")
_ARGUMENT = re.compile(r"\w+")


class EpisodeError(InputError):
    """An episode, plan or goal cannot be used as it is written."""


@dataclass(frozen=True)
class Term:
    """A name and its arguments.

    >>> Term.parse("place(apple, desk)")
    Term(name='place', arguments=('apple', 'desk'))
    """

    name: str
    arguments: tuple[str, ...]

    @classmethod
    def parse(cls, text: object) -> Term:
        """Reads a term.

        Raises:
            EpisodeError: `text` is not of the form `name(argument, ...)`.
        """
        match = _TERM.fullmatch(text) if isinstance(text, str) else None
        arguments = [argument.strip() for argument in match[2].split(",")] if match else []
        if not match or not all(_ARGUMENT.fullmatch(argument) for argument in arguments):
            raise EpisodeError(f"{text!r} is not a term: write name(argument, ...), as in place(apple, desk)")
        return cls(match[1], tuple(arguments))

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.arguments)})"
