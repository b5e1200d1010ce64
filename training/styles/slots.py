"""What can be put into the slots of a phrase."""

from __future__ import annotations

from collections.abc import Callable

from training.naming import preposition, quantity
from training.plan import Act, Thing


def slots_in(act: Act, say: Callable[[Thing], str], seed: int) -> dict[str, str]:
    """The slots of an act, its things said as ``say`` says them."""
    slots = {
        name: say(thing)
        for name, thing in (("thing", act.thing), ("place", act.place), ("source", act.source), ("tool", act.tool))
        if thing
    }
    if act.place:
        slots["at"] = f"{preposition(act)} {slots['place']}"
    if act.side:
        slots["side"] = act.side
    if act.amount:
        slots["amount"] = quantity(act.amount, seed)
    return slots
