"""What the tests share: a scripted engine for all that is not about the model, and the real one for what is."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from flip_edge import Config, SelfCheck
from flip_edge.engine import Generation
from flip_edge.errors import CheckError, DownloadError
from flip_edge.models import pull
from flip_edge.prompts import Piece, Query


@dataclass
class Answer:
    text: str
    given_log: float
    without_log: float
    rivals: dict[str, float]
    error: Exception | None


@dataclass
class FakeEngine:
    """Says what it was told to say, in order, and remembers what it was shown."""

    answers: deque[Answer] = field(default_factory=deque)
    prefix: list[Piece] = field(default_factory=list)
    logs: list[list[Piece]] = field(default_factory=list)
    weighed: list[list[str]] = field(default_factory=list)
    deadlines: list[float | None] = field(default_factory=list)
    primed: int = 0
    closed: bool = False
    interrupted: bool = False
    block: threading.Event | None = None
    prefix_tokens: int = 100

    def enqueue(
        self,
        text: str,
        *,
        given_log: float = -1.0,
        without_log: float = -3.0,
        rivals: dict[str, float] | None = None,
        error: Exception | None = None,
    ) -> None:
        """The next check: what is inferred, and log-likelihoods in nats per token; ``rivals`` for other commands."""
        self.answers.append(Answer(text, given_log, without_log, rivals or {}, error))

    def chat(self, messages: Sequence[tuple[str, str]]) -> str:
        return "".join(f"<|{role}|>{content}<|end|>" for role, content in messages) + "<|assistant|>"

    def prime(self, prefix: Sequence[Piece], no_log: Sequence[Piece] = ()) -> None:
        self.prefix = list(prefix)
        self.primed += 1

    def read(self, log: Sequence[Piece]) -> int:
        if self.block:
            self.block.wait(30)
        self.logs.append(list(log))
        if self.answers[0].error:
            raise self.answers.popleft().error  # type: ignore[misc]
        return sum(len(piece.text.split()) for piece in log)

    def log_likelihoods(self, queries: Sequence[Query]) -> list[np.ndarray]:
        answer = self.answers[0]
        self.weighed.append([query.text for query in queries])
        found = []
        for query in queries:
            tokens = len(self.text_of(query.text))
            value = answer.given_log if query.given_log else answer.without_log
            found.append(np.full(tokens, answer.rivals.get(query.text.strip(), value)))
        return found

    def text_of(self, answer: str) -> list[str]:
        return re.findall(r"\s*\S+|\s+$", answer)

    def generate(self, max_tokens: int, *, stop: str | None = "\n") -> Generation:
        text = self.answers.popleft().text
        return Generation(text, min(max_tokens, len(text.split())), True)

    @contextmanager
    def deadline(self, seconds: float | None) -> Iterator[None]:
        self.deadlines.append(seconds)
        yield

    def interrupt(self) -> None:
        self.interrupted = True
        if self.block:
            self.block.set()

    def resume(self) -> None:
        self.interrupted = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def make_check(engine: FakeEngine) -> Callable[..., SelfCheck]:
    return lambda **settings: SelfCheck(Config(**settings), engine=engine)


@pytest.fixture
def check(make_check: Callable[..., SelfCheck]) -> SelfCheck:
    return make_check()


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The embedded default model, fetched when it is not there."""
    try:
        return pull("default").path
    except DownloadError as error:
        pytest.fail(f"the tests need the default model: {error}")


@pytest.fixture
def model_failure() -> CheckError:
    return CheckError("llama.cpp failed to decode 7 tokens (code -1)")
