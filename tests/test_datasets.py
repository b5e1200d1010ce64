from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flip_edge.datasets import (
    KINDS,
    LabelledEpisode,
    Run,
    before_last_manipulation,
    is_manipulation,
    make_episodes,
    read_runs,
)
from flip_edge.errors import InputError
from flip_edge.similarity import normalize


def run_of(command: str, *actions: str, **fields: Any) -> Run:
    return Run(command=command, actions=actions, id=fields.pop("id", command), source="test", **fields)


def household(count: int = 12) -> list[Run]:
    """Runs with tasks: each object with each receptacle, three wordings of each trial."""
    runs = []
    for number in range(count):
        thing, place = ["Mug", "Book", "Plate", "Pen"][number % 4], ["Sink", "Desk", "Shelf"][number // 4 % 3]
        for person in range(3):
            runs.append(
                run_of(
                    f"put the {thing} on the {place}, {person}",
                    f"walk to the {thing}",
                    f"pick up the {thing} {person}",
                    f"go to the {place}",
                    f"put the {thing} on the {place}",
                    id=f"{number}/{person}",
                    trial=f"trial_{number}",
                    task_type="pick_and_place",
                    object=thing,
                    receptacle=place,
                )
            )
    return runs


def of_kind(rows: list[LabelledEpisode], kind: str) -> list[LabelledEpisode]:
    return [row for row in rows if row.kind == kind]


def test_rows_are_read_and_other_keys_ignored(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"id": 7, "command": "go", "actions": ["went"], "plan": [1]}\n\n{"command": "a", "actions": []}\n')
    first, second = read_runs(path)
    assert (first.id, first.source, first.outcome, first.actions) == ("7", "mine", "success", ("went",))
    assert second.id == "line 3"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"command": "go"}', "mine.jsonl:2: not a run"),
        ("{", "mine.jsonl:2: not a run"),
        ('{"command": "go", "actions": ["went"], "outcome": "maybe"}', "outcome is 'maybe'"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"command": "go", "actions": ["went"]}\n' + line)
    with pytest.raises(InputError, match=message):
        read_runs(path)


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_runs(tmp_path / "none.jsonl")


