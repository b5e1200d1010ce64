"""Training, checkpoints and export, on a tiny model; one test on the real one."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra [train] is not installed")
pytest.importorskip("transformers", reason="the extra [train] is not installed")
pytest.importorskip("peft", reason="the extra [train] is not installed")
pytest.importorskip("gguf", reason="the extra [train] is not installed")

import torch
from safetensors.numpy import load_file

from flip_edge.engine import Engine
from flip_edge.errors import ConfigError, InputError, ModelError
from flip_edge.prompts import CompletionPrompt, Query, load_prompt
from training import train as trainer
from training.average import average
from training.average import main as average_main
from training.checkpoint import LOG_FILE, STATE_FILE
from training.examples import Example, Tokenizer, Wrong, completion_prompt
from training.export import export, read_exported, read_run
from training.export import main as export_main
from training.model import (
    ADAPTER_FILE,
    Lora,
    Scorer,
    adapter_parameters,
    load_model,
    parameters_of,
    save_adapter,
    set_adapter_state,
)
from training.objectives import Objective
from training.packing import Branching, Item
from training.train import INTERRUPTED, Options, main, train

pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("default")]

LOG = ("navigated to the kitchen", "picked up the red mug", "placed the red mug in the sink")
OTHER_LOG = ("drove 2.0 m forward",)
COMMANDS = ("bring the red mug to the sink", "bring the blue mug to the sink", "stop")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def options(tiny_model: Path, rows_file: Path) -> Options:
    return Options(rows_file, model=str(tiny_model), steps=6, learning_rate=1e-2, batch_tokens=300, dropout=0.1)


def random_adapter(gguf: Path, folder: Path) -> Any:
    """A model whose adapter changes much, and that adapter in a folder."""
    model = load_model(gguf, Lora())
    generator = torch.Generator().manual_seed(1)
    for parameter in adapter_parameters(model):
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.15
    model.eval()
    folder.mkdir()
    save_adapter(model, folder, str(gguf))
    (folder / "options.json").write_text(json.dumps({"model": str(gguf), "prompt": "log-command-bare/1"}))
    return model


def texts(gguf: Path) -> list[Branching]:
    with Engine(gguf, n_ctx=256, n_threads=1) as engine:
        tokenizer = Tokenizer(engine, completion_prompt("log-command-bare"))
        answers = tuple(tokenizer.answer(command) for command in COMMANDS)
        return [
            *(Branching(tokenizer.log(log), answers) for log in (LOG, OTHER_LOG)),
            Branching(tokenizer.without_log, answers),
        ]


def under_llama(gguf: Path, adapter: Path | None) -> np.ndarray:
    """Of every command after both logs and without one: the mean log-likelihood, in nats per token."""
    prompt = load_prompt("log-command-bare")
    assert isinstance(prompt, CompletionPrompt)
    found: list[float] = []
    with Engine(gguf, n_ctx=512, n_threads=1, adapter=adapter) as engine:
        engine.prime(prompt.prefix(engine.chat), prompt.without_log())
        for log, given in ((LOG, True), (OTHER_LOG, True), (OTHER_LOG, False)):
            engine.read(prompt.log(log, engine.chat))
            queries = [Query(prompt.answer_text(command), given) for command in COMMANDS]
            found += [float(values.mean()) for values in engine.log_likelihoods(queries)]
    return np.array(found)


def scores(model: Any, of: Sequence[Branching]) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(Scorer(model)(of), dtype=np.float64)


# --- scores and export


def test_packing_changes_no_score(tiny_model: Path, tmp_path: Path) -> None:
    model = random_adapter(tiny_model, tmp_path / "run")
    together = texts(tiny_model)
    alone = [Branching(text.log, (answer,)) for text in together for answer in text.answers]
    single = np.concatenate([scores(model, [text]) for text in alone])
    assert scores(model, together) == pytest.approx(single, abs=1e-4)
    assert np.ptp(single) > 0.1


def test_an_exported_adapter_is_the_trained_one_under_llama(tiny_model: Path, tmp_path: Path) -> None:
    model = random_adapter(tiny_model, tmp_path / "run")
    size = export(tmp_path / "run", tmp_path / "adapter.gguf")
    assert size == (tmp_path / "adapter.gguf").stat().st_size
    bare = np.asarray(Scorer(model).without_adapter(texts(tiny_model)), dtype=np.float64)
    assert under_llama(tiny_model, None) == pytest.approx(bare, abs=2e-3)
    found = under_llama(tiny_model, tmp_path / "adapter.gguf")
    # Nats per token; what is left is the adapter's rounding to float16.
    assert found == pytest.approx(scores(model, texts(tiny_model)), abs=5e-3)
    assert np.abs(found - bare).max() > 0.2


def test_an_exported_adapter_can_be_trained_on(tiny_model: Path, tmp_path: Path) -> None:
    random_adapter(tiny_model, tmp_path / "run")
    export(tmp_path / "run", tmp_path / "adapter.gguf")
    found, (_, trained, _) = read_exported(tmp_path / "adapter.gguf", tiny_model), read_run(tmp_path / "run")
    assert found.keys() == trained.keys()
    assert all(found[name] == pytest.approx(trained[name], abs=1e-3) for name in trained)
    model = load_model(tiny_model, Lora(), dtype="float32")
    set_adapter_state(model, parameters_of(found))
    with pytest.raises(InputError, match="no place"):
        read_exported(tiny_model, tiny_model)
    (tmp_path / "none.gguf").write_bytes(b"none")
    with pytest.raises(InputError, match="no GGUF"):
        read_exported(tmp_path / "none.gguf", tiny_model)


def test_the_real_models_adapter_too(model_path: Path, tmp_path: Path) -> None:
    """An adapter that changes everything, by 5 nats a token, on the file of the robot and on one without rounding."""
    torch.manual_seed(2)
    model = load_model(model_path, Lora())
    bare = scores(model, texts(model_path))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.eval()
    run, adapter, exact = tmp_path / "run", tmp_path / "adapter.gguf", tmp_path / "float32.gguf"
    run.mkdir()
    save_adapter(model, run, str(model_path))
    assert export(run, adapter, model=str(model_path)) < 20_000_000
    own = scores(model, texts(model_path))
    assert np.abs(own - bare).mean() > 2
    # On the quantized file llama.cpp rounds activations to 8 bits: 0.1 without an adapter, more where they are larger.
    assert under_llama(model_path, None) == pytest.approx(bare, abs=0.15)
    assert under_llama(model_path, adapter) == pytest.approx(own, abs=0.5)
    de_quantized(model_path, exact)
    assert under_llama(exact, None) == pytest.approx(bare, abs=0.01)
    assert under_llama(exact, adapter) == pytest.approx(own, abs=0.03)
    exact.unlink()  # 540 MB


def de_quantized(source: Path, target: Path) -> None:
    import llama_cpp

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize, params.nthread = llama_cpp.LLAMA_FTYPE_ALL_F32, True, 1
    assert llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(target), params) == 0


def test_what_cannot_be_exported(tiny_model: Path, model_path: Path, tmp_path: Path) -> None:
    random_adapter(tiny_model, tmp_path / "run")
    with pytest.raises(InputError, match=r"no place for|has the shape"):
        export(tmp_path / "run", tmp_path / "adapter.gguf", model=str(model_path))
    options = {"model": str(tiny_model), "model_sha256": "0" * 64}
    (tmp_path / "run" / "options.json").write_text(json.dumps(options))
    with pytest.raises(InputError, match="trained for another model"):
        export(tmp_path / "run", tmp_path / "adapter.gguf")
    assert export_main([str(tmp_path / "none"), "-o", str(tmp_path / "adapter.gguf")]) == 2
    config = tmp_path / "run" / "adapter_config.json"
    (tmp_path / "run" / "options.json").write_text(json.dumps({"model": str(tiny_model)}))
    config.write_text(json.dumps({**json.loads(config.read_text()), "use_rslora": True}))
    with pytest.raises(InputError, match="variant of LoRA"):
        export(tmp_path / "run", tmp_path / "adapter.gguf")
    assert not list(tmp_path.glob("adapter.gguf*"))


def test_a_bad_adapter_is_an_error_that_names_it(tiny_model: Path, model_path: Path, tmp_path: Path) -> None:
    random_adapter(tiny_model, tmp_path / "run")
    export(tmp_path / "run", tmp_path / "adapter.gguf")
    whole = (tmp_path / "adapter.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "noise.gguf").write_bytes(b"GGUF" + os.urandom(1000))
    cases = [
        (tiny_model, "none.gguf", "no adapter file at"),
        (tiny_model, "cut.gguf", "cannot apply"),
        (tiny_model, "noise.gguf", "cannot apply"),
        (model_path, "adapter.gguf", r"cannot apply.*blk\.0"),
    ]
    for model, name, match in cases:
        with pytest.raises(ModelError, match=match) as caught:
            Engine(model, n_ctx=256, n_threads=1, adapter=tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(ModelError, match="cannot apply"):
        Engine(tiny_model, n_ctx=256, n_threads=1, adapter=tiny_model)


# --- training


def log_of(folder: Path) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in (folder / LOG_FILE).read_text(encoding="utf-8").splitlines()]
    for entry in entries:
        del entry["seconds"]
    return entries


def same(one: Any, other: Any) -> bool:
    """Whether two checkpoints are the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def checkpoint(folder: Path) -> Any:
    return torch.load(folder / STATE_FILE, weights_only=True)


