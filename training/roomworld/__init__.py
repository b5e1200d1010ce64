"""Errands that a robot in pyrobosim really runs, in offices, workshops, laboratories, clinics and schools.

The simulator says what was done and whether it fulfils the command. A wrong run is one of which the world says
afterwards that it does not: the robot stopped early, took another thing, went elsewhere, did something else, or could
not do what it was to do.
"""

from __future__ import annotations

from collections.abc import Iterator

from training.gridworld import MissingSimulatorError
from training.plan import Task


def make_tasks(seed: int) -> Iterator[Task]:
    """Errands without end; about fourteen a second on one core.

    Raises:
        MissingSimulatorError: pyrobosim or the package flip_edge_demo is not installed.
    """
    try:
        from training.roomworld import errands
    except ImportError as error:
        raise MissingSimulatorError(
            f"the source 'roomworld' needs pyrobosim and flip_edge_demo ({error}): make setup, or leave it out with "
            "--hold-out-source roomworld"
        ) from error
    yield from errands.make_tasks(seed)
