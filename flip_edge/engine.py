"""llama.cpp: the only module that uses it.

The part of the prompt that never changes is decoded once and kept in a sequence of its own; each check works on
copies of that sequence, which share its memory, and so decodes only what is new. Log-likelihoods come from the raw
logits: the ordinary completion interface is off by one on models without a BOS token.

One engine has one owner: its methods must be called from one thread at a time. Only :meth:`Engine.interrupt` and
:meth:`Engine.resume` may be called from any thread.
"""

from __future__ import annotations

import collections
import ctypes
import logging
import math
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# A failed assertion inside ggml would fork a debugger to print a backtrace; on a robot that only delays the abort.
os.environ.setdefault("GGML_NO_BACKTRACE", "1")

import llama_cpp
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from flip_edge.errors import CheckError, ConfigError, ContextOverflowError, ModelError
from flip_edge.prompts import Piece, Query
from flip_edge.stopping import StopSwitch

# Sequences: the fixed prefix, the prefix without a log, the log of a run that goes on, the log of the run that is
# checked, that log with the first answer that was weighed after it, and from there on scratch.
_PREFIX, _BLANK, _AHEAD, _LOG, _ANSWER, _WORK = 0, 1, 2, 3, 4, 5
_PARALLEL = 32  # answers weighed in one batch
_SEQUENCES = _WORK + _PARALLEL
_BATCH, _BATCH_OFFLOADED = 512, 128  # on a GPU a deadline is heard between batches only
# On the CPU a batch is computed in parts: no slower (SmolLM2-135M, 32 against 512), with less memory, and a deadline
# is heard between the nodes of a graph only, the longest of which is the vocabulary for the rows that are wanted.
_PART, _WANTED_AT_ONCE = 32, 16
_WEIGHED_AT_ONCE = 8  # tokens of answers, before those that cannot be likely enough are given up
_KEPT_ROWS = 32  # tokens of the answer whose logits are kept
_LONGEST_TOKEN = 64  # characters; a text with more of them than this for every token of the context cannot fit

_Beginning = tuple[int, tuple[int, ...]]  # the sequence that an answer continues, and its first tokens

_log = logging.getLogger("flip_edge.llama")
_complaints: collections.deque[str] = collections.deque(maxlen=8)


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _on_llama_log(level: int, text: bytes, _data: object) -> None:
    line = text.decode("utf-8", "replace").rstrip()
    if line and level == 4:  # GGML_LOG_LEVEL_ERROR of ggml.h; llama_cpp/_logger.py has older numbers
        _complaints.append(line)
    _log.debug("%s", line)


llama_cpp.llama_log_set(_on_llama_log, ctypes.c_void_p(0))

# llama.cpp asks this function before every node of its graph whether to stop, so it must not need the GIL: strlen()
# of a two-byte buffer is "false" while the first byte is 0 and "true" once any thread has written it.
_STRLEN = ctypes.cast(ctypes.CDLL(None).strlen, llama_cpp.ggml_abort_callback)


@dataclass(frozen=True)
class Generation:
    """What the model wrote.

    Attributes:
        text: the text before the stop, not stripped.
        tokens: how many tokens were generated.
        finished: False when the token limit cut the text short.
    """

    text: str
    tokens: int
    finished: bool


@dataclass(frozen=True)
class _Entry:
    """A token to decode: where it stands, which sequences share it, whether the logits after it are wanted."""

    token: int
    position: int
    sequences: Sequence[int]
    wanted: bool


@dataclass(frozen=True)
class _Row:
    """The logits after the last token of a sequence, and their log-sum-exp."""

    logits: npt.NDArray[np.float32]
    norm: float


