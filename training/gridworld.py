"""Missions that a robot really carries out: MiniGrid's BabyAI levels, done by their expert bot and narrated here.

The environment says whether a mission is fulfilled. A wrong run is one of which it says that it is not: the bot was
stopped on its way, did another mission in the same world, or stumbled.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from flip_edge.errors import FlipEdgeError
from training.plan import Act, Quantity, Task, Thing, seeded

LEVELS = (
    "BabyAI-GoToLocal-v0",
    "BabyAI-GoToObjMazeS4R2-v0",
    "BabyAI-GoToSeqS5R2-v0",
    "BabyAI-GoToObjDoor-v0",
    "BabyAI-OpenDoorColor-v0",
    "BabyAI-OpenTwoDoors-v0",
    "BabyAI-OpenDoorsOrderN4-v0",
    "BabyAI-ActionObjDoor-v0",
    "BabyAI-PickupDist-v0",
    "BabyAI-UnblockPickup-v0",
    "BabyAI-UnlockLocalDist-v0",
    "BabyAI-UnlockPickupDist-v0",
    "BabyAI-PutNextLocal-v0",
    "BabyAI-PutNextS5N2-v0",
    "BabyAI-PutNextLocalS6N4-v0",
    "BabyAI-MoveTwoAcrossS5N2-v0",
    "BabyAI-SynthS5R2-v0",
    "BabyAI-MiniBossLevel-v0",
)
_LONGEST_ACTS = 24
_MOST_STEPS = 400
_CELL = 0.5  # metres; a robot's log has no cells


class MissingSimulatorError(FlipEdgeError):
    """The simulator that acts the runs of a source is not installed."""


@dataclass
class _Narrator:
    """Follows an environment and says what happened in it."""

    env: Any
    ways: bool
    wanted: frozenset[str]
    acts: list[Act] = field(default_factory=list)
    forward: int = 0

    def before(self) -> tuple[Any, int, Any, Any]:
        """What an act may change."""
        carrying = self.env.carrying
        front = self.env.grid.get(*self.env.front_pos)
        return carrying, self.env.agent_dir, tuple(self.env.agent_pos), _door_state(front)

    def after(self, before: tuple[Any, int, Any, Any]) -> None:
        """Note down what has changed."""
        carrying, direction, position, door = before
        front = self.env.grid.get(*self.env.front_pos)
        if tuple(self.env.agent_pos) != position:
            self.forward += 1
        elif self.env.agent_dir != direction:
            self._way()
            if self.ways:
                side = "right" if (self.env.agent_dir - direction) % 4 == 1 else "left"
                self.acts.append(Act("turn", side=side, amount=Quantity(90, "degrees")))
        elif self.env.carrying is not carrying:
            self._way()
            if self.env.carrying is not None:
                self._reach(self.env.carrying)
                self.acts.append(Act("pick", thing=_thing(self.env.carrying)))
            else:
                beside = self._beside(tuple(self.env.front_pos))
                relation = "next to" if beside else ""
                self.acts.append(Act("place", thing=_thing(carrying), place=beside, relation=relation))
            return
        elif _door_state(front) != door and _door_state(front) is not None:
            self._way()
            self._reach(front)
            if door == "locked" and carrying is not None:
                self.acts.append(Act("unlock", thing=_thing(front), tool=_thing(carrying)))
            verb = "open" if _door_state(front) == "open" else "close"
            self.acts.append(Act(verb, thing=_thing(front)))
            return
        if front is not None and _name(front) in self.wanted:
            self._way()
            self._reach(front)

    def end(self) -> tuple[Act, ...]:
        """All that was noted."""
        self._way()
        return tuple(self.acts)

    def _way(self) -> None:
        if self.forward and self.ways:
            self.acts.append(Act("move", side="forward", amount=Quantity(self.forward * _CELL, "m")))
        self.forward = 0

    def _reach(self, thing: Any) -> None:
        reached = Act("go", place=_thing(thing))
        if not self.acts or self.acts[-1] != reached:
            self.acts.append(reached)

    def _beside(self, position: tuple[int, int]) -> Thing | None:
        """What lies next to a cell; what the mission names, where there is a choice."""
        x, y = position
        cells = [self.env.grid.get(x + dx, y + dy) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        things = [cell for cell in cells if cell is not None and cell.type in ("ball", "box", "key", "door")]
        things.sort(key=lambda cell: (_name(cell) not in self.wanted, _name(cell)))
        return _thing(things[0]) if things else None


def make_tasks(seed: int) -> Iterator[Task]:
    """Missions without end.

    Raises:
        MissingSimulatorError: MiniGrid is not installed.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    try:
        import gymnasium
        import minigrid  # noqa: F401  registers the levels
    except ImportError as error:
        raise MissingSimulatorError(
            "the source 'gridworld' needs MiniGrid: pip install 'flip_edge[train]', or leave it out with "
            "--hold-out-source gridworld"
        ) from error
    environments = {level: gymnasium.make(level) for level in LEVELS}
    number = 0
    while True:
        level = LEVELS[number % len(LEVELS)]
        # The levels print what they reject.
        with contextlib.redirect_stdout(io.StringIO()):
            task = _task(environments[level], level, seed, number)
        if task:
            yield task
        number += 1


