"""Recorded plans as neutral tasks: ALFRED's symbolic plans, household programs, robot skill sentences.

What the records lack is filled in from what came before: an object is taken from where the robot last went; it is
heated where the robot stands; after it was cut, what is picked up is a part of it; an empty ``CleanObject()`` means
what is held.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from training.naming import USER
from training.plan import Act, Task, Thing

ALFRED_FILE = "alfred_train.jsonl"
VIRTUALHOME_FILE = "virtualhome_plans.jsonl"
SAYCAN_FILE = "saycan_plans.jsonl"

_COMPOUNDS = """
    alarm clock|arm chair|baseball bat|bathtub basin|butter knife|cell phone|coffee machine|coffee table|counter top
    |credit card|desk lamp|dining table|dish sponge|floor lamp|garbage can|glass bottle|hand towel|hand towel holder
    |key chain|news paper|pepper shaker|remote control|salt shaker|side table|sink basin|soap bar|soap bottle
    |spray bottle|stove burner|teddy bear|tennis racket|tissue box|toilet paper|toilet paper hanger|watering can
    |wine bottle
"""
_WORDS = {name.replace(" ", ""): name for name in (" ".join(part.split()) for part in _COMPOUNDS.split("|"))}
_PLAIN = {
    "arm chair": "armchair",
    "counter top": "countertop",
    "key chain": "keychain",
    "news paper": "newspaper",
    "sink basin": "sink",
    "bathtub basin": "bathtub",
    "stove burner": "stove",
    "garbage can": "garbage can",
}
_FURNITURE_NAMES = """
    armchair|bathtub|bed|cabinet|cart|coffee machine|coffee table|countertop|desk|dining table|drawer|dresser|fridge
    |garbage can|hand towel holder|microwave|ottoman|safe|shelf|side table|sink|sofa|stove|toilet|toilet paper hanger
"""
_FURNITURE = frozenset(part.strip() for part in _FURNITURE_NAMES.split("|"))
_PLAN_STEP = re.compile(r"(\w+)\(([^)]*)\)")
_STATES = {"HeatObject": "heat", "CoolObject": "cool", "CleanObject": "clean"}


def thing_of(identifier: str) -> Thing:
    """An object of ALFRED by its identifier.

    >>> thing_of("SinkBasin").name, thing_of("SinkBasin").alias, thing_of("alarmclock").name
    ('sink', 'sink basin', 'alarm clock')
    """
    name = _WORDS.get(identifier.lower(), identifier.lower())
    plain = _PLAIN.get(name, name)
    return Thing(plain, alias=name if name != plain and plain in ("sink", "bathtub", "stove") else "")


def read_alfred(path: Path) -> Iterator[Task]:
    """The tasks of an ALFRED file, one for each person's wording; rows without a plan are left out."""
    for row in _rows(path):
        if not row.get("plan"):
            continue
        acts = alfred_acts(row["plan"])
        kind = row["task_type"]
        goal = _alfred_goal(row, acts)
        if not goal or not any(act.essential for act in acts):
            continue
        steps = tuple(" ".join(step.split()) for step in row["actions"])
        yield Task(
            source="alfred",
            id=row["id"],
            group=row["trial"],
            kind=kind,
            setting=kind,
            acts=acts,
            goal=goal,
            commands=(" ".join(row["command"].split()),),
            steps=steps if len(steps) == len(acts) else (),
        )


