"""Errands, acted: a command, a run that fulfils it in the simulated world, and runs that do not."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from flip_edge_demo.episodes import PlannedAction
from flip_edge_demo.goals import Goal
from flip_edge_demo.robot import ActionReport

from training.dressing import SLIPS
from training.plan import Act, Result, Task, seeded
from training.roomworld.layout import Layout
from training.roomworld.robot import Arrangement, RoomRobot
from training.roomworld.wishes import CAPACITY, ORDERED, Manner, Planner, Wish, arranged, wanted

TASKS_IN_A_BUILDING = 20
"""To build one and its roadmaps takes as long as some errands."""

_LONGEST_ACTS = 24
_FAILURES = 3
_UNRELIABLE = 0.3
_BY_CHANCE = "Simulated "  # how the simulator's messages begin when it only played dice
_VERBS = {"navigate": "go", "pick": "pick", "place": "place", "open": "open", "close": "close", "detect": "find"}
# The demo's words for what the simulator says, and what other robots would say.
_REASONS = {
    "no free place was found": ("no free place", "no free place was found", "no space left", "target occupied"),
    "no path was found": ("no path found", "no path was found", "the way is blocked", "planner found no route"),
    "it does not fit the gripper": ("no grasp found", "it does not fit the gripper", "no valid grasp"),
    "it is locked": ("it is locked", "locked", "lock does not open"),
    "it is closed": ("it is closed", "closed", "container not open"),
    "it was not found": ("it was not found", "object not found", "no match"),
    "it is not there": ("it is not there", "object not found", "not at this place"),
    "the gripper is full": ("the gripper is full", "gripper occupied"),
    "the gripper is empty": ("the gripper is empty", "nothing in gripper"),
    "the robot is not there": ("the robot is not there", "not in reach"),
}
_CHANCE_REASONS = {
    "navigate": ("the way is blocked", "timeout", "localization lost", "motion planning failed"),
    "pick": SLIPS,
    "place": ("out of reach", "motion planning failed", "timeout", "collision detected"),
    "open": ("handle not grasped", "timeout", "out of reach", "it does not move"),
    "close": ("handle not grasped", "timeout", "out of reach", "it does not move"),
}


@dataclass(frozen=True)
class Run:
    """What was done, and whether the command was fulfilled, both as the world has it.

    Attributes:
        acts: all that was done or tried; None where there are no words for something that happened.
        reached: whether the wishes hold in the world at the end.
    """

    acts: tuple[Act, ...] | None
    reached: bool


def make_tasks(seed: int) -> Iterator[Task]:
    """Errands without end, some in each building."""
    number = 0
    while True:
        layout = Layout.drawn(seeded(seed, "roomworld building", number))
        robot = RoomRobot(layout)
        for _ in range(TASKS_IN_A_BUILDING):
            task = _task(robot, layout, seed, number)
            if task:
                yield task
            number += 1


def _task(robot: RoomRobot, layout: Layout, seed: int, number: int) -> Task | None:
    draw = seeded(seed, "roomworld", number)
    at = arranged(layout, draw)
    kind, wishes = wanted(layout, at, draw)
    if not wishes:
        return None
    manner = Manner.drawn(draw)
    told = seeded(seed, "roomworld words", number).randrange(2**31)
    planner = Planner(layout, at, manner, draw)
    plan = planner.plan(wishes)
    if not robot.arrange(at) or _holds(robot, wishes):
        return None
    run = carry_out(robot, layout, plan, wishes, wishes, manner.tries, told)
    if not run.reached or not run.acts or len(run.acts) > _LONGEST_ACTS:
        return None
    failures = []
    for failure, at_then, done, plan_then in _mistakes(layout, at, wishes, plan, planner, draw):
        if not robot.arrange(at_then):
            continue
        wrong = carry_out(robot, layout, plan_then, done, wishes, manner.tries, told)
        acts = wrong.acts
        if not wrong.reached and acts and len(acts) <= _LONGEST_ACTS and acts != run.acts:
            failures.append((failure, acts))
        if len(failures) == _FAILURES:
            break
    return Task(
        source="roomworld",
        id=f"roomworld {layout.setting} {seed} {number}",
        group=f"roomworld {layout.setting} {seed} {number}",
        kind=kind,
        setting=layout.setting,
        acts=run.acts,
        goal=tuple(wish.act(layout) for wish in wishes),
        ordered=kind in ORDERED,
        failures=tuple(failures),
    )


def carry_out(
    robot: RoomRobot,
    layout: Layout,
    plan: Sequence[PlannedAction],
    done: Sequence[Wish],
    wishes: Sequence[Wish],
    tries: int,
    seed: int,
) -> Run:
    """Execute a plan in the building as it has been arranged, until it ends or something fails for good.

    Args:
        robot: in its arranged building.
        layout: the building.
        plan: what to execute.
        done: the wishes that the plan is for; the acts that fulfil them are marked.
        wishes: the command. Where to go on the way must have been reached in its order, all else holds at the end.
        tries: how often an action is tried that failed by chance.
        seed: for the words in which failures are explained.
    """
    stops = [wish for wish in wishes[:-1] if wish.verb == "go"]
    passed = 0
    reports: list[ActionReport] = []
    for action in plan:
        for _ in range(tries):
            reports.append(robot.execute(action))
            if passed < len(stops) and _holds(robot, stops[passed : passed + 1]):
                passed += 1
            if reports[-1].succeeded or not reports[-1].simulator_message.startswith(_BY_CHANCE):
                break
        if not reports[-1].succeeded and action.type != "detect":
            break
    reached = passed == len(stops) and _holds(robot, [wish for wish in wishes if wish not in stops])
    return Run(_told(reports, done, layout, seed), reached)


def _holds(robot: RoomRobot, wishes: Sequence[Wish]) -> bool:
    return robot.reached(Goal(tuple(wish.condition for wish in wishes)))


# --- what goes wrong


def _mistakes(
    layout: Layout,
    at: Arrangement,
    wishes: Sequence[Wish],
    plan: Sequence[PlannedAction],
    planner: Planner,
    draw: random.Random,
) -> Iterator[tuple[str, Arrangement, Sequence[Wish], Sequence[PlannedAction]]]:
    """Ways to fail, in a random order: the kind, the building then, what the robot is after, and its plan for that."""
    kinds = ["wrong_object", "wrong_place", "partial", "other_task", "action_failed", "action_failed"]
    draw.shuffle(kinds)
    for kind in kinds:
        if kind == "partial" and len(plan) > 1:
            yield kind, at, wishes, plan[: draw.randint(1, len(plan) - 1)]
        elif kind == "action_failed":
            # The robot believes the building to be as it was, and it is not.
            yield kind, draw.choice(_mishaps(layout, at, plan, draw)), wishes, plan
        elif kind != "partial":
            other = _other_wishes(kind, layout, at, wishes, draw)
            if other and other != list(wishes):
                yield kind, at, other, planner.plan(other)


def _other_wishes(
    kind: str, layout: Layout, at: Arrangement, wishes: Sequence[Wish], draw: random.Random
) -> list[Wish]:
    """What the robot is after instead; empty where there is nothing else."""
    if kind == "other_task":
        return wanted(layout, at, draw)[1]
    slot = "thing" if kind == "wrong_object" else "place"
    named = [getattr(wish, slot) for wish in wishes if getattr(wish, slot)]
    if not named:
        return []
    name = draw.choice(named)
    others = [other for other in _like(slot, name, layout, at, draw) if other not in named]
    if not others:
        return []
    chosen = draw.choice(others)
    return [replace(wish, source="", **{slot: chosen}) if getattr(wish, slot) == name else wish for wish in wishes]


def _like(slot: str, name: str, layout: Layout, at: Arrangement, draw: random.Random) -> list[str]:
    """What could be taken for it: a thing that lies beside it or has its name, a room for a room, a door for a door."""
    if name in layout.things:
        near = [thing for thing in layout.things if at.objects[thing] == at.objects[name] and thing != name]
        near += [thing for thing in layout.things if layout.words[thing].name == layout.words[name].name]
        near = [thing for thing in near if thing != name]
        return near if near and draw.random() < 0.6 else list(layout.things)
    if slot == "thing":  # to be opened or closed
        return [other for other in layout.openable if (other in at.open) == (name in at.open)]
    if name in layout.kinds:
        return list(layout.kinds)
    return list(layout.doors.values()) if name in layout.doors.values() else list(layout.rooms)


def _mishaps(layout: Layout, at: Arrangement, plan: Sequence[PlannedAction], draw: random.Random) -> list[Arrangement]:
    """The building with something about it that the plan does not reckon with."""
    failing = draw.choice(sorted({action.type for action in plan} - {"detect"}))
    result = [replace(at, reliability={**at.reliability, failing: _UNRELIABLE})]
    opened = {action.target for action in plan if action.type == "open" and action.target}
    entered = {layout.room_of(action.target) for action in plan if action.type == "navigate" and action.target}
    closed = {layout.doors[room] for room in entered if room} & at.open
    closed |= {
        action.target for action in plan if action.type == "place" and action.target in layout.closable
    } & at.open
    result += [replace(at, locked=at.locked | {name}) for name in sorted(opened)]
    result += [replace(at, open=at.open - {name}) for name in sorted(closed)]
    for action in plan:
        if action.type == "place" and action.target:
            result.append(replace(at, full=at.full | {action.target}))
        if action.type == "pick" and action.object:
            result.append(replace(at, gripper_m=0.02))
            lying = list(at.objects.values())
            elsewhere = [name for name, kind in layout.kinds.items() if lying.count(name) < CAPACITY[kind]]
            elsewhere = [name for name in elsewhere if name != at.objects[action.object]]
            if elsewhere:
                moved = {**at.objects, action.object: draw.choice(elsewhere)}
                result.append(replace(at, objects=moved))
    return result


# --- what is said of it


def _told(reports: Sequence[ActionReport], done: Sequence[Wish], layout: Layout, seed: int) -> tuple[Act, ...] | None:
    """What happened, with what fulfils the wishes marked; None where it cannot be said.

    The simulator also calls it a success when a door that is to be opened stands open already.
    """
    acts = []
    for number, report in enumerate(reports):
        what = report.result
        if what.action not in _VERBS:
            return None
        thing, place, source = (
            layout.words[name] if name else None for name in (what.object, what.target, what.source)
        )
        if what.action in ("open", "close"):
            thing, place = place, None
        reason = ""
        if not report.succeeded:
            chance = report.simulator_message.startswith(_BY_CHANCE)
            reasons = _CHANCE_REASONS.get(what.action) if chance else _REASONS.get(what.message)
            if not reasons:
                return None
            draw = seeded(seed, "reason", number)
            reason = draw.choice(reasons) if draw.random() < 0.7 else ""
        result = Result.DONE if report.succeeded else Result.FAILED
        acts.append(Act(_VERBS[what.action], thing, place, source, result=result, reason=reason))
    return _marked(acts, done, layout)


def _marked(acts: Sequence[Act], wishes: Sequence[Wish], layout: Layout) -> tuple[Act, ...]:
    """The acts that fulfil the wishes marked as essential, with the picking up of what is put down."""
    result = list(acts)
    for wish in wishes:
        goal = wish.act(layout)
        verb = "place" if wish.verb == "bring" else wish.verb
        for index in reversed(range(len(result))):
            act = result[index]
            if act.result is Result.DONE and (act.verb, act.thing, act.place) == (verb, goal.thing, goal.place):
                result[index] = replace(act, essential=True)
                break
    placed = {act.thing for act in result if act.verb == "place" and act.essential}
    return tuple(
        replace(act, essential=True)
        if act.verb == "pick" and act.thing in placed and act.result is Result.DONE
        else act
        for act in result
    )
