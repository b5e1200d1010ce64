"""A reward for texts and plans: how well a small model can tell from a response which instruction it answers.

Source: Wang et al., "Small Reward Models via Backward Inference" (FLIP), 2026, arXiv 2602.13551; code yikee/FLIP.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median_low
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from flip_edge.backward import InferenceEngine
from flip_edge.config import Config
from flip_edge.errors import CheckError, ConfigError, ContextOverflowError, InputError
from flip_edge.exchange import (
    Exchange,
    conversation_of,
    copies,
    exchange_of,
    messages_of,
    near_copies,
    parts_of,
    without_spans,
)
from flip_edge.exchange_prompt import ExchangePrompt
from flip_edge.prompts import ChatPrompt, Piece, PromptFormat, Query, foreign_script, load_prompt
from flip_edge.selfcheck import SelfCheck
from flip_edge.similarity import compare, content_words

if TYPE_CHECKING:
    from flip_edge.engine import Generation, Reading

RewardMethod = Literal["f1", "likelihood"]

_Text = tuple[str, str]  # an instruction, and what is read as a response to it

DEFAULT_REWARD_PROMPT = "flip-context"
"""The paper's prompt for training; ``flip`` is its standalone one, without a conversation."""

_GOLDEN = (math.sqrt(5) - 1) / 2  # steps of it spread any number of seeds evenly


class RewardEngine(InferenceEngine, Protocol):
    """An engine that draws by an offset and reads several logs; :class:`flip_edge.engine.Engine` is the real one."""

    def sample(  # noqa: D102 - see Engine
        self,
        count: int,
        max_tokens: int,
        *,
        temperature: float = ...,
        offset: float = ...,
        stop: str | None = "\n",
    ) -> list[Generation]: ...
    def read_each(  # noqa: D102
        self,
        logs: Sequence[Sequence[Piece]],
        answers: Sequence[str] | None = None,
        max_tokens: int = 0,
        *,
        stop: str | None = "\n",
        at_once: int = ...,
    ) -> Iterator[tuple[int, Reading | ContextOverflowError]]: ...


@dataclass(frozen=True)
class RewardResult:
    """The reward of one exchange, and what it was made of.

    Attributes:
        reward: in [0, 1]; None where nothing was measured, and ``failure`` says why.
        inferred: the instructions that were inferred, the greedy one or the draws; empty where the model wrote none.
        f1s: the word F1 of each against the instruction, in [0, 1].
        gain: how much likelier the response makes the instruction, in nats per token, unbounded; None where it was
            not weighed.
        unparsable: how many times the model wrote something and no instruction was in it.
        copied: whether the response holds the whole instruction word for word, normalised as for F1. Instructions of
            fewer than three words are too often there by chance, and do not count.
        failure: why there is no reward, or why it is 0 although nothing was compared.
    """

    reward: float | None
    inferred: tuple[str, ...] = ()
    f1s: tuple[float, ...] = ()
    gain: float | None = None
    unparsable: int = 0
    copied: bool = False
    failure: str | None = None