def test_the_likelihood_rises(options: Options, tmp_path: Path) -> None:
    assert train(replace(options, steps=12, dropout=0.0), tmp_path / "run")
    entries = log_of(tmp_path / "run")
    assert [entry["step"] for entry in entries] == list(range(1, 13))
    assert all(entry["contrast"] is None for entry in entries)
    assert np.mean([entry["nll"] for entry in entries[-3:]]) < np.mean([entry["nll"] for entry in entries[:3]]) - 0.5


@pytest.mark.parametrize(("prior", "prompt"), [("frozen", "auto"), ("adapted", "log-command-bare")])
def test_contrasts_are_won_more_often(options: Options, tmp_path: Path, prior: str, prompt: str) -> None:
    asked = replace(options, objective="contrast", prior=prior, prompt=prompt, steps=20, dropout=0.0)
    assert train(asked, tmp_path / "run")
    entries = log_of(tmp_path / "run")
    assert np.mean([e["contrast"] for e in entries[-6:]]) < np.mean([e["contrast"] for e in entries[:6]]) - 0.1
    kinds = {kind for entry in entries for kind in entry["won"]}
    assert {"cut", "wrong_object"} <= kinds


def test_contrasts_compare_what_the_recipe_says(tiny_model: Path, rows_file: Path, tmp_path: Path) -> None:
    model = random_adapter(tiny_model, tmp_path / "run")
    right, other, blank = texts(tiny_model)
    command, wrong_command, _ = right.answers
    wrong = (Wrong("cut", other.log, True), Wrong("wrong_object", wrong_command, False))
    item = Item(Example("x", right.log, command, wrong), wrong)
    own = scores(model, [right, other, blank])
    frozen = np.asarray(Scorer(model).without_adapter([blank]), dtype=np.float64)
    for prior, without in (("frozen", frozen), ("adapted", own[6:])):
        loss = Objective(4.0, 0.5, prior, blank.log)(Scorer(model), [item])
        margins = [(own[0] - without[0]) - (own[1] - without[1]), own[0] - own[3]]
        contrast = np.mean([np.log1p(np.exp(-4.0 * margin)) for margin in margins])
        assert loss.contrast == pytest.approx(contrast, abs=1e-3)
        assert loss.nll == pytest.approx(-own[0], abs=1e-3)
        assert float(loss.total.detach()) == pytest.approx(contrast - 0.5 * own[0], abs=1e-3)
        assert loss.won == {"wrong_object": [int(margins[0] > 0), 1], "cut": [int(margins[1] > 0), 1]}


