"""Recorded plans become neutral tasks; what the records lack is filled in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.naming import USER
from training.plan import Act, Thing
from training.readers import alfred_acts, read_alfred, read_saycan, read_virtualhome, virtualhome_act


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps({"outcome": "success", **row}) + "\n" for row in rows), encoding="utf-8")
    return path


def alfred(**fields: Any) -> dict[str, Any]:
    row = {
        "id": "a0",
        "command": "Put a clean cup  in the cabinet.",
        "task_type": "pick_clean_then_place_in_recep",
        "trial": "trial_1",
        "object": "Cup",
        "receptacle": "Cabinet",
        "plan": ["GotoLocation(desk)", "PickupObject(cup)", "GotoLocation(sinkbasin)", "CleanObject(cup)",
                 "GotoLocation(cabinet)", "PutObject(cup, cabinet)"],
        "actions": ["Go.", "Take the cup.", "Go to the sink.", "Wash it.", "Turn.", "Put it in."],
    }  # fmt: skip
    return {**row, **fields}


def test_alfred_goal_and_acts(tmp_path: Path) -> None:
    (task,) = read_alfred(written(tmp_path / "a.jsonl", alfred()))
    cup, sink, cabinet = Thing("cup"), Thing("sink", alias="sink basin"), Thing("cabinet")
    assert task.goal == (Act("clean", thing=cup), Act("place", thing=cup, place=cabinet))
    assert task.acts[1] == Act("pick", thing=cup, source=Thing("desk"), essential=True)
    assert task.acts[3] == Act("clean", thing=cup, place=sink, essential=True)
    assert task.last_essential == 5
    assert task.commands == ("Put a clean cup in the cabinet.",)
    assert task.group == "trial_1"
    assert len(task.steps) == len(task.acts)


def test_alfred_without_as_many_steps_as_acts_has_no_peoples_words(tmp_path: Path) -> None:
    (task,) = read_alfred(written(tmp_path / "a.jsonl", alfred(actions=["Wash the cup and put it away."])))
    assert task.steps == ()


def test_after_cutting_a_part_is_picked_up_and_the_knife_is_no_goal() -> None:
    acts = alfred_acts(
        ["GotoLocation(countertop)", "PickupObject(knife)", "GotoLocation(apple)", "SliceObject(apple)",
         "GotoLocation(countertop)", "PutObject(knife, countertop)", "PickupObject(apple)"]
    )  # fmt: skip
    assert [act.essential for act in acts] == [False, False, False, True, False, False, True]
    assert acts[3].tool == Thing("knife")
    assert acts[6].thing == Thing("apple", ("sliced",))


def test_an_object_as_place_to_go_is_not_where_things_are_taken_from() -> None:
    assert alfred_acts(["GotoLocation(apple)", "PickupObject(apple)"])[1].source is None


def test_an_empty_argument_means_what_is_held() -> None:
    assert alfred_acts(["PickupObject(mug)", "CleanObject()"])[1].thing == Thing("mug")
    assert alfred_acts(["CleanObject()"]) == ()


def test_two_objects_are_counted(tmp_path: Path) -> None:
    plan = ["GotoLocation(desk)", "PickupObject(pen)", "PutObject(pen, drawer)"] * 2
    row = alfred(task_type="pick_two_obj_and_place", object="Pen", receptacle="Drawer", plan=plan)
    (task,) = read_alfred(written(tmp_path / "a.jsonl", row))
    assert task.goal == (Act("place", thing=Thing("pen", count=2), place=Thing("drawer")),)
    assert [act.thing.instance for act in task.acts if act.thing] == [0, 0, 1, 1]


def test_the_carrier_may_be_moved_first(tmp_path: Path) -> None:
    box = ["PickupObject(box)", "PutObject(box, desk)"]
    card = ["PickupObject(creditcard)", "PutObject(creditcard, box)"]
    fields = {"task_type": "pick_and_place_with_movable_recep", "object": "CreditCard", "receptacle": "Desk"}
    rows = [alfred(plan=plan, **fields) for plan in (box + card, card + box)]
    first, second = read_alfred(written(tmp_path / "a.jsonl", *rows))
    assert first.goal == second.goal
    assert [act.thing.name for act in first.goal if act.thing] == ["credit card", "box"]


def test_failed_runs_and_rows_without_a_plan_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", alfred(outcome="failure"), alfred(plan=[]))
    assert list(read_alfred(path)) == []


def test_household_sentences() -> None:
    assert virtualhome_act("Walk to home office") == Act("go", place=Thing("home office"))
    assert virtualhome_act("Put food food in fridge").thing == Thing("food")
    assert virtualhome_act("Switch on light") == Act("turn on", thing=Thing("light"), essential=True)
    assert virtualhome_act("Pour water into cup") == Act(
        "pour", thing=Thing("water"), place=Thing("cup"), essential=True
    )
    assert virtualhome_act("Put back soap") == Act("put back", thing=Thing("soap"), essential=True)
    assert virtualhome_act("Stand up") == Act("stand up", essential=True)


def test_household_programs_of_one_command_are_one_group(tmp_path: Path) -> None:
    rows = [{"id": number, "command": "Watch  TV", "actions": ["Find tv", "Watch tv"]} for number in range(2)]
    one, two = read_virtualhome(written(tmp_path / "v.jsonl", *rows))
    assert one.group == two.group
    assert one.commands == ("Watch TV",)
    assert not one.goal


def test_robot_skills(tmp_path: Path) -> None:
    row = {
        "id": 0,
        "command": "How would you bring me a coke?",
        "actions": ["find a coke", "pick up the coke", "bring it to you", "put down the coke"],
    }
    (task,) = read_saycan(written(tmp_path / "s.jsonl", row))
    assert task.commands == ("Bring me a coke.",)
    assert [act.verb for act in task.acts] == ["find", "pick", "bring", "place"]
    assert task.acts[2].place == Thing(USER)
    assert task.last_essential == 2, "it has arrived before it is put down"
