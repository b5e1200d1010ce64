"""Runs that leave something out: unfinished, failed, in an order that makes no sense, nothing but a search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from flip_edge.similarity import normalize
from training.dressing import search
from training.lexicon import verb
from training.negatives.case import Case, Negative
from training.negatives.exchanges import without
from training.plan import Act, Result

_REASONS = {
    "go": ("the way is blocked", "no path found", "timeout", "localization lost"),
    "place": ("no free place", "out of reach", "motion planning failed", "collision detected"),
    "pick": ("object slipped", "no grasp found", "object not found", "out of reach"),
}
_OTHER_REASONS = ("timeout", "device did not respond", "not in reach", "aborted by safety stop", "unknown error")


def _skipped(case: Case) -> Iterator[Negative]:
    task = case.task
    for act in task.acts:
        states = verb(act.verb).state
        if act.essential and states and act.thing and _asked_for(case, act.verb):
            kept = [one for one in task.acts if one is not act]
            yield Negative("skipped", acts=tuple(one for one in kept if not _way_to_nothing(one, kept, act)))
    if case.command is None and len({act.thing.name for act in task.goal if act.thing and not act.negated}) > 1:
        left_out = case.draw.choice([act.thing.name for act in task.goal if act.thing and not act.negated])
        kept_acts = without(task.acts, left_out, 0)
        if kept_acts and any(act.essential for act in kept_acts):
            yield Negative("skipped", acts=kept_acts)


def _asked_for(case: Case, name: str) -> bool:
    """Whether the command asks for this change of state."""
    if case.command is None:
        return any(act.verb == name for act in case.task.goal)
    words = {phrase.split()[0] for phrase in (*verb(name).say, *verb(name).command)} | set(verb(name).state)
    return bool(words & set(normalize(case.command)))


def _way_to_nothing(act: Act, acts: Sequence[Act], left_out: Act) -> bool:
    """A way to where the act was that has been left out."""
    return (
        act.verb == "go"
        and act.place == left_out.place
        and not any(other.place == act.place or other.source == act.place for other in acts if other.verb != "go")
    )


def _cut(case: Case) -> Iterator[Negative]:
    """The first half."""
    half = len(case.task.acts) // 2
    if not half or case.task.last_essential < half:
        return
    lost = [act for act in case.task.acts[half:] if act.essential and verb(act.verb).state]
    if case.vague or case.asks_for_the_end or any(_asked_for(case, act.verb) for act in lost):
        yield Negative("cut", acts=case.task.acts[:half])


def _cut_before_last(case: Case) -> Iterator[Negative]:
    last = case.task.last_essential
    if last > 0 and not case.vague and case.asks_for_the_end:
        yield Negative("cut_before_last", acts=case.task.acts[:last])


def _last_failed(case: Case) -> Iterator[Negative]:
    last = case.task.last_essential
    if last < 0 or case.vague or not case.asks_for_the_end:
        return
    act = case.task.acts[last]
    reasons = _REASONS.get(act.verb, _OTHER_REASONS)
    reason = case.draw.choice(reasons) if case.draw.random() < 0.7 else ""
    yield Negative("last_failed", acts=(*case.task.acts[:last], replace(act, result=Result.FAILED, reason=reason)))


def _reordered(case: Case) -> Iterator[Negative]:
    acts = list(case.task.acts)
    for _ in range(4):
        case.draw.shuffle(acts)
        if _absurd(acts):
            yield Negative("reordered", acts=tuple(acts))
            return


def _absurd(acts: Sequence[Act]) -> bool:
    """Whether something is put down for good before it is picked up."""
    for index, act in enumerate(acts):
        if act.verb in ("place", "give", "bring") and act.thing and act.essential:
            picks = [place for place, other in enumerate(acts) if other.verb == "pick" and other.thing == act.thing]
            if picks and index < min(picks):
                return True
    return False


def _search_only(case: Case) -> Iterator[Negative]:
    if case.vague or not any(act.verb == "pick" and act.essential for act in case.task.acts):
        return
    places = case.pool.places(case.task)
    if not places:
        return
    looked = search(case.draw.randrange(2**31), case.draw.randint(2, 7), places)
    yield Negative("search_only", acts=tuple(looked))


MAKERS = (_skipped, _cut, _cut_before_last, _last_failed, _reordered, _search_only)
"""Each makes the negatives of one kind."""