def _task(env: Any, level: str, seed: int, number: int) -> Task | None:
    draw = seeded(seed, "gridworld", number)
    world = draw.randrange(2**31)
    ways = draw.random() < 0.25
    env.reset(seed=world)
    mission = str(env.unwrapped.mission)
    goal, ordered = _goal(env.unwrapped.instrs)
    if not goal:
        return None
    acts, done, steps = _run(env, ways, draw, stop_after=_MOST_STEPS)
    if not done or not acts or len(acts) > _LONGEST_ACTS:
        return None
    marked = _marked(acts, goal)
    if not marked:
        return None
    failures = []
    for kind in ("partial", "other_mission", "stumbled"):
        env.reset(seed=world)
        wrong = _failure(kind, env, ways, draw, steps)
        if wrong and len(wrong) <= _LONGEST_ACTS and wrong != acts:
            failures.append((kind, wrong))
    return Task(
        source="gridworld",
        id=f"gridworld {level} {seed} {number}",
        group=f"gridworld {level} {world}",
        kind=level.split("-")[1],
        acts=marked,
        goal=goal,
        ordered=ordered,
        commands=(mission,),
        failures=tuple(failures),
    )


def _run(
    env: Any, ways: bool, draw: random.Random, *, stop_after: int, noise: float = 0.0
) -> tuple[tuple[Act, ...], bool, int]:
    """What the bot did, whether the mission is fulfilled, and the number of its steps."""
    from minigrid.utils.baby_ai_bot import BabyAIBot

    world = env.unwrapped
    instructions = world.instrs
    narrator = _Narrator(world, ways, frozenset(_targets(instructions)))
    bot = BabyAIBot(world)
    last = None
    for step in range(min(stop_after, _MOST_STEPS)):
        if draw.random() < noise:
            last = draw.choice((0, 1, 2, 2, 3, 4, 5))
            with contextlib.suppress(Exception):
                bot.replan(last)
        else:
            try:
                last = bot.replan(last)
            except Exception:  # the bot gives up with assertions and key errors of its own
                return narrator.end(), False, step
        before = narrator.before()
        _, reward, terminated, truncated, _ = env.step(last)
        narrator.after(before)
        if terminated or truncated:
            return narrator.end(), bool(reward > 0), step + 1
    return narrator.end(), False, stop_after


def _failure(kind: str, env: Any, ways: bool, draw: random.Random, steps: int) -> tuple[Act, ...]:
    """A run of the same world after which its mission is not fulfilled; empty where there is none."""
    if kind == "partial":
        acts, done, _ = _run(env, ways, draw, stop_after=max(1, int(steps * draw.uniform(0.3, 0.85))))
        return () if done else acts
    if kind == "stumbled":
        acts, done, _ = _run(env, ways, draw, stop_after=steps, noise=0.5)
        return () if done else acts
    world = env.unwrapped
    commanded = world.instrs
    other = _other_instruction(world, draw)
    if other is None:
        return ()
    other.reset_verifier(world)
    watch = _Both(other, commanded)
    world.instrs = watch
    from minigrid.utils.baby_ai_bot import BabyAIBot

    narrator = _Narrator(world, ways, frozenset(_targets(other)))
    world.instrs = other  # the bot plans for this one
    bot = BabyAIBot(world)
    world.instrs = watch
    last = None
    for _ in range(min(_MOST_STEPS, 3 * steps)):
        try:
            last = bot.replan(last)
        except Exception:
            return ()
        before = narrator.before()
        _, _, terminated, truncated, _ = env.step(last)
        narrator.after(before)
        if watch.commanded_done:
            return ()
        if terminated or truncated:
            return narrator.end() if watch.other_done else ()
    return ()


