"""What the tests share: a scripted engine for all that is not about the model, and the real one for what is."""

from __future__ import annotations

import re
import signal
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
from flip_edge.models import models_folder, pull
from flip_edge.prompts import Piece, Query

# In the background of a shell Ctrl-C is ignored, and processes inherit that, so that none of them could be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LAYERS, WIDTH, HEADS, KEY_HEADS, HIDDEN = 2, 64, 4, 2, 96  # of the tiny model


@dataclass
class Answer:
    text: str
    given_log: float
    without_log: float
    rivals: dict[str, float]
    confirmed: dict[str, float]
    error: Exception | None


@dataclass
class FakeEngine:
    """Says what it was told to say, in order, and remembers what it was shown."""

    answers: deque[Answer] = field(default_factory=deque)
    answer: Answer | None = None
    prefix: list[Piece] = field(default_factory=list)
    logs: list[list[Piece]] = field(default_factory=list)
    ahead: list[list[Piece]] = field(default_factory=list)
    weighed: list[list[str]] = field(default_factory=list)
    sampled: list[int] = field(default_factory=list)
    deadlines: list[float | None] = field(default_factory=list)
    primed: int = 0
    closed: bool = False
    interrupted: bool = False
    block: threading.Event | None = None
    reused_tokens: int = 100
    decoded_tokens: int = 0

    def enqueue(
        self,
        text: str,
        *,
        given_log: float = -1.0,
        without_log: float = -3.0,
        rivals: dict[str, float] | None = None,
        confirmed: float = 0.6,
        error: Exception | None = None,
    ) -> None:
        """The next check: what is inferred, and log-likelihoods in nats per token; ``rivals`` for other commands.

        ``confirmed`` is the probability of "yes" after the command, and the rest that of "no", for prompts that ask.
        """
        said = {"yes": float(np.log(max(confirmed, 1e-30))), "no": float(np.log(max(1 - confirmed, 1e-30)))}
        self.answers.append(Answer(text, given_log, without_log, rivals or {}, said, error))

    def chat(self, messages: Sequence[tuple[str, str]]) -> str:
        return "".join(f"<|{role}|>{content}<|end|>" for role, content in messages) + "<|assistant|>"

    def prime(self, prefix: Sequence[Piece], no_log: Sequence[Piece] = ()) -> None:
        self.prefix = list(prefix)
        self.primed += 1

    def read_ahead(self, log: Sequence[Piece], answer: str = "") -> int:
        self.ahead.append(list(log))
        return 1

    def read(self, log: Sequence[Piece]) -> int:
        if self.block:
            self.block.wait(30)
        self.logs.append(list(log))
        self.answer = self.answers.popleft()
        if self.answer.error:
            raise self.answer.error
        new = sum(len(piece.text.split()) for piece in log)
        self.decoded_tokens += new
        return new

    def log_likelihoods(self, queries: Sequence[Query], *, at_least: float = -np.inf) -> list[np.ndarray]:
        answer = self.answer
        assert answer
        self.weighed.append([query.text for query in queries])
        found = []
        for query in queries:
            tokens = len(self.text_of(query.text))
            value = answer.given_log if query.given_log else answer.without_log
            said = [answer.confirmed[query.then]] if query.then else []
            found.append(np.array([answer.rivals.get(query.text.strip(), value)] * tokens + said))
        return found

    def text_of(self, answer: str) -> list[str]:
        return re.findall(r"\s*\S+|\s+$", answer)

    def generate(self, max_tokens: int, *, stop: str | None = "\n") -> Generation:
        assert self.answer
        text = self.answer.text
        return Generation(text, min(max_tokens, len(text.split())), True)

    def sample(
        self, count: int, max_tokens: int, *, temperature: float = 1.0, stop: str | None = "\n"
    ) -> list[Generation]:
        self.sampled.append(count)
        return [self.generate(max_tokens, stop=stop)] * count

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


@pytest.fixture(scope="session", autouse=True)
def as_it_comes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The model as it comes, whatever form of it is prepared on this machine: figures of both are not the same."""
    home = models_folder()
    if not any(home.glob("*/prepared")):
        yield
        return
    cache = tmp_path_factory.mktemp("cache")
    for file in home.glob("*/*.gguf"):
        link = cache / "models" / file.relative_to(home)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLIP_EDGE_CACHE", str(cache))
        yield


@pytest.fixture(scope="session")
def model_path(as_it_comes: None) -> Path:
    """The embedded default model, fetched when it is not there."""
    try:
        return pull("default").path
    except DownloadError as error:
        pytest.fail(f"the tests need the default model: {error}")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    """A tiny model of the llama architecture with the default model's vocabulary.

    Random weights in float32, so that nothing but an adapter's float16 is between llama.cpp and transformers.
    """
    gguf = pytest.importorskip("gguf")
    reader = gguf.GGUFReader(model_path)
    file = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    for key, found in reader.fields.items():
        if key.startswith("tokenizer."):
            inner = found.types[-1] if len(found.types) > 1 else None
            writer.add_key_value(key, found.contents(), found.types[0], inner)
    writer.add_block_count(LAYERS)
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    vocabulary = len(reader.get_field("tokenizer.ggml.tokens").data)
    writer.add_vocab_size(vocabulary)
    draw = np.random.default_rng(0)

    def add(name: str, outputs: int, inputs: int, scale: float) -> None:
        writer.add_tensor(name, (draw.standard_normal((outputs, inputs)) * scale).astype(np.float32))

    keys = WIDTH // HEADS * KEY_HEADS
    add("token_embd.weight", vocabulary, WIDTH, 0.3)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
        # Larger than usual, so that attention is anything but even and a wrong order of Q or K shows.
        for name, outputs in (("attn_q", WIDTH), ("attn_k", keys), ("attn_v", keys), ("attn_output", WIDTH)):
            add(f"blk.{layer}.{name}.weight", outputs, WIDTH, 0.3)
        for name, outputs, inputs in (
            ("ffn_gate", HIDDEN, WIDTH),
            ("ffn_up", HIDDEN, WIDTH),
            ("ffn_down", WIDTH, HIDDEN),
        ):
            add(f"blk.{layer}.{name}.weight", outputs, inputs, 0.1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture
def model_failure() -> CheckError:
    return CheckError("llama.cpp failed to decode 7 tokens (code -1)")
