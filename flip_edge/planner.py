"""What a robot's planner may ask before it acts, and what it is told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from flip_edge.errors import InputError
from flip_edge.rank import DEFAULT_METHOD, Ranked, Ranking, RankMethod

PLANNERS_METHODS: tuple[RankMethod, ...] = ("likelihood", "flip")
"""What one loaded model serves while it checks; for judges another one has to be loaded, without the adapter."""

# A ranking can take as long as reading all of it does, and a request comes from outside.
MAX_CANDIDATES = 64
MAX_CHARACTERS = 100_000
MAX_DEADLINE_S = 3600.0
DEFAULT_DEADLINE_S = 30.0


class RankState(Enum):
    """What came of a request; as in ``flip_edge_msgs/srv/Rank``."""

    FAILED = 0
    RANKED = 1
    INVALID = 2
    INACTIVE = 3
    BUSY = 4
    TIMED_OUT = 5


@dataclass(frozen=True)
class RankAnswer:
    """The answer to a request.

    Attributes:
        state: what came of it.
        reason: why there is no ranking; empty where there is one.
        ranking: the best first; where no candidate could be scored, each with why.
    """

    state: RankState
    reason: str = ""
    ranking: tuple[Ranked, ...] = ()

    @property
    def why(self) -> str:
        """Why the first is before the next one; empty without a ranking."""
        return self.ranking[0].why if self.state is RankState.RANKED else ""

    @classmethod
    def of(cls, ranking: Ranking) -> RankAnswer:
        """The answer that a finished ranking is."""
        places = tuple(ranking.places())
        if places[0].reward is None:
            return cls(RankState.FAILED, places[0].why, places)
        return cls(RankState.RANKED, "", places)

    @classmethod
    def late(cls, ranking: Ranking, deadline_s: float) -> RankAnswer:
        """The answer where the deadline passed first."""
        done = f"{ranking.scored} of {len(ranking.ids)} candidates were scored"
        return cls(RankState.TIMED_OUT, f"deadline passed: after {deadline_s:g} s {done}")


def ranking_of(
    command: str, candidates: Sequence[Mapping[str, Any]], *, method: str = "", infer: bool = True
) -> Ranking:
    """The ranking that a request asks for, within the bounds of what a stranger may ask.

    Args:
        command: what is to be done.
        candidates: ``{"id", "text"}`` or ``{"id", "steps"}``.
        method: ``likelihood`` or ``flip``; empty: ``likelihood``.
        infer: as for :func:`flip_edge.rank.rank`.

    Raises:
        InputError: it cannot be ranked, or is more than one may ask.
    """
    if method not in ("", *PLANNERS_METHODS):
        raise InputError(f"method {method!r:.80} is not served; those that are: {', '.join(PLANNERS_METHODS)}")
    if len(candidates) > MAX_CANDIDATES:
        raise InputError(f"too many candidates: {len(candidates)}, at most {MAX_CANDIDATES} are ranked at once")
    size = len(command) + sum(_size(candidate) for candidate in candidates)
    if size > MAX_CHARACTERS:
        raise InputError(f"too long: the request has {size} characters, at most {MAX_CHARACTERS} are read at once")
    return Ranking(command, candidates, method=cast(RankMethod, method or DEFAULT_METHOD), infer=infer)


def _size(candidate: Mapping[str, Any]) -> int:
    steps = candidate.get("steps") or ()
    return len(candidate.get("id") or "") + len(candidate.get("text") or "") + sum(len(step) + 1 for step in steps)


def deadline_of(seconds: float) -> float:
    """The deadline that a request asks for; 0 for the default one.

    Raises:
        InputError: it is not one.
    """
    if not (math.isfinite(seconds) and 0 <= seconds <= MAX_DEADLINE_S):
        raise InputError(f"deadline_s must be 0 to {MAX_DEADLINE_S:g} seconds, not {seconds:g}")
    return seconds or DEFAULT_DEADLINE_S
