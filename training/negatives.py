"""Wrong runs for a command and wrong commands for a run, made where it is known what is wrong with them.

On neutral plans each kind is a mismatch by construction; where the command is in people's own words, a negative is only
made when those words name what is exchanged. The kinds:

====================  =================================================================================================
``wrong_object``      another thing is handled, or commanded
``wrong_attribute``   the same thing in another colour
``wrong_place``       it goes to another place
``wrong_number``      another amount, count or number of a room
``wrong_direction``   left for right, behind for in front of
``wrong_order``       the parts of an ordered command the other way round
``wrong_role``        X on Y for Y on X, from A to B for from B to A
``wrong_polarity``    opened for closed, done for not to be done
``skipped``           one part of what was commanded was left out
``cut``               the first half of the run, where the rest matters
``cut_before_last``   all but the last act that matters, and what follows it
``last_failed``       the last act that matters fails
``reordered``         acts in an order in which they make no sense: put down before picked up
``search_only``       places were looked at, nothing was done
``other_run``         the run, or the command, of another task, near or far
``recorded_...``      a robot's own failure, recorded
====================  =================================================================================================
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from flip_edge.similarity import normalize
from training.dressing import search
from training.grammar import plural
from training.lexicon import verb
from training.naming import USER
from training.plan import Act, Quantity, Result, Task, Thing, names

KINDS = (
    "wrong_object wrong_attribute wrong_place wrong_number wrong_direction wrong_order wrong_role wrong_polarity skipped "
    "cut cut_before_last last_failed reordered search_only other_run"
).split()

# What people call by one name, or by each other's: exchanging these is no mismatch in their words.
_ALIKE = tuple(
    frozenset(group.split(", "))
    for group in (
        "cup, mug, glass, glass bottle, vase, bowl, pot",
        "knife, butter knife, fork, spoon, ladle, spatula",
        "desk lamp, floor lamp",
        "pen, pencil",
        "pot, pan, kettle, bowl, plate",
        "cloth, hand towel, dish sponge",
        "soap bar, soap bottle, spray bottle, dish sponge",
        "glass bottle, wine bottle, soap bottle, spray bottle, vase, statue",
        "salt shaker, pepper shaker",
        "watch, alarm clock",
        "book, newspaper, laptop",
        "credit card, cd, keychain, cell phone",
        "box, tissue box",
        "toilet paper, toilet paper hanger, hand towel, tissue box",
        "apple, tomato, potato, egg",
        "bread, lettuce, potato",
        "side table, coffee table, dining table, desk, dresser, shelf, countertop, cabinet, drawer, cart, stove, ottoman",
        "armchair, sofa, ottoman, bed",
        "sink, bathtub, countertop, toilet",
        "garbage can, box, cart",
        "microwave, stove, countertop, cabinet",
        "toilet, countertop, cabinet",
    )
)
_SIDES = {"left": "right", "forward": "backward", "up": "down", "top": "bottom"}
_SIDES |= {other: one for one, other in _SIDES.items()}
_RELATIONS = {"left of": "right of", "in front of": "behind", "under": "on top of", "inside": "outside", "above": "below"}
_RELATIONS |= {other: one for one, other in _RELATIONS.items()}
_COLOURS = ("red", "blue", "green", "yellow", "black", "white", "orange", "purple", "grey", "brown", "pink", "silver")
_POLAR = frozenset(
    """open close lock unlock "turn on" "turn off" enter leave fill empty raise lower attach detach dock undock heat
    cool""".replace('"', "").split()
) | {"turn on", "turn off"}
_REASONS = {
    "go": ("the way is blocked", "no path found", "timeout", "localization lost"),
    "place": ("no free place", "out of reach", "motion planning failed", "collision detected"),
    "pick": ("object slipped", "no grasp found", "object not found", "out of reach"),
}
_OTHER_REASONS = ("timeout", "device did not respond", "not in reach", "aborted by safety stop", "unknown error")
_NUMBER = re.compile(r"\b(two|three|four|2|3|4)\b", re.IGNORECASE)
_STOPWORDS = frozenset("on in of to the a and up down from at off out with".split())


@dataclass(frozen=True)
class Negative:
    """One mismatch: the task with another run or another command. Exactly one of the four is not None.

    Attributes:
        kind: what is wrong.
        acts: another run.
        goal: another goal.
        steps: another run in people's words.
        command: another command in people's words.
    """

    kind: str
    acts: tuple[Act, ...] | None = None
    goal: tuple[Act, ...] | None = None
    steps: tuple[str, ...] | None = None
    command: str | None = None


class Pool:
    """The tasks that others are taken from, and the things of their worlds, by where and how they occur."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.by_kind: dict[tuple[str, str], list[Task]] = defaultdict(list)
        self.by_source: dict[str, list[Task]] = defaultdict(list)
        self._things: dict[tuple[str, str, str], dict[str, Thing]] = defaultdict(dict)
        self._places: dict[tuple[str, str], dict[str, Thing]] = defaultdict(dict)
        for task in tasks:
            self.by_kind[task.source, task.kind].append(task)
            self.by_source[task.source].append(task)
            for act in (*task.acts, *task.goal):
                for slot in ("thing", "place", "source"):
                    thing: Thing | None = getattr(act, slot)
                    if thing and thing.name != USER:
                        plain = replace(thing, attributes=(), count=1, instance=0)
                        self._things[task.source, task.setting, f"{slot} of {act.verb}"][thing.words] = plain
                        if slot != "thing" and not thing.label:
                            self._places[task.source, task.setting][thing.name] = plain

    def like(self, task: Task, slot: str, act: Act) -> list[Thing]:
        """What else occurs in this place of such an act, in the same setting."""
        return list(self._things[task.source, task.setting, f"{slot} of {act.verb}"].values())

    def places(self, task: Task) -> list[Thing]:
        """All places of the setting."""
        return list(self._places[task.source, task.setting].values())


