"""What can be put into the slots of a phrase."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from training.naming import preposition, quantity
from training.plan import Act, Thing


def slots_in(act: Act, say: Callable[[Thing], str], seed: int) -> dict[str, str]:
    """The slots of an act, its things said as ``say`` says them."""
    return filled(act, {name: say(thing) for name, thing in things_in(act)}, seed)


def things_in(act: Act) -> list[tuple[str, Thing]]:
    """The things of an act, by their slots."""
    named = (("thing", act.thing), ("place", act.place), ("source", act.source), ("tool", act.tool))
    return [(name, thing) for name, thing in named if thing]


def filled(act: Act, said: Mapping[str, str], seed: int, *, words: bool = False) -> dict[str, str]:
    """The slots of an act whose things are said already; ``words``: the amount in words, as people may write it."""
    slots = dict(said)
    if act.place:
        slots["at"] = f"{preposition(act)} {slots['place']}"
    if act.side:
        slots["side"] = act.side
    if act.amount:
        slots["amount"] = quantity(act.amount, seed, words=words)
    return slots
