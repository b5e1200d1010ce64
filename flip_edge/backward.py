"""Backward inference: from what was done to the instruction that it implies, and to the weight of the command.

Two kinds of evidence come from one reading of the log: the instruction the model infers (FLIP, arXiv 2602.13551),
compared with the command by word F1; and the likelihood of the command itself, p(command | log), against its
likelihood without the log. The second is the quantity that the first one samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from flip_edge.config import LongRuns
from flip_edge.contrast import Alternative, alternatives
from flip_edge.episode import Episode
from flip_edge.errors import CheckError, ConfigError, ContextOverflowError
from flip_edge.fulfilment import Fulfilment, fulfilment
from flip_edge.prompts import Piece, PromptFormat, Query, foreign_script
from flip_edge.similarity import Overlap, compare, spelled_as
from flip_edge.support import Support, support

if TYPE_CHECKING:
    from flip_edge.engine import Generation

_FEWEST_STEPS = 4  # of which a run that was cut down still says something
_SHRINK = 0.85  # from one try to the next
_SAID = 0.5  # probability of "yes" and "no" together under which a model was not taught to say them
_TEMPERATURE = 0.7  # of drawn instructions: a small model's at 1 are too often beside the point


class InferenceEngine(Protocol):
    """What backward inference asks of an engine; :class:`flip_edge.engine.Engine` is the real one."""

    @property
    def reused_tokens(self) -> int: ...  # noqa: D102 - see Engine
    @property
    def decoded_tokens(self) -> int: ...  # noqa: D102
    def chat(self, messages: Sequence[tuple[str, str]]) -> str: ...  # noqa: D102
    def prime(self, prefix: Sequence[Piece], no_log: Sequence[Piece] = ()) -> None: ...  # noqa: D102
    def read_ahead(self, log: Sequence[Piece], answer: str = "") -> int: ...  # noqa: D102
    def read(self, log: Sequence[Piece]) -> int: ...  # noqa: D102
    def generate(self, max_tokens: int, *, stop: str | None = "\n") -> Generation: ...  # noqa: D102
    def sample(  # noqa: D102
        self, count: int, max_tokens: int, *, temperature: float = ..., stop: str | None = "\n"
    ) -> list[Generation]: ...
    def log_likelihoods(  # noqa: D102
        self, queries: Sequence[Query], *, at_least: float = ...
    ) -> list[npt.NDArray[np.float64]]: ...
    def text_of(self, answer: str) -> list[str]: ...  # noqa: D102
    def deadline(self, seconds: float | None) -> AbstractContextManager[None]: ...  # noqa: D102
    def interrupt(self) -> None: ...  # noqa: D102
    def resume(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Contrast:
    """The command against the likeliest of its alternatives.

    Attributes:
        rival: that alternative; None where there was none to try.
        margin: how much likelier the command is than the rival, given the log, in nats for the whole text; at least
            that much where it is positive, as rivals are weighed only as far as they may be likelier.
    """

    rival: Alternative | None
    margin: float


@dataclass(frozen=True)
class Evidence:
    """What one reading of a run says about its command. None where a part is not known.

    Attributes:
        inferred: the instruction that the behaviour implies.
        overlap: that instruction against the command.
        sampled: instructions drawn beside it; the draws in which there was none are empty.
        sampled_f1: the mean word F1 of the draws against the command, in [0, 1]; an empty one counts 0.
        log_likelihood: mean natural log-probability of the command's tokens given the log, in nats per token.
        log_likelihood_without_log: the same without the log.
        confirmed: the probability that the log fulfils the command, as the model says it after both, in [0, 1]; only
            under a prompt with a confirmation, of a model that was taught to.
        support: which words of the command the log supports, and the failures it reports.
        contrast: the command against others that differ in one thing.
        fulfilment: what of the command the acts of the log fulfil.
        failure: why the evidence is incomplete.
        hearsay: how many steps were left out because they only repeat the command or speak of success.
        steps_read: how many steps the model read, where it was not all of them: the first and the last ones.
        settled: whether the verdict was clear without an instruction, so that none was inferred.
        unparsable: whether all that fails is that the model wrote no instruction.
        tokens_reused, tokens_prefilled, tokens_generated: what the reading cost.
    """

    inferred: str | None = None
    overlap: Overlap | None = None
    sampled: tuple[str, ...] = ()
    sampled_f1: float | None = None
    log_likelihood: float | None = None
    log_likelihood_without_log: float | None = None
    confirmed: float | None = None
    support: Support | None = None
    contrast: Contrast | None = None
    fulfilment: Fulfilment | None = None
    failure: str | None = None
    hearsay: int = 0
    steps_read: int | None = None
    settled: bool = False
    unparsable: bool = False
    tokens_reused: int = 0
    tokens_prefilled: int = 0
    tokens_generated: int = 0

    @property
    def f1(self) -> float | None:
        """Word F1, in [0, 1]: the mean over the instructions drawn, where some were, else that of the inferred one."""
        if self.sampled_f1 is not None:
            return self.sampled_f1
        return self.overlap.f1 if self.overlap else None

    @property
    def gain(self) -> float | None:
        """How much likelier the log makes the command, in nats per token; above 0 where it supports it."""
        if self.log_likelihood is None or self.log_likelihood_without_log is None:
            return None
        return self.log_likelihood - self.log_likelihood_without_log

    @property
    def explained(self) -> float | None:
        """Share of the command's surprise that the log takes away, in [-1, 1]; negative where the log adds to it."""
        if self.log_likelihood is None or not self.log_likelihood_without_log:
            return None
        return max(-1.0, 1 - self.log_likelihood / self.log_likelihood_without_log)


