"""The command line: what a person types, what comes back, and with which exit code."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_score import ScriptedEngine

from flip_edge import Config, Outcome, SelfCheck, cli
from flip_edge.prepare import Trial
from flip_edge.prepared import Prepared

TESTS = Path(__file__).parent
MATCH, MISMATCH, UNKNOWN = 0, 1, 2
GO = ["--command", "go there", "--action", "went there"]
WRONG = ["--command", "go there", "--action", "went wrong"]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """A scripted engine behind the command line, in place of the model."""
    made = ScriptedEngine()
    monkeypatch.setattr(cli, "SelfCheck", lambda config: SelfCheck(config, engine=made))
    return made


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(engine: ScriptedEngine, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process; returns its exit code, stdout and stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def only_json(out: str) -> dict[str, Any]:
    """The one JSON document that is all of ``out``."""
    assert out.endswith("\n")
    found: dict[str, Any] = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    return found


# A command line of its own, with the scripted engine, which may take its time over each run.
SCRIPTED = f"""
import sys, time
sys.path.insert(0, {str(TESTS)!r})
from flip_edge import SelfCheck, cli
from test_score import ScriptedEngine

class Slow(ScriptedEngine):
    def read(self, log):
        if float(sys.argv[1]) > 10:
            print("reading", file=sys.stderr, flush=True)
        time.sleep(float(sys.argv[1]))
        return super().read(log)

