"""What flip_edge is measured against, and the shapes that every method of an evaluation has.

A method is one of four: a :class:`Method` gives one score an episode; a :class:`Scorer` gives several from one
computation; a :class:`Measurer` measures once and derives its scores from that; a :class:`Ranker` orders runs that are
candidates for the same command.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from flip_edge.episode import Episode


@dataclass(frozen=True)
class Column:
    """One score of a method.

    Attributes:
        name: as it stands in the table.
        threshold: its own: a match is a score of at least this. None where it has none.
    """

    name: str
    threshold: float | None = None


@runtime_checkable
class Method(Protocol):
    """One score an episode, higher for a better match; None where there is no answer."""

    name: str
    threshold: float | None

    def score(self, episode: Episode) -> float | None:
        """Score one episode."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """Several scores from one computation.

    Attributes:
        id: names everything that the scores depend on, beside the code: scores are kept under it.
        code: the modules they depend on; see :func:`flip_edge.methods.code_fingerprint`.
        columns: the scores, in order.
    """

    id: str
    code: tuple[str, ...]
    columns: tuple[Column, ...]

    def scores(self, episode: Episode) -> Sequence[float | None]:
        """One score a column, higher for a better match; None where there is no answer."""
        ...


@runtime_checkable
class Measurer(Protocol):
    """A :class:`Scorer` whose columns follow from measurements, which are what is kept: its settings may change."""

    id: str
    code: tuple[str, ...]
    columns: tuple[Column, ...]

    def measure(self, episode: Episode) -> Sequence[float | None]:
        """What is to be kept."""
        ...

    def scores_from(self, measured: Sequence[float | None]) -> Sequence[float | None]:
        """One score a column."""
        ...


@runtime_checkable
class Ranker(Protocol):
    """Orders the runs that are candidates for one command; its scores compare only within one call.

    Attributes:
        id, code: as in :class:`Scorer`.
        columns: one column.
        at_once: how many runs it is given, the true one first.
    """

    id: str
    code: tuple[str, ...]
    columns: tuple[Column, ...]
    at_once: int

    def rank(self, command: str, runs: Sequence[Episode]) -> Sequence[float] | None:
        """A preference for each run, higher for a better match; None where there is no answer."""
        ...


AnyMethod = Method | Scorer | Measurer | Ranker


class SingleScore:
    """A :class:`Method` as a :class:`Scorer`."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self.code: tuple[str, ...] = (type(method).__module__,)
        self.id = method.name
        self.columns: tuple[Column, ...] = (Column(method.name, method.threshold),)

    def scores(self, episode: Episode) -> Sequence[float | None]:
        """The one score."""
        return (self._method.score(episode),)
