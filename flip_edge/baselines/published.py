"""FLIP exactly as published: its prompt, an answer in JSON with reasoning, the F1 of what can be made of it.

Source: Wang et al., "Small Reward Models via Backward Inference", arXiv 2602.13551. The paper samples its answers and
takes the mean of five runs; this engine generates greedily, which the names of the columns say.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flip_edge.baselines import Column
from flip_edge.episode import Episode
from flip_edge.errors import CheckError, ConfigError
from flip_edge.prompts import ChatPrompt, load_prompt, prompt_id
from flip_edge.similarity import word_f1

if TYPE_CHECKING:
    from flip_edge.backward import InferenceEngine


class PublishedFlip:
    """Two scores of one generated answer.

    ``parsed`` is the word F1 of the instruction in it, and no answer where there is none. ``raw`` follows the
    published code, which fails on JSON that is broken over lines and scores the whole text where it fails.
    """

    code: tuple[str, ...] = (__name__, "flip_edge.engine", "flip_edge.llama")
    columns: tuple[Column, ...] = (
        Column("FLIP as published, greedy: parsed"),
        Column("FLIP as published, greedy: raw"),
    )

    def __init__(self, engine: InferenceEngine, model_id: str) -> None:
        prompt = load_prompt("flip")
        if not isinstance(prompt, ChatPrompt):
            raise ConfigError("the prompt format 'flip' is not the paper's: it is no chat prompt")
        self.id = f"published {prompt_id(prompt)} {model_id}"
        self._prompt = prompt
        self._engine = engine
        self._primed = False

    def scores(self, episode: Episode) -> Sequence[float | None]:
        """Both scores, in [0, 1]."""
        try:
            if not self._primed:
                self._engine.prime(self._prompt.prefix(self._engine.chat))
                self._primed = True
            self._engine.read(self._prompt.log(episode.steps, self._engine.chat))
            text = self._engine.generate(self._prompt.max_new_tokens, stop=self._prompt.stop).text
        except CheckError:
            self._primed = False
            return None, None
        inferred = self._prompt.parse(text)
        return (
            None if inferred is None else word_f1(inferred, episode.command),
            word_f1(as_published(text, self._prompt.answer_keys), episode.command),
        )


def as_published(text: str, keys: Sequence[str]) -> str:
    """What the published code scores: the instruction of a strict one-line JSON object, else the whole text."""
    try:
        answer = json.loads(text.strip().replace("\n", "\\n"))
    except (json.JSONDecodeError, RecursionError):
        return text
    if not isinstance(answer, dict):
        return text
    return next((str(answer[key]) for key in keys if key in answer), text)


def find_answer(text: str, key: str) -> str | None:
    """The value of ``key`` in the first JSON object of a model's text that has it; models wrap JSON in prose."""
    decoder = json.JSONDecoder(strict=False)  # small models break lines inside strings
    position = text.find("{")
    while position != -1:
        try:
            value, _ = decoder.raw_decode(text, position)
        except (json.JSONDecodeError, RecursionError):
            value = None
        if isinstance(value, dict) and isinstance(value.get(key), str | int | float):
            return str(value[key])
        position = text.find("{", position + 1)
    return None
