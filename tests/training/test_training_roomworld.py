"""Errands that the robot in pyrobosim runs. Most of it needs the demo's package."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from training import roomworld
from training.naming import preposition
from training.negatives.words import confusable
from training.plan import Act, Result, Task, Thing, names, seeded
from training.prepare import Options, main, rows
from training.roomworld.layout import CORRIDOR, Layout, Setting, settings
from training.styles import FAMILIES, Style
from training.wording import Wording

DATA = Path(__file__).parent / "data"
DEMO_WORLD = Path(__file__).parents[2] / "ros2_ws/src/flip_edge_demo/flip_edge_demo/data/world.yaml"
HAS_SIMULATOR = all(importlib.util.find_spec(name) for name in ("pyrobosim", "flip_edge_demo"))
needs_simulator = pytest.mark.skipif(not HAS_SIMULATOR, reason="pyrobosim and flip_edge_demo are not installed")


def true_in(world: Any, wish: Any) -> bool:
    """Whether a wish holds, read from the simulator's own objects."""
    robot = world.robots[0]
    if wish.verb == "pick":
        return robot.manipulated_object is not None and robot.manipulated_object.name == wish.thing
    if wish.verb in ("place", "bring"):
        spot = world.get_object_by_name(wish.thing).parent
        return spot is not robot and spot.parent.name == wish.place
    if wish.verb == "go":
        here, around = robot.location, set()
        while here is not None:
            around.add(here.name)
            here = here.parent
        return wish.place in around
    return world.get_entity_by_name(wish.thing).is_open == (wish.verb == "open")


def named(setting: Setting) -> list[str]:
    """All names of a setting."""
    furniture = [name for room in setting.rooms.values() for names in msgspec.structs.astuple(room) for name in names]
    return [*setting.rooms, *furniture, *setting.things, *setting.coloured]


@pytest.fixture(scope="module")
def acted() -> tuple[list[Task], dict[Any, bool]]:
    """Errands of two buildings, and whether what is wanted was true at the end of every run, by its acts."""
    from training.roomworld import errands

    truth: dict[Any, bool] = {}
    carry_out = errands.carry_out

    def watched(robot: Any, layout: Any, plan: Any, done: Any, wishes: Any, *more: Any) -> Any:
        run = carry_out(robot, layout, plan, done, wishes, *more)
        final = [wish for wish in wishes if wish.verb != "go" or wish is wishes[-1]]
        goal = tuple(wish.act(layout) for wish in wishes)
        truth[goal, run.acts] = all(true_in(robot.world, wish) for wish in final)
        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(errands, "carry_out", watched)
        return list(itertools.islice(roomworld.make_tasks(0), 24)), truth


@needs_simulator
def test_the_world_says_which_runs_are_right(acted: tuple[list[Task], dict[Any, bool]]) -> None:
    tasks, truth = acted
    for task in tasks:
        assert truth[task.goal, task.acts], task.id
        for kind, acts in task.failures:
            # Of a tour the end alone may be right.
            assert not truth[task.goal, acts] or task.kind == "tour", (task.id, kind)


@needs_simulator
def test_failures_are_of_every_kind_and_happened(acted: tuple[list[Task], dict[Any, bool]]) -> None:
    failures = [(kind, acts) for task in acted[0] for kind, acts in task.failures]
    kinds = {"wrong_object", "wrong_place", "partial", "other_task", "action_failed"}
    assert {kind for kind, _ in failures} == kinds
    for kind, acts in failures:
        assert acts
        assert kind != "action_failed" or acts[-1].result is Result.FAILED
    assert len({acts[-1].reason for kind, acts in failures if kind == "action_failed"}) > 3


@needs_simulator
def test_what_fulfils_the_goal_is_marked(acted: tuple[list[Task], dict[Any, bool]]) -> None:
    for task in acted[0]:
        essential = [act for act in task.acts if act.essential]
        failed = [act for _, acts in task.failures for act in acts if act.essential]
        assert all(act.result is Result.DONE for act in (*essential, *failed))
        for wanted in task.goal:
            verb = "place" if wanted.verb == "bring" else wanted.verb
            assert any((act.verb, act.thing, act.place) == (verb, wanted.thing, wanted.place) for act in essential)


@needs_simulator
def test_errands_are_the_same_every_time(acted: tuple[list[Task], dict[Any, bool]]) -> None:
    assert list(itertools.islice(roomworld.make_tasks(0), 3)) == acted[0][:3]
    assert next(roomworld.make_tasks(1)) != acted[0][0]


