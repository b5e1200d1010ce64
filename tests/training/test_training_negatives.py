"""Negatives are mismatches, and say of what kind."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.errands import make_task
from training.negatives import Negative, Pool, in_peoples_words, make_negatives
from training.negatives.words import confusable, reworded
from training.plan import Act, Quantity, Result, Task, Thing, names, seeded

MUG, APPLE, PEAR = Thing("mug"), Thing("apple"), Thing("pear")
TABLE, SHELF, FRIDGE, DESK = Thing("table"), Thing("shelf"), Thing("fridge"), Thing("desk")


def delivery(thing: Thing, source: Thing, target: Thing, **more: object) -> Task:
    acts = (
        Act("go", place=source),
        Act("pick", thing=thing, source=source, essential=True),
        Act("go", place=target),
        Act("place", thing=thing, place=target, essential=True),
    )
    goal = (Act("place", thing=thing, place=target),)
    name = f"{thing.words} {target.words}"
    task = Task(source="test", id=name, group=name, kind="delivery", acts=acts, goal=goal)
    return replace(task, **more)  # type: ignore[arg-type]


OTHERS = [delivery(PEAR, DESK, FRIDGE), delivery(APPLE, SHELF, DESK), delivery(Thing("book"), FRIDGE, SHELF)]


def by_kind(task: Task, command: str | None = None) -> dict[str, list[Negative]]:
    found: dict[str, list[Negative]] = defaultdict(list)
    for seed in range(8):
        for negative in make_negatives(task, Pool([task, *OTHERS]), seeded(seed), command=command):
            found[negative.kind].append(negative)
    return found


def goal_only(*goal: Act, ordered: bool = False, acts: tuple[Act, ...] = ()) -> dict[str, list[Negative]]:
    done = acts or tuple(replace(act, essential=True) for act in goal)
    return by_kind(Task("test", "t", "t", "other", done, goal=goal, ordered=ordered))


def test_a_delivery() -> None:
    task = delivery(MUG, TABLE, SHELF)
    found = by_kind(task)
    assert set(found) == {
        "wrong_object", "wrong_place", "cut", "cut_before_last", "last_failed", "reordered", "search_only", "other_run",
    }  # fmt: skip
    for negative in found["wrong_object"]:
        assert "mug" not in set(names(negative.acts or negative.goal or ()))
    for negative in found["wrong_place"]:
        acts = negative.acts or negative.goal or ()
        assert "shelf" not in set(names(acts))
        assert negative.goal or acts[0] == task.acts[0], "where it came from is not exchanged"
    assert {negative.acts for negative in found["cut"]} == {task.acts[:2]}
    assert {negative.acts for negative in found["cut_before_last"]} == {task.acts[:3]}
    for negative in found["last_failed"]:
        assert negative.acts
        assert negative.acts[-1].result is Result.FAILED
    for negative in found["search_only"]:
        assert all(act.verb in ("go", "open", "close", "search") for act in negative.acts or ())
        assert not {"mug", "table", "shelf"} & set(names(negative.acts or ()))


def test_from_and_to() -> None:
    bring = Act("bring", thing=MUG, source=TABLE, place=SHELF)
    task = replace(delivery(MUG, TABLE, SHELF), goal=(bring,))
    roles = by_kind(task)["wrong_role"]
    assert (replace(bring, source=SHELF, place=TABLE),) in [negative.goal for negative in roles]
    assert delivery(MUG, SHELF, TABLE).acts in [negative.acts for negative in roles]


def test_one_on_the_other() -> None:
    on = Act("place", thing=Thing("box", ("red",)), place=Thing("book"), relation="on top of")
    (goal,) = {negative.goal for negative in goal_only(on)["wrong_role"] if negative.goal}
    assert goal == (Act("place", thing=Thing("book"), place=Thing("box", ("red",)), relation="on top of"),)


def test_numbers() -> None:
    found = goal_only(Act("move", side="forward", amount=Quantity(1.5, "m")))
    amounts = {
        act.amount.value
        for negative in found["wrong_number"]
        for act in negative.acts or negative.goal or ()
        if act.amount
    }
    assert 15 in amounts
    assert 1.5 not in amounts
    labels = {thing.label for n in goal_only(Act("go", place=Thing("room", label="12")))["wrong_number"]
              for act in n.acts or n.goal or () for thing in act.things}  # fmt: skip
    assert labels
    assert "12" not in labels


def test_one_of_two_was_not_brought() -> None:
    once = delivery(MUG, TABLE, SHELF).acts
    again = tuple(replace(act, thing=replace(act.thing, instance=1)) if act.thing else act for act in once)
    goal = (Act("place", thing=replace(MUG, count=2), place=SHELF),)
    found = by_kind(Task("test", "two", "two", "count", (*once, *again), goal=goal))
    assert once in [negative.acts for negative in found["wrong_number"]]
    counts = {act.thing.count for n in found["wrong_number"] for act in n.goal or () if act.thing}
    assert counts
    assert 2 not in counts


@pytest.mark.parametrize(
    ("act", "wrong"),
    [
        (Act("turn", side="left"), Act("turn", side="right")),
        (Act("move", side="forward"), Act("move", side="backward")),
        (Act("place", thing=MUG, place=PEAR, relation="behind"),
         Act("place", thing=MUG, place=PEAR, relation="in front of")),
    ],
)  # fmt: skip
def test_directions(act: Act, wrong: Act) -> None:
    found = goal_only(act)["wrong_direction"]
    assert (wrong,) in [negative.goal for negative in found]
    assert (replace(wrong, essential=True),) in [negative.acts for negative in found]


def test_order_matters_only_where_it_was_meant() -> None:
    goal = (Act("go", place=TABLE), Act("go", place=DESK))
    assert "wrong_order" not in goal_only(*goal)
    found = goal_only(*goal, ordered=True)["wrong_order"]
    assert goal[::-1] in [negative.goal for negative in found]
    assert any(negative.acts and negative.acts[0].place == DESK for negative in found)


def test_polarity() -> None:
    found = goal_only(Act("open", thing=FRIDGE))["wrong_polarity"]
    assert {negative.goal for negative in found} == {(Act("close", thing=FRIDGE),)}, "nothing is ever closed there"
    inspect, no_pick = Act("inspect", thing=MUG), Act("pick", thing=MUG, negated=True)
    done = (replace(inspect, essential=True), Act("leave untouched", thing=MUG))
    found = goal_only(inspect, no_pick, acts=done)["wrong_polarity"]
    assert (inspect, Act("pick", thing=MUG)) in [negative.goal for negative in found]
    assert (done[0], Act("pick", thing=MUG, essential=True)) in [negative.acts for negative in found]


def test_what_is_forbidden_is_not_exchanged() -> None:
    """The lamp on and not the radio: leaving the fan alone, too, is no mismatch."""
    lamp, radio = Thing("lamp"), Thing("radio")
    goal = (Act("turn on", thing=lamp), Act("turn on", thing=radio, negated=True))
    for negative in goal_only(*goal, acts=(Act("turn on", thing=lamp, essential=True),))["wrong_object"]:
        assert "lamp" not in set(names(negative.acts or negative.goal or ()))


def test_a_colour() -> None:
    found = by_kind(delivery(Thing("mug", ("red",)), TABLE, SHELF))["wrong_attribute"]
    assert found
    for negative in found:
        (colour,) = {thing.attributes for act in negative.acts or negative.goal or () for thing in act.things
                     if thing.name == "mug"}  # fmt: skip
        assert colour != ("red",)


def test_a_change_of_state_left_out() -> None:
    clean = Act("clean", thing=MUG, place=Thing("sink"), essential=True)
    task = delivery(MUG, TABLE, SHELF)
    acts = (*task.acts[:2], Act("go", place=Thing("sink")), clean, *task.acts[2:])
    asked = replace(task, acts=acts, goal=(Act("clean", thing=MUG), *task.goal))
    assert by_kind(asked)["skipped"][0].acts == task.acts
    assert "skipped" not in by_kind(replace(asked, goal=task.goal)), "it was not asked for"


def test_peoples_words_must_name_what_is_exchanged() -> None:
    task = delivery(MUG, TABLE, SHELF, steps=("Go.", "Take it.", "Turn.", "Put it there."))
    named = by_kind(task, "Put the mug on the shelf.")
    assert {n.command for n in named["wrong_object"] if n.command} <= {
        f"Put the {name} on the shelf." for name in ("apple", "pear", "book")
    }
    vague = by_kind(task, "Put the drinking vessel up there.")
    assert not {"wrong_object", "wrong_place", "wrong_role"} & set(vague)
    assert "cut" in vague


def test_peoples_words_for_a_wrong_run() -> None:
    task = delivery(MUG, TABLE, SHELF, steps=("Go to it.", "Take it.", "Turn.", "Put it there."))
    found = by_kind(task, "Put the mug on the shelf.")
    assert in_peoples_words(found["cut"][0], task) == ("Go to it.", "Take it.")
    failed = in_peoples_words(found["last_failed"][0], task)
    assert failed is not None
    assert failed[-1].startswith("Failed to put it there")
    assert in_peoples_words(Negative("wrong_object", acts=OTHERS[0].acts), task) is None


def test_people_may_leave_the_end_open() -> None:
    task = delivery(MUG, TABLE, SHELF)
    assert "cut_before_last" in by_kind(task, "put it away")
    assert not {"cut_before_last", "last_failed"} & set(by_kind(task, "go for the mug"))
    assert "cut" not in by_kind(task, "go for the mug")


def test_another_place_is_a_mismatch_where_people_name_the_place() -> None:
    task = delivery(MUG, TABLE, SHELF, commands=("put the mug on the shelf",))
    elsewhere = delivery(MUG, DESK, FRIDGE, commands=("put the mug in the fridge",))

    def others(command: str) -> set[str]:
        made = (
            n for seed in range(5) for n in make_negatives(task, Pool([task, elsewhere]), seeded(seed), command=command)
        )
        return {negative.kind for negative in made}

    assert "other_run" in others("put the mug on the shelf")
    assert "other_run" not in others("put the mug away")


def test_what_people_confuse_is_not_exchanged_in_their_words() -> None:
    assert confusable("cup", "mug", people=True)
    assert not confusable("cup", "mug", people=False)
    assert confusable("conference table", "table", people=False)
    assert reworded("Put the vessel away", "mug", "pear") is None
    assert reworded("Put the clock on the desk", "alarm clock", "pear") == "Put the pear on the desk"


def test_in_a_log_of_people_a_mug_may_be_a_cup() -> None:
    task = delivery(MUG, TABLE, SHELF, steps=("Go.", "Take the cup.", "Turn.", "Put it there."))
    pool = Pool([task, delivery(Thing("cup"), TABLE, SHELF), *OTHERS])
    made = [make_negatives(task, pool, seeded(seed), peoples_log=True) for seed in range(10)]
    assert not [n for negatives in made for n in negatives if "cup" in set(names(n.acts or n.goal or ()))]


def test_a_task_within_another_is_not_its_mismatch() -> None:
    go = Task("test", "go", "go", "go", (Act("go", place=TABLE, essential=True),), goal=(Act("go", place=TABLE),))
    tour = replace(go, id="tour", group="tour", acts=(*go.acts, Act("go", place=DESK, essential=True)))
    for seed in range(10):
        for negative in make_negatives(go, Pool([go, tour]), seeded(seed)):
            assert negative.kind != "other_run"


def test_a_thing_that_only_shares_a_word_is_not_exchanged() -> None:
    """ "pick up a key", and the red key was picked up: the name of the goal is not the name of the run."""
    task = replace(delivery(Thing("red key"), TABLE, SHELF), goal=(Act("pick", thing=Thing("key")),))
    assert all(negative.acts != task.acts for found in by_kind(task).values() for negative in found)


POOL = Pool([make_task(3, number) for number in range(300)])


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 299), st.integers(0, 1000))
def test_every_negative_is_another_run_or_another_command(number: int, seed: int) -> None:
    task = make_task(3, number)
    for negative in make_negatives(task, POOL, seeded(seed)):
        told = [negative.acts, negative.goal, negative.steps, negative.command]
        assert sum(part is not None for part in told) == 1
        assert negative.acts != task.acts
        assert negative.goal != task.goal
        assert negative.acts is None or negative.acts
        if negative.kind in ("cut", "cut_before_last"):
            assert negative.acts is not None
            assert task.acts[task.last_essential] not in negative.acts[task.last_essential :]
            assert len(negative.acts) <= task.last_essential
