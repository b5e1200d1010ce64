"""The same run told otherwise: with detours, a second try, more detail or less. It stays the same run.

A run and the wrong runs made from it are dressed from one seed, so that nothing of this tells them apart: a search, a
failed first try or a missing way there must not look like a mismatch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from training.plan import Act, Result, Thing, seeded

OPENABLE = frozenset(["fridge", "microwave", "cabinet", "drawer", "safe", "oven", "dishwasher", "wardrobe"])
SLIPS = ("object slipped", "no grasp found", "object not found", "out of reach", "motion planning failed", "timeout")
_FAUCET = Thing("faucet")
_STATIONS = ("charging station", "base station", "home position", "start")
# After these it would matter where the robot is or what it holds at the end.
_STAYING_VERBS = "go enter leave return stop move turn dock undock charge wait guide follow pick"
_STAYING = frozenset(_STAYING_VERBS.split())


@dataclass(frozen=True)
class Dressing:
    """How a run is told.

    Attributes:
        seed: for every choice within.
        search: places looked at before the first thing is picked up.
        retry: whether one act fails first and is done again.
        expanded: whether heating, cooling, cleaning and opening are told act by act.
        after: whether the robot drives to its station afterwards, and whether it gets there.
        ways: ``full``; ``no sources`` leaves out where things were taken from, where the way there is told; ``no ways``
            leaves out the ways to places that the next act names.
    """

    seed: int = 0
    search: int = 0
    retry: bool = False
    expanded: bool = False
    after: Result | None = None
    ways: str = "full"

    @classmethod
    def drawn(cls, draw: random.Random) -> Dressing:
        """A common one: most runs are told plainly."""
        return cls(
            seed=draw.randrange(2**31),
            search=draw.choice((0, 0, 0, 0, 0, 1, 2, 3, 5)),
            retry=draw.random() < 0.12,
            expanded=draw.random() < 0.3,
            after=draw.choice((Result.DONE, Result.DONE, Result.FAILED)) if draw.random() < 0.15 else None,
            ways=draw.choice(("full", "full", "full", "no sources", "no ways")),
        )

    def dress(self, acts: Sequence[Act], places: Sequence[Thing] = ()) -> tuple[Act, ...]:
        """The acts, told so.

        Args:
            acts: a run.
            places: where it might have searched: places that the run itself has nothing to do with.
        """
        told = _told(acts, self.ways)
        if self.search and places:
            told = self._searched(told, places)
        if self.expanded:
            told = [part for act in told for part in _expanded(act)]
        if self.retry:
            told = self._retried(told)
        if self.after:
            station = Thing(seeded(self.seed, "station").choice(_STATIONS))
            reason = "the way is blocked" if self.after is Result.FAILED else ""
            told = [*told, Act("return", place=station, result=self.after, reason=reason)]
        return tuple(told)

    def _searched(self, acts: list[Act], places: Sequence[Thing]) -> list[Act]:
        first = next((index for index, act in enumerate(acts) if act.verb == "pick"), None)
        if first is None:
            return acts
        # Before the robot comes to the right place: there it may open something or look around itself.
        while first and acts[first - 1].verb in ("open", "find"):
            first -= 1
        if first and acts[first - 1].verb == "go":
            first -= 1
        return [*acts[:first], *search(self.seed, self.search, places), *acts[first:]]

    def _retried(self, acts: list[Act]) -> list[Act]:
        tries = [index for index, act in enumerate(acts) if act.verb in ("pick", "place", "open", "go", "dock")]
        if not tries:
            return acts
        draw = seeded(self.seed, "retry")
        # Counted from the start, so that a run that is cut later has the same second try.
        index = tries[int(draw.random() * min(3, len(tries)))]
        failed = replace(acts[index], result=Result.FAILED, reason=draw.choice(SLIPS) if draw.random() < 0.6 else "")
        return [*acts[:index], failed, *acts[index:]]


def may_leave(acts: Sequence[Act]) -> bool:
    """Whether a run would still reach its goal if the robot drove away afterwards."""
    return all(act.verb not in _STAYING for act in acts)


def search(seed: int, number: int, places: Sequence[Thing]) -> list[Act]:
    """A look at some places, in vain: what is closed is opened and closed."""
    draw = seeded(seed, "search")
    acts: list[Act] = []
    for place in draw.sample(list(places), min(number, len(places))):
        acts.append(Act("go", place=place))
        if place.name in OPENABLE:
            acts.append(Act("open", thing=place))
            if draw.random() < 0.7:
                acts.append(Act("close", thing=place))
        elif draw.random() < 0.3:
            acts.append(Act("search", place=place))
    return acts


def _expanded(act: Act) -> list[Act]:
    """What the act consists of, where it is known and succeeded."""
    if act.result is not Result.DONE or not act.thing:
        return [act]
    thing, place = act.thing, act.place
    if act.verb in ("heat", "cool") and place and place.name in OPENABLE:
        inside = [Act("open", thing=place), Act("place", thing=thing, place=place), Act("close", thing=place)]
        if act.verb == "heat":
            inside += [Act("turn on", thing=place), Act("turn off", thing=place)]
        else:
            inside += [Act("wait")]
        return [*inside, Act("open", thing=place), Act("pick", thing=thing, source=place), Act("close", thing=place)]
    if act.verb == "clean" and place:
        return [
            Act("place", thing=thing, place=place),
            Act("turn on", thing=_FAUCET),
            replace(act, place=None),
            Act("turn off", thing=_FAUCET),
            Act("pick", thing=thing, source=place),
        ]
    if act.verb == "place" and place and place.name in OPENABLE:
        return [Act("open", thing=place), act, Act("close", thing=place)]
    return [act]


def _told(acts: Sequence[Act], ways: str) -> list[Act]:
    if ways == "no sources":
        visited = [act.place for act in acts if act.verb == "go"]
        return [replace(act, source=None) if act.verb == "pick" and act.source in visited else act for act in acts]
    if ways == "no ways":
        following = [*acts[1:], None]
        told = [
            act
            for act, after in zip(acts, following, strict=True)
            if act.essential or act.verb != "go" or (after and not _leads_to(act, after))
        ]
        return told or list(acts)
    return list(acts)


def _leads_to(way: Act, act: Act) -> bool:
    return way.verb == "go" and way.place is not None and way.place in (act.place, act.source, act.thing)
