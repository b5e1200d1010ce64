"""One thing of the run, or of the command, exchanged for another: what, where, how many, which way, in which order."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from training.lexicon import verb
from training.naming import USER
from training.negatives.case import Case, Negative
from training.negatives.words import reworded
from training.plan import Act, Quantity, Thing

_SIDES = {"left": "right", "forward": "backward", "up": "down", "top": "bottom"}
_SIDES |= {other: one for one, other in _SIDES.items()}
_RELATIONS = {
    "left of": "right of",
    "in front of": "behind",
    "under": "on top of",
    "inside": "outside",
    "above": "below",
}
_RELATIONS |= {other: one for one, other in _RELATIONS.items()}
_COLOURS = ("red", "blue", "green", "yellow", "black", "white", "orange", "purple", "grey", "brown", "pink", "silver")
_POLAR_VERBS = """
    open|close|lock|unlock|turn on|turn off|enter|leave|fill|empty|raise|lower|attach|detach|dock|undock|heat|cool
"""
_POLAR = frozenset(part.strip() for part in _POLAR_VERBS.split("|"))
# Of these the opposite can be done in the same way; nothing is cooled in a microwave.
_EITHER_WAY = _POLAR - {"heat", "cool", "attach", "detach", "dock", "undock", "enter", "leave"}

_NUMBER = re.compile(r"\b(two|three|four|2|3|4)\b", re.IGNORECASE)


def _wrong_object(case: Case) -> Iterator[Negative]:
    if case.vague:
        return
    task = case.task
    handled = [act for act in task.goal or task.acts if act.thing and (act.essential or task.goal) and not act.negated]
    for act in case.draw.sample(handled, min(2, len(handled))):
        assert act.thing is not None
        other = case.other("thing", act)
        if other is None or not case.named(act.thing):
            continue
        if any(done.thing and done.thing.name == act.thing.name for done in task.acts):
            yield Negative("wrong_object", acts=_all_exchanged(task.acts, act.thing.name, other))
        if case.command is not None:
            if changed := reworded(case.command, act.thing.name, other.name):
                yield Negative("wrong_object", command=changed)
        else:
            yield Negative("wrong_object", goal=_all_exchanged(task.goal, act.thing.name, other))


def _all_exchanged(acts: Sequence[Act], name: str, other: Thing) -> tuple[Act, ...]:
    return tuple(act.exchanged(name, other) for act in acts)


def _wrong_attribute(case: Case) -> Iterator[Negative]:
    if case.command is not None:
        return
    coloured = [thing for act in case.task.goal for thing in act.things if set(thing.attributes) & set(_COLOURS)]
    if not coloured:
        return
    thing = case.draw.choice(coloured)
    colour = next(word for word in thing.attributes if word in _COLOURS)
    other = case.draw.choice([word for word in _COLOURS if word != colour])
    attributes = tuple(other if word == colour else word for word in thing.attributes)
    changed = replace(thing, attributes=attributes)
    yield Negative("wrong_attribute", acts=_all_exchanged(case.task.acts, thing.name, changed))
    yield Negative("wrong_attribute", goal=_all_exchanged(case.task.goal, thing.name, changed))


def _wrong_place(case: Case) -> Iterator[Negative]:
    if case.vague:
        return
    task = case.task
    for act in reversed(task.goal or tuple(act for act in task.acts if act.essential)):
        place = act.place
        if not place or act.negated or place.name == USER or not case.named(place):
            continue
        done = [one for one in task.acts if one.place and one.place.name == place.name and one.essential]
        other = case.other("place", done[-1] if done else act)
        if not done or other is None:
            continue
        carried = any(one.thing and one.thing.name == place.name for one in task.acts)
        moved = _all_exchanged(task.acts, place.name, other) if carried else _moved(task.acts, place.name, other)
        yield Negative("wrong_place", acts=moved)
        if case.command is not None:
            if changed := reworded(case.command, place.name, other.name):
                yield Negative("wrong_place", command=changed)
        else:
            goal = tuple(one.exchanged(place.name, other) if one.place == place else one for one in task.goal)
            yield Negative("wrong_place", goal=goal)
        return


def _moved(acts: Sequence[Act], name: str, other: Thing) -> tuple[Act, ...]:
    """The run with another place to go to; where it also takes something from there, that stays."""
    result: list[Act] = []
    target = False
    for act in reversed(acts):
        if act.verb != "go":
            target = act.verb != "pick" and any(thing.name == name for thing in act.things)
        if act.verb == "pick" or (act.verb == "go" and not target and not act.essential):
            result.append(act)
        else:
            result.append(act.exchanged(name, other))
    return tuple(reversed(result))


def _wrong_number(case: Case) -> Iterator[Negative]:
    task, draw = case.task, case.draw
    if case.command is not None:
        if (match := _NUMBER.search(case.command)) and task.kind.startswith("pick_two"):
            other = draw.choice([word for word in ("three", "four", "five") if word != match[0].lower()])
            yield Negative("wrong_number", command=_NUMBER.sub(other, case.command, count=1))
        return
    for index, act in enumerate(task.goal):
        if act.amount:
            amount = _other_amount(act.amount, draw)
            done = tuple(replace(one, amount=amount) if _same_deed(one, act) else one for one in task.acts)
            yield Negative("wrong_number", acts=done)
            yield Negative("wrong_number", goal=_put(task.goal, index, replace(act, amount=amount)))
        if act.thing and act.thing.count > 1:
            count = draw.choice([number for number in range(2, 7) if number != act.thing.count])
            yield Negative(
                "wrong_number", goal=_put(task.goal, index, replace(act, thing=replace(act.thing, count=count)))
            )
            yield Negative("wrong_number", acts=without(task.acts, act.thing.name, act.thing.count - 1))
        for thing in act.things:
            if thing.label and not act.negated:
                label = _other_label(thing.label, draw)
                changed = replace(thing, label=label)
                yield Negative("wrong_number", acts=_all_exchanged(task.acts, thing.name, changed))
                yield Negative("wrong_number", goal=_all_exchanged(task.goal, thing.name, changed))


def _same_deed(done: Act, goal: Act) -> bool:
    """Whether the act is what the goal's act asks for."""
    return (done.verb, done.thing, done.amount, done.side) == (goal.verb, goal.thing, goal.amount, goal.side)


