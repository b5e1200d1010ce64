"""Leaving sources and styles out in turn: what is left out of what, and what a cell of the table depends on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from flip_edge.calibrate import Sample
from flip_edge.calibration import FEATURES
from flip_edge.errors import InputError
from training import leave_out
from training.evidence import Observed
from training.leave_out import FOLDS, Asked, Fold, Recipe, table
from training.prepare import SOURCES, STYLES, rows

DATA = Path(__file__).parent / "data"


def test_every_source_and_every_style_is_left_out_once() -> None:
    assert Counter(source for fold in FOLDS.values() for source in fold.sources) == Counter(list(SOURCES))
    assert Counter(style for fold in FOLDS.values() for style in fold.styles) == Counter(STYLES)


def test_an_adapter_is_asked_about_what_it_was_not_trained_on() -> None:
    fold, recipe = Fold(("gridworld", "saycan"), ("terse", "json")), Recipe(sources=("synthetic", "gridworld"))
    known = leave_out._known(fold, DATA, recipe)
    assert known.sources == ("synthetic",)
    assert not {"terse", "json"} & set(known.styles)
    unknown = leave_out._unknown(fold, DATA, recipe)
    assert unknown["source"].sources == ("gridworld",)
    assert unknown["style"].sources == ("synthetic",)
    assert unknown["style"].styles == ("terse", "json")
    trained = list(rows(replace(known, limit=40)))
    asked = list(rows(replace(unknown["style"], limit=20)))
    assert all(fold.has(row["source"], row["style"]) for row in asked)
    assert not any(fold.has(row["source"], row["style"]) for row in trained)
    assert not {row["group"] for row in trained} & {row["group"] for row in asked}


def run_of(fold: str, source: str, style: str, *, right: bool, told: bool, words: float = 0.5) -> Asked:
    """A run whose only evidence is whether the log tells what was commanded."""
    found = dict.fromkeys(FEATURES, 0.5) | {"explained": 0.3 if told else 0.0}
    adapted = Observed(source, style, Sample(found, 1.0 if told else 0.0, right, "g", "" if right else "wrong"), words)
    return Asked(fold, adapted, replace(adapted, sample=replace(adapted.sample, found=dict.fromkeys(FEATURES, 0.5))))


def runs_of(fold: str, source: str, style: str, *, upside_down: bool = False) -> list[Asked]:
    return [
        run_of(fold, source, style, right=right, told=right != upside_down)
        for right in (True, False)
        for _ in range(10)
    ]


def test_a_line_compares_the_score_with_and_without_the_adapter() -> None:
    asked = [*runs_of("1", "alfred", "terse"), *runs_of("2", "synthetic", "describer")]
    lines = {line[:28].strip(): line[28:].split() for line in table(asked)}
    assert lines["alfred, wrong"] == ["10", "1.000", "0.500", "0.500", "1.000"]
    assert lines["mean, wrong"] == ["1.000", "0.500", "0.500", "1.000"]
    assert "gridworld, wrong" not in lines


def test_weights_have_not_seen_the_source_or_style_that_they_are_asked_about() -> None:
    """Rows of the same source in another fold teach the opposite; they must not be heard."""
    asked = [
        *runs_of("1", "alfred", "terse"),
        *(run for _ in range(5) for run in runs_of("2", "alfred", "describer", upside_down=True)),
        *(run for _ in range(5) for run in runs_of("4", "synthetic", "json", upside_down=True)),
        *runs_of("3", "gridworld", "narrative"),
    ]
    lines = {line[:28].strip(): line[28:].split() for line in table(asked)}
    assert lines["terse, wrong"][1] == "1.000"


def test_a_folder_keeps_to_one_recipe(tmp_path: Path) -> None:
    leave_out._keep_recipe(tmp_path, Recipe())
    leave_out._keep_recipe(tmp_path, Recipe())
    with pytest.raises(InputError, match="begun with another recipe"):
        leave_out._keep_recipe(tmp_path, Recipe(rows=7))


def test_an_adapter_to_start_with_is_known_by_its_content(tmp_path: Path) -> None:
    adapters = [tmp_path / f"{name}.gguf" for name in ("one", "same", "other")]
    for adapter, content in zip(adapters, (b"a", b"a", b"b"), strict=True):
        adapter.write_bytes(content)
    one, same, other = adapters
    leave_out._keep_recipe(tmp_path, Recipe(start=one))
    leave_out._keep_recipe(tmp_path, Recipe(start=same))
    with pytest.raises(InputError, match="begun with another recipe"):
        leave_out._keep_recipe(tmp_path, Recipe(start=other))


def test_one_fold_from_rows_to_what_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="torch is in the extra [train]")
    pytest.importorskip("minigrid", reason="minigrid is in the extra [train]")
    options = ["--data", str(DATA), "-o", str(tmp_path), "--source", "synthetic", "--source", "gridworld"]
    small = ["--rows", "6", "--contrast-steps", "1", "--test-rows", "2", "--fold", "3"]
    assert leave_out.main([*options, *small]) == 0
    assert "fold 1, 2, 4, 5 is missing" in capsys.readouterr().err
    assert (tmp_path / "3" / "finished").exists()
    scores = {path: path.read_bytes() for path in (tmp_path / "3" / "scores").iterdir()}
    assert len(scores) == 2  # with the adapter, and without
    adapter = (tmp_path / "3" / "adapter.gguf").stat().st_mtime_ns
    assert leave_out.main([*options, *small]) == 0  # nothing is made again
    assert (tmp_path / "3" / "adapter.gguf").stat().st_mtime_ns == adapter
    assert {path: path.read_bytes() for path in (tmp_path / "3" / "scores").iterdir()} == scores
