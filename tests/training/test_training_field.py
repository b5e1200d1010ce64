from __future__ import annotations

import json
from pathlib import Path

import pytest

from flip_edge.errors import InputError
from training.field import Run, main, rows, runs

RUN = {
    "source": "arm notes",
    "command": "put the mug in the sink",
    "actions": ["took the mug", "drove to the sink", "put the mug in the sink"],
    "also": ["mug into the sink"],
}


def written(path: Path, *misses: dict[str, object], **changes: object) -> Path:
    path.write_text(json.dumps({**RUN, "negatives": misses, **changes}) + "\n", encoding="utf-8")
    return path


def test_near_misses_are_edits_of_the_run(tmp_path: Path) -> None:
    corpus = written(
        tmp_path / "field.jsonl",
        {"kind": "cut", "keep": 2},
        {"kind": "wrong_object", "replace": {"0": "took the cup", "2": "put the cup in the sink"}, "drop": [1]},
        {"kind": "wrong_place", "command": "put the mug on the shelf"},
        {"kind": "other_run", "actions": ["mopped the hall"]},
    )
    (row,) = rows(files=[corpus])
    assert row["command"] == RUN["command"]
    assert row["also"] == ["mug into the sink"]
    assert row["actions"] == RUN["actions"]
    assert row["negatives"] == [
        {"kind": "cut", "actions": ["took the mug", "drove to the sink"]},
        {"kind": "wrong_object", "actions": ["took the cup", "put the cup in the sink"]},
        {"kind": "wrong_place", "command": "put the mug on the shelf"},
        {"kind": "other_run", "actions": ["mopped the hall"]},
    ]


@pytest.mark.parametrize(
    ("miss", "said"),
    [
        ({"kind": "cut", "keep": 4}, "no step 3"),
        ({"kind": "wrong_object", "replace": {"7": "took the cup"}}, "no step 7"),
        ({"kind": "cut", "keep": 3}, "nothing is wrong"),
        ({"kind": "skipped", "drop": [0, 1, 2]}, "nothing is left"),
        ({"kind": "wrong_place", "command": "put the mug in the sink"}, "the run's own"),
        ({"kind": "wrong_place", "command": "mug into the sink"}, "the run's own"),
        ({"kind": "cut", "kept": 1}, "kept"),
    ],
)
def test_an_edit_that_makes_no_mismatch_is_refused(miss: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as error:
        list(runs([written(tmp_path / "field.jsonl", miss)]))
    assert "line 1" in str(error.value)


def test_the_corpus_is_whole_and_its_parts_share_no_system() -> None:
    found: list[Run] = list(runs())
    assert len(found) > 1000
    assert all(run.negatives for run in found)
    assert sum(bool(run.also) for run in found) > 2000
    train, test = ({str(row["style"]).lower() for row in rows(part)} for part in ("train", "test"))
    assert train
    assert test
    assert not train & test
    assert len(list(rows("train"))) + len(list(rows("test"))) == len(found)


def test_the_rows_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = written(tmp_path / "field.jsonl", {"kind": "cut", "keep": 1})
    assert main(["--corpus", str(corpus), "-o", str(tmp_path / "rows.jsonl")]) == 0
    assert json.loads((tmp_path / "rows.jsonl").read_text())["source"] == "field"
    assert "1 rows" in capsys.readouterr().out
    assert main(["--corpus", str(tmp_path / "none"), "-o", str(tmp_path / "rows.jsonl")]) == 2
    assert "cannot read" in capsys.readouterr().err