def test_a_confirmation_is_half_of_what_is_right_and_half_of_what_is_not(tiny_model: Path, tmp_path: Path) -> None:
    model = random_adapter(tiny_model, tmp_path / "run")
    right, other, blank = texts(tiny_model)
    command, wrong_command, also = right.answers
    denied = (*command[:-2], *also)
    wrong = (Wrong("cut", other.log, True), Wrong("wrong_object", wrong_command, False))
    item = Item(Example("x", right.log, command, wrong, (also,)), wrong, (also,), (denied,))
    yes, no = 7, 8

    def said(log: tuple[int, ...], answer: tuple[int, ...], token: int) -> float:
        with torch.no_grad():
            return float(Scorer(model).with_confirmations([Branching(log, ((*answer, token),), True)])[1][0])

    yeses = [said(right.log, command, yes), said(right.log, also, yes)]
    noes = [said(right.log, wrong_command, no), said(right.log, denied, no)]
    noes += [said(other.log, command, no), said(other.log, also, no)]
    plain = Objective(4.0, 0.5, "adapted", blank.log)(Scorer(model), [item])
    loss = Objective(4.0, 0.5, "adapted", blank.log, (yes, no), 2.0)(Scorer(model), [item])
    assert loss.confirmation == pytest.approx(-(np.mean(yeses) + np.mean(noes)) / 2, abs=1e-3)
    assert float(loss.total.detach()) == pytest.approx(float(plain.total.detach()) + 2 * loss.confirmation, abs=2e-3)
    assert (loss.won, plain.confirmation) == (plain.won, None)
    assert loss.nll == pytest.approx(-scores(model, [right])[0], abs=1e-3)


