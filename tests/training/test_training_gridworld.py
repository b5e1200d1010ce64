"""Missions that the bot carries out. Needs MiniGrid, which is in the extra [train]."""

from __future__ import annotations

import importlib.util
import itertools

import pytest

from training import gridworld
from training.plan import Task

HAS_MINIGRID = importlib.util.find_spec("minigrid") is not None
needs_minigrid = pytest.mark.skipif(not HAS_MINIGRID, reason="MiniGrid is not installed")


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return list(itertools.islice(gridworld.make_tasks(0), 40))


@needs_minigrid
@pytest.mark.filterwarnings("ignore")
def test_missions(tasks: list[Task]) -> None:
    for task in tasks:
        assert task.commands[0]
        assert task.goal
        assert task.last_essential >= 0, task.commands
        assert all(acts and acts != task.acts for _, acts in task.failures)
    assert {kind for task in tasks for kind, _ in task.failures} == {"partial", "other_mission", "stumbled"}


@needs_minigrid
@pytest.mark.filterwarnings("ignore")
def test_missions_are_the_same_every_time(tasks: list[Task]) -> None:
    assert list(itertools.islice(gridworld.make_tasks(0), 5)) == tasks[:5]


@pytest.mark.skipif(HAS_MINIGRID, reason="MiniGrid is installed")
def test_without_minigrid_the_error_says_what_to_do() -> None:
    with pytest.raises(gridworld.MissingSimulatorError, match=r"flip_edge\[train\]"):
        next(gridworld.make_tasks(0))