def alfred_acts(plan: Sequence[str]) -> tuple[Act, ...]:
    """The acts of a symbolic plan.

    >>> [act.verb for act in alfred_acts(["PickupObject(mug)", "GotoLocation(sinkbasin)", "CleanObject()"])]
    ['pick', 'go', 'clean']
    """
    acts: list[Act] = []
    where: Thing | None = None
    held: Thing | None = None
    cut: set[str] = set()
    placed: dict[str, int] = {}
    tools = _tools(plan)
    for step in plan:
        match = _PLAN_STEP.fullmatch(step.strip())
        if not match:
            continue
        what, arguments = match[1], [part.strip() for part in match[2].split(",") if part.strip()]
        thing = thing_of(arguments[0]) if arguments else None
        if thing and thing.name in cut and what != "GotoLocation":
            thing = Thing(thing.name, ("sliced",))
        if what == "GotoLocation" and thing:
            where = thing
            acts.append(Act("go", place=thing))
        elif what == "PickupObject" and thing:
            thing = _instance(thing, placed)
            source = where if where and where.name in _FURNITURE else None
            acts.append(Act("pick", thing=thing, source=source, essential=thing.name not in tools))
            held = thing
        elif what == "PutObject" and len(arguments) > 1:
            thing = held if held and thing and held.name == thing.name else thing
            assert thing is not None
            acts.append(Act("place", thing=thing, place=thing_of(arguments[1]), essential=thing.name not in tools))
            placed[thing.name] = placed.get(thing.name, 0) + 1
            held = None
        elif what == "SliceObject" and thing:
            acts.append(Act("slice", thing=thing, tool=held, essential=True))
            cut.add(thing.name)
        elif what == "ToggleObject" and thing:
            acts.append(Act("turn on", thing=thing, essential=True))
        elif what in _STATES and (held or thing):
            at = where if where and where.name in _FURNITURE else None
            acts.append(Act(_STATES[what], thing=held or thing, place=at, essential=True))
    return tuple(acts)


def _tools(plan: Sequence[str]) -> frozenset[str]:
    """Knives, where something is cut: they are fetched and put away, and no goal."""
    return frozenset(["knife", "butter knife"]) if any(step.startswith("Slice") for step in plan) else frozenset()


def _instance(thing: Thing, placed: dict[str, int]) -> Thing:
    return Thing(thing.name, thing.attributes, alias=thing.alias, instance=placed.get(thing.name, 0))


def _alfred_goal(row: dict[str, Any], acts: tuple[Act, ...]) -> tuple[Act, ...]:
    kind = row["task_type"]
    thing = thing_of(row["object"])
    if kind == "look_at_obj_in_light":
        lamps = [act.thing for act in acts if act.verb == "turn on"]
        return (Act("look with", thing=thing, place=lamps[-1]),) if lamps else ()
    places = [act for act in acts if act.verb == "place" and act.essential]
    if not row.get("receptacle") or not places:
        return ()
    target = thing_of(row["receptacle"])
    goal = [Act("slice", thing=thing)] if any(act.verb == "slice" for act in acts) else []
    goal += [Act(act.verb, thing=thing) for act in acts if act.verb in _STATES.values()][:1]
    if kind == "pick_and_place_with_movable_recep":
        # The carrier may be moved before or after the object is put on it.
        carriers = [act.place for act in places if act.thing and act.thing.name == thing.name and act.place != target]
        carrier = carriers[-1] if carriers else None
        if carrier is None:
            return ()
        goal += [Act("place", thing=thing, place=carrier), Act("place", thing=carrier, place=target)]
    elif kind == "pick_two_obj_and_place":
        goal = [Act("place", thing=Thing(thing.name, ("sliced",) if goal else (), count=2), place=target)]
    else:
        goal.append(Act("place", thing=thing, place=target))
    return tuple(goal)


# --- household programs

_VIRTUALHOME_VERBS = {
    "walk to": "go",
    "run to": "go",
    "find": "find",
    "grab": "pick",
    "open": "open",
    "close": "close",
    "switch on": "turn on",
    "switch off": "turn off",
    "wash": "clean",
    "rinse": "clean",
    "wipe": "wipe",
    "read": "read",
    "push": "push",
    "pull": "pull",
    "cut": "slice",
}
_TWO_WORD_VERBS = """
    put back|put on|take off|turn to|look at|sit on|lie on|plug in|plug out|type on|point at|stand up|wake up|walk to
    |run to|switch on|switch off|sit in|lie in
"""
_TWO_WORDS = tuple(part.strip() for part in _TWO_WORD_VERBS.split("|"))
_PUT = re.compile(r"(put|pour) (?!back |on |off )(.+?) (on|in|into) (.+)")
_NOT_ESSENTIAL = frozenset(["go", "find", "turn to", "look at", "touch", "point at"])


def read_virtualhome(path: Path) -> Iterator[Task]:
    """Household programs: crowd-written sentences, whose commands say less than the steps."""
    for row in _rows(path):
        acts = tuple(virtualhome_act(step) for step in row["actions"])
        command = " ".join(row["command"].split())
        yield Task(
            source="virtualhome",
            id=str(row["id"]),
            group=f"virtualhome {command.lower()}",
            kind=command.lower(),
            acts=acts,
            commands=(command,),
            steps=tuple(row["actions"]),
        )