class _Both:
    """The mission that the bot is on, while it is watched whether the commanded one gets fulfilled."""

    def __init__(self, other: Any, commanded: Any) -> None:
        self.other, self.commanded = other, commanded
        self.other_done = self.commanded_done = False

    def verify(self, action: Any) -> str:
        self.commanded_done |= self.commanded.verify(action) == "success"
        verdict = str(self.other.verify(action))
        self.other_done |= verdict == "success"
        return verdict

    def update_objs_poss(self) -> None:
        self.other.update_objs_poss()
        self.commanded.update_objs_poss()


def _other_instruction(world: Any, draw: random.Random) -> Any:
    """Another simple mission for things of the same world; the kind may be the same."""
    from minigrid.envs.babyai.core.verifier import GoToInstr, ObjDesc, OpenInstr, PickupInstr

    things = [cell for cell in world.grid.grid if cell is not None and cell.type in ("ball", "box", "key", "door")]
    things = [thing for thing in things if _name(thing) not in set(_targets(world.instrs))]
    if not things:
        return None
    thing = draw.choice(sorted(things, key=_name))
    description = ObjDesc(thing.type, thing.color)
    if thing.type == "door":
        return draw.choice((GoToInstr, OpenInstr))(description)
    return draw.choice((GoToInstr, PickupInstr, PickupInstr))(description)


def _parts(instruction: Any) -> tuple[list[Any], bool]:
    """The simple instructions in the order in which they are to be done, and whether the order matters."""
    kind = type(instruction).__name__
    if kind == "AndInstr":
        (first, one), (second, two) = _parts(instruction.instr_a), _parts(instruction.instr_b)
        return [*first, *second], one or two
    if kind in ("BeforeInstr", "AfterInstr"):
        parts = [*_parts(instruction.instr_a)[0], *_parts(instruction.instr_b)[0]]
        return (parts if kind == "BeforeInstr" else parts[::-1]), True
    return [instruction], False


def _goal(instruction: Any) -> tuple[tuple[Act, ...], bool]:
    """The mission as acts; empty where it says where things lie or leaves open what they are."""
    parts, ordered = _parts(instruction)
    if ordered and len(parts) > 2:
        return (), False
    acts = []
    for part in parts:
        descriptions = [part.desc_move, part.desc_fixed] if hasattr(part, "desc_move") else [part.desc]
        if any(description.loc or not description.type for description in descriptions):
            return (), False
        things = [Thing(f"{description.color or ''} {description.type}".strip()) for description in descriptions]
        kind = type(part).__name__
        if kind == "PutNextInstr":
            acts.append(Act("place", thing=things[0], place=things[1], relation="next to"))
        elif kind == "GoToInstr":
            acts.append(Act("go", place=things[0]))
        else:
            acts.append(Act("pick" if kind == "PickupInstr" else "open", thing=things[0]))
    return tuple(acts), ordered


def _targets(instruction: Any) -> Iterator[str]:
    for part in _parts(instruction)[0]:
        for name in ("desc", "desc_move", "desc_fixed"):
            if description := getattr(part, name, None):
                for thing in description.obj_set:
                    yield _name(thing)


def _marked(acts: tuple[Act, ...], goal: tuple[Act, ...]) -> tuple[Act, ...]:
    """The run with its essential acts marked: the last of each kind that the goal asks for, and what it needs.

    Empty where the narration lacks one: what was put next to two things is said to lie next to one.
    """
    result = list(acts)
    for wanted in goal:
        found = [
            index
            for index, act in enumerate(result)
            if act.verb == wanted.verb and _meets(act.thing, wanted.thing) and _meets(act.place, wanted.place)
        ]
        if not found:
            return ()
        result[found[-1]] = replace(result[found[-1]], essential=True)
    placed = {act.thing for act in result if act.verb == "place" and act.essential}
    return tuple(replace(act, essential=True) if act.verb == "pick" and act.thing in placed else act for act in result)


def _meets(done: Thing | None, wanted: Thing | None) -> bool:
    return wanted is None or (done is not None and set(wanted.name.split()) <= set(done.name.split()))


def _door_state(cell: Any) -> str | None:
    if cell is None or cell.type != "door":
        return None
    return "locked" if cell.is_locked else "open" if cell.is_open else "closed"


def _name(cell: Any) -> str:
    return f"{cell.color} {cell.type}"


def _thing(cell: Any) -> Thing:
    return Thing(_name(cell))
