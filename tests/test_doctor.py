"""`flip-edge doctor`: what is wrong is found and named, with what to do; what is well is left alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flip_edge import Config, cli, doctor
from flip_edge.calibration import load_calibration, save_calibration
from flip_edge.findings import Finding, guarded, in_a_process
from flip_edge.models import list_models, resolve, resolve_adapter
from flip_edge.prepared import Prepared, keep

pytestmark = pytest.mark.model

MB = 1_000_000


def looked(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a person runs it, without ROS."""
    command = [sys.executable, "-m", "flip_edge.cli", "doctor", "--ros-seconds", "0", *map(str, arguments)]
    environment = {**os.environ, **environment}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=environment)
    assert "Traceback" not in ran.stderr + ran.stdout
    return ran


def only(findings: Iterable[Finding]) -> Finding:
    (found,) = findings
    return found


def by_name(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.name, []).append(finding)
    return found


def examined(**settings: Any) -> dict[str, list[Finding]]:
    return by_name(doctor.examine(lambda: Config(**settings), 0))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; the folder of the default model in it, which is not there yet."""
    monkeypatch.setenv("FLIP_EDGE_CACHE", str(tmp_path / "cache"))
    return next(row.path.parent for row in list_models() if row.default)


@pytest.fixture
def registry(tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user's registry, in which there are no models yet; see :func:`register`."""
    (tmp_path / "registry.yaml").write_text("models: []\n")
    monkeypatch.setenv("FLIP_EDGE_REGISTRY", str(tmp_path / "registry.yaml"))
    return tmp_path


def register(folder: Path, model: Path, adapter: Path | None = None, **promised: object) -> None:
    """Make the user's registry: a model and an adapter, as they are unless ``promised`` says otherwise."""

    def about(file: Path) -> dict[str, object]:
        data = file.read_bytes() if file.exists() else b""
        sha256 = hashlib.sha256(data).hexdigest()
        return {
            "description": "mine",
            "size": len(data) or 1,
            "sha256": sha256,
            "licence": "MIT",
            "prompt": "log-command",
        }

    entry = {"id": "mine", "file": model.name, **about(model), "source": {"kind": "path", "path": str(model)}}
    if adapter:
        entry["adapter"] = {"id": "mine", "path": str(adapter), **about(adapter), **promised}
    (folder / "registry.yaml").write_text(yaml.safe_dump({"models": [entry]}))


# --- the whole


def test_on_a_good_installation_all_is_well(model_path: Path) -> None:
    ran = looked("--json", "--threads", "1")
    assert (ran.returncode, ran.stderr) == (0, "")
    document = json.loads(ran.stdout)
    assert document["ok"] is True
    found = by_name(Finding(**row) for row in document["findings"])
    assert list(found) == [
        *("python", "configuration", "llama.cpp", "processors", "model", "adapter", "prepared", "calibration"),
        *("memory", "disk", "check"),
    ]
    assert {finding.state for findings in found.values() for finding in findings} == {"ok"}
    assert "n_threads 1" in only(found["configuration"]).text
    assert only(found["processors"]).text.startswith("1 thread on ")
    assert str(model_path) in only(found["model"]).text
    assert "98 MB" in only(found["model"]).text
    assert "made for this model" in only(found["adapter"]).text
    assert "threshold 0." in only(found["calibration"]).text
    assert "comes with flip_edge" in only(found["calibration"]).text
    loaded, good, bad = found["check"]
    assert "loaded in " in loaded.text
    assert ": MATCH in " in good.text
    assert ": MISMATCH in " in bad.text


