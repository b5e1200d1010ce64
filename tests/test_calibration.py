from __future__ import annotations

import random
from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flip_edge.calibration import (
    FEATURES,
    Calibration,
    conformal_threshold,
    find_calibration,
    load_calibration,
    runs_needed,
    save_calibration,
)
from flip_edge.errors import CalibrationError

GOOD = Calibration(
    id="lab",
    model_id="m",
    prompt_id="p/1",
    weights={"explained": 2.0, "found": 1.0, "contrast": 3.0},
    intercept=-3.0,
    threshold=0.4,
    false_alarm_rate=0.05,
    runs=40,
)


@given(st.dictionaries(st.sampled_from(FEATURES), st.floats(-1, 1)), st.sampled_from(FEATURES))
def test_more_support_never_lowers_the_score(values: dict[str, float], name: str) -> None:
    base = {**dict.fromkeys(FEATURES, 0.0), **values}
    assert 0 <= GOOD.score_of(base) <= GOOD.score_of({**base, name: base[name] + 0.5}) <= 1


def test_round_trip(tmp_path: Path) -> None:
    save_calibration(GOOD, tmp_path / "c.yaml")
    assert load_calibration(tmp_path / "c.yaml") == GOOD
    assert find_calibration(str(tmp_path / "c.yaml"), "m", "p/1") == GOOD


@pytest.mark.parametrize(
    ("model", "prompt", "why"),
    [("other", "p/1", "model 'm' and does not fit 'other'"), ("m", "p/2", "prompt 'p/1' and does not fit 'p/2'")],
)
def test_a_calibration_of_another_model_or_prompt_is_refused(tmp_path: Path, model: str, prompt: str, why: str) -> None:
    save_calibration(GOOD, tmp_path / "c.yaml")
    with pytest.raises(CalibrationError, match=why):
        find_calibration(str(tmp_path / "c.yaml"), model, prompt)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": 99}, "format 99"),
        ({"threshold": 2}, "threshold"),
        ({"weights": {"explained": -1}}, "weights"),
        ({"weights": {"luck": 1}}, "unknown features: luck"),
        ({"colour": "red"}, "colour"),
        ({"runs": 0}, "runs"),
    ],
)
def test_a_bad_calibration_names_the_file_and_the_field(tmp_path: Path, change: dict[str, object], why: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**msgspec.to_builtins(GOOD), **change}), encoding="utf-8")
    with pytest.raises(CalibrationError) as caught:
        load_calibration(path)
    assert "bad.yaml" in str(caught.value)
    assert why in str(caught.value)


def test_there_is_no_calibration_for_an_unknown_model() -> None:
    assert find_calibration("auto", "no such model", "log-command/1") is None


@pytest.mark.parametrize(("rate", "needed"), [(0.05, 19), (0.1, 9), (0.5, 1), (0.01, 99), (1 / 3, 2)])
def test_runs_needed(rate: float, needed: int) -> None:
    assert runs_needed(rate) == needed
    conformal_threshold([0.5] * needed, rate)
    if needed > 1:
        with pytest.raises(CalibrationError, match=f"{needed - 1} successful runs are too few.*at least {needed}"):
            conformal_threshold([0.5] * (needed - 1), rate)


def test_conformal_threshold_is_the_kth_smallest() -> None:
    scores = [i / 100 for i in range(1, 100)]
    random.Random(0).shuffle(scores)
    assert conformal_threshold(scores, 0.05) == 0.05
    with pytest.raises(CalibrationError, match="must lie between 0 and 1"):
        conformal_threshold(scores, 1.5)


def test_the_false_alarm_rate_holds_on_new_runs() -> None:
    source = np.random.default_rng(7)
    rates = []
    for _ in range(2000):
        seen, new = source.beta(5, 2, 60), source.beta(5, 2, 1)
        rates.append(new[0] < conformal_threshold(list(seen), 0.1))
    assert np.mean(rates) == pytest.approx(0.1 * 60 / 61, abs=0.025)
    assert np.mean(rates) <= 0.12