class FlipReward:
    """Rewards responses by backward inference, for best-of-N and as a reward function of TRL.

    >>> with FlipReward() as reward:  # doctest: +SKIP
    ...     reward.score("Name three rivers in France.", "The Seine, the Loire and the Rhone.").reward
    ...     GRPOTrainer(model, reward_funcs=reward, train_dataset=dataset, args=config).train()

    Two rewards, both in [0, 1]:

    - ``f1``: the word F1 of the inferred instruction against the true one, as published: of the greedy one or, with
      ``samples``, the mean over the draws. An output without an instruction in it counts 0 and adds to
      :attr:`unparsable`. (The published code compares the whole raw text instead.)
    - ``likelihood``: our variant: 1 / (1 + exp(-gain)), where the gain is the log-likelihood of the instruction given
      the response less that without it, both in nats per token. 0.5: the response says nothing about the instruction.
      No text is generated, so it is cheaper and never unparsable. Under a chat prompt the instruction is weighed
      as the JSON value that the prompt asks for, without reasoning before it.

    What is no reward: a response that is longer than the context, one that passed the deadline, and a failure of the
    model are None, as nothing was measured; TRL leaves such a row out. So is an instruction without a word in it, or in
    a script that the prompt has no examples in. An empty response is 0: it answers nothing.

    The same exchange gets the same reward, whatever stood before or beside it and however calls are cut, for one model
    file, llama.cpp and processor. Not so with ``deadline_s``, which depends on the clock; and with ``at_once`` above 1
    a gain may differ by some hundredths of a nat with the company, as llama.cpp rounds by the place in memory.
    Responses are read one after the other, each after the prompt and conversation that it shares with others, which are
    read once; the draws of one response are decoded together.

    Limits, of which the paper names the first four:

    - Short answers ("yes", "42") fit many instructions; the instruction cannot be told from them.
    - So it is wherever many instructions have one answer: the reward is about the likeliest of them.
    - An answer that repeats its instruction scores high whatever else it says, and a policy may learn that. ``copied``
      flags verbatim copies, ``strip_copies`` takes them out before reading, and partial and changed ones from free
      texts; ``parts`` bounds what one can do that stands in one place, in whatever disguise.
    - Instruction and response in different languages: an instruction inferred in the response's language shares no word
      with the true one.
    - It does not see whether an answer is true.

    Args:
        config: model, adapter, threads, context and ``deadline_s`` for each response, or each part of one; its
            ``prompt`` and rule are not used.
        engine: an engine to use in place of the configured model. Nothing else may use it between two calls; it is
            left open by :meth:`close`.
        prompt: a prompt format, or its name: ``flip-context`` (the default), ``flip`` (the paper's standalone one), a
            robot's ``log-command``, the path of a YAML file, or ``auto`` for the model's own, which for the default
            model is its adapter's, for robots' plans.
        method: which of the two rewards.
        both: measure the other one, too, for the result.
        samples: instructions to draw for F1; 0: the likeliest one. The paper draws 5.
        temperature: of the draws, above 0.
        seed: other seeds give other draws; see :meth:`flip_edge.engine.Engine.sample`.
        use_context: show the conversation, system prompt included, where the prompt has a place for it.
        strip_copies: read the response without its verbatim copies of the instruction and, under a chat prompt, without
            its near ones (:func:`flip_edge.exchange.near_copies`). For responses that may have been written to please.
        parts: read a response in so many parts of equal length, each by itself, and reward it by their median (of an
            even number, the lower one), so that fewer than half of them cannot make a response look better than the
            others do. Under chat prompts alone: half of a plan is not the plan. 1: read it whole.
        name: what TRL logs the reward as.

    Raises:
        ModelError: the model is missing, corrupt or cannot be loaded.
        ConfigError: the prompt is unknown or does not suit the model, or a number is out of range.

    Attributes:
        scored: responses that were rewarded since this object was made; with repetitions, as all of these.
        unparsable: outputs of the model without an instruction in them.
        unscored: responses without a reward.
        copied: responses that hold their instruction.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        engine: RewardEngine | None = None,
        prompt: str | PromptFormat = DEFAULT_REWARD_PROMPT,
        method: RewardMethod = "f1",
        both: bool = False,
        samples: int = 0,
        temperature: float = 1.0,
        seed: int = 0,
        use_context: bool = True,
        strip_copies: bool = False,
        parts: int = 1,
        name: str = "flip_reward",
    ) -> None:
        if method not in ("f1", "likelihood"):
            raise ConfigError(f"method must be 'f1' or 'likelihood', not {method!r}")
        if samples < 0 or not temperature > 0:
            raise ConfigError(f"samples must be 0 or more and temperature above 0, not {samples} and {temperature}")
        if parts < 1:
            raise ConfigError(f"parts must be 1 or more, not {parts}")
        config = config or Config()
        self.__name__ = name
        self.method = method
        self.scored = self.unparsable = self.unscored = self.copied = 0
        self._infers = method == "f1" or both
        self._weighs = method == "likelihood" or both
        self._samples, self._temperature = samples, temperature
        self._offset = (0.5 + seed * _GOLDEN) % 1
        self._use_context, self._strip_copies, self._parts = use_context, strip_copies, parts
        self._deadline_s = config.deadline_s or None
        self._lock = threading.Lock()  # TRL may call from several threads, the engine has one owner
        self._opened: SelfCheck | None = None
        if engine is None:
            named = prompt if isinstance(prompt, str) else "auto"
            self._opened = SelfCheck(config.replace(prompt=named, rule="f1"))
            engine = self._opened.engine  # type: ignore[assignment] # the real one has offsets
            prompt = self._opened.prompt if isinstance(prompt, str) else prompt
        assert engine
        self._engine = engine
        self.prompt = load_prompt(prompt) if isinstance(prompt, str) else prompt
        self._free = isinstance(self.prompt, ChatPrompt)  # it reads free texts, and others logs
        try:
            self._reading = ExchangePrompt(self.prompt, engine.chat)
            if parts > 1 and not self._free:
                raise ConfigError(
                    f"parts is {parts}, but prompt {self.prompt.id} is for logs, of which a part is another log: use "
                    f"prompt {DEFAULT_REWARD_PROMPT}, or 1"
                )
        except ConfigError:
            self.close()
            raise
        limit = self.prompt.max_new_tokens
        self._max_new_tokens = limit if self._free else min(limit, config.max_new_tokens)
        self._primed: str | None = None  # the conversation that the engine has read
        self._without: dict[str, npt.NDArray[np.float64]] = {}  # log-probabilities of instructions without a response

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """Reward completions as a reward function of TRL, whose calling convention is that of 1.16.

        Both formats are understood, row by row: plain texts, and lists of ``{"role", "content"}`` messages, where the
        last user turn is the instruction, what stands before it the context, and the last answer the response. What a
        policy thought before ``</think>`` is no part of its response.

        Args:
            prompts: what the policy was asked.
            completions: what it answered.
            columns: everything else that TRL hands over. Its ``log_metric`` and ``log_extra`` are told the shares of
                copied, unparsable and unscored rows, and what was inferred; the rest is not used.

        Returns:
            A reward for each completion; None where there is none.

        Raises:
            InputError: there are not as many prompts as completions, or one is in no known format.
            ConfigError: a prompt has a conversation and the prompt format no place for it.
        """
        if len(prompts) != len(completions):
            raise InputError(f"{len(prompts)} prompts and {len(completions)} completions: there must be one for each")
        pairs = zip(prompts, completions, strict=True)
        results = self.score_all([exchange_of(prompt, completion) for prompt, completion in pairs])
        self._log(results, columns.get("log_metric"), columns.get("log_extra"))
        return [result.reward for result in results]

    def _log(self, results: Sequence[RewardResult], metric: object, extra: object) -> None:
        if callable(metric) and results:
            for name, chosen in (
                ("copied", [result.copied for result in results]),
                ("unparsable", [result.unparsable > 0 for result in results]),
                ("unscored", [result.reward is None for result in results]),
            ):
                metric(f"{self.__name__}/{name}", sum(chosen) / len(chosen))
        if callable(extra):
            extra(f"{self.__name__}/inferred", [" | ".join(result.inferred) for result in results])

    def score(
        self, instruction: str, response: str, *, context: str | Sequence[Any] = "", system: str = ""
    ) -> RewardResult:
        """Reward one response.

        Args:
            instruction: what was asked.
            response: what was answered.
            context: the conversation before, as text or as ``{"role", "content"}`` messages.
            system: the system prompt.

        Raises:
            InputError: something is not text.
            ConfigError: there is a conversation, and the prompt format has no place for it.
        """
        for name, text in (("instruction", instruction), ("response", response), ("system", system)):
            if not isinstance(text, str):
                raise InputError(f"the {name} must be text, not {type(text).__name__}: {text!r:.80}")
        said = context if isinstance(context, str) else conversation_of(messages_of(context, "context"))
        before = "\n".join(part for part in (f"system: {system}" if system else "", said) if part)
        return self.score_all([Exchange(instruction, response, before)])[0]

    def score_all(self, exchanges: Sequence[Exchange], *, at_once: int = 1) -> list[RewardResult]:
        """Reward responses, in order. Equal exchanges are read once, and those of one conversation one after the other.

        Args:
            exchanges: what to reward.
            at_once: responses to read at a time, as far as the context has room for them: what they begin alike with is
                read once, and they share a deadline, which is that of one for each of them. Draws are made one
                response after the other.

        Raises:
            ConfigError: there is a conversation, and the prompt format has no place for it.
        """
        if self._use_context and not self._reading.takes_context and any(one.context for one in exchanges):
            raise ConfigError(
                f"prompt {self.prompt.id} has no place for a conversation or a system prompt: use prompt "
                f"{DEFAULT_REWARD_PROMPT}, or set use_context to False"
            )
        shown = [one if self._use_context else Exchange(one.instruction, one.response) for one in exchanges]
        by_context: dict[str, list[Exchange]] = {}
        for one in dict.fromkeys(shown):
            by_context.setdefault(one.context, []).append(one)
        with self._lock:
            found: dict[Exchange, RewardResult] = {}
            for context, some in by_context.items():
                found |= self._score_alike(context, some, at_once)
            results = [found[one] for one in shown]
            self.scored += sum(result.reward is not None for result in results)
            self.unscored += sum(result.reward is None for result in results)
            self.unparsable += sum(result.unparsable for result in results)
            self.copied += sum(result.copied for result in results)
        return results

    def close(self) -> None:
        """Free the model, unless the engine was given."""
        if self._opened:
            self._opened.close()

    def __enter__(self) -> FlipReward:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- one conversation

    def _score_alike(self, context: str, some: Sequence[Exchange], at_once: int) -> dict[Exchange, RewardResult]:
        """Reward distinct responses after one conversation."""
        found: dict[Exchange, RewardResult] = {}
        read: dict[Exchange, list[_Text]] = {}
        copied: dict[Exchange, bool] = {}
        for one in some:
            spans = copies(one.instruction, one.response)
            copied[one] = bool(spans)
            text = one.response
            if self._strip_copies:
                # A step of a plan may well be nearly its command.
                text = without_spans(text, near_copies(one.instruction, text) if self._free else spans)
            if problem := self._problem(one.instruction, text):
                found[one] = problem
            else:
                read[one] = [(one.instruction, part) for part in parts_of(text, self._parts)]
        texts = list(dict.fromkeys(text for parts in read.values() for text in parts))
        try:
            self._prime(context, [instruction for instruction, _ in texts])
            if at_once > 1 and not self._samples:
                results = self._score_together(texts, at_once)
            else:
                results = {text: self._score(*text) for text in texts}
        except CheckError as error:  # of what they share
            self._primed = None
            results = dict.fromkeys(texts, RewardResult(None, failure=str(error)))
        found |= {one: _median([results[text] for text in parts]) for one, parts in read.items()}
        return {one: replace(result, copied=copied[one]) for one, result in found.items()}

    def _problem(self, instruction: str, text: str) -> RewardResult | None:
        """The result of an exchange that need not be read."""
        if not content_words(instruction):
            return RewardResult(None, failure=f"no instruction: there is no word in {instruction[:80]!r}")
        if script := foreign_script(self.prompt, instruction):
            return RewardResult(
                None,
                failure=f"unknown language: the instruction is in {script.title()} script, and prompt "
                f"{self.prompt.id} has examples in others only",
            )
        if not text.strip():
            return RewardResult(0.0, failure="empty response: there is nothing to infer an instruction from")
        return None

    def _prime(self, context: str, instructions: Iterable[str]) -> None:
        """Read what the responses share, and right after it weigh their instructions without one."""
        wanted = list(dict.fromkeys(instructions)) if self._weighs else []
        if self._primed == context and all(instruction in self._without for instruction in wanted):
            return
        self._primed, self._without = None, {}
        self._engine.prime(self._reading.prefix(context), self._reading.no_response(context) if self._weighs else [])
        for instruction in wanted:
            self._without[instruction] = self._weigh(instruction, given=False)
        self._primed = context

    def _score_together(self, texts: Sequence[_Text], at_once: int) -> dict[_Text, RewardResult]:
        """Reward texts that are read several at a time; what was done with before a failure is kept."""
        found: dict[_Text, RewardResult] = {}
        logs = [self._reading.log(text) for _, text in texts]
        answers = [self._reading.answer(instruction)[0] for instruction, _ in texts] if self._weighs else None
        length = self._max_new_tokens if self._infers else 0
        try:
            with self._engine.deadline(self._deadline_s and self._deadline_s * len(texts)):
                for place, read in self._engine.read_each(
                    logs, answers, length, stop=self.prompt.stop, at_once=at_once
                ):
                    if isinstance(read, CheckError):
                        found[texts[place]] = RewardResult(None, failure=str(read))
                        continue
                    instruction, _ = texts[place]
                    weighed, written = read.log_likelihoods, read.generation
                    found[texts[place]] = self._result(
                        instruction,
                        None if weighed is None else self._own(instruction, weighed),
                        [] if written is None else [written.text],
                    )
        except CheckError as error:
            found |= {text: self._failed(error) for text in texts if text not in found}
        return found

    def _score(self, instruction: str, text: str) -> RewardResult:
        weighed, written = None, []
        try:
            with self._engine.deadline(self._deadline_s):
                self._engine.read(self._reading.log(text))
                if self._weighs:
                    weighed = self._weigh(instruction, given=True)
                if self._infers:
                    written = self._write()
            return self._result(instruction, weighed, written)
        except CheckError as error:
            return self._failed(error)

    def _failed(self, error: CheckError) -> RewardResult:
        if type(error) is CheckError:  # nothing in memory is trusted
            self._primed = None
        return RewardResult(None, failure=str(error))

    def _result(
        self, instruction: str, weighed: npt.NDArray[np.float64] | None, written: Sequence[str]
    ) -> RewardResult:
        """What follows from the log-probabilities of the instruction's tokens and from what the model wrote."""
        gain = None if weighed is None else float(weighed.mean() - self._without[instruction].mean())
        parsed = [self._reading.parse(output) for output in written]
        inferred = tuple(found or "" for found in parsed)
        f1s = tuple(compare(found, instruction).f1 for found in inferred)
        failure = None
        if self.method == "likelihood":
            assert gain is not None
            reward = 1 / (1 + math.exp(-gain))
        else:
            reward = sum(f1s) / len(f1s)
            if not any(parsed):
                failure = f"unparsable output: no instruction in what the model wrote: {written[0][:80]!r}"
        return RewardResult(reward, inferred, f1s, gain, parsed.count(None), failure=failure)

    def _weigh(self, instruction: str, *, given: bool) -> npt.NDArray[np.float64]:
        """Log-probabilities of the instruction's tokens."""
        text, _ = self._reading.answer(instruction)
        return self._own(instruction, self._engine.log_likelihoods([Query(text, given_log=given)])[0])

    def _own(self, instruction: str, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Of the log-probabilities of an answer's tokens, those of the instruction in it."""
        text, lead = self._reading.answer(instruction)
        if lead:
            ends = np.cumsum([len(piece) for piece in self._engine.text_of(text)])
            values = values[ends > lead]
        if not np.isfinite(values).all():
            raise CheckError("the likelihood of the instruction is not a number: the model's weights may be corrupt")
        return values

    def _write(self) -> list[str]:
        if not self._samples:
            return [self._engine.generate(self._max_new_tokens, stop=self.prompt.stop).text]
        drawn = self._engine.sample(
            self._samples,
            self._max_new_tokens,
            temperature=self._temperature,
            offset=self._offset,
            stop=self.prompt.stop,
        )
        return [generation.text for generation in drawn]


def _median(parts: Sequence[RewardResult]) -> RewardResult:
    """The result of a response from those of its parts; where one of them has none, that one."""
    if len(parts) == 1:
        return parts[0]
    for part in parts:
        if part.reward is None:
            return part
    gains = [part.gain for part in parts if part.gain is not None]
    return RewardResult(
        median_low([part.reward for part in parts if part.reward is not None]),
        tuple(text for part in parts for text in part.inferred),
        tuple(f1 for part in parts for f1 in part.f1s),
        median_low(gains) if gains else None,
        sum(part.unparsable for part in parts),
        failure=parts[0].failure if all(part.failure for part in parts) else None,
    )
