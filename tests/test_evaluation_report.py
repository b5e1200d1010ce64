from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from flip_edge.baselines.overlap import WordOverlap
from flip_edge.contrast_set import measure
from flip_edge.datasets import Run, make_episodes
from flip_edge.errors import ConfigError
from flip_edge.evaluate import evaluate
from flip_edge.evaluation_report import roc, to_html
from flip_edge.evaluation_table import Results


@pytest.fixture
def results() -> Results:
    things = ["mug", "book", "plate", "pen", "box", "cup"]
    runs = [
        Run(command=f"move the {thing} <b>", actions=(f"go to {thing}", f"put {thing} down"), id=thing, source="a&b")
        for thing in things
    ]
    rows = make_episodes(runs, kinds=["random", "cut"])
    notes = {"command_line": "flip-edge evaluate runs.jsonl --seed 7", "model": "<default>"}
    return evaluate(rows, [WordOverlap()], seed=7, bootstrap=20, progress=False, notes=notes)


def test_the_report_needs_nothing_outside_itself(results: Results) -> None:
    pytest.importorskip("matplotlib")
    text = to_html(results, measure("overlap", lambda run: 1.0, 0.5))
    assert "flip-edge evaluate runs.jsonl --seed 7" in text
    assert "seed 7" in text
    assert "a&amp;b: random" in text
    assert "&lt;default&gt;" in text
    assert "overlap: words found" in text
    assert "Contrast set" in text
    assert text.count("<svg") == 4  # curves and histograms of two kinds
    assert not re.search(r"""(?:src|href)=["'](?!#)""", text)
    assert "<script" not in text
    assert "@import" not in text


def test_false_alarms_over_splits_are_told() -> None:
    pytest.importorskip("matplotlib")
    runs = [Run(command=f"move box {n}", actions=(f"go to box {n}", "put it down"), id=str(n)) for n in range(60)]
    results = evaluate(make_episodes(runs, kinds=["random"]), [WordOverlap()], bootstrap=20, progress=False)
    assert results.splits
    assert "alarms on the other half, 20 splits" in to_html(results)


def test_the_same_results_give_the_same_report(results: Results) -> None:
    pytest.importorskip("matplotlib")
    assert to_html(results) == to_html(results)


def test_the_curve_by_hand() -> None:
    scores = np.array([0.9, 0.4, 0.1, 0.4, np.nan])
    match = np.array([True, True, False, False, False])
    alarms, found = roc(scores, match)
    assert alarms.tolist() == [0, 0, 0.5, 1]
    assert found.tolist() == [0, 0.5, 1, 1]


def test_without_matplotlib_it_says_what_to_install(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"flip_edge\[eval\]"):
        to_html(results)