@needs_simulator
def test_every_errand_has_words_in_every_style(acted: tuple[list[Task], dict[Any, bool]]) -> None:
    for number, task in enumerate(acted[0]):
        command = Wording(number).render(task.goal, ordered=task.ordered)
        assert "_" not in command
        assert all(name in command for name in names(task.goal)), command
        for family in FAMILIES:
            for acts in (task.acts, *(acts for _, acts in task.failures)):
                assert all(Style(family, number).render(acts))


@needs_simulator
def test_rows(tmp_path: Path) -> None:
    found = list(rows(Options(data=DATA, limit=30, sources=("roomworld",), negatives=12)))
    assert len(found) == 30
    assert {row["source"] for row in found} == {"roomworld"}
    kinds = {negative["kind"] for row in found for negative in row["negatives"]}
    assert {"recorded_partial", "recorded_action_failed", "recorded_wrong_object", "wrong_place"} <= kinds


@needs_simulator
def test_an_arrangement_is_all_that_a_run_depends_on() -> None:
    """Whatever was done in the building before, and in a building that is new."""
    from training.roomworld.robot import RoomRobot
    from training.roomworld.wishes import Manner, Planner, Wish, arranged

    draw = seeded("arrangement")
    layout = Layout.drawn(draw)
    usual = replace(arranged(layout, draw), open=frozenset(layout.openable), start=CORRIDOR, reliability={})
    thing, source = next(iter(usual.objects.items()))
    target = next(name for name, kind in layout.kinds.items() if kind == "wide_surface" and name != source)
    plan = Planner(layout, usual, Manner(), draw).plan([Wish("place", thing, target)])
    door = layout.doors[layout.room_of(source) or ""]
    arrangements = {
        "put the": usual,
        "no path was found": replace(usual, open=usual.open - {door}),
        "no free place was found": replace(usual, full=frozenset([target])),
        "it does not fit the gripper": replace(usual, gripper_m=0.01),
        "simulated pick failure": replace(usual, reliability={"pick": 0.01}),
    }

    def last_sentence(robot: RoomRobot, arrangement: Any) -> str:
        assert robot.arrange(arrangement)
        return list(robot.run(plan))[-1].sentence.lower()

    robot = RoomRobot(layout)
    for expected, arrangement in (*arrangements.items(), *reversed(arrangements.items())):
        assert expected in last_sentence(robot, arrangement)
    chancy = replace(usual, reliability=dict.fromkeys(("navigate", "pick", "place"), 0.6))
    seeds = [replace(chancy, seed=seed) for seed in range(6)]
    found = [last_sentence(robot, arrangement) for arrangement in seeds]
    assert len(set(found)) > 1
    fresh = RoomRobot(layout)
    assert [last_sentence(fresh, arrangement) for arrangement in reversed(seeds)] == found[::-1]


def test_nothing_has_a_name_of_the_demo() -> None:
    world = yaml.safe_load(DEMO_WORLD.read_text(encoding="utf-8"))
    kinds = ("rooms", "hallways", "locations", "objects")
    demo = {entity["name"].replace("_", " ") for kind in kinds for entity in world[kind]}
    assert len(demo) > 25
    for setting in settings().values():
        for name in named(setting):
            assert not any(confusable(name, other, people=False) for other in demo), name


def test_no_name_of_a_building_stands_for_two_things() -> None:
    for setting in settings().values():
        for one, other in itertools.combinations(named(setting), 2):
            assert not confusable(one, other, people=False), (one, other)


def test_things_are_put_in_containers_and_on_surfaces() -> None:
    for setting in settings().values():
        for room in setting.rooms.values():
            for kind, wanted in {"wide": "on", "small": "on", "closed": "in", "open": "in"}.items():
                for name in getattr(room, kind):
                    assert preposition(Act("place", place=Thing(name))) == wanted, name


def test_without_the_simulator_the_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("errands", "wishes", "robot"):
        monkeypatch.delitem(sys.modules, f"training.roomworld.{name}", raising=False)
        monkeypatch.delattr(roomworld, name, raising=False)
    for name in ("flip_edge_demo", "flip_edge_demo.episodes", "flip_edge_demo.goals", "flip_edge_demo.robot"):
        monkeypatch.setitem(sys.modules, name, None)
    out = tmp_path / "rows.jsonl"
    assert main(["--data", str(DATA), "-o", str(out), "--only-source", "roomworld"]) == 2
    error = capsys.readouterr().err
    assert "needs pyrobosim and flip_edge_demo" in error
    assert "--hold-out-source roomworld" in error
    assert not out.exists()
