"""From evidence to a probability, and to thresholds with a false-alarm rate that the user chose.

The score is a logistic function of a few features of the evidence, each with a weight that is not negative: more
support never makes a match less likely. The threshold is conformal: with n successful runs and a wanted rate a, it is
the k-th smallest of their scores, k = floor(a (n + 1)), so that a further successful run from the same robot falls
below it with a probability of at most a (Vovk et al., "Algorithmic Learning in a Random World", 2005).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
import yaml
from msgspec import Meta

from flip_edge.backward import Evidence
from flip_edge.errors import CalibrationError
from flip_edge.prepared import id_unprepared
from flip_edge.registry import data_dir

FORMAT = 4  # another one whenever the features change their meaning: weights for others would weigh the wrong things
_SURE = 5.0  # log-odds beyond which a confirmation says little more
_ENOUGH = 0.3  # share of the command's surprise beyond which more explained says little more to a bare model


FEATURES = (
    "explained",
    "explained_all",
    "found",
    "found_last",
    "handled",
    "placed",
    "completed",
    "fulfilled",
    "consistent",
    "f1",
    "contrast",
    "no_failure",
    "confirmed",
)


def features(evidence: Evidence) -> dict[str, float] | None:
    """What the score is made of; each between about 0 and 1, higher for a better match. None without a likelihood.

    - ``explained``: share of the command's surprise that the log takes away, 1 - LL(command | log) / LL(command), as a
      part of 0.3. Under a bare model more than that comes of words that command and log have in common.
    - ``explained_all``: that share, as a part of 1: an adapter can tell a command that nearly follows from the log.
    - ``found``: share of what is asked for, in words, that the log mentions.
    - ``found_last``: the same for the last step.
    - ``handled``: share of the things to be handled that were; ``found`` where the command names none.
    - ``placed``: share of the places where things are to be put that the steps of putting name; ``found`` likewise.
    - ``completed``: share of the acts asked for that were done, often enough and to the end; what is missing counts as
      far as the log was read, by the share of its steps in which an act was.
    - ``fulfilled``: the product of the last three, as far as the log was read: a whole task done with the wrong thing
      is not two thirds of a match.
    - ``consistent``: 0 where something was done the wrong way round, or against the command, or has failed for good;
      else 1.
    - ``f1``: word F1 of the inferred instruction.
    - ``contrast``: 1 where no command that differs in one thing is likelier; where one is, the command's share of the
      probability of both, doubled.
    - ``no_failure``: 0 where the log reports a failure that was not made good; else 1.
    - ``confirmed``: the model's own log-odds that the log fulfils the command, from -5 to 5 as 0 to 1; 0.5 where it
      was not taught to say so.
    """
    explained, support, contrast, acts = evidence.explained, evidence.support, evidence.contrast, evidence.fulfilment
    if explained is None or support is None or contrast is None or acts is None:
        return None
    handled = support.found if acts.handled is None else acts.handled
    placed = support.found if acts.placed is None else acts.placed
    fulfilled = handled * placed * acts.completed
    values = (
        min(explained / _ENOUGH, 1.0),
        max(0.0, explained),
        support.found,
        support.found_last,
        handled,
        placed,
        1 - acts.read * (1 - acts.completed),
        1 - acts.read * (1 - fulfilled),
        0.0 if acts.contradictions or acts.failed else 1.0,
        evidence.overlap.f1 if evidence.overlap else 0.0,
        min(1.0, 2 / (1 + math.exp(min(50.0, -contrast.margin)))),
        0.0 if support.failures else 1.0,
        0.5 if evidence.confirmed is None else _on_scale(evidence.confirmed),
    )
    return dict(zip(FEATURES, values, strict=True))


def _on_scale(probability: float) -> float:
    """Its log-odds, from 0 for ``-_SURE`` to 1 for ``_SURE``."""
    least = 1 / (1 + math.exp(_SURE))
    bounded = min(max(probability, least), 1 - least)
    return 0.5 + math.log(bounded / (1 - bounded)) / (2 * _SURE)


NonNegative = Annotated[float, Meta(ge=0, le=1e6)]


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights and a threshold, tied to what they were made with.

    Attributes:
        format: the version of this format.
        id: carried into verdicts.
        model_id, prompt_id: what the evidence must come from.
        weights: one for each feature; see :func:`features`.
        intercept: of the logistic function.
        threshold: a score below it is a mismatch.
        false_alarm_rate: what the threshold was made for.
        runs: successful runs that the threshold was made from.
        made_from: where they came from, for people.
        made_on: the day.
    """

    format: int = FORMAT
    id: str
    model_id: str
    prompt_id: str
    weights: dict[str, NonNegative]
    intercept: float
    threshold: Annotated[float, Meta(ge=0, le=1)]
    false_alarm_rate: Annotated[float, Meta(gt=0, lt=1)]
    runs: Annotated[int, Meta(ge=1)]
    made_from: str = ""
    made_on: str = ""

    def score(self, evidence: Evidence) -> float | None:
        """Probability that command and behaviour match, in [0, 1]; None where the evidence is not complete."""
        found = features(evidence)
        return None if found is None else self.score_of(found)

    def score_of(self, found: Mapping[str, float]) -> float:
        """The score of given features."""
        total = self.intercept + sum(weight * found[name] for name, weight in self.weights.items())
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, total))))