def make_negatives(task: Task, pool: Pool, draw: random.Random, *, command: str | None = None) -> list[Negative]:
    """Every kind that the task allows, in a random order, the kinds taking turns.

    Args:
        task: the run and its goal.
        pool: where others are taken from.
        draw: for every choice.
        command: people's words, where the row has those and not the goal's.
    """
    makers: list[Callable[[_Case], Iterator[Negative]]] = list(_MAKERS)
    draw.shuffle(makers)
    case = _Case(task, pool, draw, command)
    rounds = [list(maker(case)) for maker in makers]
    for made in rounds:
        draw.shuffle(made)
    longest = max(map(len, rounds), default=0)
    return [made[turn] for turn in range(longest) for made in rounds if turn < len(made)]


@dataclass
class _Case:
    """One task while negatives are made for it."""

    task: Task
    pool: Pool
    draw: random.Random
    command: str | None

    @property
    def vague(self) -> bool:
        """Whether the command says less than the run, so that only coarse differences are certain."""
        return not self.task.goal and self.task.source == "virtualhome"

    def other(self, slot: str, act: Act) -> Thing | None:
        """Something else for this place of the act, which occurs nowhere in the task."""
        wanted: Thing = getattr(act, slot)
        taken = {*names(self.task.acts), *names(self.task.goal)}
        people = self.command is not None
        options = [
            thing
            for thing in self.pool.like(self.task, slot, act)
            if thing.name not in taken and not any(confusable(thing.name, name, people=people) for name in taken)
        ]
        return replace(self.draw.choice(options), attributes=wanted.attributes) if options else None

    def named(self, thing: Thing) -> bool:
        """Whether the command names the thing, so that another one would be wrong."""
        if self.command is not None:
            return _mention(self.command, thing.name) is not None
        return any(thing.name == name for name in names(self.task.goal))


def confusable(one: str, other: str, *, people: bool) -> bool:
    """Whether two things may go by one name: always where one's words are among the other's.

    >>> confusable("knife", "butter knife", people=False), confusable("cup", "mug", people=False)
    (True, False)
    >>> confusable("cup", "mug", people=True)
    True
    """
    first, second = set(one.split()), set(other.split())
    if first <= second or second <= first:
        return True
    return people and (one.split()[-1] == other.split()[-1] or any(one in group and other in group for group in _ALIKE))


def _mention(command: str, name: str) -> re.Match[str] | None:
    """Where people's words name the thing: its whole name, or the last word of it."""
    head = name.split()[-1]
    for text in (name, head) if len(head) > 2 else (name,):
        forms = "|".join(sorted({re.escape(text), re.escape(plural(text))}, key=len, reverse=True))
        if match := re.search(rf"\b({forms})\b", command, re.IGNORECASE):
            return match
    return None


