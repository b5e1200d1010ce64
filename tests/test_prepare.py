"""Adapters beside a model, and prepared models: on a tiny model of the default one's vocabulary, through llama.cpp."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from flip_edge import Config, SelfCheck, prepare
from flip_edge.backward import BackwardInference, Evidence
from flip_edge.calibration import Calibration, find_calibration, save_calibration
from flip_edge.cli import main
from flip_edge.episode import Episode
from flip_edge.errors import CalibrationError, ConfigError, ModelError
from flip_edge.models import list_models, resolve, resolve_adapter, verify
from flip_edge.prepare import Trial, merge
from flip_edge.prepared import Prepared, find_prepared, remove_prepared
from flip_edge.prompts import Piece, Query

gguf = pytest.importorskip("gguf", reason="needs flip_edge[prepare]")

pytestmark = pytest.mark.model

RANK, ALPHA = 4, 8
RUN = ("bring the mug to the sink", ["picked up the mug", "put the mug in the sink"])
COMMANDS = (" bring the mug to the sink\n", " go away\n")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def tiny_adapter(tiny_model: Path) -> Path:
    """An adapter that changes much, made without the tools of training."""
    return write_adapter(tiny_model, tiny_model.with_name("adapter.gguf"), {})


def write_adapter(model: Path, target: Path, texts: dict[str, str], *, lost: str = "", wide: int = 0) -> Path:
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, ALPHA)
    for key, text in texts.items():
        writer.add_string(key, text)
    draw = np.random.default_rng(2)
    for tensor in gguf.GGUFReader(model).tensors:
        if ("attn_" in tensor.name and "norm" not in tensor.name) or "ffn_down" in tensor.name:
            inputs, outputs = (int(extent) for extent in tensor.shape)
            for which, shape in (("a", (RANK, inputs + wide)), ("b", (outputs, RANK))):
                values = (draw.standard_normal(shape) * 0.2).astype(np.float16)
                writer.add_tensor(f"{tensor.name}{lost}.lora_{which}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


@pytest.fixture
def home(tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache and a registry of its own, in which the tiny model has an adapter."""
    monkeypatch.setenv("FLIP_EDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FLIP_EDGE_REGISTRY", str(tmp_path / "own.yaml"))
    (tmp_path / "robots.gguf").write_bytes(tiny_adapter.read_bytes())
    register(tmp_path, tiny_model)
    return tmp_path


def register(home: Path, model: Path, **adapter: Any) -> None:
    file = home / "robots.gguf"
    about = {"description": "an adapter", "licence": "MIT", "size": file.stat().st_size, "sha256": sha256(file)}
    row = {
        "id": "tiny",
        "description": "a tiny model",
        "file": model.name,
        "size": model.stat().st_size,
        "sha256": sha256(model),
        "licence": "MIT",
        "prompt": "log-command",
        "source": {"kind": "path", "path": str(model)},
        "adapter": {"id": "robots", "path": "robots.gguf", "prompt": "log-command-bare", **about, **adapter},
    }
    (home / "own.yaml").write_text(yaml.safe_dump({"models": [row]}))


def config(**settings: Any) -> Config:
    return Config(**{"model": "tiny", "n_ctx": 1024, "n_threads": 1, "rule": "likelihood", **settings})


def used(**settings: Any) -> tuple[str, str]:
    with SelfCheck(config(**settings)) as check:
        verdict = check(*RUN)
        assert (verdict.model_id, verdict.prompt_id) == (check.model_id, check.prompt_id)
    return verdict.model_id, verdict.prompt_id


def log_likelihoods(model: Path, adapter: Path | None = None) -> np.ndarray:
    from flip_edge.engine import Engine

    with Engine(model, n_ctx=512, n_threads=1, adapter=adapter) as engine:
        engine.prime([Piece("Robot log:\n")])
        engine.read([Piece("- picked up the mug\n- put it in the sink\nCommand:")])
        return np.concatenate(engine.log_likelihoods([Query(text) for text in COMMANDS]))


# --- adapters


def test_a_model_is_used_with_its_adapter_and_the_adapters_prompt(home: Path) -> None:
    assert used() == ("tiny+robots", "log-command-bare/1")
    assert used(adapter="none") == ("tiny", "log-command/1")
    # Under another prompt the adapter is worth nothing.
    assert used(prompt="log-command") == ("tiny", "log-command/1")
    assert used(adapter=str(home / "robots.gguf"), prompt="log-command") == ("tiny+robots", "log-command/1")


