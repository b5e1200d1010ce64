"""Judges on the same model file: rating, choosing, yes or no. They ask for the opinion that backward inference avoids.

A constrained judge never fails on format: the allowed answers are weighed by their probabilities. A judge as published
writes JSON with its reasoning, and what cannot be parsed is no answer. One engine serves one judge at a time: the
judge that was made last.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import yaml

from flip_edge.baselines import Column
from flip_edge.baselines.published import find_answer
from flip_edge.episode import Episode
from flip_edge.errors import CheckError, ConfigError
from flip_edge.prompts import CompletionPrompt, Piece, Query, load_prompt

if TYPE_CHECKING:
    from flip_edge.backward import InferenceEngine

_HOLE = re.compile("([\ue000-\ue0ff])")  # private-use characters mark the robot's text in a rendered chat template
_MAX_NEW_TOKENS = 512
_RATINGS = tuple(range(1, 11))


class JudgePrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A judge's messages and the JSON key of its answer."""

    system: str
    user: str
    reasoned: str
    constrained: str
    key: str


class YesNoPrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A log, a question, and the two answers to weigh."""

    log_start: str
    step: str
    question: str
    affirmed: str
    denied: str


class JudgePrompts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of ``judges.yaml``."""

    version: int
    pointwise: JudgePrompt
    pairwise: JudgePrompt
    listwise: JudgePrompt
    yes_no: YesNoPrompt


