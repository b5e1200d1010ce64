"""How good plans are, by the symbolic plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.plan import Act, Thing
from training.plan_quality import parse, quality, sentence, written
from training.readers import read_alfred

MUG, SINK, TABLE = Thing("mug"), Thing("sink"), Thing("table")
TRUTH = (Act("go", place=TABLE), Act("pick", thing=MUG), Act("go", place=SINK), Act("place", thing=MUG, place=SINK))


@pytest.mark.parametrize(
    "act",
    [
        *TRUTH,
        Act("heat", thing=MUG, place=Thing("microwave")),
        Act("cool", thing=MUG),
        Act("slice", thing=Thing("apple")),
        Act("pick", thing=Thing("apple", ("sliced",))),
        Act("turn on", thing=Thing("desk lamp")),
    ],
    ids=sentence,
)
def test_what_is_written_is_read_as_it_was(act: Act) -> None:
    read = parse(sentence(act))
    assert read is not None
    assert sentence(read) == sentence(act)
    assert (read.verb, read.thing and read.thing.words) == (act.verb, act.thing and act.thing.words)


@pytest.mark.parametrize("line", ["", "put the mug", "Go to the sink", "put the mug under the sink", "go to the sink."])
def test_what_is_no_act_is_none(line: str) -> None:
    assert parse(line) is None


def test_the_symbolic_plan_itself_is_exact() -> None:
    found = quality(written(TRUTH), TRUTH)
    assert (found.score, found.exact) == (1.0, True)


def test_every_recorded_plan_is_exact_by_its_own_measure() -> None:
    tasks = list(read_alfred(Path(__file__).parent / "data" / "plans.jsonl"))
    assert tasks
    for task in tasks:
        assert quality(written(task.acts), task.acts).exact, task.id


@pytest.mark.parametrize(
    ("plan", "score"),
    [
        ("pick up the mug\nput the mug in the sink", 1.0),  # ways do not count
        ("pick up the mug\nput the mug on the table", 0.75),  # half of an act is right
        ("pick up the cup\nput the cup in the sink", 0.25),
        ("put the mug in the sink\npick up the mug", 0.5),  # the other way round
        ("pick up the mug", 2 / 3),
        ("pick up the mug\nput the mug in the sink\nheat the mug", 0.8),  # more than was asked
        ("pick up the mug\nsing\nput the mug in the sink", 0.8),
        ("", 0.0),
    ],
)
def test_wrong_things_places_and_orders_cost(plan: str, score: float) -> None:
    found = quality(plan, TRUTH)
    assert found.score == pytest.approx(score)
    assert found.exact == (score == 1.0)


def test_the_knife_that_something_is_cut_with_does_not_count() -> None:
    knife, apple = Thing("knife"), Thing("apple")
    truth = (Act("pick", thing=knife), Act("slice", thing=apple), Act("place", thing=knife, place=TABLE))
    assert quality("slice the apple", truth).exact
    assert not quality("pick up the knife", (Act("place", thing=knife, place=TABLE),)).exact
