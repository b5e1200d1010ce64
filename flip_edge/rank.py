"""Which of several plans or answers fits a command best, before anything is done: for planners, `flip-edge rank`."""

from __future__ import annotations

import argparse
import json
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

import msgspec
import numpy as np

from flip_edge.baselines.judges import ChoiceJudge, PointwiseJudge
from flip_edge.candidates import Entry, candidates_of, entries_of
from flip_edge.config import Config
from flip_edge.episode import Episode, clean_text
from flip_edge.errors import InputError
from flip_edge.exchange import Exchange
from flip_edge.prompts import ChatPrompt
from flip_edge.reward import FlipReward, RewardEngine
from flip_edge.selfcheck import SelfCheck
from flip_edge.similarity import compare, content_words
from flip_edge.stopping import CANCELLED
from flip_edge.wording import Mentions, is_content, words_of

RankMethod = Literal["likelihood", "flip", "pointwise", "pairwise", "listwise"]
RANK_METHODS: tuple[RankMethod, ...] = get_args(RankMethod)
DEFAULT_METHOD: RankMethod = "likelihood"
"""The method that found the right plan most often: see docs/reward.md."""

_OURS = ("likelihood", "flip")
_AT_ONCE = 16  # candidates read together
_SAME = 1e-9  # rewards closer than this are a tie


@dataclass(frozen=True)
class Ranked:
    """A candidate and its place.

    Attributes:
        place: 1 for the best; candidates whose rewards do not differ share a place, and the next ones come after all.
        id: the candidate's own, or its number among the candidates, from 1.
        steps: what it came to.
        reward: in [0, 1], comparable within one ranking alone; None where it could not be scored: ``failure`` says why.
        tied: whether it shares its place.
        inferred: the instruction that it implies; None where none was inferred.
        f1: word F1 of that against the command, in [0, 1].
        gain: how much likelier it makes the command, in nats per token.
        copied: whether it holds the whole command word for word, which makes the reward say little.
        failure: why it has no reward, or none to speak of.
        why: of the first, why it is before the next one; empty for the others.
    """

    place: int
    id: str
    steps: tuple[str, ...]
    reward: float | None
    tied: bool = False
    inferred: str | None = None
    f1: float | None = None
    gain: float | None = None
    copied: bool = False
    failure: str | None = None
    why: str = ""


def rank(
    command: str,
    candidates: Iterable[str | Sequence[str] | Mapping[str, Any]],
    *,
    method: RankMethod = DEFAULT_METHOD,
    check: SelfCheck | None = None,
    config: Config | None = None,
    infer: bool = True,
) -> list[Ranked]:
    """Rank candidates for a command, the best first.

    >>> ranking = rank("bring the mug to the sink", plans)  # doctest: +SKIP
    >>> ranking[0].steps, ranking[0].why  # doctest: +SKIP

    Args:
        command: what is to be done or answered.
        candidates: texts; lists of steps; or ``{"id", "text"}`` or ``{"id", "steps"}``. As a log, the steps of a text
            are its lines, or what semicolons or running numbers part; under a chat prompt it is read as it is.
        method: ``likelihood``: how much likelier the candidate makes the command. ``flip``: the word F1 of the
            instruction that it implies. The others ask the same model for its opinion: ``pointwise`` a rating of each,
            ``pairwise`` a choice in every pair, both ways round, ``listwise`` among all, in every rotation.
        check: a loaded model to use, its prompt included; it is as it was afterwards. Without it, one is loaded as
            :func:`config_for` says: by default the embedded model with its adapter, which reads plans as robots' logs.
        config: its settings.
        infer: under ``likelihood``, say what each candidate implies, too; it costs 5 to 40 % more.

    Returns:
        One entry a candidate. Equal rewards share a place, in the order in which they were given.

    Raises:
        InputError: the command has no words, there is no candidate, one is neither of those, an id comes twice, or
            there are more than 26 for ``listwise``.
        ModelError, ConfigError: the model cannot be used.
    """
    ranking = Ranking(command, candidates, method=method, infer=infer)
    if check is None:
        with SelfCheck(config_for(method, config or Config())) as opened:
            ranking.go_on(opened)
    else:
        ranking.go_on(check)
    return ranking.places()


