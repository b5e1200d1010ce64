"""Scoring files: order, ids, bad lines, interrupted runs. The model is scripted; a real one is used in test_cli."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import FakeEngine

from flip_edge import Config, InputError, SelfCheck
from flip_edge.prompts import Piece
from flip_edge.score import Summary, parse_row, score_file, score_lines


class ScriptedEngine(FakeEngine):
    """Infers the last step as the instruction; the log supports every command but where that step says "wrong"."""

    def read(self, log: Sequence[Piece]) -> int:
        step = log[-2].text.removeprefix("- ").strip()
        self.enqueue(step, given_log=-4.0 if "wrong" in step else -1.0, without_log=-3.0)
        return super().read(log)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def check(engine: ScriptedEngine) -> SelfCheck:
    return SelfCheck(Config(), engine=engine)


def row(id: object, command: str = "go there", *actions: str) -> bytes:
    return json.dumps({"id": id, "command": command, "actions": actions or ["went there"]}).encode() + b"\n"


def score(data: bytes, check: SelfCheck) -> tuple[list[dict[str, Any]], Summary]:
    summary = Summary()
    told: list[tuple[int, str]] = []
    results = list(score_lines(io.BytesIO(data), check, summary, lambda *bad: told.append(bad)))
    assert told == summary.bad_lines
    return results, summary


def to_file(data: bytes, target: Path, check: SelfCheck, *, resume: bool = False) -> Summary:
    return score_file(io.BytesIO(data), target, check, resume=resume, on_bad=lambda number, error: None)


def rows_of(data: bytes | Path) -> list[dict[str, Any]]:
    """Results without what the clock put in them."""
    data = data.read_bytes() if isinstance(data, Path) else data
    return [{k: v for k, v in json.loads(line).items() if k != "computed_s"} for line in data.splitlines()]


# --- rows


@pytest.mark.parametrize("id", [1, -7, 0, "a", "", "ü", 1.5, None, 2**53 + 1, 10**30])
def test_an_id_comes_back_as_it_was_given(check: SelfCheck, id: object) -> None:
    (result,), _ = score(row(id), check)
    assert result["id"] == id
    assert type(result["id"]) is type(id)


def test_a_missing_id_comes_back_as_null(check: SelfCheck) -> None:
    (result,), _ = score(b'{"command": "go", "actions": ["went"]}', check)
    assert result["id"] is None


def test_the_order_is_kept_also_with_equal_ids(check: SelfCheck) -> None:
    ids = ["b", "a", "b", 3, None, "a"]
    data = b"".join(row(id, f"go to {number}") for number, id in enumerate(ids))
    results, summary = score(data, check)
    assert [result["id"] for result in results] == ids
    assert [result["command"] for result in results] == [f"go to {number}" for number in range(6)]
    assert [result["line"] for result in results] == [1, 2, 3, 4, 5, 6]
    assert summary.verdicts == {"MATCH": 6, "MISMATCH": 0, "UNKNOWN": 0}


def test_a_result_carries_what_the_design_promises(check: SelfCheck) -> None:
    (result,), _ = score(row("x", "go to the dock", "went wrong"), check)
    assert (result["verdict"], result["inferred"], result["f1"], result["score"]) == ("MISMATCH", "went wrong", 0, None)
    assert result["gain"] == -1.0
    assert result["reason"]
    json.dumps(result, allow_nan=False)


def test_a_run_that_cannot_be_judged_is_a_result_and_not_a_bad_line(check: SelfCheck) -> None:
    data = row(1, "") + b'{"id": 2, "command": "go", "actions": []}\n' + row(3, "go", " ", "\x00") + row(4)
    results, summary = score(data, check)
    assert [result["verdict"] for result in results] == ["UNKNOWN", "UNKNOWN", "UNKNOWN", "MATCH"]
    assert summary.bad_lines == []
    assert all(result["reason"] for result in results)


BAD_LINES = {
    "not JSON": b"{oops",
    "cut": b'{"id": 1, "command": "go", "act',
    "empty object": b"{}",
    "a list": b'["go", ["went"]]',
    "a number": b"7",
    "null": b"null",
    "no command": b'{"actions": ["went"]}',
    "no actions": b'{"command": "go"}',
    "command a number": b'{"command": 7, "actions": ["went"]}',
    "command null": b'{"command": null, "actions": ["went"]}',
    "actions a text": b'{"command": "go", "actions": "went"}',
    "actions null": b'{"command": "go", "actions": null}',
    "actions an object": b'{"command": "go", "actions": {"0": "went"}}',
    "an action a number": b'{"command": "go", "actions": ["went", 3]}',
    "an action null": b'{"command": "go", "actions": [null]}',
    "NaN as command": b'{"command": NaN, "actions": ["went"]}',
    "NaN as action": b'{"command": "go", "actions": [NaN]}',
    "NaN as id": b'{"id": NaN, "command": "go", "actions": ["went"]}',
    "id a list": b'{"id": [1], "command": "go", "actions": ["went"]}',
    "id true": b'{"id": true, "command": "go", "actions": ["went"]}',
    "two objects": b'{"command": "go", "actions": ["went"]} {}',
    "not UTF-8": b'{"command": "go \xff", "actions": ["went"]}',
    "UTF-16": '{"command": "go", "actions": ["went"]}'.encode("utf-16-le"),
    "a lone surrogate": b'{"command": "go \\ud800", "actions": ["went"]}',
    "binary": bytes(range(11, 32)),
    "very deep": b'{"extra": ' + b"[" * 100_000 + b"]" * 100_000 + b', "command": "go", "actions": ["went"]}',
}


@pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_named_and_the_rest_is_scored(check: SelfCheck, bad: bytes) -> None:
    results, summary = score(row(1) + bad + b"\n" + row(3), check)
    assert [result["id"] for result in results] == [1, 3]
    ((number, error),) = summary.bad_lines
    assert number == 2
    assert error.startswith(("not a run: ", "not UTF-8: "))


def test_errors_say_what_is_wrong_and_where() -> None:
    with pytest.raises(InputError, match="not UTF-8: byte 0xff at column 17"):
        parse_row(BAD_LINES["not UTF-8"])
    with pytest.raises(InputError, match=r"missing required field `actions`"):
        parse_row(b'{"command": "go"}')
    with pytest.raises(InputError, match=r"Expected `str`, got `int`.*actions"):
        parse_row(BAD_LINES["an action a number"])


def test_unknown_keys_are_left_alone(check: SelfCheck) -> None:
    results, summary = score(b'{"command": "go", "actions": ["went"], "label": 1, "note": {"a": [1]}}', check)
    assert len(results) == 1
    assert not summary.bad_lines


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (row(1).replace(b"\n", b"\r\n") + row(2).replace(b"\n", b"\r\n"), [1, 2]),
        (row(1) + b"\n  \n\t\r\n" + row(2), [1, 5]),
        (row(1) + row(2).rstrip(b"\n"), [1, 2]),
        (b"\n\n" + row(1), [3]),
        (b"", []),
        (b"\n\n", []),
    ],
    ids=["CRLF", "blank-lines", "no-last-newline", "blank-start", "empty", "blank"],
)
def test_line_ends_and_blank_lines(check: SelfCheck, data: bytes, lines: list[int]) -> None:
    results, summary = score(data, check)
    assert [result["line"] for result in results] == lines
    assert not summary.bad_lines


# --- files


def test_the_output_appears_when_it_is_whole(tmp_path: Path, check: SelfCheck, engine: ScriptedEngine) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("what was there before")
    seen = []

    def lines() -> Iterator[bytes]:
        for id in range(3):
            yield row(id)
            seen.append(target.read_text())

    summary = score_file(lines(), target, check, on_bad=lambda number, error: None)  # type: ignore[arg-type]
    assert seen == ["what was there before"] * 3
    assert [result["id"] for result in rows_of(target)] == [0, 1, 2]
    assert summary.verdicts["MATCH"] == 3
    assert list(tmp_path.iterdir()) == [target]


def test_an_empty_input_makes_an_empty_output(tmp_path: Path, check: SelfCheck) -> None:
    to_file(b"", tmp_path / "out.jsonl", check)
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_scoring_the_same_file_twice_gives_the_same_bytes(tmp_path: Path, check: SelfCheck) -> None:
    data = b"".join(row(id, "go there", "went there", "stopped") for id in range(5))
    for name in ("first", "second"):
        to_file(data, tmp_path / name, check)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


class StoppedError(BaseException):
    """As unexpected as KeyboardInterrupt."""


def interrupted(data: bytes, target: Path, engine: ScriptedEngine, after: int) -> bytes:
    """Score, and be interrupted in the run after that many; returns the partial results."""

    def stop(line: int) -> None:
        nonlocal after
        after -= 1
        if after < 0:
            raise StoppedError

    with pytest.raises(StoppedError):
        score_file(
            io.BytesIO(data),
            target,
            SelfCheck(Config(), engine=engine),
            on_bad=lambda number, error: None,
            on_line=stop,
        )
    assert not target.exists()
    return target.with_name(target.name + ".partial").read_bytes()


MIXED = (
    row("a") + row(2, "go", "went wrong") + b"\n" + row(None, "") + row("d", "go to ü 🚀", "went to ü 🚀") + row("e")
)


@pytest.mark.parametrize("after", range(6))
def test_resume_goes_on_where_an_interrupted_run_stopped(
    tmp_path: Path, check: SelfCheck, engine: ScriptedEngine, after: int
) -> None:
    whole = to_file(MIXED, tmp_path / "whole", check)
    target = tmp_path / "out"
    interrupted(MIXED, target, engine, after)
    engine.logs.clear()
    summary = to_file(MIXED, target, check, resume=True)
    assert rows_of(target) == rows_of(tmp_path / "whole")
    assert summary.verdicts == whole.verdicts
    assert not (tmp_path / "out.partial").exists()
    assert summary.reused >= after - 1  # one of the lines is blank
    assert len(engine.logs) <= 4 - summary.reused + 1


def test_resume_after_a_kill_at_any_byte_gives_every_row_once(tmp_path: Path, check: SelfCheck) -> None:
    """However the last line of the partial file was cut: by a kill -9, or by a disk that lost its tail."""
    whole = to_file(MIXED, tmp_path / "whole", check)
    data = (tmp_path / "whole").read_bytes()
    expected = rows_of(data)
    target, partial = tmp_path / "out", tmp_path / "out.partial"
    ends = {number for number, byte in enumerate(data) if byte == 10}
    near = {end + offset for end in ends for offset in (-2, -1, 0, 1, 2)}
    for cut in sorted(near | set(range(0, len(data), 97)) | {len(data)}):
        if not 0 <= cut <= len(data):
            continue
        partial.write_bytes(data[:cut])
        summary = to_file(MIXED, target, check, resume=True)
        assert [result["line"] for result in rows_of(target)] == [1, 2, 4, 5, 6], f"cut at byte {cut}"
        assert rows_of(target) == expected, f"cut at byte {cut}"
        assert summary.verdicts == whole.verdicts, f"cut at byte {cut}"
        target.unlink()


def test_resume_with_nothing_to_resume_scores_everything(tmp_path: Path, check: SelfCheck) -> None:
    summary = to_file(MIXED, tmp_path / "out", check, resume=True)
    assert len(rows_of(tmp_path / "out")) == 5
    assert summary.reused == 0


def test_resume_of_garbage_scores_everything(tmp_path: Path, check: SelfCheck) -> None:
    (tmp_path / "out.partial").write_bytes(b"\x00\xff garbage\n" * 3)
    to_file(MIXED, tmp_path / "out", check, resume=True)
    assert len(rows_of(tmp_path / "out")) == 5


def test_bad_lines_before_the_interruption_are_still_told_after_resume(
    tmp_path: Path, check: SelfCheck, engine: ScriptedEngine
) -> None:
    data = row(1) + b"{oops\n" + row(3) + row(4) + row(5)
    interrupted(data, tmp_path / "out", engine, 4)
    summary = to_file(data, tmp_path / "out", check, resume=True)
    assert [result["id"] for result in rows_of(tmp_path / "out")] == [1, 3, 4, 5]
    assert [number for number, _ in summary.bad_lines] == [2]


def test_results_of_an_interrupted_run_are_not_thrown_away_without_being_asked(
    tmp_path: Path, check: SelfCheck, engine: ScriptedEngine
) -> None:
    left = interrupted(MIXED, tmp_path / "out", engine, 4)
    with pytest.raises(InputError, match="resume"):
        to_file(MIXED, tmp_path / "out", check)
    assert (tmp_path / "out.partial").read_bytes() == left


def test_a_missing_folder_is_an_error_that_names_it(tmp_path: Path, check: SelfCheck, engine: ScriptedEngine) -> None:
    with pytest.raises(InputError, match=r"there is no folder .*nowhere"):
        to_file(MIXED, tmp_path / "nowhere" / "out.jsonl", check)
    assert not engine.logs


@pytest.mark.parametrize("name", ["/proc/out.jsonl", "folder"])
def test_an_output_that_cannot_be_written_is_refused_before_the_first_run(
    tmp_path: Path, check: SelfCheck, engine: ScriptedEngine, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=f"cannot write .*{name}"):
        to_file(MIXED, tmp_path / name, check)
    assert not engine.logs, "hours of scoring would be lost"
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_an_output_that_is_no_plain_file_is_not_replaced_by_one(tmp_path: Path, check: SelfCheck) -> None:
    """As in `-o /dev/null` or `-o /dev/stdout`, by root."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with contextlib.suppress(InputError):  # to refuse it is as good as to write to it
        to_file(row(1), pipe, check)
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