cli.SelfCheck = lambda config: SelfCheck(config, engine=Slow())
sys.exit(cli.main(sys.argv[2:]))
"""


def scripted(*arguments: str | Path, pause: float = 0.0) -> list[str]:
    return [sys.executable, "-c", SCRIPTED, str(pause), *map(str, arguments)]


def in_a_process(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, timeout=120, check=False, **options)


def runs(*rows: dict[str, Any] | bytes) -> bytes:
    return b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)


def good(id: object, action: str = "went there") -> dict[str, Any]:
    return {"id": id, "command": "go there", "actions": [action]}


# --- check


@pytest.mark.parametrize(
    ("arguments", "code", "outcome"),
    [
        (GO, MATCH, "MATCH"),
        (WRONG, MISMATCH, "MISMATCH"),
        (["--command", "go there", "--action", ""], UNKNOWN, "UNKNOWN"),
        (["--command", "go there"], UNKNOWN, "UNKNOWN"),
        (["--command", "", "--action", "went"], UNKNOWN, "UNKNOWN"),
        (["--command", "?!", "--action", "went"], UNKNOWN, "UNKNOWN"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_check_exits_by_its_verdict(run: Run, arguments: list[str], code: int, outcome: str, as_json: bool) -> None:
    found, out, err = run("check", *arguments, *(["--json"] if as_json else []))
    assert found == code
    assert err == ""
    if as_json:
        document = only_json(out)
        assert document["verdict"] == outcome
        assert document["reason"]
    else:
        assert out.startswith(f"{outcome}: ")


def test_json_holds_the_whole_verdict(run: Run) -> None:
    _, out, _ = run("check", *GO, "--action", "stopped ü 🚀", "--json")
    document = only_json(out)
    assert document["command"] == "go there"
    assert document["steps"] == ["went there", "stopped ü 🚀"]
    assert document["inferred"] == "stopped ü 🚀"
    assert document["gain"] == 2.0
    assert document["score"] is None
    assert {"f1", "precision", "recall", "missing", "unexpected", "rule", "model_id", "computed_s"} <= set(document)


def test_text_tells_a_person_why(run: Run) -> None:
    _, out, _ = run("check", *WRONG)
    for part in ("the steps imply", "-1.00 nats per token", "implied", "went wrong", "F1"):
        assert part in out


def test_the_rule_and_the_thresholds_decide(run: Run) -> None:
    assert run("check", *GO, "--rule", "f1", "--f1-threshold", "0.6")[0] == MISMATCH
    assert run("check", *GO, "--rule", "f1", "--f1-threshold", "0.5")[0] == MATCH
    assert run("check", *GO, "--gain-threshold", "2.5")[0] == MISMATCH
    assert run("check", *WRONG, "--gain-threshold", "-1.5")[0] == MATCH


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--f1-threshold", "nan"], "f1_threshold"),
        (["--f1-threshold", "1.5"], "f1_threshold"),
        (["--f1-threshold", "-0.1"], "f1_threshold"),
        (["--f1-threshold", "inf"], "f1_threshold"),
        (["--gain-threshold", "nan"], "gain_threshold"),
        (["--gain-threshold", "51"], "gain_threshold"),
        (["--deadline", "nan"], "deadline_s"),
        (["--deadline", "-1"], "deadline_s"),
        (["--threads", "-1"], "n_threads"),
        (["--model", ""], "model"),
        (["--prompt", "none-such"], "none-such"),
        (["--config", "/nowhere/config.yaml"], "/nowhere/config.yaml"),
        (["--log", "/nowhere/log.txt"], "/nowhere/log.txt"),
        (["--log", "/"], "/"),
    ],
)
def test_what_cannot_be_used_is_named_and_exits_2(run: Run, arguments: list[str], named: str) -> None:
    code, out, err = run("check", *GO, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("flip-edge: error: ")
    assert named in err
    code, out, err = run("check", *GO, *arguments, "--json")
    assert code == 2
    document = only_json(out)
    assert document["verdict"] == "UNKNOWN"
    assert named in document["reason"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["check"], "--command"),
        (["check", *GO, "--rule", "vibes"], "vibes"),
        (["check", *GO, "--f1-threshold", "high"], "high"),
        (["check", *GO, "--threads", "1.5"], "1.5"),
        (["check", *GO, "--no-such-option"], "--no-such-option"),
        (["fly"], "fly"),
        (["models"], "ACTION"),
        (["score"], "IN.jsonl"),
        ([], "COMMAND"),
    ],
)
def test_a_wrong_command_line_is_named_and_exits_2(run: Run, arguments: list[str], named: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert named in err


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("f1_treshold: 0.5", "f1_treshold"),
        ("f1_threshold: .nan", "f1_threshold"),
        ("rule: vibes", "vibes"),
        ("rule: [f1", "config.yaml"),
        ("f1_threshold: 2001-99-99", "config.yaml"),  # YAML takes it for a date, and there is none
        ("? [a, b]\n: 1", "config.yaml"),
        ("a: " + "[" * 5000, "config.yaml"),
        ("- f1", "config.yaml"),
    ],
    ids=["unknown", "nan", "rule", "yaml", "date", "key", "deep", "list"],
)
def test_a_wrong_configuration_is_named_and_exits_2(run: Run, tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    code, out, err = run("check", *GO, "--config", tmp_path / "config.yaml")
    assert (code, out) == (2, "")
    assert named in err
    assert "config.yaml" in err


def test_options_win_over_the_configuration(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("rule: f1\nf1_threshold: 0.9\n")
    assert run("check", *GO, "--config", tmp_path / "config.yaml")[0] == MISMATCH
    assert run("check", *GO, "--config", tmp_path / "config.yaml", "--f1-threshold", "0.1")[0] == MATCH
    assert run("check", *GO, "--config", tmp_path / "config.yaml", "--rule", "likelihood")[0] == MATCH


def test_steps_come_from_a_file_after_the_actions(run: Run, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"one\r\n\n  \ntwo \xff\nthree")
    _, out, _ = run("check", *GO, "--log", tmp_path / "log.txt", "--json")
    assert only_json(out)["steps"] == ["went there", "one", "two \N{REPLACEMENT CHARACTER}", "three"]


def test_steps_come_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    _, out, _ = run("check", "--command", "go", "--log", "-", "--json")
    assert only_json(out)["steps"] == ["one", "two"]


def test_a_bug_is_not_reported_as_a_mismatch(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 is a verdict, and it is also what Python makes of an exception that nobody catches."""

    def broken(config: Config) -> SelfCheck:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(cli, "SelfCheck", broken)
    try:
        code, *_ = run("check", *GO)
    except ZeroDivisionError:
        code = 1
    assert code not in (MATCH, MISMATCH)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_terminal_that_cannot_show_a_character_changes_no_exit_code(as_json: bool) -> None:
    arguments = ["check", "--command", "go ü 🚀", "--action", "went ü 🚀", *(["--json"] if as_json else [])]
    ran = in_a_process(scripted(*arguments), env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert b"Traceback" not in ran.stderr
    assert ran.returncode == MATCH
    if as_json:
        assert only_json(ran.stdout.decode())["command"] == "go ü 🚀"


def test_bytes_that_are_no_text_on_the_command_line_are_checked_all_the_same() -> None:
    ran = in_a_process([*scripted("check", "--json", "--command", "go there", "--action"), b"went \xff there"])  # type: ignore[list-item]
    assert ran.returncode == MATCH
    assert only_json(ran.stdout.decode())["steps"] == ["went \N{REPLACEMENT CHARACTER} there"]


def test_ctrl_c_while_checking_exits_130() -> None:
    process = subprocess.Popen(
        scripted("check", *GO, "--rule", "likelihood", pause=60),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "reading\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert "interrupted" in err
    assert "Traceback" not in err


# --- help

SETTINGS = (
    "--config",
    "--model",
    "--prompt",
    "--rule",
    "--f1-threshold",
    "--gain-threshold",
    "--calibration",
    "--score-threshold",
    "--deadline",
    "--threads",
)


@pytest.mark.parametrize(
    ("command", "mentioned"),
    [
        ("", ("check", "score", "models", "demo", "--version", "examples:")),
        ("check", ("--command", "--action", "--log", "--json", "Exit code", *SETTINGS)),
        ("score", ("IN.jsonl", "--output", "-o", "--resume", "Exit code", *SETTINGS)),
        ("models", ("list", "pull", "verify")),
        ("models list", ("--json",)),
        ("models pull", ("--force", "model")),
        ("models prepare", ("--type", "--remove", "model")),
        ("models verify", ("model",)),
        ("demo", ("--help-demo",)),
    ],
)
def test_help_exits_0_and_mentions_every_option(run: Run, command: str, mentioned: tuple[str, ...]) -> None:
    code, out, err = run(*command.split(), "--help")
    assert (code, err) == (0, "")
    for part in mentioned:
        assert part in out, part


def test_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert out == f"flip-edge {cli.__version__}\n"


# --- score


def test_score_keeps_order_and_ids(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(
        runs(good(7), good("x", "went wrong"), {"command": "go", "actions": ["went"]}, good(""), good(7))
    )
    code, out, err = run("score", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    assert (code, out) == (0, "")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [row["id"] for row in rows] == [7, "x", None, "", 7]
    assert [row["verdict"] for row in rows] == ["MATCH", "MISMATCH", "MATCH", "MATCH", "MATCH"]
    assert "5 runs: 4 MATCH, 1 MISMATCH, 0 UNKNOWN" in err


def test_a_broken_line_is_named_the_rest_is_scored_and_the_exit_code_is_2(run: Run, tmp_path: Path) -> None:
    data = runs(good(1), b'{"id": 2, "comm\n', good(3), b'{"command": "\xff"}\n', b'{"command": "go"}\n', good(6))
    (tmp_path / "in.jsonl").write_bytes(data)
    code, _, err = run("score", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    assert code == 2
    for number in (2, 4, 5):
        assert f"in.jsonl: line {number}: " in err
    assert "3 runs: 3 MATCH, 0 MISMATCH, 0 UNKNOWN, 3 bad lines" in err
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [(row["id"], row["line"]) for row in rows] == [(1, 1), (3, 3), (6, 6)]


def test_score_writes_to_standard_output_and_nothing_else_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(runs(good("ü"), b"oops\n", good(3)))
    code, out, err = run("score", tmp_path / "in.jsonl")
    assert code == 2
    assert [json.loads(line)["id"] for line in out.splitlines()] == ["ü", 3]
    assert "line 2" in err


def test_score_says_the_same_on_standard_output_and_in_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(runs(good("ü 🚀", "went ü 🚀"), good(2, "went wrong"), good(None)))
    _, out, _ = run("score", tmp_path / "in.jsonl", "-o", "-")
    run("score", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    written = (tmp_path / "out.jsonl").read_text().splitlines()
    for shown, line in zip(out.splitlines(), written, strict=True):
        left, right = json.loads(shown), json.loads(line)
        left.pop("computed_s", None), right.pop("computed_s", None)
        assert left == right


def test_score_reads_standard_input(tmp_path: Path) -> None:
    ran = in_a_process(scripted("score", "-", "-o", "-"), input=runs(good(1), good(2)))
    assert ran.returncode == 0
    assert [json.loads(line)["id"] for line in ran.stdout.splitlines()] == [1, 2]
    ran = in_a_process(scripted("score", "-", "-o", tmp_path / "out.jsonl"), input=runs(good(1), b"oops\n"))
    assert ran.returncode == 2
    assert b"line 2" in ran.stderr
    assert json.loads((tmp_path / "out.jsonl").read_bytes())["id"] == 1


def test_an_empty_input_is_no_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"")
    code, _, err = run("score", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    assert code == 0
    assert "0 runs" in err
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_unknown_verdicts_are_no_bad_input(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(runs(good(1, "")))
    code, out, err = run("score", tmp_path / "in.jsonl")
    assert code == 0
    assert json.loads(out)["verdict"] == "UNKNOWN"
    assert "1 UNKNOWN" in err


@pytest.mark.parametrize(
    ("source", "target", "named"),
    [
        ("none.jsonl", "out.jsonl", "none.jsonl"),
        (".", "out.jsonl", "cannot read"),
        ("in.jsonl", "nowhere/out.jsonl", "nowhere"),
        ("in.jsonl", "in.jsonl/out.jsonl", "in.jsonl"),
        ("in.jsonl", "/proc/out.jsonl", "/proc/out.jsonl"),
    ],
)
def test_files_that_cannot_be_used_are_named(run: Run, tmp_path: Path, source: str, target: str, named: str) -> None:
    (tmp_path / "in.jsonl").write_bytes(runs(good(1)))
    code, out, err = run("score", tmp_path / source, "-o", tmp_path / target)
    assert (code, out) == (2, "")
    assert err.startswith("flip-edge: error: ")
    assert named in err


def test_a_full_disk_is_an_error_that_names_the_file_and_keeps_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(runs(*(good(number) for number in range(20))))
    (tmp_path / "out.jsonl").write_text("old\n")
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
    command = scripted("score", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    command[2] = limit + "sys.dont_write_bytecode = True\n" + command[2]
    ran = in_a_process(command)
    assert ran.returncode == 2
    assert b"cannot write" in ran.stderr
    assert b"out.jsonl" in ran.stderr
    assert b"Traceback" not in ran.stderr
    assert (tmp_path / "out.jsonl").read_text() == "old\n"


def test_a_reader_that_goes_away_is_no_error_worth_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(runs(*(good(number) for number in range(300))))
    command = shlex.join(scripted("score", tmp_path / "in.jsonl", pause=0.001))
    ran = in_a_process(["bash", "-c", f"{command} | head -1; echo ${{PIPESTATUS[0]}} >&2"])
    assert json.loads(ran.stdout)["id"] == 0
    assert b"Traceback" not in ran.stderr
    assert b"BrokenPipe" not in ran.stderr
    assert ran.stderr.strip().splitlines()[-1] != b"1"  # a mismatch it was not


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[Any]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.005)
    pytest.fail(f"no {count} lines in {path}; exit code {process.poll()}")


def without_times(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [{name: value for name, value in row.items() if name != "computed_s"} for row in rows]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_leaves_no_output_and_resume_completes_it(tmp_path: Path, how: signal.Signals) -> None:
    rows = [good(number, f"went to place {number}") for number in range(60)]
    (tmp_path / "in.jsonl").write_bytes(runs(*rows[:30], b"\n", *rows[30:]))
    target, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    arguments = ("score", tmp_path / "in.jsonl", "-o", target)
    process = subprocess.Popen(scripted(*arguments, pause=0.03), stderr=subprocess.PIPE, text=True)
    wait_for_lines(partial, 5, process)
    process.send_signal(how)
    _, err = process.communicate(timeout=30)
    assert not target.exists()
    assert partial.exists()
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert f"{partial}" in err
        assert "--resume" in err
        assert "Traceback" not in err
    if how is signal.SIGKILL:
        partial.write_bytes(partial.read_bytes()[:-20])  # and the last line did not reach the disk whole
    ran = in_a_process(scripted(*arguments, "--resume"))
    assert ran.returncode == 0, ran.stderr
    assert b"60 runs: 60 MATCH" in ran.stderr
    assert not partial.exists()
    in_a_process(scripted("score", tmp_path / "in.jsonl", "-o", tmp_path / "whole.jsonl"))
    assert without_times(target) == without_times(tmp_path / "whole.jsonl")
    assert [row["id"] for row in without_times(target)] == list(range(60))


def test_resume_still_exits_2_for_a_bad_line_before_the_interruption(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(runs(good(1), b"oops\n", *(good(number) for number in range(3, 60))))
    target, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    arguments = ("score", tmp_path / "in.jsonl", "-o", target)
    process = subprocess.Popen(scripted(*arguments, pause=0.03), stderr=subprocess.DEVNULL)
    wait_for_lines(partial, 5, process)
    process.send_signal(signal.SIGINT)
    process.wait(30)
    ran = in_a_process(scripted(*arguments, "--resume"))
    assert ran.returncode == 2
    assert b"line 2" in ran.stderr


# --- models


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLIP_EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def default_file(run: Run) -> tuple[Path, int]:
    """Where the default model would be, and its size."""
    _, out, _ = run("models", "list", "--json")
    (row,) = [row for row in json.loads(out) if row["default"]]
    return Path(row["path"]), row["size"]


def test_models_list_shows_what_there_is(run: Run, empty_cache: Path) -> None:
    code, out, err = run("models", "list")
    assert (code, err) == (0, "")
    default, adapter, *others, _, _ = out.splitlines()
    assert default.startswith("* smollm2-135m-instruct-q4_1")
    assert "Apache-2.0" in default
    assert adapter.startswith("+ robot-logs")
    assert "installed" in adapter  # it comes with the package, the models are fetched
    assert not any("installed" in line for line in (default, *others))
    code, out, _ = run("models", "list", "--json")
    assert code == 0
    rows = json.loads(out)
    assert all(not row["installed"] and str(empty_cache) in row["path"] for row in rows)
    assert [row["adapter"]["installed"] for row in rows if row["adapter"]] == [True]


def test_a_missing_model_is_named_with_the_remedy(run: Run, empty_cache: Path) -> None:
    for arguments in (["models", "verify"], ["models", "verify", "default"]):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert "flip-edge models pull" in err


@pytest.mark.parametrize("arguments", [["models", "verify", "default"], ["models", "verify"]])
@pytest.mark.parametrize("how", ["truncated", "corrupt"])
def test_a_bad_model_file_is_named_with_the_remedy(run: Run, empty_cache: Path, how: str, arguments: list[str]) -> None:
    path, size = default_file(run)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")
    os.truncate(path, size if how == "corrupt" else size // 2)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert str(path) in err
    assert "flip-edge models pull" in err


def test_a_corrupt_model_stops_a_check_and_a_score_before_they_begin(
    run: Run, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, size = default_file(run)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")
    os.truncate(path, size)
    monkeypatch.setattr(cli, "SelfCheck", SelfCheck)
    (tmp_path / "in.jsonl").write_bytes(runs(good(1)))
    for arguments in (["check", *GO], ["score", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl"]):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert str(path) in err
        assert "flip-edge models pull" in err
    assert sorted(tmp_path.glob("out*")) == []


@pytest.mark.parametrize("action", ["pull", "verify"])
def test_an_unknown_model_is_named_with_what_there_is(run: Run, empty_cache: Path, action: str) -> None:
    code, out, err = run("models", action, "smollm3")
    assert (code, out) == (2, "")
    assert "smollm3" in err
    assert "smollm2-135m-instruct-q4_1" in err


@pytest.mark.model
def test_verify_looks_at_the_adapter_as_well(run: Run, model_path: Path) -> None:
    code, out, err = run("models", "verify", "default")
    assert (code, err) == (0, "")
    assert out.startswith("default + robot-logs")


def test_prepare_shows_what_it_measured_and_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    trials = [Trial(None, 0.4, {"gain": 0.9, "f1": 0.8}), Trial("q4_0", 0.8, {})]
    trials.append(Trial("q8_0", 0.1, {"gain": 0.91, "f1": 0.79}))
    kept = Prepared(
        **{"id": "tiny+robots@q8_0", "file": "f.gguf", "type": "q8_0", "size": 1, "sha256": "a", "model_sha256": "b"},
        **{"adapter_sha256": None, "speed": 4.0, "auroc": {}, "auroc_before": {}, "made_on": "today"},
    )
    results = [(kept, trials), (None, trials)]
    monkeypatch.setattr(cli, "prepare", lambda *options, **more: asked.append((options, more)) or results.pop(0))
    code, out, err = run("models", "prepare", "tiny", "--type", "q8_0", "--threads", "2")
    assert (code, err) == (0, "")
    assert asked == [(("tiny",), {"types": ["q8_0"], "n_threads": 2})]
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["as", "it", "is", "400", "1.00x", "0.900", "0.800"],
        ["q4_0", "800", "0.50x", "-", "-"],
        ["q8_0", "100", "4.00x", "0.910", "0.790"],
        ["kept:", "tiny+robots@q8_0"],
    ]
    code, out, _ = run("models", "prepare", "--force")
    assert code == 0
    assert out.splitlines()[-1] == "nothing is faster and as good: the model is used as it is"


def test_a_prepared_model_can_be_removed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLIP_EDGE_CACHE", str(tmp_path))
    path, _ = default_file(run)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")
    assert run("models", "prepare", "--remove")[:2] == (0, "smollm2-135m-instruct-q4_1: there was nothing prepared\n")
    (path.parent / "prepared").mkdir()
    (path.parent / "prepared" / "some.gguf").write_bytes(b"GGUF")
    assert run("models", "prepare", "--remove")[:2] == (0, "smollm2-135m-instruct-q4_1: removed\n")
    assert sorted(path.parent.iterdir()) == [path]


def test_verify_goes_on_after_a_bad_model(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    code, _, err = run("models", "verify", tmp_path / "bad.gguf", tmp_path / "none.gguf")
    assert code == 2
    assert str(tmp_path / "bad.gguf") in err
    assert str(tmp_path / "none.gguf") in err


def test_errors_of_models_are_no_verdicts(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLIP_EDGE_REGISTRY", str(tmp_path / "none.yaml"))
    code, out, err = run("models", "list", "--json")
    assert code == 2
    assert "none.yaml" in err
    assert "verdict" not in out


# --- demo


def test_a_demo_that_cannot_run_says_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_importable", lambda name: name != "pyrobosim")
    code, out, err = run("demo")
    assert (code, out) == (2, "")
    assert "pyrobosim" in err
    assert "make demo" in err


@pytest.mark.parametrize("arguments", [[], ["--episodes", "2"], ["fast"], ["--help-demo"]])
def test_arguments_of_the_demo_reach_the_demo(run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(cli, "_importable", lambda name: True)
    monkeypatch.setattr(os, "execv", lambda program, command: started.append(command))
    _, _, err = run("demo", *arguments)
    assert err == ""
    expected = ["--help"] if arguments == ["--help-demo"] else arguments
    assert started[0][1:] == ["-m", "flip_edge_demo", *expected]


# --- the real model, as a person would run it


def flip_edge(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "flip_edge.cli", *map(str, arguments)]


@pytest.mark.model
@pytest.mark.parametrize(
    ("actions", "code", "outcome"),
    [
        (["drove to the charging dock"], 1, Outcome.MISMATCH),
        (["picked up the mug", "put it in the sink"], 0, Outcome.MATCH),
        ([""], 2, Outcome.UNKNOWN),
    ],
)
def test_check_on_the_real_model(model_path: Path, actions: list[str], code: int, outcome: Outcome) -> None:
    options = [part for action in actions for part in ("--action", action)]
    ran = in_a_process(
        flip_edge("check", "--command", "bring the mug to the sink", *options, "--json", "--threads", "1")
    )
    assert (ran.returncode, ran.stderr) == (code, b"")
    document = only_json(ran.stdout.decode())
    assert document["verdict"] == outcome.value
    assert document["reason"]


SMALL_PROMPT = """
id: small
version: 1
kind: completion
log_start: "Robot log:\\n"
step: "- {step}\\n"
log_end: "Command:"
answer: " {command}\\n"
separator: "\\n"
no_log: "Command:"
examples:
  - {command: go to the dock, steps: [drove to the dock]}
"""


@pytest.mark.model
def test_an_interrupted_score_on_the_real_model_resumes_to_the_same_results(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "prompt.yaml").write_text(SMALL_PROMPT)
    (tmp_path / "config.yaml").write_text("max_new_tokens: 4\nn_threads: 1\nn_ctx: 512\n")
    rows = [{"id": n, "command": f"go to room {n}", "actions": [f"drove to room {n}"]} for n in range(16)]
    (tmp_path / "in.jsonl").write_bytes(runs(*rows))
    options = ("--prompt", tmp_path / "prompt.yaml", "--config", tmp_path / "config.yaml")
    command = flip_edge("score", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", *options)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for_lines(tmp_path / "out.jsonl.partial", 3, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not (tmp_path / "out.jsonl").exists()
    assert in_a_process([*command, "--resume"]).returncode == 0
    whole = flip_edge("score", tmp_path / "in.jsonl", "-o", tmp_path / "whole.jsonl", *options)
    assert in_a_process(whole).returncode == 0
    assert without_times(tmp_path / "out.jsonl") == without_times(tmp_path / "whole.jsonl")


@pytest.mark.model
def test_a_context_beyond_the_models_is_bad_input(model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("n_ctx: 100000\n")
    ran = in_a_process(flip_edge("check", *GO, "--config", tmp_path / "config.yaml"))
    assert ran.returncode == 2
    assert b"n_ctx is 100000" in ran.stderr
    assert b"Traceback" not in ran.stderr


@pytest.mark.model
def test_models_verify_on_the_real_model(model_path: Path) -> None:
    ran = in_a_process(flip_edge("models", "verify", "default", model_path))
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"default + robot-logs-5: good (sha256 as promised)" in ran.stdout
    assert b"its checksum is not known here" in ran.stdout
