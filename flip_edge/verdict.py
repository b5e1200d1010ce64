"""What a check says: the outcome, and everything that led to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from flip_edge.backward import Evidence
from flip_edge.config import Config
from flip_edge.decision import Decision, Outcome
from flip_edge.episode import Episode


@dataclass(frozen=True)
class Verdict:
    """One check. Figures are None where they are not known.

    Attributes:
        outcome: MATCH, MISMATCH or UNKNOWN.
        reason: one sentence for a person.
        command, command_id, steps: the run that was checked.
        interim: whether the run still went on, and was found to be about something else: always a MISMATCH or UNKNOWN.
        inferred: the instruction that the behaviour implies.
        sampled: other instructions drawn from what the behaviour may imply; under rule ``f1``.
        f1: word F1 against the command, in [0, 1]: of the inferred instruction, or the mean over those sampled.
        precision, recall: the inferred instruction against the command, in [0, 1].
        f1_threshold, gain_threshold, rule: what the decision was made with.
        missing, unexpected: words of the command that the inferred instruction lacks, and the reverse.
        log_likelihood, log_likelihood_without_log, gain: of the command, in nats per token.
        explained: share of the command's surprise that the log takes away, in [-1, 1].
        confirmed: probability that the log fulfils the command, as the model itself says it after both, in [0, 1]; None
            under a prompt that does not ask.
        score, score_threshold: probability that command and behaviour match, and what it is held against, in [0, 1];
            None without a calibration. Where no instruction was inferred, as none could change the verdict, the
            probability is at least the score.
        model_id, prompt_id, calibration_id: what computed it; None where there is none.
        waited_s, computed_s: seconds in the queue and at the model.
        tokens_reused, tokens_prefilled, tokens_generated: what it cost.
    """

    outcome: Outcome
    reason: str
    command: str
    command_id: str
    steps: tuple[str, ...]
    interim: bool
    inferred: str | None
    sampled: tuple[str, ...]
    f1: float | None
    precision: float | None
    recall: float | None
    f1_threshold: float
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    log_likelihood: float | None
    log_likelihood_without_log: float | None
    gain: float | None
    gain_threshold: float
    explained: float | None
    confirmed: float | None
    score: float | None
    score_threshold: float | None
    rule: str
    model_id: str
    prompt_id: str
    calibration_id: str | None
    waited_s: float
    computed_s: float
    tokens_reused: int
    tokens_prefilled: int
    tokens_generated: int

    def __bool__(self) -> bool:
        """Refused, because ``if verdict:`` would read UNKNOWN as a match."""
        raise TypeError("a verdict is MATCH, MISMATCH or UNKNOWN: compare verdict.outcome")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, the outcome under ``verdict``."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return {"verdict": data.pop("outcome"), **data}


def verdict_of(
    episode: Episode,
    decision: Decision,
    evidence: Evidence,
    config: Config,
    *,
    model_id: str,
    prompt_id: str,
    calibration_id: str | None = None,
    waited_s: float = 0.0,
    computed_s: float = 0.0,
) -> Verdict:
    """Put together what each station of the check found."""
    overlap = evidence.overlap
    return Verdict(
        outcome=decision.outcome,
        reason=decision.reason,
        command=episode.command,
        command_id=episode.id,
        steps=episode.steps,
        interim=not episode.finished,
        inferred=evidence.inferred,
        sampled=evidence.sampled,
        f1=evidence.f1,
        precision=overlap.precision if overlap else None,
        recall=overlap.recall if overlap else None,
        f1_threshold=config.f1_threshold,
        missing=overlap.missing if overlap else (),
        unexpected=overlap.unexpected if overlap else (),
        log_likelihood=evidence.log_likelihood,
        log_likelihood_without_log=evidence.log_likelihood_without_log,
        gain=evidence.gain,
        gain_threshold=config.gain_threshold,
        explained=evidence.explained,
        confirmed=evidence.confirmed,
        score=decision.score,
        score_threshold=decision.score_threshold,
        rule=decision.rule,
        model_id=model_id,
        prompt_id=prompt_id,
        calibration_id=calibration_id,
        waited_s=waited_s,
        computed_s=computed_s,
        tokens_reused=evidence.tokens_reused,
        tokens_prefilled=evidence.tokens_prefilled,
        tokens_generated=evidence.tokens_generated,
    )