def test_as_text_every_finding_has_its_line_and_the_last_one_sums_up(tmp_path: Path, model_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("n_threads: 512\nn_ctx: 128\ndeadline_s: 0.001\n")
    ran = looked("--config", tmp_path / "config.yaml")
    assert ran.returncode == 1
    *lines, last = ran.stdout.splitlines()
    remedies = [line.strip() for line in lines if line.startswith(" ")]
    states = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert set(states) == {"ok", "warning", "error"}
    assert last == f"{len(states)} things looked at: 2 errors, 1 warning"
    assert (states.count("error"), states.count("warning")) == (2, 1)  # both runs are UNKNOWN; too many threads
    assert all(line.startswith("-> ") for line in remedies)
    assert any("n_threads" in line for line in remedies)


def test_a_missing_model_is_an_error_that_says_how_to_get_it(cache: Path) -> None:
    ran = looked("--json")
    assert ran.returncode == 1
    document = json.loads(ran.stdout)
    assert document["ok"] is False
    found = by_name(Finding(**row) for row in document["findings"])
    missing = only(found["model"])
    assert missing.state == "error"
    assert str(cache) in missing.text
    assert "flip-edge models pull" in missing.remedy
    assert only(found["check"]).state == "warning"
    assert only(found["disk"]).state == "ok"  # what can be looked at without it is


def test_one_flipped_byte_in_the_model_is_an_error(cache: Path, model_path: Path) -> None:
    cache.mkdir(parents=True)
    copy = Path(shutil.copy(model_path, cache / model_path.name))
    with copy.open("rb+") as file:
        file.seek(50 * MB)
        byte = file.read(1)[0]
        file.seek(50 * MB)
        file.write(bytes([byte ^ 1]))
    found = examined()
    assert only(found["model"]).state == "error"
    assert "its SHA-256 is " in only(found["model"]).text
    assert "flip-edge models pull" in only(found["model"]).remedy
    assert only(found["check"]).text.startswith("not tried")


@pytest.mark.parametrize(
    ("text", "named"), [("n_ctx: 1\n", "n_ctx"), ("rule: [f1", "config.yaml"), ("f1_treshold: 1", "f1_threshold")]
)
def test_a_wrong_configuration_is_an_error_and_the_rest_is_looked_at(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], text: str, named: str
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    code = cli.main(["doctor", "--ros-seconds", "0", "--json", "--config", str(tmp_path / "config.yaml")])
    found = by_name(Finding(**row) for row in json.loads(capsys.readouterr().out)["findings"])
    assert code == 1
    wrong = only(found["configuration"])
    assert wrong.state == "error"
    assert named in wrong.text + wrong.remedy
    assert "default settings" in wrong.remedy
    assert "smollm2" in only(found["model"]).text


@pytest.mark.parametrize("text", ["-1", "nan", "1e9", "soon"])
def test_seconds_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["doctor", "--ros-seconds", text])
    assert stop.value.code == 2
    assert "--ros-seconds" in capsys.readouterr().err


def test_the_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["doctor", "--help"])
    out = capsys.readouterr().out
    for part in ("Exit code: 0", "else 1", "--json", "--ros-seconds", "--config", "--model"):
        assert part in out


# --- one thing after the other


def test_a_context_beyond_the_models_is_an_error_of_the_check_alone(model_path: Path) -> None:
    found = examined(n_ctx=100_000)
    errors = [finding for findings in found.values() for finding in findings if finding.state == "error"]
    assert [finding.name for finding in errors] == ["check"]
    assert "n_ctx is 100000" in errors[0].text


def test_a_verdict_that_is_unknown_is_an_error_with_its_reason(model_path: Path) -> None:
    findings = list(guarded("check", lambda: doctor.check(Config(deadline_s=0.001, score_threshold=0.5))))
    assert [finding.state for finding in findings] == ["ok", "error", "error"]
    assert all("UNKNOWN" in finding.text and "deadline" in finding.text for finding in findings[1:])


def test_a_wrong_verdict_under_thresholds_of_ones_own_is_a_warning(model_path: Path) -> None:
    _, good, bad = doctor.check(Config(score_threshold=1.0))
    assert (good.state, bad.state) == ("warning", "ok")
    assert "which is not MATCH" in good.text


def test_a_model_without_sense_is_found_out(tiny_model: Path) -> None:
    """Its weights are random: it is whole and loads, and tells nothing apart."""
    found = examined(model=str(tiny_model), n_ctx=1024)
    assert only(found["model"]).state == "ok"
    assert only(found["calibration"]).state == "warning"
    assert "'likelihood'" in only(found["calibration"]).text
    assert "flip-edge calibrate" in only(found["calibration"]).remedy
    last = found["check"][-1]
    assert last.state == "error"
    assert "does not tell them apart" in last.text


@pytest.mark.parametrize("model", ["smollm3", "/nowhere/model.gguf"])
def test_a_model_that_there_is_not_is_an_error_that_says_where_there_are_some(model: str) -> None:
    found = only(doctor.model(Config(model=model)))
    assert found.state == "error"
    assert model in found.text
    assert "flip-edge models list" in found.remedy


def test_memory_must_hold_the_files_and_the_context(model_path: Path) -> None:
    low, enough = (only(doctor.memory(Config(), available=size * MB)) for size in (200, 300))
    assert (low.state, enough.state) == ("error", "ok")
    assert low.text == "200 MB are free and about 258 MB are needed"
    assert low.remedy
    assert "about 248 MB" in only(doctor.memory(Config(adapter="none"), available=300 * MB)).text
    assert only(doctor.memory(Config())).text.endswith("about 258 MB are needed")


def test_the_disk_must_hold_what_is_fetched(cache: Path) -> None:
    full, enough = (only(doctor.disk(Config(), free=size * MB)) for size in (150, 250))
    assert (full.state, enough.state) == ("warning", "ok")
    assert "197 MB" in full.text
    assert "FLIP_EDGE_CACHE" in full.remedy
    assert str(cache.parent) in only(doctor.disk(Config())).text  # a folder that is not there yet


