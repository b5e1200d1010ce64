"""`flip-edge calibrate`: thresholds from a robot's own successful runs, and the score's weights from labelled ones."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from flip_edge.calibration import (
    FEATURES,
    Calibration,
    conformal_threshold,
    features,
    runs_needed,
    save_calibration,
    today,
)
from flip_edge.decision import undecided
from flip_edge.episode import Episode
from flip_edge.errors import CalibrationError, InputError
from flip_edge.score import parse_row
from flip_edge.selfcheck import SelfCheck

_PARTS = 5  # of the groups, each scored with weights from the others
_RIDGE = 1e-3  # keeps weights finite where the classes separate
# In plain logs a run that contradicts its command is nearly never right, and too rare among made mismatches for the fit
# to find that out. In unfamiliar formats one good run in twenty seems to, and with twice this weight those alone used
# up most of the false alarms (docs/evidence.md).
_LEAST = {"consistent": 2.0}
SUCCESS, FAILURE = "success", "failure"


@dataclass(frozen=True)
class Sample:
    """What was measured of one run and what is known of it.

    Attributes:
        found: the features of the score; see :func:`flip_edge.calibration.features`. None where there is no evidence.
        gain: nats per token by which the log makes the command likelier; None likewise.
        matches: whether the run fulfilled its command.
        group: runs of one group are never on both sides of a split.
        kind: of mismatch; the kinds weigh alike when weights are fitted.
        undecided: whether the verdict is UNKNOWN whatever the score; such a run says nothing of a threshold.
    """

    found: Mapping[str, float] | None
    gain: float | None
    matches: bool
    group: str
    kind: str = "failure"
    undecided: bool = False


_Known = list[tuple[Sample, Mapping[str, float]]]


def fit_weights(
    found: npt.NDArray[np.float64],
    matches: npt.NDArray[np.bool_],
    kinds: Sequence[str] = (),
    least: Sequence[float] = (),
) -> tuple[list[float], float]:
    """Fit a logistic function with weights that are not negative, both classes counting alike.

    Args:
        found: features, shape (runs, features).
        matches: labels, shape (runs,).
        kinds: of the mismatches, one a run; each kind counts alike. Matches count as one kind, whatever is given.
        least: a lower bound for each weight; 0 unless given.

    Returns:
        The weights and the intercept.

    Raises:
        CalibrationError: a class is missing, or scipy is not installed.
    """
    if matches.all() or not matches.any():
        raise CalibrationError("weights need successful and failed runs; these are all of one kind")
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise CalibrationError("fitting weights needs scipy: pip install 'flip_edge[eval]'") from None
    signs = np.where(matches, 1.0, -1.0)
    shares = np.where(matches, 0.5 / matches.sum(), 0.0)
    of_kind = np.array(kinds or ("failure",) * len(matches))
    for kind in sorted(set(of_kind[~matches])):
        members = ~matches & (of_kind == kind)
        shares[members] = 0.5 / len(set(of_kind[~matches])) / members.sum()

    def loss(parameters: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        margins = signs * (found @ parameters[:-1] + parameters[-1])
        slope = -shares * signs / (1 + np.exp(np.clip(margins, -500, 500)))
        gradient = np.append(slope @ found + 2 * _RIDGE * parameters[:-1], slope.sum())
        value = float((shares * np.logaddexp(0, -margins)).sum() + _RIDGE * (parameters[:-1] ** 2).sum())
        return value, gradient

    floor = list(least) or [0.0] * found.shape[1]
    bounds = [(bound, None) for bound in floor] + [(None, None)]
    best = minimize(loss, np.array([*floor, 0.0]), jac=True, bounds=bounds, method="L-BFGS-B").x
    return [float(weight) for weight in best[:-1]], float(best[-1])


def score_weights(samples: Iterable[Sample]) -> tuple[dict[str, float], float]:
    """The weights of the score, by feature, and its intercept, from labelled runs.

    Raises:
        CalibrationError: they are all of one class, or scipy is not installed.
    """
    complete = [(sample, sample.found) for sample in samples if sample.found is not None]
    weights, intercept = fit_weights(
        np.array([[found[name] for name in FEATURES] for _, found in complete]),
        np.array([sample.matches for sample, _ in complete]),
        [sample.kind for sample, _ in complete],
        [_LEAST.get(name, 0.0) for name in FEATURES],
    )
    return dict(zip(FEATURES, weights, strict=True)), intercept


def calibrate(
    samples: Sequence[Sample],
    *,
    id: str,
    model_id: str,
    prompt_id: str,
    false_alarm_rate: float,
    base: Calibration | None,
    made_from: str,
    seed: int = 0,
) -> Calibration:
    """Make a calibration.

    With failed runs among the samples, weights are fitted on all of them. The threshold is set on the successful runs,
    each scored with weights that were fitted on other groups (cross-conformal: Vovk, Annals of Mathematics and
    Artificial Intelligence 74, 2015). Without failed runs, the weights of ``base`` stay and all runs set the threshold.

    Raises:
        CalibrationError: there are too few runs for the rate, or there is nothing to take weights from.
    """
    complete = [(sample, sample.found) for sample in samples if sample.found is not None]
    if all(sample.matches for sample, _ in complete):
        if base is None:
            raise CalibrationError(
                f"there are no weights for {model_id} with {prompt_id}: give labelled runs, failures too"
            )
        weights, intercept = base.weights, base.intercept
        weighed = [(weights, intercept, complete)]
    else:
        weights, intercept = score_weights(sample for sample, _ in complete)
        weighed = [
            (*score_weights(sample for sample, _ in others or complete), held_out)
            for others, held_out in _parts(complete, seed)
        ]
    draft = Calibration(
        id=id,
        model_id=model_id,
        prompt_id=prompt_id,
        weights=weights,
        intercept=intercept,
        threshold=0.0,
        false_alarm_rate=false_alarm_rate,
        runs=1,
        made_from=made_from,
        made_on=today(),
    )
    scores = []
    for own_weights, own_intercept, held_out in weighed:
        scored = msgspec.structs.replace(draft, weights=own_weights, intercept=own_intercept)
        scores += [scored.score_of(found) for sample, found in held_out if sample.matches and not sample.undecided]
    threshold = conformal_threshold(scores, false_alarm_rate)
    return msgspec.structs.replace(draft, threshold=threshold, runs=len(scores))


def _parts(samples: _Known, seed: int) -> Iterator[tuple[_Known, _Known]]:
    """Each part of the samples behind all the others; no group is in two parts."""
    groups = sorted({sample.group for sample, _ in samples})
    random.Random(seed).shuffle(groups)
    for part in range(_PARTS):
        held = set(groups[part::_PARTS])
        others = [known for known in samples if known[0].group not in held]
        yield others, [known for known in samples if known[0].group in held]


def observe(check: SelfCheck, path: Path) -> list[Sample]:
    """Check every run of a JSONL file; rows without an ``outcome`` are successful runs.

    Raises:
        InputError: a line is no run; the message names it.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    samples = []
    for number, line in enumerate(tqdm(lines, unit="run", disable=None), start=1):
        if not line.strip():
            continue
        try:
            row = parse_row(line)
        except InputError as error:
            raise InputError(f"{path}: line {number}: {error}") from None
        if row.outcome not in (SUCCESS, FAILURE):
            raise InputError(f"{path}: line {number}: outcome is {row.outcome!r}, not {SUCCESS!r} or {FAILURE!r}")
        evidence = check.observe(Episode.of(row.command, row.actions))
        good = row.outcome == SUCCESS
        samples.append(Sample(features(evidence), evidence.gain, good, row.command, undecided=undecided(evidence)))
    return samples


