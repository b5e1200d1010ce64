"""How good a plan is, by ALFRED's symbolic plan and by no model: right objects, right places, right order.

Plans have one sentence for each kind of act, so that writing and reading them are inverse: what a policy wrote is an
act or it is not one. Ways and the knives that things are cut with count neither way: where a thing lies is not in a
command.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from training.naming import preposition
from training.plan import Act, Thing

_KNIVES = ("knife", "butter knife")
_AT_PLACE = ("heat", "cool", "clean")
_PLAIN = {"pick up": "pick", "slice": "slice", "turn on": "turn on"}
_GO = re.compile(r"go to the (?P<place>[a-z ]+)")
_PUT = re.compile(r"put the (?P<thing>[a-z ]+?) (?P<relation>in|on) the (?P<place>[a-z ]+)")
_STATE = re.compile(r"(?P<verb>heat|cool|clean) the (?P<thing>[a-z ]+?)(?: at the (?P<place>[a-z ]+))?")
_OTHER = re.compile(r"(?P<phrase>pick up|slice|turn on) the (?P<thing>[a-z ]+)")
_SLICED = "sliced "


@dataclass(frozen=True)
class Item:
    """An act as far as it counts.

    Attributes:
        verb: empty for a line that is no act.
        thing, place: names; empty where there is none.
    """

    verb: str
    thing: str = ""
    place: str = ""


@dataclass(frozen=True)
class Quality:
    """How good a plan is.

    Attributes:
        score: in [0, 1]: twice the agreement over the items of both plans, as an F1; see :func:`quality`.
        exact: every item is right, and in its place.
    """

    score: float
    exact: bool


# --- writing


def sentence(act: Act) -> str:
    """An act as plans have it.

    >>> sentence(Act("place", thing=Thing("mug"), place=Thing("sink")))
    'put the mug in the sink'
    """
    thing = act.thing.words if act.thing else ""
    place = act.place.words if act.place else ""
    if act.verb == "go":
        return f"go to the {place}"
    if act.verb == "place":
        return f"put the {thing} {preposition(act)} the {place}"
    if act.verb in _AT_PLACE:
        return f"{act.verb} the {thing}" + (f" at the {place}" if place else "")
    return f"{next(phrase for phrase, verb in _PLAIN.items() if verb == act.verb)} the {thing}"


def written(acts: Sequence[Act]) -> str:
    """A plan, one sentence a line."""
    return "\n".join(map(sentence, acts))


# --- reading


def parse(line: str) -> Act | None:
    """The act that a line of a plan is; None where it is none, to the letter.

    >>> parse("put the mug in the sink").place.name
    'sink'
    >>> parse("put the mug") is None
    True
    """
    if match := _GO.fullmatch(line):
        return Act("go", place=Thing(match["place"]))
    if match := _PUT.fullmatch(line):
        act = Act("place", thing=_thing(match["thing"]), place=Thing(match["place"]))
        return act if preposition(act) == match["relation"] else None
    if match := _STATE.fullmatch(line):
        return Act(match["verb"], thing=_thing(match["thing"]), place=Thing(match["place"]) if match["place"] else None)
    if match := _OTHER.fullmatch(line):
        return Act(_PLAIN[match["phrase"]], thing=_thing(match["thing"]))
    return None


def _thing(words: str) -> Thing:
    return Thing(words.removeprefix(_SLICED), ("sliced",) if words.startswith(_SLICED) else ())


def parsed(text: str) -> list[Act | None]:
    """The acts of a plan's lines, empty ones left out."""
    return [parse(line.strip()) for line in text.splitlines() if line.strip()]


# --- comparing


def items(acts: Sequence[Act | None]) -> list[Item]:
    """What counts of a plan: no ways and, where something is cut, no knives."""
    cuts = any(act and act.verb == "slice" for act in acts)
    found = []
    for act in acts:
        if act is None:
            found.append(Item(""))
            continue
        thing = act.thing.name if act.thing else ""
        if act.verb == "go" or (cuts and thing in _KNIVES and act.verb in ("pick", "place")):
            continue
        # Where something is heated follows from the verb; where it is put does not.
        found.append(Item(act.verb, thing, act.place.name if act.place and act.verb == "place" else ""))
    return found


def agreement(one: Item, other: Item) -> float:
    """In [0, 1]: the share of thing and place that are the same, of acts with the same verb."""
    if one.verb != other.verb or not one.verb:
        return 0.0
    same = [one.thing == other.thing]
    if one.place or other.place:
        same.append(one.place == other.place)
    return sum(same) / len(same)


def quality(text: str, truth: Sequence[Act]) -> Quality:
    """How good a plan is: the best agreement of both plans' items in their order, as an F1.

    Args:
        text: the plan, one act a line; a line that is no act is a wrong act.
        truth: the symbolic plan, from :func:`training.readers.alfred_acts`.
    """
    own, wanted = items(parsed(text)), items(truth)
    best = [0.0] * (len(wanted) + 1)  # of own[:i] and wanted[:j], as a longest common subsequence
    for one in own:
        before, best = best, [0.0]
        for j, other in enumerate(wanted):
            best.append(max(before[j + 1], best[j], before[j] + agreement(one, other)))
    total = len(own) + len(wanted)
    return Quality(2 * best[-1] / total if total else 1.0, own == wanted)