def _reworded(command: str, name: str, other: str) -> str | None:
    match = _mention(command, name)
    if not match:
        return None
    # Where it is named twice, both must change.
    many = match[0].lower() in (plural(name), plural(name.split()[-1])) and match[0].lower() != name.split()[-1]
    changed = re.sub(rf"\b{re.escape(match[0])}\b", plural(other) if many else other, command, flags=re.IGNORECASE)
    return None if _mention(changed, name) else changed


# --- what is exchanged


def _wrong_object(case: _Case) -> Iterator[Negative]:
    if case.vague:
        return
    task = case.task
    handled = [act for act in (task.goal or task.acts) if act.thing and (act.essential or task.goal)]
    for act in case.draw.sample(handled, min(2, len(handled))):
        assert act.thing is not None
        other = case.other("thing", act)
        if other is None or not case.named(act.thing):
            continue
        if any(act.thing.name in (done.thing.name if done.thing else "") for done in task.acts):
            yield Negative("wrong_object", acts=_all_exchanged(task.acts, act.thing.name, other))
        if case.command is not None:
            if changed := _reworded(case.command, act.thing.name, other.name):
                yield Negative("wrong_object", command=changed)
        else:
            yield Negative("wrong_object", goal=_all_exchanged(task.goal, act.thing.name, other))


def _all_exchanged(acts: Sequence[Act], name: str, other: Thing) -> tuple[Act, ...]:
    return tuple(act.exchanged(name, other) for act in acts)


def _wrong_attribute(case: _Case) -> Iterator[Negative]:
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


def _wrong_place(case: _Case) -> Iterator[Negative]:
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
        yield Negative("wrong_place", acts=_moved(task.acts, place.name, other))
        if case.command is not None:
            if changed := _reworded(case.command, place.name, other.name):
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


