"""The calibrated rule end to end, on the scripted engine: score, threshold, reasons, and making a calibration."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from conftest import FakeEngine

from flip_edge import Outcome, SelfCheck
from flip_edge.calibrate import Sample, calibrate, fit_weights, observe
from flip_edge.calibration import Calibration, features, load_calibration, save_calibration
from flip_edge.episode import Episode
from flip_edge.errors import CalibrationError, ConfigError, InputError

MakeCheck = Callable[..., SelfCheck]
COMMAND = "put the red mug on the desk"
RUN = ["drove to the desk", "put the red mug on the desk"]

CALIBRATION = Calibration(
    id="lab",
    model_id="given",
    prompt_id="log-command/1",
    weights={"explained": 4.0, "contrast": 4.0, "no_failure": 2.0},
    intercept=-7.0,
    threshold=0.5,
    false_alarm_rate=0.05,
    runs=40,
)


@pytest.fixture
def calibrated(tmp_path: Path, make_check: MakeCheck) -> SelfCheck:
    save_calibration(CALIBRATION, tmp_path / "lab.yaml")
    return make_check(rule="calibrated", calibration=str(tmp_path / "lab.yaml"))


def test_a_supported_command_matches(calibrated: SelfCheck, engine: FakeEngine) -> None:
    engine.enqueue(COMMAND, given_log=-1, without_log=-4)
    verdict = calibrated(COMMAND, RUN)
    assert verdict.outcome is Outcome.MATCH
    assert verdict.rule == "calibrated"
    assert verdict.score == pytest.approx(1 / (1 + np.exp(-(1.0 * 4 + 4 + 2 - 7))))
    assert (verdict.score_threshold, verdict.calibration_id) == (0.5, "lab")
    engine.enqueue(COMMAND, given_log=-4 * 0.85, without_log=-4)  # half of what is enough
    assert calibrated(COMMAND, RUN).score == pytest.approx(1 / (1 + np.exp(-(0.5 * 4 + 4 + 2 - 7))))


def test_a_near_miss_is_named(calibrated: SelfCheck, engine: FakeEngine) -> None:
    rivals = {"put the blue mug on the desk": -0.1}
    engine.enqueue("put the blue mug on the desk", given_log=-3, without_log=-4, rivals=rivals)
    verdict = calibrated(COMMAND, ["drove to the desk", "put the blue mug on the desk"])
    assert verdict.outcome is Outcome.MISMATCH
    assert "'red mug' was commanded, 'blue mug' was done" in verdict.reason
    assert 'the steps imply "put the blue mug on the desk"' in verdict.reason


@pytest.mark.parametrize(
    ("ours", "rival", "contrast"),
    [(-1.0, -2.0, 1.0), (-1.0, -1.0, 1.0), (-3.0, -3.0 + math.log(3) / 8, 0.5), (-9.0, -0.1, 0.0)],
)
def test_the_contrast_is_the_commands_share_of_the_probability(
    make_check: MakeCheck, engine: FakeEngine, ours: float, rival: float, contrast: float
) -> None:
    rivals = {"put the blue mug on the desk": rival}  # eight tokens, with the line's end
    engine.enqueue(COMMAND, given_log=ours, without_log=-10, rivals=rivals)
    found = features(make_check().observe(Episode.of(COMMAND, ["put the blue mug on the desk"])))
    assert found is not None
    assert found["contrast"] == pytest.approx(contrast, abs=1e-6)
    assert found["explained_all"] == pytest.approx(1 + ours / 10)


def test_what_is_missing_counts_as_far_as_the_log_was_read(make_check: MakeCheck, engine: FakeEngine) -> None:
    def found(*steps: str) -> tuple[float, float]:
        engine.enqueue(COMMAND)
        values = features(make_check().observe(Episode.of(COMMAND, steps)))
        assert values is not None
        return values["completed"], values["fulfilled"]

    took, unread = "picked up the red mug", "0x3f 17 ok"
    assert found(took) == (0, 0)  # nothing was put anywhere
    assert found(took, unread) == (0.5, 0.5)
    assert found(unread, unread) == (1, 1)  # such a log says nothing of acts, neither for nor against


def test_what_the_run_never_mentions_is_named(calibrated: SelfCheck, engine: FakeEngine) -> None:
    engine.enqueue("charge the robot", given_log=-4, without_log=-4)
    verdict = calibrated("bring the mug to the sink", ["drove to the dock", "docked"])
    assert verdict.outcome is Outcome.MISMATCH
    assert "the run never mentions" in verdict.reason
    assert "mug" in verdict.reason
    assert "sink" in verdict.reason


def test_a_reported_failure_is_named(calibrated: SelfCheck, engine: FakeEngine) -> None:
    engine.enqueue(COMMAND, given_log=-3.6, without_log=-4)
    engine.enqueue(COMMAND, given_log=-3.6, without_log=-4)
    failed = "failed to put the red mug on the desk: no free place was found"
    verdict = calibrated(COMMAND, ["drove to the desk", failed])
    assert verdict.outcome is Outcome.MISMATCH
    assert f'the run reports: "{failed}"' in verdict.reason
    retried = calibrated(COMMAND, ["drove to the desk", failed, "put the red mug on the desk"])
    assert retried.outcome is Outcome.MATCH


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        (["zum Tisch gefahren", "abgestellt"], Outcome.UNKNOWN),  # no act of it is known, no word is the command's
        (["mug red desk"], Outcome.MATCH),  # no act, but the words
        (["drove off", "put it down"], Outcome.MATCH),  # acts, whatever the words: the score decides
    ],
)
def test_a_likelihood_alone_is_no_match(
    calibrated: SelfCheck, engine: FakeEngine, steps: list[str], outcome: Outcome
) -> None:
    engine.enqueue(COMMAND, given_log=-1, without_log=-4)
    verdict = calibrated(COMMAND, steps)
    assert verdict.outcome is outcome
    assert verdict.score is not None
    assert ("in another language" in verdict.reason) is (outcome is Outcome.UNKNOWN)


@pytest.mark.parametrize(
    ("given_log", "steps", "outcome"),
    [
        (-3.0, ["typed", "looked pleased"], Outcome.UNKNOWN),  # a quarter of the command's surprise is taken away
        (-3.9, ["typed", "looked pleased"], Outcome.MISMATCH),  # next to nothing of it
        (-3.0, ["typed", "failed to look pleased"], Outcome.MISMATCH),  # and something speaks against it
    ],
)
def test_what_the_likelihood_alone_speaks_for_is_no_mismatch(
    calibrated: SelfCheck, engine: FakeEngine, given_log: float, steps: list[str], outcome: Outcome
) -> None:
    """Whatever the score, if nothing was read that could bear the command out."""
    calibrated.reconfigure(calibrated.config.replace(score_threshold=0.999))
    engine.enqueue("work", given_log=given_log, without_log=-4)
    assert calibrated("work on the report", steps).outcome is outcome


def test_the_threshold_can_be_set(calibrated: SelfCheck, engine: FakeEngine) -> None:
    calibrated.reconfigure(calibrated.config.replace(score_threshold=0.999))
    engine.enqueue(COMMAND, given_log=-1, without_log=-4)
    verdict = calibrated(COMMAND, RUN)
    assert (verdict.outcome, verdict.score_threshold) == (Outcome.MISMATCH, 0.999)


def test_without_a_calibration_the_likelihood_decides_and_the_verdict_says_so(
    make_check: MakeCheck, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    check = make_check(rule="calibrated")
    assert "no calibration for model given" in caplog.text
    engine.enqueue(COMMAND, given_log=-1, without_log=-4)
    verdict = check(COMMAND, RUN)
    assert (verdict.outcome, verdict.rule, verdict.score) == (Outcome.MATCH, "likelihood", None)


def test_a_named_calibration_that_does_not_fit_is_an_error(
    tmp_path: Path, make_check: MakeCheck, engine: FakeEngine
) -> None:
    save_calibration(msgspec.structs.replace(CALIBRATION, model_id="other"), tmp_path / "other.yaml")
    with pytest.raises(ConfigError, match="made with model 'other' and does not fit 'given'"):
        make_check(calibration=str(tmp_path / "other.yaml"))
    assert engine.closed


def write_runs(path: Path, outcomes: list[str]) -> Path:
    rows = [
        {"id": number, "command": f"go to place {number}", "actions": ["went"], "outcome": outcome}
        for number, outcome in enumerate(outcomes)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def enqueue_runs(engine: FakeEngine, outcomes: list[str]) -> None:
    source = np.random.default_rng(0)
    for outcome in outcomes:
        explained = source.normal(0.2 if outcome == "success" else 0.02, 0.03)
        engine.enqueue("x", given_log=-4 * (1 - explained), without_log=-4)


def samples(check: SelfCheck, engine: FakeEngine, tmp_path: Path, outcomes: list[str]) -> list[Sample]:
    enqueue_runs(engine, outcomes)
    return observe(check, write_runs(tmp_path / "runs.jsonl", outcomes))


def made(found: list[Sample], base: Calibration | None) -> Calibration:
    return calibrate(
        found, id="mine", model_id="given", prompt_id="log-command/1", false_alarm_rate=0.05, base=base, made_from="t"
    )


def test_good_runs_alone_set_the_threshold(check: SelfCheck, engine: FakeEngine, tmp_path: Path) -> None:
    found = samples(check, engine, tmp_path, ["success"] * 40)
    calibration = made(found, CALIBRATION)
    assert calibration.weights == CALIBRATION.weights
    below = [CALIBRATION.score_of(sample.found or {}) < calibration.threshold for sample in found]
    assert sum(below) == 1  # floor(0.05 * 41) = 2: the second smallest score is the threshold
    assert calibration.runs == 40


def test_runs_that_no_score_decides_set_no_threshold(check: SelfCheck, engine: FakeEngine, tmp_path: Path) -> None:
    outcomes = ["success"] * 40
    found = samples(check, engine, tmp_path, outcomes)
    enqueue_runs(engine, outcomes)
    path = write_runs(tmp_path / "unread.jsonl", outcomes)
    path.write_text(path.read_text(encoding="utf-8").replace("went", "typed").replace("go to place", "work"), "utf-8")
    unread = observe(check, path)
    assert any(sample.undecided for sample in unread)
    assert not any(sample.undecided for sample in found)
    both = made([*found, *unread], CALIBRATION)
    assert both.runs == 40 + sum(not sample.undecided for sample in unread)


def test_too_few_good_runs_say_how_many_it_takes(check: SelfCheck, engine: FakeEngine, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="it takes at least 19"):
        made(samples(check, engine, tmp_path, ["success"] * 18), CALIBRATION)


def test_good_runs_alone_need_weights_to_start_from(check: SelfCheck, engine: FakeEngine, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="give labelled runs, failures too"):
        made(samples(check, engine, tmp_path, ["success"] * 40), None)


def test_labelled_runs_fit_weights(check: SelfCheck, engine: FakeEngine, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    found = samples(check, engine, tmp_path, ["success", "failure"] * 80)
    calibration = made(found, None)
    assert calibration.weights["explained"] > 0
    assert min(calibration.weights.values()) >= 0
    scores = [calibration.score_of(sample.found or {}) >= calibration.threshold for sample in found]
    right = [passed == sample.matches for passed, sample in zip(scores, found, strict=True)]
    assert np.mean(right) > 0.9


def test_kinds_of_mismatch_weigh_alike() -> None:
    pytest.importorskip("scipy")
    # Nine in ten mismatches are told by the first feature, one in ten by the second.
    common = [(0.0, 1.0)] * 90
    rare = [(1.0, 0.0)] * 10
    found = np.array([(1.0, 1.0)] * 100 + common + rare)
    matches = np.arange(200) < 100
    flat, _ = fit_weights(found, matches)
    alike, _ = fit_weights(found, matches, ["a"] * 190 + ["b"] * 10)
    assert flat[0] > 1.3 * flat[1]
    assert alike[0] == pytest.approx(alike[1], rel=0.01)


def test_fitted_weights_are_not_negative_and_separate() -> None:
    pytest.importorskip("scipy")
    source = np.random.default_rng(1)
    matches = source.random(400) < 0.5
    useful = source.normal(matches * 1.0, 0.5)
    misleading = source.normal(matches * -1.0, 0.5)
    weights, _ = fit_weights(np.column_stack([useful, misleading]), matches)
    assert weights[0] > 1
    assert weights[1] == 0


def test_a_bad_line_is_named(check: SelfCheck, tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text('{"command": "go", "actions": ["went"], "outcome": "maybe"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 1: outcome is 'maybe'"):
        observe(check, path)


def test_the_calibration_that_ships_fits_the_default_model() -> None:
    from flip_edge.calibration import calibrations_dir
    from flip_edge.models import list_models

    default = next(row for row in list_models() if row.default)
    assert default.adapter is not None
    shipped = {load_calibration(path).model_id for path in calibrations_dir().glob("*.yaml")}
    assert {default.id, f"{default.id}+{default.adapter.id}"} <= shipped