def alfworld(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    path = tmp_path / "alfworld.jsonl"
    path.write_text("".join(json.dumps({"source": "alfworld_x", **row}) + "\n" for row in rows))
    return path


def test_object_numbers_of_alfworld_are_left_out_unless_kept(tmp_path: Path) -> None:
    path = alfworld(tmp_path, {"command": "put 2 cups", "actions": ["go to shelf 8", "put cup 12 in/on shelf 8"]})
    assert read_runs(path)[0].actions == ("go to shelf", "put cup in/on shelf")
    assert read_runs(path)[0].command == "put 2 cups"
    assert read_runs(path, keep_numbers=True)[0].actions[0] == "go to shelf 8"


def test_recorded_failures_are_split_by_whether_anything_was_handled(tmp_path: Path) -> None:
    failed = {"command": "put a cup in the sink", "outcome": "failure"}
    path = alfworld(
        tmp_path,
        {**failed, "id": "a", "actions": ["go to microwave 1", "open microwave 1"], "observations": ["", ""]},
        {**failed, "id": "b", "actions": ["take cup 1 from desk 1"], "observations": ["You pick up the cup 1."]},
        {**failed, "id": "c", "actions": ["take cup 1 from desk 1"], "observations": ["Nothing happens."]},
        {"command": "go", "id": "D1/2/trial_T9_1", "actions": ["went"], "outcome": "success"},
    )
    rows = make_episodes(read_runs(path), kinds=["recorded"])
    kinds = {row.episode.id: row.kind for row in rows}
    assert kinds["a"] == kinds["c"] == "recorded_search_only"
    assert kinds["b"] == "recorded_manipulated"
    assert {row.group for row in rows if row.match} == {"alfworld_x:trial_T9_1"}
    assert all("You pick" not in step for row in rows for step in row.episode.steps)


def test_a_recorded_failure_may_say_what_is_wrong_with_it(tmp_path: Path) -> None:
    failed = {"command": "go to the dock", "outcome": "failure", "actions": ["go to the lift"], "kind": "wrong_place"}
    rows = make_episodes(read_runs(alfworld(tmp_path, failed)), kinds=["recorded"])
    assert [row.kind for row in rows] == ["recorded_wrong_place"]


def test_one_success_a_trial_and_one_negative_a_kind() -> None:
    rows = make_episodes(household())
    assert Counter(row.kind for row in rows) == dict.fromkeys(
        ["success", "random", "hard", "cut", "cut_before_last", "shuffled"], 12
    )
    assert len({row.group for row in rows if row.match}) == 12
    by_run = {row.command_of: row for row in rows if row.match}
    for row in rows:
        assert row.match == (row.kind == "success")
        assert row.episode.command == by_run[row.command_of].episode.command
        assert row.group == by_run[row.command_of].group
        assert row.match or row.episode.steps != by_run[row.command_of].episode.steps


def test_hard_negatives_differ_in_the_object_or_in_the_receptacle() -> None:
    tasks = {run.actions: (run.object, run.receptacle) for run in household()}
    rows = make_episodes(household())
    true = {row.command_of: tasks[row.episode.steps] for row in rows if row.match}
    for row in of_kind(rows, "hard"):
        (thing, place), (own_thing, own_place) = tasks[row.episode.steps], true[row.command_of]
        assert (thing != own_thing) != (place != own_place)
    for row in of_kind(rows, "random"):
        assert tasks[row.episode.steps] != true[row.command_of]


def test_without_task_names_the_hard_negative_shares_most_words() -> None:
    runs = [
        run_of("bring me the red apple", "found the red apple"),
        run_of("bring me the green apple", "found the green apple"),
        run_of("apple red the me bring", "found something"),  # the same words: no other task can be told from it
        run_of("close the window", "closed the window"),
    ]
    rows = make_episodes(runs, kinds=["hard"])
    hard = {row.episode.command: row.episode.steps for row in of_kind(rows, "hard")}
    assert hard["bring me the red apple"] == ("found the green apple",)


def test_another_wording_of_the_same_run_is_no_negative() -> None:
    runs = [
        run_of("bring something salty", "Found the chips.", "brought the chips"),
        run_of("bring a salty snack", "found the chips", "brought the chips"),
        run_of("close the door", "closed the door"),
    ]
    rows = make_episodes(runs, kinds=["random", "hard"])
    for row in rows:
        if not row.match and "salty" in row.episode.command:
            assert row.episode.steps == ("closed the door",)


def test_nothing_to_pair_with_gives_no_negative() -> None:
    rows = make_episodes([run_of("go", "went"), run_of("Go!", "drove")], kinds=["random", "hard", "cut", "shuffled"])
    assert {row.kind for row in rows} == {"success"}


def test_cuts_and_shuffles() -> None:
    steps = ("go to the cup", "pick up the cup", "turn left", "put the cup down", "look around")
    rows = make_episodes([run_of("move the cup", *steps)], kinds=["cut", "cut_before_last", "shuffled"])
    found = {row.kind: row.episode.steps for row in rows}
    assert found["cut"] == steps[:2]
    assert found["cut_before_last"] == steps[:3]
    assert found["shuffled"] != steps
    assert sorted(found["shuffled"]) == sorted(steps)


def test_cut_before_the_last_manipulation_needs_one_with_something_before_it() -> None:
    assert before_last_manipulation(["walk to the sink", "look at it"]) == ()
    assert before_last_manipulation(["put it down", "walk away"]) == ()


@pytest.mark.parametrize(
    "step",
    [
        "Put the cup on the table",
        "turn around and put the cup down",
        "the robot picked up the mug",
        "Turn the lamp on.",
        "turned on the light",
        "Inserted the key, then waited",
        "closed the gripper",
    ],
)
def test_steps_that_handle_something(step: str) -> None:
    assert is_manipulation(step)


@pytest.mark.parametrize(
    "step",
    [
        "go to the microwave",
        "Turn left and walk to the desk.",
        "turn to face the counter on the left",
        "find the lamp on the right hand side",
        "look at the open drawer",
    ],
)
def test_steps_that_do_not(step: str) -> None:
    assert not is_manipulation(step)


def test_the_recipe_repeats_and_a_limit_changes_nothing_else() -> None:
    runs = household()
    rows = make_episodes(runs, seed=5)
    assert make_episodes(runs, seed=5) == rows
    assert make_episodes(runs, seed=6) != rows
    part = make_episodes(runs, seed=5, limit=4)
    assert sum(row.match for row in part) == 4
    assert set(part) <= set(rows)


def test_unusable_runs_are_left_out_and_unknown_kinds_refused() -> None:
    assert make_episodes([run_of("", "went"), run_of("go", " ")]) == []
    with pytest.raises(InputError, match="unknown kind of negative easy"):
        make_episodes([], kinds=["easy"])


@pytest.mark.parametrize("name", ["alfred_dev", "alfworld_runs_dev", "saycan_plans"])
def test_the_development_data_makes_every_kind(name: str) -> None:
    path = Path(__file__).parents[2] / "shared" / "data" / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"no development data at {path}")
    rows = make_episodes(read_runs(path), limit=40)
    kinds = Counter(row.kind for row in rows)
    assert all(kinds[kind] > 20 for kind in KINDS if kind != "recorded")
    for row in of_kind(rows, "hard") + of_kind(rows, "random"):
        assert normalize(row.episode.command)
