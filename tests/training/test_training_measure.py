"""Measuring an adapter on rows: whose run is compared with whose, and the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flip_edge import SelfCheck
from flip_edge.errors import CheckError
from training.measure import COLUMNS, Pair, group_of, main, measure, table

ROW = {
    "source": "synthetic",
    "style": "terse",
    "command": "bring the mug",
    "actions": ["pick mug", "bring mug"],
    "negatives": [
        {"kind": "cut", "actions": ["pick mug"]},
        {"kind": "wrong_object", "command": "bring the plate"},
    ],
}


def test_each_mismatch_stands_beside_its_right_run(make_check: Callable[..., SelfCheck], engine: Any) -> None:
    engine.enqueue("bring the mug", given_log=-1.0, without_log=-3.0)
    engine.enqueue("pick up the mug", given_log=-2.0, without_log=-3.0)
    engine.enqueue("bring the mug", given_log=-2.5, without_log=-3.5)
    with make_check(rule="likelihood") as check:
        cut, wrong = measure(check, [ROW])
    assert [(pair.kind, pair.group, pair.style, pair.source) for pair in (cut, wrong)] == [
        ("cut", "unfinished", "terse", "synthetic"),
        ("wrong_object", "wrong", "terse", "synthetic"),
    ]
    assert cut.right == wrong.right
    found = {name: index for index, name in enumerate(COLUMNS)}
    assert [pair[found["likelihood"]] for pair in (cut.right, cut.wrong, wrong.wrong)] == [-1.0, -2.0, -2.5]
    assert [pair[found["gain"]] for pair in (cut.right, cut.wrong, wrong.wrong)] == [2.0, 1.0, 1.0]
    assert cut.right[found["F1"]] == 1.0 > wrong.wrong[found["F1"]] > 0
    assert [pair[found["words found"]] for pair in (cut.right, cut.wrong, wrong.wrong)] == [1.0, 0.5, 0.5]
    assert np.isnan(cut.right[found["score"]])  # there is no calibration
    assert np.isnan(cut.right[found["confirmed"]])  # and the prompt does not ask
    assert engine.logs[0] != engine.logs[1]
    assert engine.logs[0] == engine.logs[2]


def test_a_run_that_cannot_be_checked_is_an_error(
    make_check: Callable[..., SelfCheck], engine: Any, model_failure: CheckError
) -> None:
    engine.enqueue("", error=model_failure)
    check = make_check(rule="likelihood")
    with pytest.raises(CheckError, match="'bring the mug' could not be checked"):
        measure(check, [ROW])


def test_the_table_has_an_area_for_every_line() -> None:
    pairs = [
        Pair("alfred", "people", "cut", [1.0, -1, 2, 0.8, 0.9, 1], [0.5, -2, 1, 0.8, 0.5, 1]),
        Pair("alfred", "terse", "cut", [0.2, -1, 2, 0.8, 0.9, 1], [0.5, -2, 1, 0.7, 0.95, 1]),
        Pair("saycan", "terse", "other_run", [1.0, -1, 2, np.nan, 0.9, 1], [0.0, -2, 1, 0.2, 0.5, 0]),
    ]
    lines = {line[:28].strip(): line[28:].split() for line in table(pairs, "kind")}
    assert lines["AUROC"][0] == "pairs"
    assert lines["cut"] == ["2", "0.500", "1.000", "1.000", "0.750", "0.500", "0.500"]
    assert lines["other_run"] == ["1", "1.000", "1.000", "1.000", "0.500", "1.000", "1.000"]
    assert lines["all"][0] == "3"
    assert list(table(pairs, "style"))[1].startswith("people, unfinished")
    assert [line[:28].strip() for line in table(pairs, "source")][1:-1] == ["alfred, unfinished", "saycan, another"]
    assert [line[:28].strip() for line in table(pairs, "group")][1:-1] == ["another", "unfinished"]


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        ("other_run", "another"),
        ("recorded_other_mission", "another"),
        ("skipped", "unfinished"),
        ("recorded_other_task", "another"),
        ("recorded_partial", "unfinished"),
        ("recorded_action_failed", "unfinished"),
        ("recorded_wrong_place", "wrong"),
        ("wrong_role", "wrong"),
    ],
)
def test_kinds_are_grouped(kind: str, group: str) -> None:
    assert group_of(kind) == group


@pytest.mark.model
def test_the_command_measures_the_real_model(
    rows_file: Path, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(rows_file), "--adapter", "auto", "--limit", "1", "--by", "group"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("AUROC")
    assert "+robot-logs" in out.splitlines()[-1]


def test_files_that_cannot_be_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.jsonl").write_text('{"command": "go", "actions": ["went"], "negatives": []}\n')
    for file, why in (("rows.jsonl", "has no negatives"), ("none.jsonl", "cannot read")):
        assert main([str(tmp_path / file)]) == 2
        assert why in capsys.readouterr().err