def test_more_threads_than_processors_are_a_warning() -> None:
    allowed = len(os.sched_getaffinity(0))
    for threads, state in ((allowed, "ok"), (allowed + 1, "warning")):
        found = by_name(doctor.llama(Config(n_threads=threads)))
        assert only(found["processors"]).state == state
    one = min(os.sched_getaffinity(0))
    assert only(by_name(doctor.llama(Config(cpus=str(one))))["processors"]).text.startswith("1 thread on 1 processor ")
    found = by_name(guarded("llama.cpp", lambda: doctor.llama(Config(cpus="9999"))))
    assert found["llama.cpp"][-1].state == "error"
    assert "9999" in found["llama.cpp"][-1].text


def test_a_gpu_is_asked_for_only_where_layers_are_to_go_there() -> None:
    from flip_edge.llama import gpu_offload_supported

    wanted = by_name(doctor.llama(Config(n_gpu_layers=-1)))["llama.cpp"][0]
    assert wanted.state == ("ok" if gpu_offload_supported() else "warning")
    assert gpu_offload_supported() or "n_gpu_layers" in wanted.remedy
    assert by_name(doctor.llama(Config()))["llama.cpp"][0].state == "ok"


def test_a_llama_cpp_built_for_less_than_this_processor_is_told() -> None:
    assert doctor.unused_features("flags : sse avx2 fma", "CPU : SSE3 = 1 | FMA = 1 | ") == ["AVX2"]
    assert doctor.unused_features("Features : fp asimd asimddp", "CPU : NEON = 1 | ARM_FMA = 1 | ") == ["DOTPROD"]
    assert doctor.unused_features("Features : fp asimddp", "CPU : NEON = 1 | DOTPROD = 1 | ") == []
    assert doctor.unused_features("Features : fp asimd", "CPU : NEON = 1 | ") == []


def test_an_adapter_is_held_against_its_model(registry: Path, tiny_model: Path) -> None:
    adapter = resolve_adapter("auto", resolve("default"))
    assert adapter
    assert only(doctor.adapter(Config(adapter="none"))).text == "none: as the settings say"
    assert only(doctor.adapter(Config(adapter=str(adapter.path)))).state == "ok"
    # Of a file given by its path nobody knows whether it is what the adapter was trained for.
    assert only(doctor.adapter(Config(model=str(tiny_model), adapter=str(adapter.path)))).state == "warning"
    register(registry, tiny_model, adapter.path)
    found = only(guarded("adapter", lambda: doctor.adapter(Config(model="mine", adapter=str(adapter.path)))))
    assert found.state == "error"
    assert "not for mine" in found.text
    register(registry, tiny_model, adapter.path, sha256="0" * 64)
    found = only(guarded("adapter", lambda: doctor.adapter(Config(model="mine"))))
    assert found.state == "error"
    assert "SHA-256" in found.text
    assert "adapter to none" in found.remedy