def _wrong_number(case: _Case) -> Iterator[Negative]:
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
            yield Negative("wrong_number", goal=_put(task.goal, index, replace(act, thing=replace(act.thing, count=count))))
            yield Negative("wrong_number", acts=_without(task.acts, act.thing.name, act.thing.count - 1))
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
        options = {30, 45, 60, 90, 120, 135, 180} - {value}
    elif amount.unit == "%":
        options = {50, 60, 70, 80, 90, 100} - {value}
    elif value >= 2:
        options |= {value - 1, round(value / 2, 1) if amount.unit == "m" else value // 2}
    whole = amount.unit not in ("m",)
    fitting = sorted(number for number in options if number > 0 and number != value and (not whole or number % 1 == 0))
    return Quantity(draw.choice(fitting), amount.unit)


def _other_label(label: str, draw: random.Random) -> str:
    if label.isdigit():
        number = int(label)
        options = [number + 1, number + 10, max(1, number - 1), int(label[::-1] or 0), number + draw.randint(2, 9)]
        return str(draw.choice([value for value in options if value not in (number, 0)]))
    letter = draw.choice([letter for letter in "ABCDEF" if letter != label[0]])
    return letter + label[1:]


def _without(acts: Sequence[Act], name: str, instance: int) -> tuple[Act, ...]:
    """The run without what was done with one of several alike, and without the ways that served only that."""
    result: list[Act] = []
    drop = False
    for act in reversed(acts):
        if act.verb != "go" or act.essential:
            drop = any(thing.name == name and thing.instance == instance for thing in act.things)
        if not drop:
            result.append(act)
    return tuple(reversed(result))


def _wrong_direction(case: _Case) -> Iterator[Negative]:
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
    return replace(
        act, side=_SIDES.get(act.side, act.side), relation=_RELATIONS.get(act.relation, act.relation)
    )


def _wrong_order(case: _Case) -> Iterator[Negative]:
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
    # Only where each part of the goal is one act, the parts can be done in another order.
    if len(segments) == len(task.goal) and all(part[-1].verb == act.verb for part, act in zip(segments, task.goal, strict=True)):
        yield Negative("wrong_order", acts=tuple(act for part in [*segments[::-1], tail] for act in part))


def _wrong_role(case: _Case) -> Iterator[Negative]:
    task = case.task
    if case.command is not None:
        return
    for index, act in enumerate(task.goal):
        if act.verb == "bring" and act.source and act.place and act.place.name != USER:
            one, other = act.source, act.place
            goal = replace(act, source=other, place=one)
        elif act.verb == "place" and act.thing and act.place and act.thing.count == 1 and act.relation != "next to":
            if not (act.relation or act.place.name in {thing.name for thing in case.pool.like(task, "thing", act)}):
                continue
            one, other = act.thing, act.place
            goal = replace(act, thing=other, place=one)
        else:
            continue
        yield Negative("wrong_role", goal=_put(task.goal, index, goal))
        swapped = tuple(
            done.exchanged(one.name, Thing("\0")).exchanged(other.name, one).exchanged("\0", other) for done in task.acts
        )
        yield Negative("wrong_role", acts=swapped)


def _wrong_polarity(case: _Case) -> Iterator[Negative]:
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
            done = tuple(replace(one, verb=opposite) if one.essential and _same_deed(one, act) else one for one in task.acts)
            if done != task.acts:
                yield Negative("wrong_polarity", acts=done)
                yield Negative("wrong_polarity", goal=_put(task.goal, index, replace(act, verb=opposite)))


# --- what was not done


def _skipped(case: _Case) -> Iterator[Negative]:
    task = case.task
    for act in task.acts:
        states = verb(act.verb).state
        if act.essential and states and act.thing and _asked_for(case, act.verb):
            kept = [one for one in task.acts if one is not act]
            yield Negative("skipped", acts=tuple(one for one in kept if not _way_to_nothing(one, kept, act)))
    if case.command is None and len({act.thing.name for act in task.goal if act.thing and not act.negated}) > 1:
        left_out = case.draw.choice([act.thing.name for act in task.goal if act.thing and not act.negated])
        kept_acts = _without(task.acts, left_out, 0)
        if kept_acts and any(act.essential for act in kept_acts):
            yield Negative("skipped", acts=kept_acts)


def _asked_for(case: _Case, name: str) -> bool:
    """Whether the command asks for this change of state."""
    if case.command is None:
        return any(act.verb == name for act in case.task.goal)
    words = {phrase.split()[0] for phrase in (*verb(name).say, *verb(name).command)} | set(verb(name).state)
    return bool(words & set(normalize(case.command)))


def _way_to_nothing(act: Act, acts: Sequence[Act], left_out: Act) -> bool:
    """A way to where the act was that has been left out."""
    return act.verb == "go" and act.place == left_out.place and not any(
        other.place == act.place or other.source == act.place for other in acts if other.verb != "go"
    )


def _cut(case: _Case) -> Iterator[Negative]:
    """The first half."""
    half = len(case.task.acts) // 2
    if half and case.task.last_essential >= half:
        yield Negative("cut", acts=case.task.acts[:half], steps=None)


def _cut_before_last(case: _Case) -> Iterator[Negative]:
    last = case.task.last_essential
    if last > 0 and not case.vague:
        yield Negative("cut_before_last", acts=case.task.acts[:last])


def _last_failed(case: _Case) -> Iterator[Negative]:
    last = case.task.last_essential
    if last < 0 or case.vague:
        return
    act = case.task.acts[last]
    reasons = _REASONS.get(act.verb, _OTHER_REASONS)
    reason = case.draw.choice(reasons) if case.draw.random() < 0.7 else ""
    yield Negative("last_failed", acts=(*case.task.acts[:last], replace(act, result=Result.FAILED, reason=reason)))


def _reordered(case: _Case) -> Iterator[Negative]:
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


def _search_only(case: _Case) -> Iterator[Negative]:
    if case.vague or not any(act.verb == "pick" and act.essential for act in case.task.acts):
        return
    places = case.pool.places(case.task)
    looked = search(case.draw.randrange(2**31), case.draw.randint(2, 7), places)
    if looked:
        yield Negative("search_only", acts=tuple(looked))


# --- other tasks


def _other_run(case: _Case) -> Iterator[Negative]:
    task = case.task
    near = case.pool.by_kind[task.source, task.kind]
    far = case.pool.by_source[task.source]
    for others, wanted in ((near, 2), (far, 1)):
        for other in _sampled(case.draw, others, 30):
            if other.group == task.group or not _differs(case, other):
                continue
            if case.command is not None and task.steps:
                yield Negative("other_run", steps=other.steps or None, acts=None if other.steps else other.acts)
            else:
                yield Negative("other_run", acts=other.acts)
            if case.command is None and other.goal and not _covered(other.goal, task.acts):
                yield Negative("other_run", goal=other.goal)
            elif case.command is not None and other.commands and _differs(replace_task(case, other), task):
                yield Negative("other_run", command=other.commands[0])
            wanted -= 1
            if not wanted:
                break


def _sampled(draw: random.Random, tasks: Sequence[Task], number: int) -> Iterator[Task]:
    for _ in range(min(number, len(tasks))):
        yield tasks[draw.randrange(len(tasks))]


def replace_task(case: _Case, task: Task) -> _Case:
    """The same for another task, with the first of people's commands for it."""
    return _Case(task, case.pool, case.draw, task.commands[0] if task.commands else None)


def _differs(case: _Case, other: Task) -> bool:
    """Whether the other task's run is a mismatch for this command."""
    task = case.task
    if case.command is None:
        return not _covered(task.goal, other.acts)
    if task.goal:  # people's words for a known goal
        return _goal_differs(task.goal, other.goal)
    if task.source == "virtualhome":
        words, others = _content(case.command), _content(other.commands[0])
        shared = len(_handled(task) & _handled(other)) / max(1, min(len(_handled(task)), len(_handled(other))))
        return not words & others and shared <= 0.34
    if _last_place(task) != _last_place(other) and not _handled(task) & _handled(other):
        return True
    mine = _handled(task)
    return bool(mine) and all(_mention(case.command, name) for name in mine) and not any(
        confusable(name, one, people=True) for name in mine for one in _handled(other)
    )


def _goal_differs(goal: Sequence[Act], other: Sequence[Act]) -> bool:
    """Whether people's words for one goal cannot mean the other: its object or its place is something else."""
    if not goal or not other:
        return False
    objects = [(one.thing, two.thing) for one, two in ((goal[0], other[0]), (goal[-1], other[-1]))]
    places = [(goal[-1].place, other[-1].place)]
    return any(
        one and two and not confusable(one.name, two.name, people=True) for one, two in (*objects[:1], *places)
    )


def _covered(goal: Sequence[Act], acts: Sequence[Act]) -> bool:
    """Whether a run names and does all that the goal asks for, so that it might be called fulfilled."""
    done = " ".join(_words(act) for act in acts)
    return all(
        thing.words in done for act in goal if not act.negated for thing in act.things if thing.name != USER
    ) and all(_amount_words(act) in done for act in goal)


def _words(act: Act) -> str:
    return " ".join([act.verb, *(thing.words for thing in act.things), _amount_words(act)])


def _amount_words(act: Act) -> str:
    return " ".join([f"{act.amount.value:g} {act.amount.unit}" if act.amount else "", act.side]).strip()


def _content(command: str) -> set[str]:
    return set(normalize(command)) - _STOPWORDS


def _handled(task: Task) -> set[str]:
    return {act.thing.name for act in task.acts if act.thing and act.essential}


def _last_place(task: Task) -> str:
    return next((act.place.name for act in reversed(task.acts) if act.place), "")


def _recorded(case: _Case) -> Iterator[Negative]:
    for kind, acts in case.task.failures:
        yield Negative(f"recorded_{kind}", acts=acts)


_MAKERS = (
    _wrong_object,
    _wrong_attribute,
    _wrong_place,
    _wrong_number,
    _wrong_direction,
    _wrong_order,
    _wrong_role,
    _wrong_polarity,
    _skipped,
    _cut,
    _cut_before_last,
    _last_failed,
    _reordered,
    _search_only,
    _other_run,
    _recorded,
)


def in_peoples_words(negative: Negative, task: Task) -> tuple[str, ...] | None:
    """A negative run in the words in which people described the task's own run; None where they have none for it.

    >>> task = Task("s", "1", "g", "k", (Act("go"), Act("pick", essential=True)), steps=("Go there.", "Pick it up."))
    >>> in_peoples_words(Negative("cut", acts=task.acts[:1]), task)
    ('Go there.',)
    """
    if negative.steps is not None:
        return negative.steps
    if negative.acts is None or len(task.steps) != len(task.acts):
        return None
    said = {id(act): step for act, step in zip(task.acts, task.steps, strict=True)}
    steps = []
    for act in negative.acts:
        if id(act) in said:
            steps.append(said[id(act)])
        elif act.result is Result.FAILED:
            step = task.steps[task.last_essential]
            reason = f": {act.reason}" if act.reason else ""
            steps.append(f"Failed to {step[:1].lower()}{step[1:].rstrip('.')}{reason}")
        else:
            return None
    return tuple(steps)
