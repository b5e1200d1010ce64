"""A policy that writes plans, and its training by a reward, on a tiny model; the reward is that of the real one."""

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
from safetensors.numpy import load_file

from benchmarks.grpo import main as measure
from flip_edge.errors import InputError
from training.checkpoint import LOG_FILE
from training.export import export
from training.grpo import Options as Training
from training.grpo import PointwiseReward, train
from training.grpo import main as train_main
from training.policy import Options, Writer, main, teach, wishes

pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("default")]

PLANS = Path(__file__).parent / "data" / "plans.jsonl"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same task many times over, so that a tiny model learns something of it."""
    file = tmp_path_factory.mktemp("rows") / "plans.jsonl"
    row = json.loads(PLANS.read_text(encoding="utf-8").splitlines()[0])
    file.write_text("".join(json.dumps({**row, "id": f"r/{n}", "trial": f"t{n}"}) + "\n" for n in range(48)))
    return file


@pytest.fixture(scope="module")
def policy(rows: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy") / "run"
    teach(Options(rows, model=str(tiny_model), limit=40, batch=4, learning_rate=1e-2), folder)
    return folder


def logged(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / LOG_FILE).read_text(encoding="utf-8").splitlines()]


def test_one_row_of_each_trajectory_in_an_order_of_its_own(rows: Path) -> None:
    found = wishes(rows)
    assert len(found) == 48
    assert found == wishes(rows)
    assert [row.id for row in found] != sorted(row.id for row in found)
    assert found[0].plan.splitlines()[-1] == "put the mug in the sink"
    assert wishes(PLANS, longest=4)
    with pytest.raises(InputError, match="no row"):
        wishes(PLANS, longest=1)


def test_a_policy_learns_the_plans_that_it_is_shown(policy: Path) -> None:
    losses = [entry["loss"] for entry in logged(policy)]
    assert len(losses) == 10
    assert losses[-1] < 0.8 * losses[0]


def test_draws_are_the_same_each_time_and_independent(policy: Path, tiny_model: Path, tmp_path: Path) -> None:
    export(policy, tmp_path / "policy.gguf")
    with Writer(tmp_path / "policy.gguf", model=str(tiny_model), n_threads=1) as writer:
        drawn = writer.draw("put the mug in the sink", 4)
        assert writer.draw("put the mug in the sink", 4) == drawn
        assert len(set(drawn)) == 4
        assert writer.draw("put the mug in the sink", 4, seed=1) != drawn
        assert (
            writer.draw("put the mug in the sink", 2, temperature=1e-3)
            == [writer.likeliest("put the mug in the sink")] * 2
        )


@pytest.mark.parametrize("reward", ["flip", "pointwise"])
def test_a_reward_trains_a_policy(
    reward: str, rows: Path, policy: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.grpo.LONGEST", 12)  # a tiny model babbles as long as it may
    run = tmp_path / "run"
    entries = train(Training(rows, policy, reward, steps=2, prompts=1, generations=3, learning_rate=1e-2), run, every=1)
    assert [entry["step"] for entry in entries] == [1, 2]
    assert all(0 < entry["reward"] < 1 for entry in entries)
    assert logged(run) == entries
    name = "adapter_model.safetensors"
    before, after, taught = (load_file(folder / name) for folder in (run / "step-0000", run / "step-0002", policy))
    assert all(np.array_equal(before[key], taught[key]) for key in taught)
    assert any(not np.array_equal(after[key], before[key]) for key in before)
    with pytest.raises(InputError, match="holds something"):
        train(Training(rows, policy, reward), run)
    export(run / "step-0002", tmp_path / "trained.gguf")
    with Writer(tmp_path / "trained.gguf", model=str(tiny_model), n_threads=1) as writer:
        assert writer.likeliest("put the mug in the sink")


def test_an_empty_plan_earns_nothing_and_a_judge_without_an_answer_says_so() -> None:
    class Silent:
        def scores(self, _: object) -> list[None]:
            return [None]

    reward = PointwiseReward(Silent())  # type: ignore[arg-type]
    assert reward(["bring the mug"] * 2, ["", "pick up the mug"]) == [0.0, None]


def test_what_is_no_policy_is_refused(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_main([str(rows), "--policy", str(tmp_path), "-o", str(tmp_path / "run")]) == 2
    assert "no adapter" in capsys.readouterr().err
    assert main([str(tmp_path / "none.jsonl"), "-o", str(tmp_path / "other")]) == 2
    assert "none.jsonl" in capsys.readouterr().err
    assert measure([str(rows), "--run", f"flip={tmp_path}", "-o", str(tmp_path / "measured")]) == 2
    assert "no finished run" in capsys.readouterr().err