def _put(acts: Sequence[Act], index: int, act: Act) -> tuple[Act, ...]:
    return (*acts[:index], act, *acts[index + 1 :])


def _other_amount(amount: Quantity, draw: random.Random) -> Quantity:
    """Ten times as much, twice, half, one more: a slip of a digit as well as a plain mistake."""
    value = amount.value
    options = {value * 10, value * 2, value + 1, value + draw.randint(2, 5)}
    if amount.unit == "degrees":
        options = {30.0, 45.0, 60.0, 90.0, 120.0, 135.0, 180.0} - {value}
    elif amount.unit == "%":
        options = {50.0, 60.0, 70.0, 80.0, 90.0, 100.0} - {value}
    elif value >= 2:
        options |= {value - 1, round(value / 2, 1) if amount.unit == "m" else value // 2}
    if amount.unit in ("m", "cm", "degrees", "s", "min"):  # more than an instrument is off
        options = {number for number in options if abs(number - value) >= 0.2 * value}
    whole = amount.unit != "m"
    fitting = sorted(number for number in options if number > 0 and number != value and (not whole or number % 1 == 0))
    return Quantity(draw.choice(fitting), amount.unit)


def _other_label(label: str, draw: random.Random) -> str:
    if label.isdigit():
        number = int(label)
        options = [number + 1, number + 10, max(1, number - 1), int(label[::-1] or 0), number + draw.randint(2, 9)]
        return str(draw.choice([value for value in options if value not in (number, 0)]))
    letter = draw.choice([letter for letter in "ABCDEF" if letter != label[0]])
    return letter + label[1:]


def without(acts: Sequence[Act], name: str, instance: int) -> tuple[Act, ...]:
    """The run without what was done with one of several alike, and without the ways that served only that."""
    result: list[Act] = []
    drop = False
    for act in reversed(acts):
        if act.verb != "go" or act.essential:
            drop = any(thing.name == name and thing.instance == instance for thing in act.things)
        if not drop:
            result.append(act)
    return tuple(reversed(result))


def _wrong_direction(case: Case) -> Iterator[Negative]:
    if case.command is not None:
        return
    for index, act in enumerate(case.task.goal):
        flipped = _flipped(act)
        if flipped != act:
            done = tuple(_flipped(one) if one.essential and _same_deed(one, act) else one for one in case.task.acts)
            if done != case.task.acts:
                yield Negative("wrong_direction", acts=done)
            yield Negative("wrong_direction", goal=_put(case.task.goal, index, flipped))


def _flipped(act: Act) -> Act:
    return replace(act, side=_SIDES.get(act.side, act.side), relation=_RELATIONS.get(act.relation, act.relation))


def _wrong_order(case: Case) -> Iterator[Negative]:
    task = case.task
    if not task.ordered or case.command is not None or len(set(task.goal)) < 2 or task.goal == task.goal[::-1]:
        return
    yield Negative("wrong_order", goal=task.goal[::-1])
    segments: list[list[Act]] = [[]]
    for act in task.acts:
        segments[-1].append(act)
        if act.essential:
            segments.append([])
    tail = segments.pop()
    # Parts of one act each, of which none prepares the next: else the run would be odd whatever was commanded.
    verbs = {act.verb for act in task.goal}
    free = len(verbs) == 1 or verbs <= {"move", "turn"} or "+" in task.kind
    if (
        free
        and len(segments) == len(task.goal)
        and all(part[-1].verb == act.verb for part, act in zip(segments, task.goal, strict=True))
    ):
        yield Negative("wrong_order", acts=tuple(act for part in [*segments[::-1], tail] for act in part))


def _wrong_role(case: Case) -> Iterator[Negative]:
    task = case.task
    if case.command is not None:
        return
    for index, act in enumerate(task.goal):
        if act.verb == "bring" and act.source and act.place and act.place.name != USER:
            one, other = act.source, act.place
            goal = replace(act, source=other, place=one)
            natural = case.pool.is_place(task, other)
        elif act.verb == "place" and act.thing and act.place and act.thing.count == 1 and act.relation != "next to":
            if not (act.relation or act.place.name in {thing.name for thing, _ in case.pool.like(task, "thing", act)}):
                continue
            one, other = act.thing, act.place
            goal = replace(act, thing=other, place=one)
            natural = bool(act.relation)
        else:
            continue
        yield Negative("wrong_role", goal=_put(task.goal, index, goal))
        if natural:  # a bowl in a pen would be odd whatever was commanded
            yield Negative("wrong_role", acts=tuple(_swapped(done, one, other) for done in task.acts))


def _swapped(act: Act, one: Thing, other: Thing) -> Act:
    """The act with two things in each other's place."""
    change = {one.name: other, other.name: one}

    def swap(thing: Thing | None) -> Thing | None:
        return change.get(thing.name, thing) if thing else None

    return replace(act, thing=swap(act.thing), place=swap(act.place), source=swap(act.source))


def _wrong_polarity(case: Case) -> Iterator[Negative]:
    task = case.task
    if case.command is not None:
        return
    for index, act in enumerate(task.goal):
        if act.negated:
            yield Negative("wrong_polarity", goal=_put(task.goal, index, replace(act, negated=False)))
            forbidden = replace(act, negated=False, essential=True)
            kept = tuple(one for one in task.acts if one.verb not in ("leave untouched", "avoid"))
            yield Negative("wrong_polarity", acts=(*kept, forbidden))
        elif act.verb in _POLAR and (opposite := verb(act.verb).opposite):
            done = tuple(
                replace(one, verb=opposite) if one.essential and _same_deed(one, act) else one for one in task.acts
            )
            if done != task.acts:
                # What is never done in a good run of the source would be wrong whatever was commanded.
                if act.verb in _EITHER_WAY and (task.source, opposite) in case.pool.deeds:
                    yield Negative("wrong_polarity", acts=done)
                yield Negative("wrong_polarity", goal=_put(task.goal, index, replace(act, verb=opposite)))


MAKERS = (
    _wrong_object,
    _wrong_attribute,
    _wrong_place,
    _wrong_number,
    _wrong_direction,
    _wrong_order,
    _wrong_role,
    _wrong_polarity,
)
"""Each makes the negatives of one kind."""
