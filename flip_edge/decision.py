"""From evidence to verdict: the rules, their thresholds, and the reason in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from flip_edge.backward import Evidence
from flip_edge.calibration import Calibration
from flip_edge.config import Config, Rule
from flip_edge.episode import Episode
from flip_edge.explanation import DENIED, explain
from flip_edge.similarity import content_words

_DRIFT_STEPS = 4  # fewer say too little of where a run is going: 3 % of good runs had 3 that spoke of something else
_EXPLAINED = 0.2  # share of the command's surprise that the log takes away, from which it speaks for the command
_READ = 0.5  # share of what is asked for, in words, from which a log is about the command even if no act was read


class Outcome(str, Enum):
    """What a check says. UNKNOWN is never a match: it is a run about which nothing can be said, and why."""

    MATCH = "MATCH"
    MISMATCH = "MISMATCH"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Decision:
    """An outcome, one sentence that says why, and what decided.

    Attributes:
        outcome: MATCH, MISMATCH or UNKNOWN.
        reason: for a person.
        rule: the rule that decided.
        score: probability of a match, where there is a calibration and the evidence for it, under every rule; at least
            that where the evidence was settled without an instruction.
        score_threshold: what the score is held against; None without a calibration.
    """

    outcome: Outcome
    reason: str
    rule: Rule
    score: float | None = None
    score_threshold: float | None = None


def effective_rule(config: Config, calibration: Calibration | None) -> Rule:
    """The configured rule; ``likelihood`` in place of ``calibrated`` where there is no calibration."""
    return "likelihood" if config.rule == "calibrated" and calibration is None else config.rule


def decide(episode: Episode, evidence: Evidence, config: Config, calibration: Calibration | None = None) -> Decision:
    """Apply the rule.

    A mismatch is, under rule ``f1``, an F1 below ``f1_threshold``, as FLIP's reward is used (the mean over the sampled
    instructions, where some were); under ``likelihood``, a
    gain below ``gain_threshold``; under ``calibrated``, a score below the calibration's threshold or
    ``score_threshold``; there, a match that nothing read in the log bears out is UNKNOWN, and so is a run that the
    likelihood alone speaks for. Evidence that the rule needs and that is not there makes the verdict UNKNOWN.
    """
    rule = effective_rule(config, calibration)
    score = calibration.score(evidence) if calibration else None
    score_threshold = (config.score_threshold or calibration.threshold) if calibration else None
    measures: dict[Rule, tuple[str, float | None, float]] = {
        "f1": (_f1_name(evidence), evidence.f1, config.f1_threshold),
        "likelihood": ("gain", evidence.gain, config.gain_threshold),
        "calibrated": ("score", score, score_threshold or 0.0),
    }
    name, value, threshold = measures[rule]
    if not episode.finished:
        outcome, reason = _on_the_way(episode, evidence)
    elif evidence.failure and (rule == "f1" or not evidence.unparsable):
        outcome, reason = Outcome.UNKNOWN, evidence.failure
    elif not any(char.isalnum() for word in content_words(episode.command) for char in word):
        outcome, reason = Outcome.UNKNOWN, f"the command has no words to compare: {episode.command[:80]!r}"
    elif value is None or not math.isfinite(value):
        outcome, reason = Outcome.UNKNOWN, f"the {name} that rule {rule!r} needs is not known under this prompt"
    elif value < threshold and not (rule == "calibrated" and undecided(evidence)):
        outcome = Outcome.MISMATCH
        findings = "; ".join(explain(evidence))
        reason = f"{findings or 'the log does not support the command'} ({name} {value:.2f}, below {threshold:.2f})"
    elif rule == "calibrated" and _unread(evidence):
        outcome = Outcome.UNKNOWN
        reason = (
            "nothing that the log says was recognised as what the command asks for, neither its acts nor most of its "
            f"words; is it in another language, or in other names? ({name} {value:.2f})"
        )
    else:
        outcome = Outcome.MATCH
        # Weights are not negative, so that without its F1 a score is at least what is said.
        known = f"{value:.2f} or more" if evidence.settled and rule == "calibrated" else f"{value:.2f}"
        reason = f"{_support(evidence)} ({name} {known}, at least {threshold:.2f})"
    if evidence.steps_read is not None and outcome is not Outcome.UNKNOWN:
        reason += f"; the model read the first and the last {evidence.steps_read} of {len(episode.steps)} steps"
    if evidence.hearsay and outcome is not Outcome.UNKNOWN:
        count = "1 step, which repeats" if evidence.hearsay == 1 else f"{evidence.hearsay} steps, which repeat"
        tell = "speaks" if evidence.hearsay == 1 else "speak"
        reason += f"; not counted: {count} the command or {tell} of success"
    return Decision(outcome, reason, rule, score, score_threshold)


def _on_the_way(episode: Episode, evidence: Evidence) -> tuple[Outcome, str]:
    """What a look at a run that goes on says: whether the robot is about something else; never that all is well.

    What is missing may still come. Steps that speak against the command and mention nothing of it are no part of it.
    """
    told = f"after {len(episode.steps)} steps"
    if evidence.failure and not evidence.unparsable:
        return Outcome.UNKNOWN, evidence.failure
    if evidence.explained is None or evidence.support is None:
        return Outcome.UNKNOWN, "the evidence that a look on the way needs is not known under this prompt"
    if len(episode.steps) < _DRIFT_STEPS or evidence.support.found > 0 or _may_be(evidence):
        return Outcome.UNKNOWN, f"not finished: {told}, nothing says that the robot is about something else"
    implied = f'; they imply "{evidence.inferred}"' if evidence.inferred else ""
    return Outcome.MISMATCH, f"drifting: {told}, none speaks of what was commanded{implied}"


def _may_be(evidence: Evidence) -> bool:
    """Whether the model sees anything of the command in a run that goes on."""
    explained = evidence.explained or 0.0
    if evidence.confirmed is None:
        return explained > 0
    return explained >= _EXPLAINED or evidence.confirmed >= DENIED


def _f1_name(evidence: Evidence) -> str:
    return f"mean F1 of {len(evidence.sampled)} sampled instructions" if evidence.sampled else "F1"


def undecided(evidence: Evidence) -> bool:
    """Whether the likelihood speaks for a match, and nothing was read that could bear it out or speak against it.

    Such a run is UNKNOWN whatever its score: "work" was commanded, and somebody typed.
    """
    if not _unread(evidence) or (evidence.explained or 0.0) < _EXPLAINED:
        return False
    acts, support = evidence.fulfilment, evidence.support
    return not (acts and (acts.contradictions or acts.failed)) and not (support and support.failures)


def _unread(evidence: Evidence) -> bool:
    """Whether a score rests on the likelihood alone, which in a language that the model knows little says little."""
    acts, support = evidence.fulfilment, evidence.support
    if acts is None or support is None or support.found >= _READ:
        return False
    if not support.found and (evidence.explained or 0.0) <= 0:
        return True  # of all that the score weighs, only what is absent speaks for a match: nothing done amiss
    return not acts.demands and acts.handled is None and acts.placed is None


def _support(evidence: Evidence) -> str:
    """What speaks for a match, for a person."""
    if evidence.settled:
        implied = "no instruction was inferred, as none could change the verdict"
    else:
        implied = f'the steps imply "{evidence.inferred}"' if evidence.inferred else "no instruction was inferred"
    if evidence.explained is None:
        return implied
    if (contrast := evidence.contrast) and contrast.rival and contrast.margin < 0:
        implied += f"; in doubt: {contrast.rival.difference}"
    return f"the log explains {max(0.0, evidence.explained):.0%} of the command; {implied}"