def test_confirmations_are_learnt(options: Options, tmp_path: Path) -> None:
    asked = replace(options, objective="contrast", steps=24, dropout=0.0)
    assert train(asked, tmp_path / "run")
    entries = log_of(tmp_path / "run")
    # That it says yes or no at all: rightly is more than so small a model can learn with its head frozen.
    assert np.mean([entry["confirmation"] for entry in entries[-4:]]) < entries[0]["confirmation"] / 4
    assert json.loads((tmp_path / "run" / "options.json").read_text())["prompt"] == "log-command-confirm/1"


def test_confirmations_come_in_the_order_of_their_answers(tiny_model: Path, tmp_path: Path) -> None:
    scorer = Scorer(random_adapter(tiny_model, tmp_path / "run"))
    long, _, blank = texts(tiny_model)
    some = [
        Branching(blank.log, ((*long.answers[0], 7), (*long.answers[1], 8)), True),
        Branching(blank.log, long.answers),
        Branching(long.log, ((*long.answers[2], 9),), True),  # laid out first
    ]
    with torch.no_grad():
        together = scorer.with_confirmations(some)
        alone = [scorer.with_confirmations([text]) for text in some]
    for place in (0, 1):
        assert together[place].tolist() == pytest.approx(torch.cat([each[place] for each in alone]).tolist(), abs=1e-3)
    assert len(together[1]) == 3


