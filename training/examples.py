"""Rows in tokens: read, cleaned, put in the prompt and tokenized exactly as a robot's run is."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flip_edge.engine import Engine
from flip_edge.episode import Episode, clean_text
from flip_edge.errors import ConfigError, InputError
from flip_edge.prompts import CompletionPrompt, Piece, load_prompt

Tokens = tuple[int, ...]
Tokenize = Callable[[Sequence[Piece]], list[int]]


@dataclass(frozen=True)
class Wrong:
    """A mismatch: a wrong run for the row's command, or a wrong command for its run.

    Attributes:
        kind: what is wrong; see ``training/negatives``.
        tokens: of the wrong log with its prompt, or of the wrong command as an answer.
        is_log: which of the two.
    """

    kind: str
    tokens: Tokens
    is_log: bool


@dataclass(frozen=True)
class Example:
    """A row.

    Attributes:
        id: of the row.
        log: the prompt with the run, up to where the command follows.
        command: the answer, up to the line break that ends it.
        wrong: its mismatches.
        also: other wordings of the command: right after the log, and violated by every wrong one.
    """

    id: str
    log: Tokens
    command: Tokens
    wrong: tuple[Wrong, ...]
    also: tuple[Tokens, ...] = ()


def completion_prompt(name: str) -> CompletionPrompt:
    """A prompt format by its name or path.

    Raises:
        ConfigError: there is none, or it is one in which a command has no likelihood.
    """
    prompt = load_prompt(name)
    if not isinstance(prompt, CompletionPrompt):
        raise ConfigError(
            f"prompt {prompt.id} answers in JSON; train with a completion prompt such as log-command-confirm"
        )
    return prompt


class Tokenizer:
    """Tokens of logs and answers under a prompt, as :class:`flip_edge.engine.Engine` decodes them.

    The same line stands in many logs, so each is tokenized once.
    """

    def __init__(self, engine: Engine, prompt: CompletionPrompt) -> None:
        self._engine = engine
        self._prompt = prompt
        self._prefix = tuple(engine.tokenize(prompt.prefix(engine.chat), start=True))
        self._known: dict[Piece, Tokens] = {}
        self.without_log = self._prefix + self._of(prompt.without_log())
        confirmation = prompt.confirmation
        self.confirmation = (
            (self._one(confirmation.yes), self._one(confirmation.no)) if confirmation is not None else None
        )

    def log(self, steps: Sequence[str]) -> Tokens:
        """The prompt with a run."""
        return self._prefix + self._of(self._prompt.log(steps, self._engine.chat))

    def answer(self, command: str) -> Tokens:
        """The command as it follows a log."""
        return self._of([Piece(self._prompt.answer_text(command))])

    def _one(self, text: str) -> int:
        tokens = self._of([Piece(text)])
        if len(tokens) != 1:
            raise ConfigError(f"a confirmation must be one token of the model; {text!r} has {len(tokens)}")
        return tokens[0]

    def _of(self, pieces: Sequence[Piece]) -> Tokens:
        tokens: Tokens = ()
        for piece in pieces:
            if piece not in self._known:
                self._known[piece] = tuple(self._engine.tokenize([piece]))
            tokens += self._known[piece]
        return tokens


def read_examples(path: Path, tokenizer: Tokenizer, *, longest: int, limit: int | None = None) -> list[Example]:
    """The rows of a file that :mod:`training.prepare` wrote.

    Args:
        path: JSON lines.
        tokenizer: of the model and prompt.
        longest: rows with a log or command of more tokens are left out, and so are such mismatches. They are not cut: a
            cut log is another label.
        limit: how many rows to take at most.

    Raises:
        InputError: the file cannot be read or a line is no row; the message says which.
    """
    examples = []
    for number, row in read_lines(path):
        try:
            example = _example(row, tokenizer, longest)
        except (KeyError, TypeError, InputError) as error:
            raise InputError(f"{path}:{number}: not a row of training.prepare: {error!r}") from None
        if example:
            examples.append(example)
        if limit is not None and len(examples) >= limit:
            break
    if not examples:
        raise InputError(f"{path} has no row whose log has at most {longest} tokens")
    return examples


def read_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The rows of a file as they are, with their line numbers.

    Raises:
        InputError: the file cannot be read, or is not JSON lines.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, json.loads(line)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path} is not a file of JSON lines: {error}") from None


def _example(row: Any, tokenizer: Tokenizer, longest: int) -> Example | None:
    right = Episode.of(row["command"], row["actions"])
    wrong = []
    for item in row["negatives"]:
        made = Episode.of(item.get("command", right.command), item.get("actions", right.steps))
        is_log = "actions" in item
        tokens = tokenizer.log(made.steps) if is_log else tokenizer.answer(made.command)
        if len(tokens) <= longest and made.problem() is None:
            wrong.append(Wrong(str(item["kind"]), tokens, is_log))
    log, command = tokenizer.log(right.steps), tokenizer.answer(right.command)
    if right.problem() is not None or max(len(log), len(command)) > longest:
        return None
    also = [tokenizer.answer(text) for text in map(clean_text, row.get("also", ())) if text]
    return Example(
        str(row["id"]), log, command, tuple(wrong), tuple(answer for answer in also if len(answer) <= longest)
    )


def kind_counts(examples: Sequence[Example]) -> Counter[str]:
    """How many mismatches of each kind there are."""
    return Counter(wrong.kind for example in examples for wrong in example.wrong)


def draw_wrong(example: Example, count: int, kinds: Mapping[str, int], draw: random.Random) -> tuple[Wrong, ...]:
    """Up to ``count`` of an example's mismatches, drawn so that over all rows every kind comes up about as often.

    Kinds that are everywhere (cut runs, failed ones) would otherwise be most of what is trained on.

    Args:
        example: the row.
        count: how many.
        kinds: how often each kind stands in all rows, from :func:`kind_counts`.
        draw: for the choice.
    """
    # A race of exponential clocks, each at the rate 1 / kinds[kind]: a weighted draw without replacement.
    arrivals = [draw.expovariate(1) * kinds[wrong.kind] for wrong in example.wrong]
    order = sorted(range(len(arrivals)), key=arrivals.__getitem__)
    return tuple(example.wrong[index] for index in order[:count])