def test_an_adapter_that_is_not_there_is_a_warning_and_a_line_of_its_own(
    registry: Path, tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    register(registry, tiny_model, registry / "gone.gguf")
    found = only(doctor.adapter(Config(model="mine")))
    assert found.state == "warning"
    assert "gone.gguf" in found.text
    assert caplog.records == []  # and not in the log as well


def test_a_prepared_form_is_used_whole_and_of_this_model(cache: Path, registry: Path, tiny_model: Path) -> None:
    register(registry, tiny_model)
    config = Config(model="mine")
    assert only(doctor.prepared(config)).state == "ok"
    assert "flip-edge models prepare" in only(doctor.prepared(config)).remedy
    source = resolve("mine")
    assert source.sha256
    about: dict[str, Any] = {"id": "mine@q8_0", "file": "form.gguf", "type": "q8_0", "adapter_sha256": None}
    about |= {"speed": 2.0, "auroc": {}, "auroc_before": {}, "made_on": "today", "size": tiny_model.stat().st_size}
    for made_of in (source.sha256, "0" * 64):
        copy = Path(shutil.copy(tiny_model, registry / "copy.gguf"))
        keep(copy, source, Prepared(**about, sha256=source.sha256, model_sha256=made_of))
        found = only(doctor.prepared(config))
        if made_of == source.sha256:
            assert (found.state, found.text.split()[0]) == ("ok", "mine@q8_0")
            form = cache.parent / "mine" / "prepared" / "form.gguf"
            os.truncate(form, 1000)
            found = only(guarded("prepared", lambda: doctor.prepared(config)))
            assert found.state == "error"
            assert "flip-edge models prepare" in found.remedy
        else:
            assert found.state == "warning"
            assert "another model" in found.text
    (cache.parent / "mine" / "prepared" / "prepared.yaml").write_text("nonsense")
    assert only(doctor.prepared(config)).state == "warning"


def test_a_calibration_is_named_with_its_threshold(tmp_path: Path, model_path: Path) -> None:
    shipped = only(doctor.calibration(Config()))
    assert "flip-edge calibrate" in shipped.remedy
    source = next(doctor.calibration(Config())).text.split(",")[0]
    own = load_calibration(Path(__file__).parents[1] / "models" / "calibrations" / f"{source}.yaml")
    file = tmp_path / "own.yaml"
    save_calibration(own.__class__(**{**{n: getattr(own, n) for n in own.__struct_fields__}, "threshold": 0.87}), file)
    found = only(doctor.calibration(Config(calibration=str(file))))
    assert (found.state, found.remedy) == ("ok", "")
    assert f"from {file}: threshold 0.87, for 5% false alarms" in found.text
    assert "score_threshold 0.5 decides" in only(doctor.calibration(Config(score_threshold=0.5))).text
    assert "rule 'f1' decides" in only(doctor.calibration(Config(rule="f1"))).text
    other = Config(calibration=str(file), adapter="none")
    found = only(guarded("calibration", lambda: doctor.calibration(other)))
    assert found.state == "error"
    assert "flip-edge calibrate" in found.remedy


# --- what fails while it is looked at


def test_what_nobody_foresaw_is_an_error_that_names_the_exception() -> None:
    def look() -> Iterable[Finding]:
        yield Finding("thing", "ok", "a part")
        raise ZeroDivisionError("by zero")

    part, broken = guarded("thing", look)
    assert part.text == "a part"
    assert broken.state == "error"
    assert "ZeroDivisionError: by zero" in broken.text


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (f"import os; os.kill(os.getpid(), {int(signal.SIGILL)})", ("SIGILL", "another processor")),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})", ("SIGKILL", "memory")),
        ("raise SystemExit('no such thing')", ("code 1", "no such thing")),
        ("print('chatter')", ("code 0", "no reason")),
        ("print('[{\"name\": 3}]')", ("code 0", "no reason")),
        ("import time; time.sleep(60)", ("within 2 s",)),
    ],
    ids=["SIGILL", "SIGKILL", "exit", "chatter", "nonsense", "hangs"],
)
def test_a_process_that_ends_or_hangs_is_an_error(code: str, named: tuple[str, ...]) -> None:
    started = time.monotonic()
    found = only(in_a_process("thing", [sys.executable, "-c", code], Config(), 2.0))
    assert time.monotonic() - started < 20
    assert (found.name, found.state) == ("thing", "error")
    for part in named:
        assert part in found.text + found.remedy


def test_what_a_process_prints_before_its_findings_is_passed_over() -> None:
    code = "from flip_edge.doctor import *; print('chatter', end=''); answer([Finding('thing', 'ok', 'ü', 'none')])"
    found = only(in_a_process("thing", [sys.executable, "-c", code], Config(), 60.0))
    assert found == Finding("thing", "ok", "ü", "none")


# --- without ROS

# Makes this Python one that has no rclpy, as a robot's without ROS is.
NO_RCLPY = """
from importlib.machinery import PathFinder
found = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name.startswith("rclpy") else found(name, *more)
"""


def ros_in(folder: Path, **environment: str) -> list[Finding]:
    """What is said of ROS by a Python that looks for modules in a folder first."""
    code = "from flip_edge import doctor; from flip_edge.findings import answer; answer(doctor.ros(0.5))"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROS_")}
    environment = {**kept, "PYTHONPATH": str(folder), **environment}
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
    return [Finding(**row) for row in json.loads(ran.stdout.splitlines()[-1])]


def test_without_rclpy_there_is_a_warning_that_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_RCLPY)
    first, missing, *_ = found = ros_in(tmp_path)
    assert "no ROS variable is set" in first.text
    assert missing.state == "warning"
    assert missing.text == f"rclpy is not there for {sys.executable}"
    assert "setup.bash" in missing.remedy
    assert not [finding for finding in found if finding.name != "ros"]  # and the graph is left alone
    first, missing, *_ = ros_in(tmp_path, ROS_DISTRO="jazzy", ROS_DOMAIN_ID="7")
    assert first.text == "ROS_DISTRO jazzy, ROS_DOMAIN_ID 7"
    assert "--system-site-packages" in missing.remedy


def test_an_rclpy_that_is_broken_is_an_error_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "rclpy.py").write_text("raise ImportError('librcl.so: no such file')")
    broken = next(finding for finding in ros_in(tmp_path) if finding.state == "error")
    assert "rclpy cannot be imported" in broken.text
    assert "librcl.so: no such file" in broken.text
