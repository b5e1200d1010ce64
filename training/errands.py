"""Tasks made up for what no recorded data has: ways, turns, inspections, docking, several things, numbers, colours.

Each kind of task is a function that drafts one; a task may be made of two, in any order or in one order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from training.naming import USER
from training.plan import Quantity, Task, Thing, seeded
from training.world import Draft, worlds


def _deliver(draft: Draft) -> None:
    thing, source = draft.portable(), draft.spot()
    named_source = source if draft.draw.random() < 0.4 else None
    if draft.draw.random() < 0.35:
        person = Thing(USER) if draft.draw.random() < 0.5 else draft.thing(draft.setting.people)
        draft.go(source)
        draft.do("pick", thing, source=source)
        draft.go(person)
        draft.do("give", thing, place=person)
        draft.want("bring", thing, place=person, source=named_source)
        return
    target = draft.spot() if draft.draw.random() < 0.75 else draft.thing(draft.setting.rooms)
    draft.carry(thing, source, target)
    if named_source or draft.draw.random() < 0.5 or target.name in draft.setting.rooms:
        draft.want("bring", thing, place=target, source=named_source)
    else:
        draft.want("place", thing, place=target)


def _collect(draft: Draft) -> None:
    """Several things, to one place or each to its own."""
    source, target = draft.spot(), draft.spot()
    apart = draft.draw.random() < 0.35
    for _ in range(draft.draw.choice((2, 2, 3))):
        thing = draft.portable()
        if apart and draft.goal:
            target = draft.spot()
        origin = source if draft.draw.random() < 0.6 else draft.spot()
        draft.carry(thing, origin, target)
        draft.want("place", thing, place=target)


def _count(draft: Draft) -> None:
    thing, source, target = draft.portable(), draft.spot(), draft.spot()
    number = draft.draw.choice((2, 2, 3, 3, 4, 5))
    for instance in range(number):
        draft.carry(replace(thing, instance=instance), source, target)
    verb = draft.draw.choice(("place", "bring"))
    draft.want(verb, replace(thing, count=number), place=target)


_RELATIONS = ("left of", "right of", "next to", "behind", "in front of", "under", "on top of", "between", "above")


def _arrange(draft: Draft) -> None:
    thing, other = draft.portable(), draft.portable()
    relation = draft.draw.choice(_RELATIONS[:7])
    if draft.draw.random() < 0.7:
        draft.do("find", thing, essential=False)
    draft.do("pick", thing)
    draft.do("place", thing, place=other, relation=relation)
    draft.want("place", thing, place=other, relation=relation)


def _go(draft: Draft) -> None:
    places = (*draft.setting.rooms, *draft.setting.rooms, *draft.setting.surfaces, *draft.setting.inspect)
    if draft.draw.random() < 0.3:
        draft.do("leave", place=draft.thing(draft.setting.rooms), essential=False)
    for _ in range(draft.draw.choice((0, 0, 1, 2))):
        draft.do("go", place=draft.thing(draft.setting.rooms), essential=False)
    target = draft.thing(places)
    draft.do("go", place=target)
    if draft.draw.random() < 0.3:
        draft.do("stop", essential=False)
    draft.want("go", place=target)


def _tour(draft: Draft) -> None:
    for _ in range(draft.draw.choice((2, 2, 3, 4))):
        place = draft.thing((*draft.setting.rooms, *draft.setting.inspect))
        draft.do("go", place=place)
        draft.want("go", place=place)
    if draft.draw.random() < 0.3:
        home = draft.thing(draft.setting.docks)
        draft.do("return", place=home)
        draft.want("return", place=home)


def _motion(draft: Draft) -> None:
    for _ in range(draft.draw.choice((1, 1, 2, 2, 3))):
        if draft.draw.random() < 0.55:
            value = draft.draw.choice((0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 0.2, 0.3, 20))
            amount, verb = Quantity(value, "m"), "move"
            side = draft.draw.choice(("forward", "forward", "backward", "backward", "left", "right"))
        else:
            amount, verb = Quantity(draft.draw.choice((30, 45, 60, 90, 90, 120, 135, 180, 15, 270)), "degrees"), "turn"
            side = draft.draw.choice(("left", "right"))
        if draft.acts and draft.acts[-1].verb == verb and draft.acts[-1].side == side:
            continue
        draft.do(verb, amount=amount, side=side)
        draft.want(verb, amount=amount, side=side)
    if draft.draw.random() < 0.3:
        draft.do("stop", essential=False)


def _inspect(draft: Draft) -> None:
    for _ in range(draft.draw.choice((1, 1, 1, 2, 3))):
        thing = draft.thing(draft.setting.inspect, colour=0.05)
        draft.go(thing)
        draft.do("inspect", thing)
        draft.want("inspect", thing)
    if draft.draw.random() < 0.3:
        report = Thing("results")
        draft.do("report", report, place=Thing(USER))
        draft.want("report", report, place=Thing(USER))


def _photograph(draft: Draft) -> None:
    thing = draft.thing(draft.setting.inspect, colour=0.05)
    amount = Quantity(draft.draw.randint(1, 12), draft.draw.choice(("pictures", "photos", "images")))
    draft.go(thing)
    draft.do("photograph", thing, amount=amount)
    draft.want("photograph", thing, amount=amount)


def _measure(draft: Draft) -> None:
    if draft.draw.random() < 0.5:
        thing = draft.thing(worlds().gauges)
        place = draft.thing(draft.setting.rooms)
        draft.go(place)
        draft.do("read", thing)
        draft.want("go", place=place)
        draft.want("read", thing)
        return
    thing = draft.thing(worlds().measured)
    place = draft.thing((*draft.setting.rooms, *draft.setting.inspect))
    draft.go(place)
    draft.do("measure", thing, place=place, relation="at")
    draft.want("measure", thing, place=place, relation="at")


def _dock(draft: Draft) -> None:
    dock = draft.thing(draft.setting.docks)
    if draft.draw.random() < 0.25:
        target = draft.thing(draft.setting.rooms)
        draft.do("undock", place=dock)
        draft.go(target, essential=True)
        draft.want("undock", place=dock)
        draft.want("go", place=target)
        return
    if draft.draw.random() < 0.3:
        draft.do("leave", place=draft.thing(draft.setting.rooms), essential=False)
    draft.go(dock)
    draft.do("dock", place=dock, relation="at")
    draft.want("dock", place=dock, relation="at")
    if draft.draw.random() < 0.4:
        amount = Quantity(draft.draw.choice((50, 60, 70, 80, 90, 95, 100)), "%")
        draft.do("charge", amount=amount)
        draft.want("charge", amount=amount)


def _operate(draft: Draft) -> None:
    """Doors, devices, buttons."""
    kind = draft.draw.random()
    if kind < 0.45:
        thing = draft.thing(draft.setting.doors, colour=0.1)
        verb = draft.draw.choice(("open", "close", "open", "close", "lock", "unlock"))
    elif kind < 0.85:
        thing = draft.thing(draft.setting.devices)
        verb = draft.draw.choice(("turn on", "turn off"))
    else:
        label = draft.label() if draft.draw.random() < 0.5 else ""
        colour = () if label else (draft.draw.choice(worlds().colours),)
        thing, verb = Thing("button", colour, label=label), "press"
        draft.used.add("button")
    if draft.draw.random() < 0.4:
        room = draft.thing(draft.setting.rooms)
        draft.go(room)
    if draft.draw.random() < 0.5:
        draft.do("go", place=thing, essential=False)
    draft.do(verb, thing)
    draft.want(verb, thing)


def _tidy(draft: Draft) -> None:
    if draft.draw.random() < 0.5:
        thing, verb = draft.thing(draft.setting.cleanable), "wipe"
    else:
        thing, verb = draft.thing(draft.setting.floors), draft.draw.choice(("vacuum", "mop"))
    draft.go(thing)
    tool = None
    if verb == "wipe" and draft.draw.random() < 0.6:
        tool = Thing(draft.draw.choice(("cloth", "sponge", "towel")))
    draft.do(verb, thing, tool=tool)
    draft.want(verb, thing)


def _person(draft: Draft) -> None:
    person = draft.thing(draft.setting.people)
    place = draft.thing(draft.setting.rooms)
    verb = draft.draw.choice(("guide", "guide", "follow"))
    if draft.draw.random() < 0.6:
        draft.do("find", person, essential=False)
    draft.do(verb, person, place=place)
    draft.want(verb, person, place=place)


def _arm(draft: Draft) -> None:
    kind = draft.draw.random()
    if kind < 0.5:
        thing = Thing(draft.draw.choice(("arm", "camera", "gripper", "fork", "torso", "platform", "lift")))
        verb = draft.draw.choice(("raise", "lower"))
        amount = Quantity(draft.draw.choice((2, 3, 5, 8, 10, 12, 15, 20, 25, 30, 40, 50)), "cm")
        draft.do(verb, thing, amount=amount)
        draft.want(verb, thing, amount=amount)
    elif kind < 0.8:
        thing = draft.portable()
        side = draft.draw.choice(("left", "right"))
        draft.do("find", thing, essential=False)
        draft.do("push", thing, side=side)
        draft.want("push", thing, side=side)
    else:
        thing = Thing("gripper")
        verb = draft.draw.choice(("open", "close"))
        draft.do(verb, thing)
        draft.want(verb, thing)


def _assemble(draft: Draft) -> None:
    verb = draft.draw.choice(("attach", "detach", "scan"))
    thing = draft.portable()
    if verb == "scan":
        place = draft.spot()
        draft.go(place)
        draft.do("scan", thing)
        draft.want("scan", thing)
        return
    other = draft.portable()
    draft.do("find", thing, essential=False)
    if verb == "attach":
        draft.do("pick", thing)
    draft.do(verb, thing, place=other)
    draft.want(verb, thing, place=other)


def _pour(draft: Draft) -> None:
    kind = draft.draw.random()
    if kind < 0.3 and draft.setting.plants:
        plant = draft.thing(draft.setting.plants)
        draft.go(plant)
        draft.do("water", plant)
        draft.want("water", plant)
        return
    vessel = draft.thing(draft.setting.vessels)
    draft.do("pick", vessel, essential=False)
    if kind < 0.6:
        drink = draft.thing(draft.setting.drinks)
        draft.do("pour", drink, place=vessel)
        draft.want("pour", drink, place=vessel)
        return
    verb = draft.draw.choice(("fill", "empty"))
    draft.do(verb, vessel)
    draft.want(verb, vessel)


def _find(draft: Draft) -> None:
    thing, place = draft.portable(), draft.spot()
    for _ in range(draft.draw.choice((0, 1, 2))):
        other = draft.spot()
        draft.go(other)
        draft.do("search", place=other, essential=False)
    draft.go(place)
    draft.do("find", thing, place=place)
    draft.want("find", thing, place=place if draft.draw.random() < 0.5 else None)


def _search(draft: Draft) -> None:
    """To look for something is done when it has been looked for."""
    thing = draft.portable()
    for _ in range(draft.draw.choice((1, 1, 2, 3))):
        place = draft.spot()
        draft.visit(place)
        draft.do("search", thing, place=place)
        draft.want("search", thing, place=place)


def _wait(draft: Draft) -> None:
    place = draft.thing((*draft.setting.rooms, *draft.setting.inspect))
    amount = Quantity(draft.draw.choice((5, 10, 15, 20, 30, 45)), "s")
    if draft.draw.random() < 0.3:
        amount = Quantity(draft.draw.choice((1, 2, 3, 5, 10)), "min")
    draft.go(place, essential=True)
    draft.do("wait", amount=amount)
    draft.want("go", place=place)
    draft.want("wait", amount=amount)


def _forbidden(draft: Draft) -> None:
    """Something is not to be done, and is not done."""
    kind = draft.draw.random()
    if kind < 0.35:
        thing = draft.portable()
        draft.do("find", thing, essential=False)
        draft.do("inspect", thing)
        if draft.draw.random() < 0.6:
            draft.do("leave untouched", thing, essential=False)
        draft.want("inspect", thing)
        draft.want("pick", thing, negated=True)
    elif kind < 0.65:
        room = draft.thing(draft.setting.rooms)
        door = Thing(f"door of the {Thing(room.name, label=room.label).words}")
        draft.do("go", place=door)
        draft.do("avoid", place=room, essential=False)
        draft.want("go", place=door)
        draft.want("enter", place=room, negated=True)
    else:
        thing, other = draft.thing(draft.setting.devices), draft.thing(draft.setting.devices)
        verb = draft.draw.choice(("turn on", "turn off"))
        draft.do(verb, thing)
        if draft.draw.random() < 0.6:
            draft.do("leave untouched", other, essential=False)
        draft.want(verb, thing)
        draft.want(verb, other, negated=True)


KINDS: dict[str, tuple[float, Callable[[Draft], None]]] = {
    "deliver": (4, _deliver),
    "collect": (2.5, _collect),
    "count": (1.5, _count),
    "arrange": (1.5, _arrange),
    "go": (2, _go),
    "tour": (1.5, _tour),
    "motion": (2, _motion),
    "inspect": (2, _inspect),
    "photograph": (1, _photograph),
    "measure": (1, _measure),
    "dock": (1.2, _dock),
    "operate": (2.5, _operate),
    "tidy": (1, _tidy),
    "person": (1, _person),
    "arm": (1, _arm),
    "assemble": (1, _assemble),
    "pour": (1, _pour),
    "find": (1, _find),
    "search": (1, _search),
    "wait": (0.7, _wait),
    "forbidden": (1, _forbidden),
}
"""Each kind of task with how often it is drawn."""

_COMPOSED = 0.2
_ALONE = frozenset(["forbidden", "tour", "count", "motion"])
_ALWAYS_ORDERED = frozenset(["motion", "dock", "measure", "wait"])


def make_task(seed: int, number: int) -> Task:
    """The task of a number; the same on every machine."""
    draw = seeded(seed, "world", number)
    name = draw.choice(sorted(worlds().settings))
    composed = draw.random() < _COMPOSED
    kinds = draw.choices(list(KINDS), [weight for weight, _ in KINDS.values()], k=2 if composed else 1)
    if composed and (_ALONE & set(kinds) or kinds[0] == kinds[1]):
        kinds = kinds[:1]
    draft = Draft(worlds().settings[name], draw)
    for kind in kinds:
        try:
            KINDS[kind][1](draft)
        except LookupError:  # the setting has no more of what this kind needs
            return make_task(seed + 1_000_003, number)
    ordered = len(draft.goal) > 1 and not any(act.negated for act in draft.goal)
    if len(kinds) == 1 and kinds[0] not in _ALWAYS_ORDERED:
        ordered = ordered and kinds[0] == "tour" and draw.random() < 0.6
    elif len(kinds) == 2:
        ordered = ordered and (draw.random() < 0.6 or bool(_ALWAYS_ORDERED & set(kinds)))
    return Task(
        source="synthetic",
        id=f"synthetic {seed} {number}",
        group=f"synthetic {seed} {number}",
        kind=" + ".join(kinds),
        setting=name,
        acts=tuple(draft.acts),
        goal=tuple(draft.goal),
        ordered=ordered,
    )


def make_tasks(seed: int) -> Iterator[Task]:
    """Tasks without end."""
    number = 0
    while True:
        yield make_task(seed, number)
        number += 1