class Ranking:
    """A ranking for a model that has more urgent things to do: it can be interrupted and gone on with.

    Args, and what is raised: as for :func:`rank`.

    Attributes:
        ids: of the candidates, as they were given.
    """

    def __init__(
        self,
        command: str,
        candidates: Iterable[str | Sequence[str] | Mapping[str, Any]],
        *,
        method: RankMethod = DEFAULT_METHOD,
        infer: bool = True,
    ) -> None:
        if method not in RANK_METHODS:
            raise InputError(f"unknown method {method!r:.80}; known: {', '.join(RANK_METHODS)}")
        if not isinstance(command, str) or not content_words(clean_text(command)):
            raise InputError(f"the command has no words: {command!r:.80}")
        self._command, self._method, self._infer = command, method, infer
        self._entries = entries_of(candidates)
        self.ids = [entry.id for entry in self._entries]
        if method == "listwise" and len(self.ids) > len(string.ascii_uppercase):
            raise InputError(
                f"method listwise takes at most {len(string.ascii_uppercase)} candidates, not {len(self.ids)}"
            )
        self._found = [Ranked(0, entry.id, entry.steps, None, failure=CANCELLED) for entry in self._entries]
        self._at_once = _AT_ONCE

    @property
    def scored(self) -> int:
        """How many candidates are done with, be it that they could not be scored."""
        return len(self._entries) - len(self._left())

    def go_on(self, check: SelfCheck) -> bool:
        """Score what is left, and leave the check as it was.

        Returns:
            Whether all is done; False where :meth:`SelfCheck.interrupt` cut it short. Candidates that were scored by
            then are kept. (An opinion of a judge that was interrupted is lost, and counts as none.)
        """
        left = self._left()
        some = [self._entries[index] for index in left]
        try:
            found = (
                _scored(self._command, some, self._method, check, self._infer, self._at_once)
                if self._method in _OURS
                else _judged(self._command, some, self._method, check)
            )
        finally:
            check.restore()
        for index, one in zip(left, found, strict=True):
            self._found[index] = one
        if self._left():
            # What was read together with others is lost: the fewer, the surer it is done before the next interruption.
            self._at_once = max(1, self._at_once // 2)
        return not self._left()

    def places(self) -> list[Ranked]:
        """The ranking, the best first; what is left has no score."""
        return _placed(self._command, self._found)

    def _left(self) -> list[int]:
        return [index for index, one in enumerate(self._found) if one.failure == CANCELLED]


def config_for(method: RankMethod, config: Config) -> Config:
    """The configuration that a method needs: no rule decides, and judges are asked on the bare model."""
    config = config.replace(rule="f1")
    if method in _OURS:
        return config
    changes = {}
    if config.adapter == "auto":
        changes["adapter"] = "none"  # it was trained to infer, not to judge
    if config.prompt == "auto":
        changes["prompt"] = "log-command-bare"  # judges have their own; this one has nothing to read first
    return config.replace(**changes)


# --- scores


def _scored(
    command: str, entries: Sequence[Entry], method: RankMethod, check: SelfCheck, infer: bool, at_once: int
) -> list[Ranked]:
    reward = FlipReward(
        check.config,
        engine=cast(RewardEngine, check.engine),
        prompt=check.prompt,
        method="f1" if method == "flip" else "likelihood",
        both=infer and method == "likelihood",
    )
    texts = isinstance(check.prompt, ChatPrompt)  # it reads texts as they are, and others logs
    exchanges = [Exchange(command, entry.text if texts else "\n".join(entry.steps)) for entry in entries]
    return [
        Ranked(
            0,
            entry.id,
            entry.steps,
            result.reward,
            inferred=next(filter(None, result.inferred), None),
            f1=result.f1s[0] if result.f1s else None,
            gain=result.gain,
            copied=result.copied,
            failure=result.failure,
        )
        for entry, result in zip(entries, reward.score_all(exchanges, at_once=at_once), strict=True)
    ]


def _judged(command: str, entries: Sequence[Entry], method: RankMethod, check: SelfCheck) -> list[Ranked]:
    runs = [Episode.of(command, entry.steps) for entry in entries]
    some = [index for index, run in enumerate(runs) if run.steps]
    asked = _JUDGES[method](command, [runs[index] for index in some], check) if some else []
    rewards = dict(zip(some, asked, strict=True))
    return [
        Ranked(
            0,
            entry.id,
            entry.steps,
            rewards.get(index, 0.0),
            failure="empty: there is nothing to judge"
            if index not in rewards
            else "the judge gave no answer"
            if rewards[index] is None
            else None,
        )
        for index, entry in enumerate(entries)
    ]


def _pointwise(_: str, runs: Sequence[Episode], check: SelfCheck) -> list[float | None]:
    """Ratings from 1 to 10, as a share of what is above 1."""
    judge = PointwiseJudge(check.engine, check.model_id)
    return [None if rating is None else (rating - 1) / 9 for run in runs for rating in judge.scores(run)]


def _pairwise(command: str, runs: Sequence[Episode], check: SelfCheck) -> list[float | None]:
    """The mean preference over the pairs that a run is in; a pair without an answer counts for neither."""
    judge = ChoiceJudge(check.engine, check.model_id)
    preferences: list[list[float]] = [[] for _ in runs]
    for first in range(len(runs)):
        for second in range(first + 1, len(runs)):
            if found := judge.rank(command, [runs[first], runs[second]]):
                preferences[first].append(found[0])
                preferences[second].append(found[1])
    alone = 1.0 if len(runs) == 1 else None
    return [float(np.mean(values)) if values else alone for values in preferences]


def _listwise(command: str, runs: Sequence[Episode], check: SelfCheck) -> list[float | None]:
    """The mean preference over all rotations of the list."""
    found = ChoiceJudge(check.engine, check.model_id, at_once=max(3, len(runs))).rank(command, runs)
    return list(found) if found else [None] * len(runs)


_JUDGES: dict[str, Callable[[str, Sequence[Episode], SelfCheck], list[float | None]]] = {
    "pointwise": _pointwise,
    "pairwise": _pairwise,
    "listwise": _listwise,
}


# --- places


def _placed(command: str, scored: Sequence[Ranked]) -> list[Ranked]:
    """Best first; those that could not be scored last."""
    ordered = sorted(scored, key=lambda one: -1.0 if one.reward is None else one.reward, reverse=True)
    placed: list[Ranked] = []
    for index, one in enumerate(ordered):
        ties = index > 0 and _tie(ordered[index - 1], one)
        placed.append(replace(one, place=placed[-1].place if ties else index + 1))
    places = [one.place for one in placed]
    placed = [replace(one, tied=places.count(one.place) > 1) for one in placed]
    return [replace(placed[0], why=_why(command, placed)), *placed[1:]]


def _tie(one: Ranked, other: Ranked) -> bool:
    if one.reward is None or other.reward is None:
        return one.reward is other.reward
    return abs(one.reward - other.reward) <= _SAME


def _why(command: str, ranking: Sequence[Ranked]) -> str:
    """Why the first is before the next, in one line: what of the command the next one lacks, and the figures."""
    first = ranking[0]
    if first.reward is None:
        return f"no candidate could be scored: {first.failure}"
    if first.tied:
        names = ", ".join(one.id for one in ranking if one.place == first.place)
        return f"a tie: nothing tells {names} apart ({_figure(first)})"
    if len(ranking) == 1:
        return f"the only candidate ({_figure(first)})"
    second = ranking[1]
    if second.reward is None:
        return f"{second.id} could not be scored: {second.failure}"
    reasons = []
    own, others = Mentions(first.steps), Mentions(second.steps)
    wanted = dict.fromkeys(word for word in words_of(command) if is_content(word))
    if lacking := [word for word in wanted if own.hold(word) and not others.hold(word)]:
        reasons.append(f"{second.id} never mentions {', '.join(lacking)}")
    if second.inferred is not None:
        known = compare(first.inferred, command).missing if first.inferred else ()
        missing = [word for word in compare(second.inferred, command).missing if word not in known]
        without = f", which lacks {', '.join(dict.fromkeys(missing))}" if missing else ""
        reasons.append(f'{second.id} implies "{second.inferred}"{without}')
    reasons.append(f"{_figure(first)} against {_figure(second)}")
    return "; ".join(reasons)


def _figure(one: Ranked) -> str:
    return f"reward {one.reward:.2f}" if one.gain is None else f"gain {one.gain:+.2f}"


# --- the command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `flip-edge rank`."""
    parser.add_argument("--command", required=True, metavar="TEXT", help="what is to be done or answered")
    parser.add_argument(
        "--candidate",
        action="append",
        default=[],
        metavar="TEXT",
        help="a plan, its steps apart by semicolons, line breaks or numbers, or an answer; once for each",
    )
    parser.add_argument(
        "input",
        nargs="?",
        metavar="IN.jsonl",
        help='more of them: {"id", "text"} or {"id", "steps": [...]} a line; - for standard input',
    )
    parser.add_argument(
        "--method",
        choices=RANK_METHODS,
        default=DEFAULT_METHOD,
        help=f"what ranks them (default: {DEFAULT_METHOD}); the last three ask the model's opinion",
    )
    parser.add_argument("--json", action="store_true", help="print the ranking as JSON")


def run(arguments: argparse.Namespace, config: Config, open_check: Callable[[Config], SelfCheck] = SelfCheck) -> int:
    """Rank what a command line names, and print it. Returns the exit code."""
    candidates = candidates_of(arguments)
    entries_of(candidates)  # what is wrong with them is said before a model is loaded
    with open_check(config_for(arguments.method, config)) as check:
        ranking = rank(arguments.command, candidates, method=arguments.method, check=check)
        told = _as_json(arguments, ranking, check) if arguments.json else _told(ranking)
    print(told)
    return 0


def _as_json(arguments: argparse.Namespace, ranking: Sequence[Ranked], check: SelfCheck) -> str:
    rows = msgspec.to_builtins(ranking)
    for row in rows:
        del row["why"]
    document = {"command": arguments.command, "method": arguments.method, "model_id": check.model_id}
    return json.dumps({**document, "why": ranking[0].why, "ranking": rows})


def _told(ranking: Sequence[Ranked]) -> str:
    """A ranking as a person reads it."""
    width = max(len(one.id) for one in ranking)
    lines = []
    for one in ranking:
        place = f"{one.place}{'=' if one.tied else '.'}"
        figures = "  -  " if one.reward is None else f"{one.reward:5.3f}"
        implied = f'  implies "{one.inferred}"' if one.inferred is not None else ""
        copied = "  (holds the command word for word)" if one.copied else ""
        failure = f"  {one.failure}" if one.failure else ""
        lines.append(f"{place:>4} {figures}  {one.id:{width}}{implied}{copied}{failure}")
    return "\n".join([*lines, f"why: {ranking[0].why}"])
