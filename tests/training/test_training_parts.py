"""Parts of a task have goals that they reach."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from training.errands import make_task
from training.negatives.others import _covered
from training.parts import part_of_task
from training.plan import Act, Result, Task, Thing, seeded

MUG, DESK, SINK, SHELF = Thing("mug"), Thing("desk"), Thing("sink"), Thing("shelf")
ACTS = (
    Act("go", place=DESK),
    Act("pick", thing=MUG, source=DESK, essential=True),
    Act("go", place=SINK),
    Act("clean", thing=MUG, place=SINK, essential=True),
    Act("go", place=SHELF),
    Act("place", thing=MUG, place=SHELF, essential=True),
)
WHOLE = Task(
    source="test",
    id="t",
    group="t",
    kind="clean",
    acts=ACTS,
    goal=(Act("clean", thing=MUG), Act("place", thing=MUG, place=SHELF)),
    commands=("Put a clean mug on the shelf.",),
    steps=("Go.", "Take it.", "Turn.", "Wash it.", "Go.", "Put it there."),
)


def test_parts() -> None:
    parts = {part.goal[0].verb: part for seed in range(40) if (part := part_of_task(WHOLE, seeded(seed)))}
    assert set(parts) == {"go", "pick", "clean"}
    assert parts["go"].acts == (Act("go", place=DESK, essential=True),)
    assert parts["clean"].goal == (Act("clean", thing=MUG),)
    assert parts["clean"].acts == ACTS[:4]
    assert parts["clean"].steps == WHOLE.steps[:4]
    assert all(not part.commands and part.group == WHOLE.group for part in parts.values())


def test_a_failed_act_reaches_nothing() -> None:
    failed = replace(ACTS[0], result=Result.FAILED)
    task = replace(WHOLE, acts=(failed, *ACTS), steps=())
    parts = [part for seed in range(40) if (part := part_of_task(task, seeded(seed)))]
    assert parts
    assert all(part.acts[-1].result is Result.DONE for part in parts)


def test_what_people_alone_have_named_has_no_parts() -> None:
    assert part_of_task(Task("s", "i", "g", "k", ACTS, commands=("tidy up",)), seeded(0)) is None


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 5000), st.integers(0, 100))
def test_a_part_reaches_its_goal_with_its_last_act(number: int, seed: int) -> None:
    part = part_of_task(make_task(11, number), seeded(seed))
    if part is not None:
        assert part.last_essential == len(part.acts) - 1
        assert _covered(part.goal, part.acts)
        assert part.acts[-1].verb == part.goal[0].verb