def default_threads() -> int:
    """Half of the processors this process may use, at least one: the other half is the robot's."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def gpu_offload_supported() -> bool:
    """Whether this llama.cpp was built to compute on a GPU."""
    return bool(llama_cpp.llama_supports_gpu_offload())


def system_info() -> str:
    """The processor features that this llama.cpp uses, as it names them: ``AVX2 = 1 | FMA = 1 | ...``."""
    return str(llama_cpp.llama_print_system_info().decode("utf-8", "replace"))


def requantize(source: Path, target: Path, file_type: str, *, n_threads: int = 0) -> None:
    """Write a model in another weight type; one that is quantized already loses a little by it.

    Args:
        source: a GGUF file.
        target: the file to write.
        file_type: ``q4_0`` or ``q8_0``.
        n_threads: processor threads; 0 for half of the processors.

    Raises:
        ModelError: llama.cpp cannot do it; the message has its reason.
    """
    _complaints.clear()
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{file_type.upper()}")
    params.allow_requantize = True
    params.nthread = n_threads or default_threads()
    if llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params)):
        raise ModelError(
            f"llama.cpp cannot write {source} as {file_type}: {'; '.join(_complaints) or 'it gave no reason'}"
        )


def _alike(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two texts begin alike with."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _decoded(shares: npt.NDArray[np.float64], point: float) -> tuple[int, float]:
    """The token at a point in [0, 1] of what may come, and where in that token's own share the point is.

    ``shares`` are the cumulated weights of the tokens.
    """
    at = point * float(shares[-1])
    token = min(int(np.searchsorted(shares, at, side="right")), len(shares) - 1)
    low = float(shares[token - 1]) if token else 0.0
    width = float(shares[token]) - low
    return token, min(1.0, max(0.0, (at - low) / width)) if width > 0 else 0.5


def ordinary(path: Path, *, n_ctx: int, n_threads: int) -> Any:
    """The ordinary interface of llama-cpp-python on a model, to compare with: a ``llama_cpp.Llama``."""
    return llama_cpp.Llama(str(path), n_ctx=n_ctx, n_threads=n_threads, n_threads_batch=n_threads, verbose=False)


class Engine:
    """A loaded model with a shared prefix.

    Args:
        path: a GGUF file.
        n_ctx: tokens of context, shared by the prefix, the log and what is generated.
        n_threads: processor threads; 0 for half of the processors.
        n_gpu_layers: layers to offload; -1 for all, 0 for none.
        check_tensors: look for invalid weights while loading; for files whose checksum is not known.
        adapter: a LoRA adapter as GGUF, made for this very model; None for the bare model.

    Raises:
        ModelError: a file is missing or corrupt, the model is none that llama.cpp can load, or the adapter does not
            fit it.
        ConfigError: the context is larger than the model was trained for.
    """

    def __init__(
        self,
        path: Path,
        *,
        n_ctx: int = 2048,
        n_threads: int = 0,
        n_gpu_layers: int = 0,
        check_tensors: bool = False,
        adapter: Path | None = None,
    ) -> None:
        self.path = path
        self.adapter = adapter
        self.n_ctx = n_ctx
        self.n_threads = n_threads or default_threads()
        self._offloaded = n_gpu_layers != 0 and llama_cpp.llama_supports_gpu_offload()
        self.gpu_offload_missing = n_gpu_layers != 0 and not self._offloaded
        self._model: Any = None
        self._ctx: Any = None
        self._batch: Any = None
        self._load(n_gpu_layers, check_tensors)
        if adapter:
            self._apply(adapter)
        self._memory = llama_cpp.llama_get_memory(self._ctx)
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._n_vocab = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._open_batch()
        self._wanted_at_once = self._capacity if self._offloaded else _WANTED_AT_ONCE
        self._length = [0] * _SEQUENCES
        self._own = [0] * _SEQUENCES  # how many of its tokens a sequence does not share with the one it was forked from
        self._rows: dict[int, _Row] = {}
        self._ahead: list[int] = []  # tokens of the log that were decoded ahead
        self._weighed_ahead: tuple[list[int], list[float]] | None = None  # an answer, and its values without a log
        self._read_ahead = 0  # how many of them the log that was read began with
        self._used_ahead = 0  # tokens of the answer weighed ahead that were asked for
        self.decoded_tokens = 0  # since the engine was made
        self.batches: list[tuple[int, int]] | None = None  # decoded since it was made a list: tokens, and logits wanted
        self._answer: list[int] = []  # tokens of the answer that were decoded after the log, and the logits after each
        self._answer_rows: list[_Row] = []
        self._greedy: list[int] = []  # how the log goes on most likely, as far as weighing has shown
        self._switch = StopSwitch()
        llama_cpp.llama_set_abort_callback(self._ctx, _STRLEN, self._switch.address)

    # --- loading and freeing

    def _load(self, n_gpu_layers: int, check_tensors: bool) -> None:
        if not self.path.is_file():
            raise ModelError(f"no model file at {self.path}; fetch one with: flip-edge models pull")
        _complaints.clear()
        llama_cpp.llama_backend_init()
        model_params = llama_cpp.llama_model_default_params()
        model_params.n_gpu_layers = n_gpu_layers
        model_params.check_tensors = check_tensors
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(self.path), model_params)
        if not self._model:
            raise ModelError(
                f"llama.cpp cannot load {self.path}: {'; '.join(_complaints) or 'it gave no reason'}. "
                "The file may be corrupt or of a newer format; fetch it again with: flip-edge models pull --force"
            )
        trained = llama_cpp.llama_model_n_ctx_train(self._model)
        if self.n_ctx > trained:
            self.close()
            raise ConfigError(f"n_ctx is {self.n_ctx}, but {self.path.name} was trained for {trained} tokens")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = self.n_ctx
        params.n_batch = min(_BATCH_OFFLOADED if self._offloaded else _BATCH, self.n_ctx)
        params.n_ubatch = params.n_batch if self._offloaded else min(_PART, self.n_ctx)
        params.n_seq_max = _SEQUENCES
        params.n_threads = params.n_threads_batch = self.n_threads
        params.kv_unified = True
        if not self._offloaded:
            # On the CPU flash attention adds up in half precision: the same answer differed by 0.26 nats a token
            # between one batch and another (SmolLM2-135M), and took longer.
            params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.no_perf = True
        self._ctx = llama_cpp.llama_init_from_model(self._model, params)
        if not self._ctx:
            self.close()
            raise ModelError(
                f"llama.cpp cannot make a context of {self.n_ctx} tokens for {self.path}: "
                f"{'; '.join(_complaints) or 'it gave no reason'}. A smaller n_ctx needs less memory"
            )

    def _apply(self, adapter: Path) -> None:
        """Load a LoRA adapter and add it to the context, at the strength it was trained with."""
        try:
            if not adapter.is_file():
                raise ModelError(f"no adapter file at {adapter}; check the path, or run without an adapter")
            _complaints.clear()
            loaded = llama_cpp.llama_adapter_lora_init(self._model, os.fsencode(adapter))  # freed with the model
            if not loaded:
                raise ModelError(
                    f"llama.cpp cannot apply {adapter} to {self.path.name}: "
                    f"{'; '.join(_complaints) or 'it gave no reason'}. The file may be corrupt, no adapter, or made "
                    "for another model: use the adapter of this model, or run without one"
                )
            adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(loaded)
            if llama_cpp.llama_set_adapters_lora(self._ctx, adapters, 1, (ctypes.c_float * 1)(1.0)):
                raise ModelError(f"llama.cpp refused the adapter {adapter}; run without one")
        except ModelError:
            self.close()
            raise

    def _open_batch(self) -> None:
        self._capacity = int(llama_cpp.llama_n_batch(self._ctx))
        self._batch = llama_cpp.llama_batch_init(self._capacity, 0, _PARALLEL)
        shape = (self._capacity,)
        self._tokens = np.ctypeslib.as_array(self._batch.token, shape)
        self._positions = np.ctypeslib.as_array(self._batch.pos, shape)
        self._wanted = np.ctypeslib.as_array(self._batch.logits, shape)
        self._sharers = np.ctypeslib.as_array(self._batch.n_seq_id, shape)

    def close(self) -> None:
        """Free the model. Safe to call twice."""
        if self._batch is not None:
            llama_cpp.llama_batch_free(self._batch)
            self._batch = None
        if self._ctx:
            llama_cpp.llama_free(self._ctx)
            self._ctx = None
        if self._model:
            llama_cpp.llama_model_free(self._model)
            self._model = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- text and tokens

    def tokenize(self, pieces: Sequence[Piece], *, start: bool = False) -> list[int]:
        """Tokens of ``pieces``, each tokenized by itself.

        Control tokens such as ``<|im_end|>`` are recognised only in pieces that say so; in a robot's text they are
        text. With ``start``, the model's BOS token comes first where it has one.
        """
        tokens: list[int] = []
        self._raise_if_closed()
        if start and llama_cpp.llama_vocab_get_add_bos(self._vocab):
            tokens.append(llama_cpp.llama_vocab_bos(self._vocab))
        for piece in pieces:
            data = piece.text.encode("utf-8", "replace")
            size = len(data) + 2
            buffer = (llama_cpp.llama_token * size)()
            count = llama_cpp.llama_tokenize(self._vocab, data, len(data), buffer, size, False, piece.control)
            if count < 0:
                raise CheckError(f"llama.cpp cannot tokenize {piece.text[:60]!r}")
            tokens += buffer[:count]
        return tokens

    def chat(self, messages: Sequence[tuple[str, str]]) -> str:
        """Render (role, content) messages with the model's own chat template, up to the assistant's answer."""
        template = llama_cpp.llama_model_chat_template(self._model, None)
        if not template:
            raise ConfigError(f"{self.path.name} has no chat template; use a completion prompt such as log-command")

        def text_of(token: int) -> str:
            text = llama_cpp.llama_vocab_get_text(self._vocab, token) if token >= 0 else b""
            return str(text.decode("utf-8", "replace"))

        formatter = Jinja2ChatFormatter(
            template=template.decode("utf-8"),
            eos_token=text_of(llama_cpp.llama_vocab_eos(self._vocab)),
            bos_token="",  # tokenize(start=True) adds it
        )
        answer = formatter(messages=[{"role": role, "content": content} for role, content in messages])  # type: ignore[misc]
        return str(answer.prompt)

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(64)
        size = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return bytes(buffer.raw[:size])

    # --- the way of one check: prime once, then read, generate and weigh for every run

    def prime(self, prefix: Sequence[Piece], no_log: Sequence[Piece] = ()) -> None:
        """Decode what never changes: ``prefix``, and ``no_log`` after it as the context without a log."""
        llama_cpp.llama_memory_clear(self._memory, True)
        for sequence in range(_SEQUENCES):
            self._drop(sequence)
        self._forget_log()
        self._forget_ahead()
        self._extend(_PREFIX, self.tokenize(prefix, start=True))
        self._fork(_PREFIX, _BLANK)
        if no_log:
            self._extend(_BLANK, self.tokenize(no_log))

    def read_ahead(self, log: Sequence[Piece], answer: str = "") -> int:
        """Decode the beginning of a log whose end is not known yet, so that :meth:`read` need not.

        One log is kept like that, until another is read; one that goes on costs what is new. An ``answer`` that is to
        be weighed is weighed without a log already. Returns the number of tokens decoded.
        """
        self._forget_log()
        self._refuse_flood(log)
        tokens = self.tokenize(log)
        if not self._ahead or tokens[: len(self._ahead)] != self._ahead:
            self._forget_ahead()
            self._fork(_PREFIX, _AHEAD)
        new = tokens[len(self._ahead) :]
        self._require(len(new))  # first, so that a log that has become too long costs no more
        try:
            weighed = self._weigh_ahead(self.tokenize([Piece(answer)])) if answer else 0
            self._extend(_AHEAD, new, keep_row=False)
        except CheckError:
            self._forget_ahead()
            raise
        self._ahead = tokens
        return weighed + len(new)

    def _weigh_ahead(self, answer: list[int]) -> int:
        if self._weighed_ahead and self._weighed_ahead[0] == answer:
            return 0
        self._weighed_ahead = (answer, self._weigh([answer], [_BLANK])[0])
        return len(answer) - 1

    def read(self, log: Sequence[Piece]) -> int:
        """Decode a run's log after the prefix, in place of the log before it. Returns the number of tokens decoded."""
        self._forget_log()
        self._refuse_flood(log)
        tokens = self.tokenize(log)
        if len(self._ahead) < len(tokens) and tokens[: len(self._ahead)] == self._ahead:
            self._read_ahead = len(self._ahead)
        else:
            # It would stand where this log belongs, and llama.cpp rounds by the place in memory.
            self._forget_ahead()
        self._fork(_AHEAD if self._read_ahead else _PREFIX, _LOG)
        self._extend(_LOG, tokens[self._read_ahead :])
        return len(tokens) - self._read_ahead

    @property
    def reused_tokens(self) -> int:
        """Tokens that the last log and its answers did not need decoded: the shared prefix, and what came ahead."""
        return self._length[_PREFIX] + self._read_ahead + self._used_ahead

    def generate(self, max_tokens: int, *, stop: str | None = "\n") -> Generation:
        """Continue the log greedily up to ``stop``, the model's end of text, or ``max_tokens``.

        As far as answers that were weighed after this log go the same way, nothing is decoded again.
        """
        row = self._row(_LOG)
        self._require(max_tokens)
        decoded = self._fork_answer(self._greedy, _WORK)
        end = stop.encode() if stop else None
        text, finished = b"", False
        chosen: list[int] = []
        try:
            while len(chosen) < max_tokens:
                if len(chosen) < len(self._greedy):
                    token = self._greedy[len(chosen)]
                else:
                    if len(chosen) > decoded:
                        self._extend(_WORK, chosen[decoded:])
                        row, decoded = self._row(_WORK), len(chosen)
                    token = int(np.argmax(row.logits))
                chosen.append(token)
                if llama_cpp.llama_vocab_is_eog(self._vocab, token):
                    finished = True
                    break
                text += self._piece(token)
                if end and end in text:
                    text, finished = text[: text.index(end)], True
                    break
        finally:
            self._drop(_WORK)
        return Generation(text.decode("utf-8", "replace"), len(chosen), finished)

    def sample(
        self,
        count: int,
        max_tokens: int,
        *,
        temperature: float = 1.0,
        offset: float = 0.5,
        stop: str | None = "\n",
    ) -> list[Generation]:
        """Continue the log ``count`` times, drawn at a temperature and decoded together.

        The draws are spread evenly over all that the model may write: draw k stands at (k + offset) / count of it, and
        reads that number as an arithmetic code. So they are the same each time, and their mean is nearer to the
        expected value than that of as many independent ones. Source: Vilnis et al., "Arithmetic Sampling", 2023, arXiv
        2210.15458.

        Args:
            count: how many; as many at a time as the context holds.
            max_tokens: of each.
            temperature: above 0; what the logits are divided by.
            offset: in [0, 1]; another one gives other draws.
            stop: as in :meth:`generate`.
        """
        points = [(draw + offset) / count for draw in range(count)]
        return self.draw(points, max_tokens, temperature=temperature, stop=stop)

    def draw(
        self, points: Sequence[float], max_tokens: int, *, temperature: float = 1.0, stop: str | None = "\n"
    ) -> list[Generation]:
        """Continue the log once for each point, decoded together; for independent draws, give random points.

        Args:
            points: in [0, 1): which share of all that the model may write comes before the draw.
            max_tokens, temperature, stop: as in :meth:`sample`.
        """
        room = (self.n_ctx - sum(self._own)) // max_tokens
        self._require(max_tokens)
        at_once = min(room, _PARALLEL)
        drawn: list[Generation] = []
        for start in range(0, len(points), at_once):
            drawn += self._draw(list(points[start : start + at_once]), max_tokens, temperature, stop)
        return drawn

    def _draw(self, points: list[float], max_tokens: int, temperature: float, stop: str | None) -> list[Generation]:
        draws = range(len(points))
        end = stop.encode() if stop else None
        texts, finished = [b""] * len(points), [False] * len(points)
        chosen: list[tuple[int, ...]] = [()] * len(points)
        known = {tuple(self._answer[:length]): row for length, row in enumerate(self._answer_rows, 1)}
        pending: dict[tuple[int, ...], list[int]] = {}  # draws by what they wrote: alike so far, they share its tokens

        def go_on(row: _Row, some: Sequence[int]) -> None:
            shares = np.cumsum(np.exp((row.logits - row.logits.max()) / temperature, dtype=np.float64))
            for draw in some:
                token, points[draw] = _decoded(shares, points[draw])
                chosen[draw] += (token,)
                if llama_cpp.llama_vocab_is_eog(self._vocab, token):
                    finished[draw] = True
                    continue
                texts[draw] += self._piece(token)
                if end and end in texts[draw]:
                    texts[draw], finished[draw] = texts[draw][: texts[draw].index(end)], True
                elif len(chosen[draw]) < max_tokens:
                    pending.setdefault(chosen[draw], []).append(draw)

        try:
            go_on(self._row(_LOG), draws)
            while pending:
                new = [(begun, some) for begun, some in pending.items() if begun not in known]
                old = [(known[begun], some) for begun, some in pending.items() if begun in known]
                pending.clear()
                for row, some in old:
                    go_on(row, some)
                for start in range(0, len(new), self._wanted_at_once):
                    chunk = new[start : start + self._wanted_at_once]
                    self._decode([self._next_of(begun, some) for begun, some in chunk])
                    for index, (_, some) in enumerate(chunk):
                        go_on(self._logits(index), some)
        finally:
            for draw in draws:
                self._drop(_WORK + draw)
        return [
            Generation(text.decode("utf-8", "replace"), len(tokens), done)
            for text, tokens, done in zip(texts, chosen, finished, strict=True)
        ]

    def _next_of(self, begun: tuple[int, ...], draws: Sequence[int]) -> _Entry:
        """The last token of what some draws have begun alike with, to decode."""
        sequences = [_WORK + draw for draw in draws]
        for sequence in sequences:
            if not self._length[sequence]:
                self._fork_answer(begun, sequence)
        return _Entry(begun[-1], self._length[_LOG] + len(begun) - 1, sequences, True)

    def log_likelihoods(
        self, queries: Sequence[Query], *, at_least: float = -math.inf
    ) -> list[npt.NDArray[np.float64]]:
        """Natural log-probabilities of each answer's tokens, all answers decoded together after the log they share.

        An answer after the log whose whole log-probability is seen to be below ``at_least`` is given up: its later
        tokens are left out, and the sum of the others, being below it too, is the most that it can come to.
        """
        answers: list[list[int]] = []
        for query in queries:
            answers.append(self.tokenize([Piece(query.text)]))
            if not answers[-1]:
                raise CheckError(f"an answer to weigh has no tokens: {query.text[:60]!r}")
        results: list[list[float]] = []
        for start in range(0, len(queries), _PARALLEL):
            part = slice(start, start + _PARALLEL)
            bases = [_LOG if query.given_log else _BLANK for query in queries[part]]
            results += self._weigh(answers[part], bases, at_least)
        return [np.array(result) for result in results]

    def _weigh(
        self, answers: Sequence[list[int]], bases: Sequence[int], at_least: float = -math.inf
    ) -> list[list[float]]:
        if (longest := max(map(len, answers))) > self.n_ctx:
            self._require(longest)  # before its beginnings are gathered, which takes the square of its length
        columns = range(len(answers))
        results: list[list[float]] = [[] for _ in columns]
        # Answers that begin alike share their beginning: a token is decoded once, for all sequences it belongs to, and
        # none that the answer kept from before begins with.
        sharers: dict[_Beginning, list[int]] = {}
        depths: dict[_Beginning, int] = {}  # how far it leads away from what is known
        for column in columns:
            base, answer = bases[column], answers[column]
            if base == _BLANK and self._weighed_ahead and self._weighed_ahead[0] == answer:
                results[column] = list(self._weighed_ahead[1])
                self._used_ahead = len(answer) - 1
                continue
            known = _alike(self._answer, answer) if base == _LOG else 0
            for end in range(known + 1, len(answer)):
                beginning = (base, tuple(answer[:end]))
                sharers.setdefault(beginning, []).append(column)
                depths[beginning] = min(end - known, depths.get(beginning, end))
        self._require(len(sharers))
        rows: dict[_Beginning, _Row] = {(base, ()): self._row(base) for base in set(bases)}
        rows |= {(_LOG, tuple(self._answer[:end])): row for end, row in enumerate(self._answer_rows, 1)}
        first = bases.index(_LOG) if _LOG in bases and not self._answer else None
        kept: list[_Row] = []

        def take() -> None:
            """Read what the rows say, as long as they are there: most are llama.cpp's, until the next batch."""
            while (row := rows.get((_LOG, tuple(self._greedy)))) is not None:
                self._greedy.append(int(np.argmax(row.logits)))
            for column in columns:
                answer, values = answers[column], results[column]
                while len(values) < len(answer) and (row := rows.get((bases[column], tuple(answer[: len(values)])))):
                    values.append(self._log_probability(row, answer[len(values)]))

        def hopeless(column: int) -> bool:
            return bases[column] == _LOG and sum(results[column]) < at_least

        take()
        # Breadth first and in small parts, so that an answer that is given up costs little.
        pending = sorted(sharers, key=depths.__getitem__)
        size = self._wanted_at_once if at_least == -math.inf else min(_WEIGHED_AT_ONCE, self._wanted_at_once)
        try:
            for column in columns:
                if bases[column] == _LOG:
                    self._fork_answer(answers[column], _WORK + column)
                else:
                    self._fork(bases[column], _WORK + column)
            while pending := [some for some in pending if not all(hopeless(column) for column in sharers[some])]:
                chunk, pending = pending[:size], pending[size:]
                self._decode(
                    [
                        _Entry(
                            begun[-1],
                            self._length[base] + len(begun) - 1,
                            [_WORK + column for column in sharers[base, begun]],
                            True,
                        )
                        for base, begun in chunk
                    ]
                )
                rows = {}
                for index, (base, begun) in enumerate(chunk):
                    keep = (
                        first is not None
                        and base == _LOG
                        and len(begun) <= _KEPT_ROWS
                        and first in sharers[base, begun]
                    )
                    rows[base, begun] = self._logits(index, copy=keep)
                    if keep:
                        kept.append(rows[base, begun])
                take()
            if first is not None and kept:
                self._keep_answer(_WORK + first, answers[first][: len(kept)], kept)
        finally:
            for column in columns:
                self._drop(_WORK + column)
        return results

    def _keep_answer(self, source: int, tokens: list[int], rows: list[_Row]) -> None:
        """Keep the first answer after a log: others begin like it, and the instruction may."""
        self._answer, self._answer_rows = tokens, rows
        end = self._length[_LOG] + len(tokens)
        llama_cpp.llama_memory_seq_cp(self._memory, source, _ANSWER, -1, end)
        self._length[_ANSWER], self._own[_ANSWER] = end, len(tokens)

    def _fork_answer(self, answer: Sequence[int], target: int) -> int:
        """Fork the log with what the kept answer has in common with this one. Returns how many tokens that is."""
        known = _alike(self._answer, answer)
        self._fork(_LOG, target)
        if known:
            start = self._length[_LOG]
            llama_cpp.llama_memory_seq_cp(self._memory, _ANSWER, target, start, start + known)
            self._length[target] += known
        return known

    def text_of(self, answer: str) -> list[str]:
        """The texts of an answer's tokens, in order; joined they are the answer, but for characters cut in two."""
        return [self._piece(token).decode("utf-8", "replace") for token in self.tokenize([Piece(answer)])]

    # --- sequences

    def _raise_if_closed(self) -> None:
        if not self._ctx:
            raise CheckError("the engine is closed")

    def _row(self, sequence: int) -> _Row:
        row = self._rows.get(sequence)
        if row is None:
            raise CheckError("the engine was asked to continue a text that was not read")
        return row

    def _fork(self, source: int, target: int) -> None:
        self._raise_if_closed()
        self._drop(target)
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        self._length[target], self._own[target] = self._length[source], 0
        if source in self._rows:
            self._rows[target] = self._rows[source]

    def _drop(self, sequence: int) -> None:
        if self._ctx:
            llama_cpp.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        self._length[sequence] = self._own[sequence] = 0
        self._rows.pop(sequence, None)

    def _forget_log(self) -> None:
        self._drop(_ANSWER)
        self._drop(_LOG)
        self._read_ahead = self._used_ahead = 0
        self._greedy, self._answer, self._answer_rows = [], [], []

    def _forget_ahead(self) -> None:
        self._drop(_AHEAD)
        self._ahead, self._weighed_ahead = [], None

    def _extend(self, sequence: int, tokens: Sequence[int], *, keep_row: bool = True) -> None:
        """Append tokens to a sequence and keep the logits after the last one. A failure drops the sequence."""
        try:
            self._require(len(tokens))
            for start in range(0, len(tokens), self._capacity):
                chunk = tokens[start : start + self._capacity]
                last = keep_row and start + len(chunk) == len(tokens)
                position = self._length[sequence]
                self._decode(
                    [
                        _Entry(token, position + offset, (sequence,), last and offset == len(chunk) - 1)
                        for offset, token in enumerate(chunk)
                    ]
                )
                self._length[sequence] += len(chunk)
                self._own[sequence] += len(chunk)
            if tokens and keep_row:
                self._rows[sequence] = self._logits(len(chunk) - 1, copy=True)
        except CheckError:
            self._drop(sequence)
            raise

    def _refuse_flood(self, pieces: Sequence[Piece]) -> None:
        """Raise for a text so long that it cannot fit, before seconds are spent on its tokens."""
        size = sum(len(piece.text) for piece in pieces)
        if size > _LONGEST_TOKEN * self.n_ctx:
            raise ContextOverflowError(
                f"context overflow: the run has {size} characters, the context holds {self.n_ctx} tokens; "
                "raise n_ctx or describe the run in fewer steps"
            )

    def _require(self, tokens: int) -> None:
        """Raise when ``tokens`` more do not fit beside what the sequences hold (they share their common parts)."""
        if (needed := sum(self._own) + tokens) > self.n_ctx:
            raise ContextOverflowError(
                f"context overflow: the check needs {needed} tokens, the context holds {self.n_ctx}; "
                "raise n_ctx or describe the run in fewer steps"
            )

    def _decode(self, entries: Sequence[_Entry]) -> None:
        """Decode at most one batch of entries."""
        self._raise_if_closed()
        self._switch.raise_if_stopped()
        self._fill(entries)
        if self.batches is not None:
            self.batches.append((len(entries), sum(entry.wanted for entry in entries)))
        code = llama_cpp.llama_decode(self._ctx, self._batch)
        if self._offloaded:
            llama_cpp.llama_synchronize(self._ctx)  # it returns before a GPU has done its work
        self.decoded_tokens += len(entries)
        if code == 2:
            self._switch.raise_if_stopped()
        if code == 1:
            raise ContextOverflowError(f"context overflow: no free cells among {self.n_ctx}; raise n_ctx")
        if code != 0:
            raise CheckError(f"llama.cpp failed to decode {len(entries)} tokens (code {code})")

    def _fill(self, entries: Sequence[_Entry]) -> None:
        batch = self._batch
        for index, entry in enumerate(entries):
            self._tokens[index] = entry.token
            self._positions[index] = entry.position
            self._wanted[index] = entry.wanted
            self._sharers[index] = len(entry.sequences)
            for place, sequence in enumerate(entry.sequences):
                batch.seq_id[index][place] = sequence
        batch.n_tokens = len(entries)

    def _logits(self, index: int, *, copy: bool = False) -> _Row:
        pointer = llama_cpp.llama_get_logits_ith(self._ctx, index)
        if not pointer:
            raise CheckError(f"llama.cpp gave no logits for token {index} of the batch")
        row = np.ctypeslib.as_array(pointer, (self._n_vocab,))
        if copy:
            row = row.copy()
        peak = float(row.max())
        norm = peak + float(np.log(np.exp(row - np.float32(peak)).sum(dtype=np.float64)))
        if not np.isfinite(norm):
            raise CheckError("the model's output is not a number: its weights may be corrupt")
        return _Row(row, norm)

    @staticmethod
    def _log_probability(row: _Row, token: int) -> float:
        return float(row.logits[token]) - row.norm

    # --- measuring

    def seconds_of(self, batches: Sequence[tuple[int, int]]) -> float:
        """What llama.cpp itself takes for batches of so many tokens, and so many logits wanted, after the prefix.

        The log that was read is dropped, and what was read ahead.
        """
        self._forget_log()
        self._forget_ahead()
        self._fork(_PREFIX, _WORK)
        position = self._length[_WORK]
        seconds = 0.0
        for tokens, wanted in batches:
            end = position + tokens
            self._fill([_Entry(at % self._n_vocab, at, (_WORK,), at >= end - wanted) for at in range(position, end)])
            started = time.perf_counter()
            code = llama_cpp.llama_decode(self._ctx, self._batch)
            llama_cpp.llama_synchronize(self._ctx)
            seconds += time.perf_counter() - started
            if code:
                raise CheckError(f"llama.cpp failed to decode {tokens} tokens (code {code})")
            position = end
        self._drop(_WORK)
        return seconds

    # --- stopping

    def deadline(self, seconds: float | None) -> AbstractContextManager[None]:
        """Bound everything inside to ``seconds`` of wall time; None for no bound.

        Inside, DeadlineError is raised when the time is over, and CancelledError after :meth:`interrupt`. What was
        read of the run is dropped, the prefix is kept.
        """
        return self._switch.deadline(seconds)

    def interrupt(self) -> None:
        """Stop the check that runs and refuse others until :meth:`resume`. From any thread."""
        self._switch.interrupt()

    def resume(self) -> None:
        """Allow checks again after :meth:`interrupt`."""
        self._switch.resume()