def conformal_threshold(scores: Sequence[float], false_alarm_rate: float) -> float:
    """The threshold under which a further successful run falls with at most ``false_alarm_rate``.

    Raises:
        CalibrationError: there are too few scores for the rate; the message says how many it takes.
    """
    if not 0 < false_alarm_rate < 1:
        raise CalibrationError(f"the false-alarm rate must lie between 0 and 1, not {false_alarm_rate}")
    rank = math.floor(false_alarm_rate * (len(scores) + 1) + 1e-9)
    if rank < 1:
        raise CalibrationError(
            f"{len(scores)} successful runs are too few for a false-alarm rate of {false_alarm_rate:g}: "
            f"it takes at least {runs_needed(false_alarm_rate)}"
        )
    return sorted(scores)[rank - 1]


def runs_needed(false_alarm_rate: float) -> int:
    """The fewest successful runs from which a threshold for this rate can be made."""
    return math.ceil(1 / false_alarm_rate - 1e-9) - 1


def calibrations_dir() -> Path:
    """Where the calibrations that come with flip_edge lie."""
    return data_dir() / "calibrations"


def load_calibration(path: Path) -> Calibration:
    """Read a calibration.

    Raises:
        CalibrationError: the file cannot be read or is no calibration; the message names the field.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        calibration = msgspec.convert(data, Calibration)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise CalibrationError(f"calibration {path}: {error}") from error
    if calibration.format != FORMAT:
        raise CalibrationError(
            f"calibration {path} has format {calibration.format}, made for other evidence; this flip_edge reads "
            f"{FORMAT}: make it anew with flip-edge calibrate"
        )
    if unknown := sorted(set(calibration.weights) - set(FEATURES)):
        raise CalibrationError(f"calibration {path} weighs unknown features: {', '.join(unknown)}")
    return calibration


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration as YAML."""
    path.write_text(yaml.safe_dump(msgspec.to_builtins(calibration), sort_keys=False), encoding="utf-8")


def find_calibration(name: str, model_id: str, prompt_id: str) -> Calibration | None:
    """The calibration to use with a model and a prompt.

    Args:
        name: ``auto`` for the one that comes with flip_edge, if there is one; else the path of a file.
        model_id, prompt_id: what the evidence comes from. A prepared form of a model counts as the model.

    Raises:
        CalibrationError: the named file cannot be used, or was made with another model or prompt.
    """
    model_id = id_unprepared(model_id)
    if name == "auto":
        shipped = [load_calibration(path) for path in sorted(calibrations_dir().glob("*.yaml"))]
        fitting = [found for found in shipped if (found.model_id, found.prompt_id) == (model_id, prompt_id)]
        return fitting[-1] if fitting else None
    calibration = load_calibration(Path(name))
    for what, made_with, used in (
        ("model", id_unprepared(calibration.model_id), model_id),
        ("prompt", calibration.prompt_id, prompt_id),
    ):
        if made_with != used:
            raise CalibrationError(
                f"calibration {name} was made with {what} {made_with!r} and does not fit {used!r}; "
                "make one with: flip-edge calibrate"
            )
    return calibration


def today() -> str:
    """The day, as calibrations record it."""
    return date.today().isoformat()