def interrupting(step: int, action: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something in the middle of a step."""
    original = trainer._step

    def hooked(run: Any, *rest: Any) -> Any:
        if run.step + 1 == step:
            action()
        return original(run, *rest)

    monkeypatch.setattr(trainer, "_step", hooked)


@pytest.mark.parametrize("objective", ["likelihood", "contrast"])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str
) -> None:
    options = replace(options, objective=objective)
    assert train(options, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupting(3, lambda: os.kill(os.getpid(), signal.SIGINT), patch)
        assert not train(options, tmp_path / "parts")
    assert checkpoint(tmp_path / "parts")["step"] == 3
    assert train(options, tmp_path / "parts", resume=True)
    assert same(checkpoint(tmp_path / "parts"), checkpoint(tmp_path / "whole"))
    assert log_of(tmp_path / "parts") == log_of(tmp_path / "whole")
    name = "adapter_model.safetensors"
    assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_crash_loses_only_what_came_after_the_checkpoint(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> None:
        raise MemoryError

    assert train(options, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupting(5, crash, patch)
        with pytest.raises(MemoryError):
            train(options, tmp_path / "parts", every=2)
    assert train(options, tmp_path / "parts", resume=True)
    assert same(checkpoint(tmp_path / "parts"), checkpoint(tmp_path / "whole"))
    assert log_of(tmp_path / "parts") == log_of(tmp_path / "whole")


def test_runs_are_not_mixed_up(options: Options, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to resume"):
        train(options, tmp_path / "run", resume=True)
    options = replace(options, steps=1)
    train(options, tmp_path / "run")
    with pytest.raises(ConfigError, match="--resume, or use another folder"):
        train(options, tmp_path / "run")
    with pytest.raises(ConfigError, match="seed was 0 and is 1"):
        train(replace(options, seed=1), tmp_path / "run", resume=True)
    (tmp_path / "run" / STATE_FILE).write_bytes(b"cut short")
    with pytest.raises(InputError, match="cannot read the checkpoint"):
        train(options, tmp_path / "run", resume=True)


def test_a_second_stage_starts_from_the_first(options: Options, tmp_path: Path) -> None:
    train(options, tmp_path / "one")
    second = replace(options, objective="contrast", start=tmp_path / "one", steps=1, learning_rate=0.0)
    train(second, tmp_path / "two")
    assert same(checkpoint(tmp_path / "one")["adapter"], checkpoint(tmp_path / "two")["adapter"])
    with pytest.raises(InputError, match="another shape"):
        train(replace(second, rank=4), tmp_path / "three")
    with pytest.raises(InputError, match=r"no-run"):
        train(replace(second, start=tmp_path / "no-run"), tmp_path / "four")


def test_the_mean_of_two_second_stages(options: Options, tmp_path: Path) -> None:
    train(options, tmp_path / "one")
    second = replace(options, start=tmp_path / "one", steps=2)
    for name, seed in (("two", 1), ("three", 2)):
        train(replace(second, seed=seed), tmp_path / name)
    assert average_main([str(tmp_path / "two"), str(tmp_path / "three"), "-o", str(tmp_path / "mean")]) == 0
    two, three, mean = (load_file(tmp_path / name / ADAPTER_FILE) for name in ("two", "three", "mean"))
    assert any(not np.array_equal(two[name], three[name]) for name in two)
    for name in two:
        np.testing.assert_allclose(mean[name], (two[name] + three[name]) / 2, rtol=1e-6)
    assert export(tmp_path / "mean", tmp_path / "mean.gguf") > 0
    with Engine(Path(options.model), n_ctx=256, n_threads=1, adapter=tmp_path / "mean.gguf"):
        pass
    train(replace(options, start=tmp_path / "mean", steps=1), tmp_path / "four")
    export(tmp_path / "three", tmp_path / "three.gguf")  # in half precision
    average([tmp_path / "two", tmp_path / "three.gguf"], tmp_path / "again")
    again = load_file(tmp_path / "again" / ADAPTER_FILE)
    for name in two:
        np.testing.assert_allclose(again[name], mean[name], rtol=1e-3, atol=1e-4)


def test_what_has_no_mean(options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(replace(options, steps=1), tmp_path / "one")
    train(replace(options, steps=1, rank=4), tmp_path / "small")
    for other, reason in (("small", "differs from .*one in rank"), ("none", "no adapter in .*none")):
        with pytest.raises(InputError, match=reason):
            average([tmp_path / "one", tmp_path / other], tmp_path / "mean")
    export(tmp_path / "small", tmp_path / "small.gguf")
    with pytest.raises(InputError, match=r"small\.gguf differs from .*one in rank"):
        average([tmp_path / "one", tmp_path / "small.gguf"], tmp_path / "mean")
    with pytest.raises(InputError, match=r"no adapter of training\.export"):
        average([tmp_path / "one", Path(options.model)], tmp_path / "mean")
    assert average_main([str(tmp_path / "one"), str(tmp_path / "none"), "-o", str(tmp_path / "mean")]) == 2
    assert "give the folder of a training run" in capsys.readouterr().err
    assert not (tmp_path / "mean").exists()


def test_the_command_line(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(options.rows), "-o", str(tmp_path / "run"), "--model", options.model, "--steps", "2",
                 "--batch-tokens", "300", "--dtype", "float32"]  # fmt: skip
    with monkeypatch.context() as patch:
        interrupting(1, lambda: os.kill(os.getpid(), signal.SIGINT), patch)
        assert main(arguments) == INTERRUPTED
    assert "--resume goes on" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert export_main([str(tmp_path / "run"), "-o", str(tmp_path / "adapter.gguf")]) == 0
    assert main(arguments) == 2
    assert main(["none.jsonl", "-o", str(tmp_path / "other"), "--model", options.model]) == 2