def suggested_thresholds(samples: Iterable[Sample], false_alarm_rate: float) -> dict[str, float]:
    """Thresholds for the rules ``f1`` and ``likelihood`` at the same false-alarm rate."""
    good = [sample for sample in samples if sample.matches]
    f1 = [sample.found["f1"] for sample in good if sample.found]
    gain = [sample.gain for sample in good if sample.gain is not None]
    return {
        "f1_threshold": conformal_threshold(f1, false_alarm_rate),
        "gain_threshold": conformal_threshold(gain, false_alarm_rate),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `flip-edge calibrate` takes, beyond the settings."""
    parser.add_argument("runs", type=Path, metavar="GOOD_RUNS.jsonl", help="runs as for score; outcome may be given")
    parser.add_argument(
        "--false-alarm-rate", type=float, default=0.05, metavar="R", help="share of good runs alerted (default: 0.05)"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the calibration, YAML")


def run(check: SelfCheck, arguments: argparse.Namespace) -> int:
    """Carry out `flip-edge calibrate` and return its exit code."""
    if not 0 < arguments.false_alarm_rate < 1:
        raise CalibrationError(f"the false-alarm rate must lie between 0 and 1, not {arguments.false_alarm_rate}")
    samples = observe(check, arguments.runs)
    made = calibrate(
        samples,
        id=arguments.output.stem,
        model_id=check.model_id,
        prompt_id=check.prompt_id,
        false_alarm_rate=arguments.false_alarm_rate,
        base=check.calibration,
        made_from=arguments.runs.name,
    )
    save_calibration(made, arguments.output)
    print(f"{arguments.output}: score threshold {made.threshold:.3f} from {made.runs} successful runs")
    print(f"(a rate of {made.false_alarm_rate:g} takes at least {runs_needed(made.false_alarm_rate)})")
    for name, value in suggested_thresholds(samples, made.false_alarm_rate).items():
        print(f"the same rate without a calibration: {name}: {value:.3f}")
    return 0