def virtualhome_act(step: str) -> Act:
    """The act of one sentence.

    >>> act = virtualhome_act("Put plate on dishwasher")
    >>> act.verb, act.thing.name, act.place.name, act.relation
    ('place', 'plate', 'dishwasher', 'on')
    """
    text = step.lower().strip()
    if match := _PUT.fullmatch(text):
        verb = "place" if match[1] == "put" else "pour"
        relation = match[3] if verb == "place" else ""
        return Act(verb, thing=_plain(match[2]), place=_plain(match[4]), relation=relation, essential=True)
    head = next((two for two in _TWO_WORDS if text == two or text.startswith(two + " ")), text.split()[0])
    rest = text[len(head) :].strip()
    verb = _VIRTUALHOME_VERBS.get(head, head)
    thing = _plain(rest) if rest else None
    essential = verb not in _NOT_ESSENTIAL
    return Act(verb, place=thing) if verb == "go" else Act(verb, thing=thing, essential=essential)


def _plain(words: str) -> Thing:
    """The thing without the doubled words of the program's classes: "food food", "clothes pants"."""
    parts = words.split()
    if len(parts) == 2 and (parts[0] in ("clothes", "food") or parts[0] == parts[1]):
        parts = parts[1:]
    return Thing(" ".join(parts))


# --- robot skills


def read_saycan(path: Path) -> Iterator[Task]:
    """Plans of robot skills, with commands as people give them."""
    for row in _rows(path):
        acts = tuple(saycan_acts(row["actions"]))
        if len(acts) != len(row["actions"]) or not any(act.essential or act.verb == "go" for act in acts):
            continue
        if not any(act.essential for act in acts):
            acts = tuple(Act(act.verb, place=act.place, essential=True) for act in acts)
        yield Task(
            source="saycan",
            id=str(row["id"]),
            group=f"saycan {row['command'].lower().removeprefix('how would you ').strip(' .?')}",
            kind="saycan",
            acts=acts,
            commands=(_asked(row["command"]),),
            steps=tuple(row["actions"]),
        )


def _asked(command: str) -> str:
    """ "How would you lift the can?" asks for a plan; on a robot it would be "lift the can"."""
    command = " ".join(command.split())
    if command.lower().startswith("how would you "):
        command = command[len("how would you ") :].rstrip("?")
        command = command[:1].upper() + command[1:] + "."
    return command


_SKILLS = ("pick up", "put down", "go to", "find", "open", "close")
_ARTICLE = re.compile(r"^(?:the|an|a) ")


def saycan_acts(steps: Iterable[str]) -> Iterator[Act]:
    """The acts of the skills; steps that are no skill are left out."""
    where: Thing | None = None
    held: Thing | None = None
    for step in steps:
        if step == "bring it to you":
            yield Act("bring", thing=held, place=Thing(USER), essential=True)
            where = Thing(USER)
            continue
        skill = next((skill for skill in _SKILLS if step.startswith(skill + " ")), None)
        if skill is None:
            continue
        thing = Thing(_ARTICLE.sub("", step[len(skill) + 1 :]))
        if skill == "go to":
            where = thing
            yield Act("go", place=thing)
        elif skill == "pick up":
            held = thing
            yield Act("pick", thing=thing, essential=True)
        elif skill == "put down":
            at = where if where and where.name != USER else None
            # What was brought has arrived, whether or not it is put down.
            yield Act("place", thing=thing, place=at, essential=where is None or where.name != USER)
        else:
            yield Act(skill, thing=thing, essential=skill != "find")


READERS: dict[str, tuple[str, Callable[[Path], Iterator[Task]]]] = {
    "alfred": (ALFRED_FILE, read_alfred),
    "virtualhome": (VIRTUALHOME_FILE, read_virtualhome),
    "saycan": (SAYCAN_FILE, read_saycan),
}
"""By source: the file in the data folder, and its reader."""


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                row: dict[str, Any] = json.loads(line)
                if row.get("outcome", "success") == "success" and row.get("command") and row.get("actions"):
                    yield row