def test_an_adapter_changes_what_is_found(home: Path) -> None:
    found = []
    for adapter in ("auto", "none"):
        with SelfCheck(config(adapter=adapter, prompt="log-command-bare" if adapter == "auto" else "auto")) as check:
            found.append(check(*RUN).log_likelihood)
    assert abs(found[0] - found[1]) > 0.5


def test_the_list_shows_the_adapter(home: Path) -> None:
    row = next(row for row in list_models() if row.id == "tiny")
    assert row.adapter is not None
    assert (row.adapter.id, row.adapter.installed) == ("robots", True)
    assert row.adapter.path == home / "robots.gguf"


def test_without_its_adapter_a_model_still_works_and_says_so(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    (home / "robots.gguf").unlink()
    with caplog.at_level(logging.WARNING):
        assert used() == ("tiny", "log-command/1")
    assert "adapter 'robots' is not installed" in caplog.text
    assert not next(row for row in list_models() if row.id == "tiny").adapter.installed


def test_a_corrupt_adapter_is_refused(home: Path) -> None:
    content = bytearray((home / "robots.gguf").read_bytes())
    content[-100] ^= 0xFF  # one weight
    (home / "robots.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"robots.gguf is not 'robots': its SHA-256 is .*set adapter to none"):
        SelfCheck(config())
    (home / "robots.gguf").write_bytes(content[:5000])
    with pytest.raises(ModelError, match=r"it has 5,000 bytes"):
        SelfCheck(config())
    with pytest.raises(ModelError, match=r"truncated"):
        SelfCheck(config(adapter=str(home / "robots.gguf")))
    assert used(adapter="none") == ("tiny", "log-command/1")


def test_an_adapter_of_another_model_is_refused(home: Path, tiny_model: Path) -> None:
    other = write_adapter(tiny_model, home / "o.gguf", {"flip_edge.model": "big", "flip_edge.model_sha256": "ab" * 32})
    with pytest.raises(ModelError, match=r"o.gguf was trained for big .*, not for tiny"):
        SelfCheck(config(adapter=str(other)))
    texts = {"flip_edge.model_sha256": sha256(tiny_model), "flip_edge.prompt": "log-command/1"}
    own = write_adapter(tiny_model, home / "own.gguf", texts)
    assert used(adapter=str(own)) == ("tiny+own", "log-command/1")


@pytest.mark.parametrize("name", ["no/such.gguf", "nothing", ".", "a\0b"])
def test_an_adapter_that_is_not_there_is_named(home: Path, name: str) -> None:
    with pytest.raises(ModelError, match="no adapter file"):
        SelfCheck(config(adapter=name))


# --- merging


def test_a_merged_model_says_what_model_and_adapter_say(tiny_model: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    merge(tiny_model, tiny_adapter, tmp_path / "merged.gguf")
    verify(resolve(str(tmp_path / "merged.gguf")))
    apart, merged = log_likelihoods(tiny_model, tiny_adapter), log_likelihoods(tmp_path / "merged.gguf")
    assert np.abs(apart - log_likelihoods(tiny_model)).max() > 1
    assert merged == pytest.approx(apart, abs=0.05)  # in nats; matrices were rounded to float16


def test_the_embedded_model_is_merged_as_well(model_path: Path, tmp_path: Path) -> None:
    """Blocks of four bits, tied embeddings, grouped keys."""
    adapter = write_adapter(model_path, tmp_path / "adapter.gguf", {})
    merge(model_path, adapter, tmp_path / "merged.gguf")
    apart, merged = log_likelihoods(model_path, adapter), log_likelihoods(tmp_path / "merged.gguf")
    changed = np.abs(apart - log_likelihoods(model_path)).mean()
    assert np.abs(merged - apart).mean() < 0.1 * changed


def test_what_does_not_fit_is_not_merged(tiny_model: Path, tmp_path: Path) -> None:
    other = write_adapter(tiny_model, tmp_path / "other.gguf", {}, lost=".more")
    with pytest.raises(ModelError, match="does not fit"):
        merge(tiny_model, other, tmp_path / "merged.gguf")
    wide = write_adapter(tiny_model, tmp_path / "wide.gguf", {}, wide=32)
    with pytest.raises(ModelError, match="has the shape"):
        merge(tiny_model, wide, tmp_path / "merged.gguf")


# --- preparing

Measured = Callable[..., None]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Say what the machine measures: the rest of preparing is as always."""

    def say(**seconds: float) -> None:
        def trials(_model: Any, _adapter: Any, made: dict[str, Path], *_: Any) -> list[Trial]:
            figures = {"gain": 0.9, "f1": 0.8}
            return [Trial(kind, seconds[kind or "before"], figures) for kind in (None, *made)]

        monkeypatch.setattr(prepare, "_measured", trials)

    return say


def test_the_fastest_is_kept_and_used(home: Path, measured: Measured) -> None:
    measured(before=0.4, q4_0=0.1, q8_0=0.2)
    left = home / "cache" / "models" / "tiny" / ".prepare-killed"  # by a run that was killed
    left.mkdir(parents=True)
    (left / "merged.gguf").write_bytes(b"GGUF")
    kept, trials = prepare.prepare("tiny")
    assert kept is not None
    assert [trial.type for trial in trials] == [None, "q4_0", "q8_0"]
    assert (kept.id, kept.speed) == ("tiny+robots@q4_0", 4.0)
    model = resolve("tiny")
    found = find_prepared(model, resolve_adapter("auto", model))
    assert found is not None
    verify(found)
    assert used() == ("tiny+robots@q4_0", "log-command-bare/1")
    assert used(adapter="none") == ("tiny", "log-command/1")
    folder = home / "cache" / "models" / "tiny"
    assert sorted(path.name for path in folder.rglob("*")) == ["prepared", "prepared.yaml", "tiny+robots.q4_0.gguf"]
    # Another one takes its place.
    measured(before=0.4, q4_0=0.3, q8_0=0.2)
    prepare.prepare("tiny")
    assert used() == ("tiny+robots@q8_0", "log-command-bare/1")
    assert len(list((folder / "prepared").iterdir())) == 2
    assert remove_prepared(resolve("tiny"))
    assert not remove_prepared(resolve("tiny"))
    assert used() == ("tiny+robots", "log-command-bare/1")


def test_what_does_not_pay_is_not_kept(home: Path, measured: Measured) -> None:
    measured(before=0.4, q8_0=0.1)
    prepare.prepare("tiny", types=["q8_0"])
    measured(before=0.4, q4_0=0.5, q8_0=0.41)
    kept, trials = prepare.prepare("tiny")
    assert kept is None
    assert len(trials) == 3
    assert used() == ("tiny+robots", "log-command-bare/1")


@pytest.mark.parametrize(
    ("seconds", "gain", "f1", "pays"),
    [
        (0.1, 0.9, 0.8, True),
        (0.1, 0.895, 0.85, True),
        (0.1, 0.88, 0.9, False),
        (0.1, 0.95, 0.78, True),
        (0.1, 0.95, 0.76, False),
        (0.4, 1, 1, False),
    ],
)
def test_what_pays(seconds: float, gain: float, f1: float, pays: bool) -> None:
    before = Trial(None, 0.4, {"gain": 0.9, "f1": 0.8})
    assert Trial("q8_0", seconds, {"gain": gain, "f1": f1}).pays(before) == pays


def test_every_form_is_measured_on_the_same_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_EVERY", 60)
    _, (before, trial) = prepare.prepare("tiny", types=["q8_0"], n_threads=1, progress=False)
    assert before.seconds > 0
    assert trial.seconds > 0
    # Eight bits of the same weights say nearly the same.
    assert trial.auroc["gain"] == pytest.approx(before.auroc["gain"], abs=0.35)


class Spent:
    """What the forms of a model are said to take, and which of them are asked how often."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
        self.asked: Counter[str] = Counter()
        self._now = 0.0

        def observe(form: Any, episode: Episode) -> Evidence:
            name = form._engine.path.stem.rpartition(".")[2]
            self.asked[name] += 1
            self._now += seconds[name]
            # Right half of the time, so that a form that is always right can be told from one that is not.
            right = name != "q4_0" or self.asked[name] % 4 < 2
            told = -1.0 if right == ("match" in episode.id) else -2.0
            return Evidence(log_likelihood=told, log_likelihood_without_log=-3.0)

        monkeypatch.setattr(BackwardInference, "observe", observe)
        monkeypatch.setattr(prepare, "time", self)
        pairs = [FakePair(str(number)) for number in range(prepare._EVERY * 20)]
        monkeypatch.setattr(prepare, "contrast_pairs", lambda: tuple(pairs))

    def perf_counter(self) -> float:
        return self._now


@dataclass(frozen=True)
class FakePair:
    name: str
    kind: str = "object"

    def episodes(self) -> tuple[Episode, Episode]:
        return Episode("go", ("went",), id=f"{self.name} match"), Episode("go", ("stayed",), id=self.name)


def test_only_what_is_faster_is_measured_whole(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spent = Spent(monkeypatch, tiny=0.4, q4_0=0.5, q8_0=0.2)
    kept, trials = prepare.prepare("tiny", progress=False)
    assert kept
    assert kept.type == "q8_0"
    assert spent.asked == {"tiny": 40, "q8_0": 40, "q4_0": 2 * prepare._FIRST}
    assert [(trial.type, bool(trial.auroc)) for trial in trials] == [(None, True), ("q4_0", False), ("q8_0", True)]
    # Where nothing is faster, nothing is measured whole.
    spent = Spent(monkeypatch, tiny=0.1, q4_0=0.5, q8_0=0.2)
    assert prepare.prepare("tiny", progress=False)[0] is None
    assert set(spent.asked.values()) == {2 * prepare._FIRST}


def test_the_next_one_is_measured_where_the_fastest_is_worse(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spent = Spent(monkeypatch, tiny=0.4, q4_0=0.1, q8_0=0.2)
    kept, trials = prepare.prepare("tiny", progress=False)
    assert kept
    assert kept.type == "q8_0"
    assert spent.asked["q4_0"] == spent.asked["q8_0"] == 40
    assert [trial.auroc["gain"] for trial in trials] == [1.0, pytest.approx(0.5, abs=0.1), 1.0]
    assert [trial.seconds for trial in trials] == pytest.approx([0.4, 0.1, 0.2])


def test_the_command_keeps_what_is_whole(home: Path, measured: Measured, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> str:
        assert main(["models", "prepare", "tiny", *arguments]) == 0
        return capsys.readouterr().out.splitlines()[-1]

    measured(before=0.4, q4_0=0.1, q8_0=0.2)
    assert run() == "kept: tiny+robots@q4_0"
    measured(before=0.4, q4_0=0.3, q8_0=0.2)
    assert run() == "tiny+robots@q4_0: kept already; --force measures anew"
    assert run("--force") == "kept: tiny+robots@q8_0"
    assert run("--type", "q4_0") == "kept: tiny+robots@q4_0"
    file = home / "cache" / "models" / "tiny" / "prepared" / "tiny+robots.q4_0.gguf"
    file.write_bytes(file.read_bytes()[:-1])
    assert run() == "kept: tiny+robots@q8_0"


def test_a_prepared_model_is_not_used_for_other_weights(home: Path, measured: Measured, tiny_model: Path) -> None:
    measured(before=0.4, q8_0=0.1)
    prepare.prepare("tiny", types=["q8_0"])
    write_adapter(tiny_model, home / "robots.gguf", {"general.name": "another version"})
    register(home, tiny_model)
    assert used() == ("tiny+robots", "log-command-bare/1")


def test_a_corrupt_prepared_model_is_refused(home: Path, measured: Measured, caplog: pytest.LogCaptureFixture) -> None:
    measured(before=0.4, q8_0=0.1)
    kept, _ = prepare.prepare("tiny", types=["q8_0"])
    assert kept is not None
    folder = home / "cache" / "models" / "tiny" / "prepared"
    content = bytearray((folder / kept.file).read_bytes())
    content[-1000] ^= 0xFF
    (folder / kept.file).write_bytes(content)
    with pytest.raises(ModelError, match=r"its SHA-256 is .*flip-edge models prepare"):
        SelfCheck(config())
    (folder / "prepared.yaml").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert used() == ("tiny+robots", "log-command-bare/1")
    assert "cannot read" in caplog.text


def test_what_cannot_be_prepared(home: Path, tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="unknown weight type q3_x; known: q4_0, q8_0"):
        prepare.prepare("tiny", types=["q3_x"])
    with pytest.raises(ConfigError, match="is not in the registry"):
        prepare.prepare(str(tiny_model))


def test_a_calibration_fits_the_prepared_form_as_well(tmp_path: Path) -> None:
    made = Calibration(
        id="mine",
        model_id="tiny+robots@q8_0",
        prompt_id="log-command-bare/1",
        weights={"found": 1.0},
        intercept=0.0,
        threshold=0.5,
        false_alarm_rate=0.05,
        runs=20,
    )
    save_calibration(made, tmp_path / "c.yaml")
    for model in ("tiny+robots", "tiny+robots@q4_0"):
        assert find_calibration(str(tmp_path / "c.yaml"), model, "log-command-bare/1") == made
    with pytest.raises(CalibrationError, match="was made with model"):
        find_calibration(str(tmp_path / "c.yaml"), "tiny", "log-command-bare/1")


def test_a_record_says_what_it_was_made_from(home: Path, measured: Measured) -> None:
    measured(before=0.4, q8_0=0.1)
    kept, _ = prepare.prepare("tiny", types=["q8_0"])
    file = home / "cache" / "models" / "tiny" / "prepared" / "prepared.yaml"
    record = Prepared(**yaml.safe_load(file.read_text()))
    assert record == kept
    assert record.adapter_sha256 == sha256(home / "robots.gguf")
    assert record.sha256 == sha256(file.with_name(record.file))
