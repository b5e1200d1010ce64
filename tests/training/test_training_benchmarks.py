"""Best of N and training by a reward: what is kept, picked and counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra [train] is not installed")
pytest.importorskip("transformers", reason="the extra [train] is not installed")
pytest.importorskip("peft", reason="the extra [train] is not installed")
pytest.importorskip("gguf", reason="the extra [train] is not installed")
pytest.importorskip("trl", reason="the extra [train] is not installed")
pytest.importorskip("datasets", reason="the extra [train] is not installed")

import numpy as np

from benchmarks.grpo import adapters, changes, points
from benchmarks.grpo import plot as plot_grpo
from benchmarks.grpo import report as report_grpo
from benchmarks.kept import Kept
from benchmarks.scaling import PICKERS, SIZES, best_of, curves, differences, estimate, main, pick, plot, report
from flip_edge.config import Config
from flip_edge.errors import InputError

COMMAND = "put the mug in the sink"
PLANS = [
    "go to the bed\npick up the pillow\nput the pillow on the bed",
    "go to the table\npick up the mug\ngo to the sink\nput the mug in the sink",
    "turn on the desk lamp",
]
DRAWN = [0, 0, 1, 0, 2, 0, 1, 1, *[0] * 8]
ROW = {
    "id": "a",
    "seed": 0,
    "command": COMMAND,
    "plans": PLANS,
    "drawn": DRAWN,
    "quality": [0.0, 1.0, 0.5],
    "exact": [False, True, False],
}


# --- what is kept


def test_records_are_found_again_and_the_last_of_a_key_counts(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "new" / "r.jsonl", ("id", "seed"))
    kept.add({"id": "a", "seed": 0, "value": 1})
    kept.add({"id": "a", "seed": 0, "value": 2})
    again = Kept(tmp_path / "new" / "r.jsonl", ("id", "seed"))
    assert again.find("a", 0) == {"id": "a", "seed": 0, "value": 2}
    assert again.find("a", 1) is None


def test_a_line_that_was_cut_off_is_as_if_never_written(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text('{"id": "a"}\n{"id": "b", "val', encoding="utf-8")
    kept = Kept(file, ("id",))
    kept.add({"id": "c"})
    assert list(Kept(file, ("id",)).records) == [("a",), ("c",)]


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text('{"id": "a"}\n{"name": "b"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2 .* id"):
        Kept(file, ("id",))


# --- best of N


def test_the_best_is_picked_among_the_first_draws_alone() -> None:
    picks = best_of([0.1, 0.9, 0.9], DRAWN)
    assert picks == {"1": [0], "2": [0], "4": [1], "8": [1, 2], "16": [1, 2]}


def test_a_plan_without_a_score_comes_last_and_all_without_one_tie() -> None:
    assert best_of([None, 0.1, None], DRAWN)["16"] == [1]
    assert best_of([None, None, None], DRAWN)["8"] == [0, 1, 2]


def test_the_most_frequent_and_the_likest_are_picked_without_a_model() -> None:
    assert PICKERS["vote"](Config()).pick(COMMAND, PLANS, DRAWN)[""] == {
        "1": [0],
        "2": [0],
        "4": [0],
        "8": [0],
        "16": [0],
    }
    assert PICKERS["vote"](Config()).pick(COMMAND, PLANS, [0, 1, *[0] * 14])[""]["2"] == [0, 1]
    assert PICKERS["words"](Config()).pick(COMMAND, PLANS, DRAWN)[""]["4"] == [1]


@pytest.mark.model
@pytest.mark.parametrize("name", ["flip", "flip-bare", "pointwise", "pairwise", "listwise"])
def test_every_picker_picks_one_of_what_was_drawn(name: str, tmp_path: Path) -> None:
    drawn, picked = (
        Kept(tmp_path / "plans.jsonl", ("id", "seed")),
        Kept(tmp_path / "picks.jsonl", ("id", "seed", "picker")),
    )
    drawn.add(ROW)
    pick(picked, drawn, name, Config(n_threads=1))
    record = picked.find("a", 0, name)
    assert record
    assert len(record["picks"]) == (2 if name.startswith("flip") else 1)
    for picks in record["picks"].values():
        assert picks["1"] == picks["2"] == [0]
        for size in SIZES:
            assert picks[str(size)]
            assert set(picks[str(size)]) <= set(DRAWN[:size])
    if name == "flip":
        assert all(picks["16"] == [1] for picks in record["picks"].values())


def test_curves_are_means_of_the_picked_and_of_the_references(tmp_path: Path) -> None:
    drawn, picked = (
        Kept(tmp_path / "plans.jsonl", ("id", "seed")),
        Kept(tmp_path / "picks.jsonl", ("id", "seed", "picker")),
    )
    drawn.add(ROW)
    drawn.add({**ROW, "id": "b", "quality": [1.0, 1.0, 1.0]})
    for id_ in "ab":
        picked.add({"id": id_, "seed": 0, "picker": "vote", "picks": {"most": best_of([0.0, 1.0, 1.0], DRAWN)}})
    picked.add({"id": "a", "seed": 0, "picker": "words", "picks": {"words": best_of([0.0, 1.0, 1.0], DRAWN)}})
    found = {curve.name: curve.values for curve in curves(drawn, picked, "quality")}
    assert "words" not in found  # not all of the rows yet
    assert found["at random"][0] == pytest.approx([0, 0, 0.25, (3 + 0.5) / 8, 3.5 / 16])
    assert found["the best there is"][0].tolist() == [0, 0, 1, 1, 1]
    assert found["most"][0] == pytest.approx([0, 0, 1, 0.75, 0.75])
    assert found["most"][1].tolist() == [1] * 5
    told = differences(curves(drawn, picked, "quality"), "most")
    assert "| the first draw | +0.375 [+0.000, +0.750] |" in told
    assert "2 commands, 3.0 distinct plans of 16" in report(drawn, picked)
    plot(curves(drawn, picked, "quality"), tmp_path / "scaling.svg")
    assert b"</svg>" in (tmp_path / "scaling.svg").read_bytes()


def test_an_interval_holds_its_mean_and_narrows_with_more_commands() -> None:
    few, many = (estimate(np.tile([0.0, 1.0], count)) for count in (8, 200))
    assert few.low < 0.5 < few.high
    assert many.high - many.low < (few.high - few.low) / 3


def test_what_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    assert main([str(tmp_path / "empty.jsonl"), "--policy", "p.gguf", "-o", str(tmp_path), "--picker"]) == 2
    assert "no row" in capsys.readouterr().err


# --- training by a reward


def run_folder(folder: Path, *steps: int, weights: bytes = b"same") -> Path:
    for step in steps:
        (folder / f"step-{step:04d}").mkdir(parents=True)
        (folder / f"step-{step:04d}" / "adapter_model.safetensors").write_bytes(weights)
    return folder


def test_the_beginning_is_measured_once_and_the_end_of_each_run(tmp_path: Path) -> None:
    runs = {"a": run_folder(tmp_path / "a", 0, 5, 10, 15), "b": run_folder(tmp_path / "b", 0, 10, 12)}
    assert [key[:2] for key in adapters(runs, 10)] == [("start", 0), ("a", 10), ("a", 15), ("b", 10), ("b", 12)]
    with pytest.raises(InputError, match="no finished run"):
        adapters({"c": run_folder(tmp_path / "c", 0)}, 10)
    with pytest.raises(InputError, match="another policy"):
        adapters({**runs, "d": run_folder(tmp_path / "d", 0, 10, weights=b"other")}, 10)


def test_a_run_is_compared_with_its_beginning_and_with_the_other(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "plans.jsonl", ("run", "step", "id"))
    rewarded = Kept(tmp_path / "rewards.jsonl", ("reward", "run", "step", "id"))
    assert report_grpo(kept, rewarded) == "no plans yet"
    figures = {("start", 0): 0.5, ("flip", 5): 0.6, ("flip", 10): 0.75, ("pointwise", 10): 0.25}
    for (run, step), value in figures.items():
        for id_ in "ab":
            record = {"run": run, "step": step, "id": id_}
            kept.add({**record, "quality": [value, value, 1.0], "exact": [0.0, 0.0, 1.0], "words": [8.0, 8.0, 4.0]})
            rewarded.add({**record, "reward": "flip", "values": [value, value, 0.0]})
    kept.add({"run": "start", "step": 0, "id": "c", "quality": [0.0] * 3, "exact": [0.0] * 3, "words": [1.0] * 3})
    assert points(kept, rewarded, "quality")["start", 0].tolist() == [0.5, 0.5]  # of commands that all have
    assert points(kept, rewarded, "quality", likeliest=True)["flip", 10].tolist() == [1.0, 1.0]
    assert points(kept, rewarded, "pointwise") == {}
    told = changes(kept, rewarded, likeliest=False)
    assert "| flip less start | +0.250 [+0.250, +0.250] |  | +0.250" in told
    assert "| pointwise less flip | -0.500" in told
    assert "2 commands that every adapter" in report_grpo(kept, rewarded)
    plot_grpo(kept, rewarded, tmp_path / "grpo.svg")
    assert b"</svg>" in (tmp_path / "grpo.svg").read_bytes()


def test_the_kept_file_is_one_record_a_line(tmp_path: Path) -> None:
    Kept(tmp_path / "r.jsonl", ("id",)).add({"id": "a", "text": "one\ntwo"})
    assert json.loads((tmp_path / "r.jsonl").read_text(encoding="utf-8")) == {"id": "a", "text": "one\ntwo"}
