"""From evidence to verdict: the rules, their thresholds, and the reason in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flip_edge.backward import Evidence
from flip_edge.config import Config
from flip_edge.episode import Episode
from flip_edge.similarity import content_words


class Outcome(str, Enum):
    """What a check says. UNKNOWN is never a match: it is a run about which nothing can be said, and why."""

    MATCH = "MATCH"
    MISMATCH = "MISMATCH"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Decision:
    """An outcome and one sentence that says why."""

    outcome: Outcome
    reason: str


def decide(episode: Episode, evidence: Evidence, config: Config) -> Decision:
    """Apply the configured rule.

    Rule ``f1``: a mismatch is an F1 below ``f1_threshold``, as FLIP's reward is used. Rule ``likelihood``: a mismatch
    is a gain below ``gain_threshold``. Evidence that the rule needs and that is not there makes the verdict UNKNOWN;
    so does any failure on the way, even where the rule could still decide.
    """
    if evidence.failure and (config.rule == "f1" or not evidence.failure.startswith("unparsable")):
        return Decision(Outcome.UNKNOWN, evidence.failure)
    if not content_words(episode.command):
        return Decision(Outcome.UNKNOWN, f"the command has no words to compare: {episode.command[:80]!r}")
    if config.rule == "f1":
        return _by_f1(evidence, config.f1_threshold)
    return _by_gain(evidence, config.gain_threshold)


def _by_f1(evidence: Evidence, threshold: float) -> Decision:
    if evidence.overlap is None:
        return Decision(Outcome.UNKNOWN, "no instruction was inferred")
    f1 = evidence.overlap.f1
    if f1 < threshold:
        return Decision(Outcome.MISMATCH, f"{_implied(evidence)} (F1 {f1:.2f}, below {threshold:.2f})")
    return Decision(Outcome.MATCH, f"{_implied(evidence)} (F1 {f1:.2f}, at least {threshold:.2f})")


def _by_gain(evidence: Evidence, threshold: float) -> Decision:
    gain = evidence.gain
    if gain is None:
        return Decision(Outcome.UNKNOWN, "the likelihood of the command is not known under this prompt")
    measured = f"{gain:+.2f} nats per token"
    if gain < threshold:
        return Decision(
            Outcome.MISMATCH,
            f"the log does not support the command ({measured}, below {threshold:.2f}); {_implied(evidence)}",
        )
    return Decision(
        Outcome.MATCH,
        f"the log supports the command ({measured}, at least {threshold:.2f}); {_implied(evidence)}",
    )


def _implied(evidence: Evidence) -> str:
    """What the steps imply, and which words of the command that leaves out."""
    if evidence.inferred is None or evidence.overlap is None:
        return "no instruction was inferred"
    missing = evidence.overlap.missing
    without = f", without: {', '.join(missing)}" if missing else ""
    return f'the steps imply "{evidence.inferred}"{without}'