class BackwardInference:
    """Reads runs with one engine and one prompt format.

    Args:
        engine: a loaded engine; its prefix is decoded here.
        prompt: how a run is put before the model.
        max_new_tokens: the longest instruction to infer under a completion prompt, in tokens.
        max_alternatives: how many other commands to weigh the command against.
    """

    def __init__(
        self, engine: InferenceEngine, prompt: PromptFormat, max_new_tokens: int, max_alternatives: int
    ) -> None:
        self.prompt = prompt
        self._engine = engine
        # JSON with reasoning needs its room; one line of instruction does not.
        limit = prompt.max_new_tokens
        self._max_new_tokens = min(limit, max_new_tokens) if prompt.supports_likelihood else limit
        self._max_alternatives = max_alternatives
        self._primed = False
        try:
            self._prime()
        except ContextOverflowError as error:
            raise ConfigError(f"n_ctx is too small for prompt {prompt.id}: {error}") from error

    def restore(self) -> None:
        """Read the prompt's beginning again, after something else was put before the model.

        Where that fails, the next check does it, and says what is wrong.
        """
        with suppress(CheckError):
            self._prime()

    def _prime(self) -> None:
        self._primed = False
        self._engine.prime(self.prompt.prefix(self._engine.chat), self.prompt.without_log())
        self._primed = True

    def observe(
        self,
        episode: Episode,
        deadline_s: float | None = None,
        settled: Callable[[Evidence], bool] = lambda _: False,
        *,
        samples: int = 0,
        long_runs: LongRuns = "summarise",
    ) -> Evidence:
        """Gather the evidence of a run. What fails or runs out of time is left out, with the reason in it.

        Args:
            episode: the run.
            deadline_s: seconds that it may take; None for no limit.
            settled: whether the evidence is enough without an inferred instruction; asked when all else is there.
            samples: how many instructions to draw beside the likeliest; none under a chat prompt, whose answers are
                long.
            long_runs: what to do where the run overflows the context; as in the configuration.
        """
        evidence = Evidence()
        if script := foreign_script(self.prompt, episode.command):
            return Evidence(
                failure=f"unknown language: the command is in {script.title()} script, and prompt {self.prompt.id} has "
                "examples in others only; use a prompt format with examples in your language"
            )
        try:
            if not self._primed:
                self._prime()
            before = self._engine.decoded_tokens
            with self._engine.deadline(deadline_s):
                evidence = self._fit(episode, long_runs)
                if self.prompt.supports_likelihood:
                    reused, prefilled = self._engine.reused_tokens, self._engine.decoded_tokens - before
                    evidence = replace(evidence, tokens_reused=reused, tokens_prefilled=prefilled)
                if settled(evidence):
                    return replace(evidence, settled=True)
                evidence = self._infer(episode, evidence)
                if samples and self.prompt.supports_likelihood:
                    evidence = self._sample(episode, evidence, samples)
        except CheckError as error:
            # After an unexpected failure nothing in memory is trusted.
            self._primed = self._primed and type(error) is not CheckError
            evidence = replace(evidence, failure=str(error))
        return evidence

    def read_ahead(self, episode: Episode, deadline_s: float | None = None) -> int:
        """Read what is known of a run that goes on, so that its check need only read the rest.

        What cannot be read ahead is left to the check, which says why. Returns the number of tokens read.
        """
        if not self._primed:
            return 0
        try:
            with self._engine.deadline(deadline_s):
                log = self.prompt.log_so_far(episode.steps)
                answer = self.prompt.answer_text(episode.command) if self.prompt.supports_likelihood else ""
                return self._engine.read_ahead(log, answer) if log else 0
        except CheckError as error:
            self._primed = self._primed and type(error) is not CheckError
            return 0

    def _fit(self, episode: Episode, long_runs: LongRuns) -> Evidence:
        """Read and weigh a run, made shorter as far as is allowed until it fits."""
        overflow: ContextOverflowError | None = None
        for steps, read in _versions(episode.steps, long_runs):
            try:
                evidence = self._read(episode, steps)
                if self.prompt.supports_likelihood:
                    evidence = self._contrast(episode, self._weigh(episode, evidence))
            except ContextOverflowError as error:
                overflow = overflow or error
            else:
                return replace(evidence, steps_read=None if read == len(episode.steps) else read)
        assert overflow
        raise overflow

    def _read(self, episode: Episode, steps: Sequence[str]) -> Evidence:
        """Have the model read ``steps``, which stand for those of the episode."""
        prefilled = self._engine.read(self.prompt.log(steps, self._engine.chat))
        return Evidence(
            fulfilment=fulfilment(episode.command, episode.steps),
            tokens_reused=self._engine.reused_tokens,
            tokens_prefilled=prefilled,
        )

    def _weigh(self, episode: Episode, evidence: Evidence) -> Evidence:
        answer = self.prompt.answer_text(episode.command)
        confirmation = self.prompt.confirmation
        said = (confirmation.yes, confirmation.no) if confirmation else ("",)
        *after_log, without = self._engine.log_likelihoods(
            [*(Query(answer, then=text) for text in said), Query(answer, given_log=False)]
        )
        given_log = after_log[0][: len(without)]
        if not (np.isfinite(given_log).all() and np.isfinite(without).all()):
            raise CheckError("the likelihood of the command is not a number: the model's weights may be corrupt")
        return replace(
            evidence,
            log_likelihood=float(given_log.mean()),
            log_likelihood_without_log=float(without.mean()),
            confirmed=_share(*(float(each[-1]) for each in after_log)) if confirmation else None,
            support=support(episode.steps, self._engine.text_of(answer), given_log, without),
        )

    def _contrast(self, episode: Episode, evidence: Evidence) -> Evidence:
        """Weigh the command against others that differ in one thing."""
        assert evidence.support
        others = alternatives(episode.command, evidence.support.words, episode.steps, self._max_alternatives)
        if not others:
            return replace(evidence, contrast=Contrast(None, 0.0))
        own = float(self._engine.log_likelihoods([Query(self.prompt.answer_text(episode.command))])[0].sum())
        rivals = [Query(self.prompt.answer_text(other.command)) for other in others]
        # Rivals that are not likelier than the command say nothing by how much they are not.
        rest = [float(found.sum()) for found in self._engine.log_likelihoods(rivals, at_least=own)]
        best = int(np.argmax(rest))
        return replace(evidence, contrast=Contrast(others[best], own - rest[best]))

    def _infer(self, episode: Episode, evidence: Evidence) -> Evidence:
        generation = self._engine.generate(self._max_new_tokens, stop=self.prompt.stop)
        evidence = replace(evidence, tokens_generated=generation.tokens)
        inferred = self.prompt.parse(generation.text)
        if inferred is None:
            return replace(
                evidence,
                failure=f"unparsable output: no instruction in what the model wrote: {generation.text[:80]!r}",
                unparsable=True,
            )
        inferred = spelled_as(inferred, episode.command)
        return replace(evidence, inferred=inferred, overlap=compare(inferred, episode.command))

    def _sample(self, episode: Episode, evidence: Evidence, samples: int) -> Evidence:
        generations = self._engine.sample(
            samples, self._max_new_tokens, temperature=_TEMPERATURE, stop=self.prompt.stop
        )
        drawn = tuple(
            spelled_as(self.prompt.parse(generation.text) or "", episode.command) for generation in generations
        )
        return replace(
            evidence,
            sampled=drawn,
            sampled_f1=float(np.mean([compare(text, episode.command).f1 for text in drawn])),
            tokens_generated=evidence.tokens_generated + sum(generation.tokens for generation in generations),
        )


def _share(yes: float, no: float) -> float | None:
    """The share of "yes" of the probability of both, from their logarithms; None where a model says neither."""
    if np.logaddexp(yes, no) < math.log(_SAID):
        return None
    return float(1 / (1 + np.exp(no - yes)))


def _versions(steps: tuple[str, ...], long_runs: LongRuns) -> Iterator[tuple[Sequence[str], int]]:
    """A run as it is, then shorter and shorter, each with how many of its steps are in it."""
    yield steps, len(steps)
    if long_runs == "unknown":
        return
    merged = [(step, len(list(same))) for step, same in groupby(steps)]
    if len(merged) < len(steps):
        yield _told(merged), len(steps)
    if long_runs == "summarise":
        return
    size = int(len(merged) * _SHRINK)
    while size >= _FEWEST_STEPS:
        # The end tells most about what was achieved, the beginning about what was meant.
        kept = merged[: size // 3] + merged[-(size - size // 3) :]
        yield _told(kept), sum(times for _, times in kept)
        size = int(size * _SHRINK)


def _told(merged: Sequence[tuple[str, int]]) -> list[str]:
    return [step if times == 1 else f"{step} ({times} times)" for step, times in merged]