@cache
def judge_prompts() -> JudgePrompts:
    """The prompts of the judges."""
    text = Path(__file__).with_name("judges.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), JudgePrompts)


class _Judge:
    """Asks one engine; decodes what all its questions share only once."""

    code: tuple[str, ...] = (__name__, "flip_edge.engine", "flip_edge.llama")

    def __init__(self, engine: InferenceEngine, model_id: str, name: str) -> None:
        self.id = f"{name}/{judge_prompts().version} {model_id}"
        self._engine = engine
        self._shared: list[Piece] | None = None

    def _read(self, pieces: Sequence[Piece]) -> None:
        """Read a question, of which the first piece is the same every time."""
        shared = list(pieces[:1])
        if self._shared != shared:
            self._engine.prime(shared)
            self._shared = shared
        self._engine.read(pieces[1:])

    def _weigh(self, answers: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The probabilities of the answers among themselves."""
        sums = np.array([tokens.sum() for tokens in self._engine.log_likelihoods([Query(text) for text in answers])])
        weights = np.exp(sums - sums.max())
        return np.asarray(weights / weights.sum())

    def _failed(self, _: CheckError) -> None:
        """No answer, for example because the run is longer than the context; read everything anew next time."""
        self._shared = None


class _ChatJudge(_Judge):
    def __init__(
        self, engine: InferenceEngine, model_id: str, name: str, prompt: JudgePrompt, *, constrained: bool
    ) -> None:
        super().__init__(engine, model_id, name)
        self._prompt = prompt
        self._constrained = constrained

    def _question(self, fields: Mapping[str, str]) -> list[Piece]:
        """The rendered messages; the robot's texts in them are text, whatever control tokens they spell."""
        prompt = self._prompt
        user = prompt.user
        for number, name in enumerate(fields):
            user = user.replace(f"{{{name}}}", chr(0xE000 + number))
        user += "\n" + (prompt.constrained if self._constrained else prompt.reasoned)
        rendered = self._engine.chat([("system", prompt.system), ("user", user)])
        if self._constrained:
            rendered += f'{{"{prompt.key}": "'
        texts = list(fields.values())
        parts = _HOLE.split(rendered)
        if len(parts) != 2 * len(texts) + 1:
            raise ConfigError("the model's chat template drops the user's message; this judge cannot be asked")
        return [
            Piece(texts[ord(part) - 0xE000]) if index % 2 else Piece(part, control=True)
            for index, part in enumerate(parts)
        ]

    def _generated(self) -> str | None:
        return find_answer(self._engine.generate(_MAX_NEW_TOKENS, stop=None).text, self._prompt.key)


class PointwiseJudge(_ChatJudge):
    """Rates a run from 1 to 10; constrained, by the expected rating under the model's probabilities."""

    def __init__(self, engine: InferenceEngine, model_id: str, *, constrained: bool = True) -> None:
        form = "expected rating" if constrained else "as published, greedy"
        super().__init__(
            engine, model_id, f"judge: pointwise ({form})", judge_prompts().pointwise, constrained=constrained
        )
        self.columns: tuple[Column, ...] = (Column(f"judge: pointwise ({form})", 5.5),)

    def scores(self, episode: Episode) -> Sequence[float | None]:
        """The rating, in [1, 10]."""
        try:
            self._read(self._question({"command": episode.command, "log": "\n".join(episode.steps)}))
            if self._constrained:
                # The closing quote tells "1" from the beginning of "10".
                return (float(self._weigh([f'{rating}"' for rating in _RATINGS]) @ np.array(_RATINGS)),)
            return (_rating(self._generated()),)
        except CheckError as error:
            self._failed(error)
            return (None,)


def _rating(answer: str | None) -> float | None:
    number = re.match(r"\s*(\d+(?:\.\d+)?)", answer or "")
    return float(number[1]) if number and 1 <= float(number[1]) <= 10 else None


class ChoiceJudge(_ChatJudge):
    """Chooses among runs: pairwise between two in both orders, listwise among several in every rotation.

    A run's preference is the mean over the orders of its letter's probability or, as published, of whether the letter
    that the model wrote was its letter.

    Args:
        engine, model_id: the model.
        at_once: runs in a list; 2: pairwise.
        constrained: read the letters' probabilities instead of letting the model write.
        rotated: ask in every rotation; else in the given order alone, which prefers a place.
    """

    def __init__(
        self,
        engine: InferenceEngine,
        model_id: str,
        *,
        at_once: int = 2,
        constrained: bool = True,
        rotated: bool = True,
    ) -> None:
        kind = "pairwise" if at_once == 2 else "listwise"
        name = f"judge: {kind} ({'letter probability' if constrained else 'as published, greedy'})"
        prompt = judge_prompts().pairwise if at_once == 2 else judge_prompts().listwise
        super().__init__(engine, model_id, name, prompt, constrained=constrained)
        self.columns: tuple[Column, ...] = (Column(name),)
        self.at_once = at_once
        self._rotated = rotated

    def rank(self, command: str, runs: Sequence[Episode]) -> Sequence[float] | None:
        """How much each run is preferred, in [0, 1], summing to 1."""
        count = len(runs)
        # Rotated, every run stands once in every place: judges that prefer a letter would else prefer its run.
        shifts = range(count if self._rotated else 1)
        preferred = np.zeros(count)
        try:
            for shift in shifts:
                order = np.roll(np.arange(count), shift)
                if (weights := self._choose(command, [runs[int(index)] for index in order])) is None:
                    return None
                preferred[order] += weights / len(shifts)
        except CheckError as error:
            self._failed(error)
            return None
        return [float(value) for value in preferred]

    def _choose(self, command: str, runs: Sequence[Episode]) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
        letters = string.ascii_uppercase[: len(runs)]
        logs = "\n\n".join(
            f"[Response {letter}]\n" + "\n".join(run.steps) for letter, run in zip(letters, runs, strict=True)
        )
        self._read(self._question({"command": command, "logs": logs}))
        if self._constrained:
            return self._weigh(letters)
        answer = (self._generated() or "").strip().upper()[:1]
        if not answer or answer not in letters:
            return None
        return np.array([float(letter == answer) for letter in letters])


class YesNoJudge(_Judge):
    """Asks whether the command was carried out; the score is log p(Yes) - log p(No)."""

    def __init__(self, engine: InferenceEngine, model_id: str, *, few_shot: bool = False) -> None:
        name = f"judge: yes/no ({'few' if few_shot else 'zero'}-shot)"
        super().__init__(engine, model_id, name)
        self.columns: tuple[Column, ...] = (Column(name, 0.0),)
        self._prompt = judge_prompts().yes_no
        self._examples = self._shown() if few_shot else ""

    def _shown(self) -> str:
        """The examples that backward inference is shown, each as a yes and, with another's steps, as a no."""
        source = load_prompt("log-command")
        assert isinstance(source, CompletionPrompt)
        examples = source.examples
        shown = []
        for index, example in enumerate(examples):
            right = index % 2 == 0
            steps = example.steps if right else examples[index - 1].steps
            answer = self._prompt.affirmed if right else self._prompt.denied
            shown.append("".join(self._lines(steps)) + self._asked(example.command) + answer + "\n\n")
        return "".join(shown)

    def _lines(self, steps: Sequence[str]) -> list[str]:
        return [self._prompt.log_start, *(self._prompt.step.replace("{step}", step) for step in steps)]

    def _asked(self, command: str) -> str:
        return self._prompt.question.replace("{command}", command)

    def scores(self, episode: Episode) -> Sequence[float | None]:
        """The log-odds of yes."""
        start, *lines = self._lines(episode.steps)
        try:
            self._read([Piece(self._examples + start), *map(Piece, lines), Piece(self._asked(episode.command))])
            yes, no = self._engine.log_likelihoods([Query(self._prompt.affirmed), Query(self._prompt.denied)])
        except CheckError as error:
            self._failed(error)
            return (None,)
        return (float(yes.sum() - no.sum()),)
