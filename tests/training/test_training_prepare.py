"""The rows to train on: what is in them, what is kept out of them, and that they are always the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.errands import make_task
from training.negatives import Pool
from training.plan import Act, Result, Task, Thing
from training.prepare import SOURCES, STYLES, Options, Unseen, main, make_row, part_of, rows

CLEAN_PLAN = ["GotoLocation(desk)", "PickupObject({0})", "GotoLocation(sinkbasin)", "CleanObject({0})",
              "GotoLocation({1})", "PutObject({0}, {1})"]  # fmt: skip
STEPS = ["Go to the desk.", "Take the {0}.", "Turn to the sink.", "Wash the {0}.", "Walk over.", "Put it in the {1}."]
NO_BOT = tuple(source for source in SOURCES if source not in ("gridworld", "roomworld"))
HOLD_OUT_BOTS = ["--hold-out-source", "gridworld", "--hold-out-source", "roomworld"]


def alfred(thing: str, place: str, trial: str) -> dict[str, Any]:
    return {
        "source": "alfred",
        "id": f"{thing} {place} {trial}",
        "command": f"Wash the {thing} and leave it in the {place}, {trial}",
        "actions": [step.format(thing, place) for step in STEPS],
        "outcome": "success",
        "task_type": "pick_clean_then_place_in_recep",
        "trial": trial,
        "object": thing,
        "receptacle": place,
        "plan": [step.format(thing, place) for step in CLEAN_PLAN],
    }


def write(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Every file, tiny."""
    folder = tmp_path / "data"
    folder.mkdir()
    seen = [alfred(thing, place, f"trial_T1_{place}{thing}") for thing in ("egg", "fork") for place in ("safe", "cart")]
    write(
        folder / "alfred_train.jsonl", *seen, alfred("plate", "fridge", "trial_T2"), alfred("lamp", "bed", "trial_T3")
    )
    write(folder / "alfred_dev.jsonl", {**alfred("plate", "fridge", "trial_T2"), "command": "other words"})
    write(
        folder / "alfworld_runs_dev.jsonl",
        {"source": "alfworld", "id": "run trial_T9", "command": "Wash the lamp and leave it in the bed, trial_T3",
         "actions": ["go to bed 1"], "outcome": "failure"},
    )  # fmt: skip
    write(
        folder / "virtualhome_plans.jsonl",
        {
            "id": 1,
            "command": "Watch TV",
            "actions": ["Find remote control", "Switch on television", "Watch television"],
        },
        {"id": 2, "command": "Wash hands", "actions": ["Walk to sink", "Switch on faucet", "Wash hands", "Grab towel"]},
    )
    write(
        folder / "saycan_plans.jsonl",
        {
            "id": 1,
            "command": "Throw away the apple.",
            "actions": ["find an apple", "pick up the apple", "go to the trash", "put down the apple"],
        },
    )
    return folder


def made(data: Path, **options: Any) -> list[dict[str, Any]]:
    return list(rows(Options(data=data, **{"limit": 60, "sources": NO_BOT, **options})))


def test_rows(data: Path) -> None:
    found = made(data)
    assert len(found) == 60
    assert {row["source"] for row in found} == set(NO_BOT)
    for row in found:
        assert set(row) == {"source", "style", "id", "group", "command", "actions", "negatives"}
        assert row["style"] in STYLES
        assert all(row["actions"])
        assert row["command"]
        assert len(row["negatives"]) <= 6
        for negative in row["negatives"]:
            assert set(negative) in ({"kind", "actions"}, {"kind", "command"})
            assert negative.get("actions") != row["actions"]
            assert negative.get("command") != row["command"]
    assert len({row["id"] for row in found}) == len(found)


def test_where_the_command_says_from_where_the_log_does_too(data: Path) -> None:
    made = (make_task(2, number) for number in range(400))
    tasks = [task for task in made if any(act.source for act in task.goal)]
    pool = Pool(tasks)
    for task in tasks:
        row = make_row(task, pool, Options(data=data, limit=1))
        if row:
            log = "".join(filter(str.isalnum, " ".join(row["actions"]).lower()))
            for source in filter(None, (act.source for act in task.goal)):
                assert "".join(filter(str.isalnum, source.words.lower())) in log


@pytest.mark.parametrize(("style", "told"), [("environment", False), ("sentences", True)])
def test_a_run_that_ends_with_a_failure_needs_a_log_that_tells_it(data: Path, style: str, told: bool) -> None:
    goal = Act("place", thing=Thing("mug"), place=Thing("shelf"))
    acts = (Act("go", place=Thing("shelf")), replace(goal, essential=True))
    task = Task("synthetic", "1", "1", "place", acts, goal=(goal,),
                failures=(("action_failed", (acts[0], replace(goal, result=Result.FAILED))),))  # fmt: skip
    row = make_row(task, Pool([task]), Options(data=data, limit=1, styles=(style,), negatives=20))
    assert row is not None
    assert ("recorded_action_failed" in {negative["kind"] for negative in row["negatives"]}) == told


def test_the_same_every_time_and_other_with_another_seed(data: Path) -> None:
    assert made(data, seed=4) == made(data, seed=4)
    assert made(data, seed=4) != made(data, seed=5)


def test_what_is_measured_on_stays_unseen(data: Path) -> None:
    text = json.dumps(made(data, sources=("alfred",), limit=80))
    assert "egg" in text
    assert "plate" not in text, "its trajectory is in alfred_dev"
    assert "lamp" not in text, "its command is in alfworld_runs_dev"


def test_commands_of_the_contrast_set_stay_unseen() -> None:
    unseen = Unseen([])
    assert unseen.text("Move forward 15 m!", ["drove 15 m forward"])
    assert not unseen.text("proceed to the old barn", ["went there"])


def test_without_the_development_data_nothing_is_made(data: Path) -> None:
    (data / "alfred_dev.jsonl").unlink()
    with pytest.raises(Exception, match=r"alfred_dev\.jsonl is missing"):
        made(data)


@pytest.mark.parametrize("style", STYLES)
def test_one_style_alone(data: Path, style: str) -> None:
    sources = tuple(source for source in NO_BOT if source != "synthetic") if style == "people" else NO_BOT
    assert {row["style"] for row in made(data, styles=(style,), sources=sources, limit=10)} == {style}


def test_held_out_from_the_command_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    arguments = ["--data", str(data), "-o", str(out), "--limit", "40", *HOLD_OUT_BOTS]
    assert main([*arguments, "--hold-out-source", "synthetic", "--hold-out-style", "json"]) == 0
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert {row["source"] for row in found} == {"alfred", "virtualhome", "saycan"}
    assert "json" not in {row["style"] for row in found}
    assert "alfred" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out.jsonl"]


def test_an_error_leaves_no_file(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "saycan_plans.jsonl").unlink()
    out = tmp_path / "out.jsonl"
    assert main(["--data", str(data), "-o", str(out), *HOLD_OUT_BOTS]) == 2
    assert "saycan_plans.jsonl is missing; --hold-out-source saycan leaves it out" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_parts_have_no_group_in_common(data: Path) -> None:
    train = made(data, part="train", sources=("synthetic",), limit=100)
    test = made(data, part="test", sources=("synthetic",), limit=100)
    assert not {row["group"] for row in train} & {row["group"] for row in test}
    assert part_of("one group") == part_of("one group")


def test_a_small_share_is_for_testing() -> None:
    share = sum(part_of(f"group {number}") == "test" for number in range(1000)) / 1000
    assert 0.02 < share < 0.1
