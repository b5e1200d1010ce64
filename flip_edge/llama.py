"""llama.cpp: a loaded model, and sequences of tokens that share its memory. The only module that uses it.

What is read and asked of a robot's runs is in :mod:`flip_edge.engine`.
"""

from __future__ import annotations

import collections
import ctypes
import logging
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
from flip_edge.prompts import Piece
from flip_edge.stopping import StopSwitch

_BATCH, _BATCH_OFFLOADED = 512, 128  # on a GPU a deadline is heard between batches only
# On the CPU a batch is computed in parts: no slower (SmolLM2-135M, 32 against 512), with less memory, and a deadline
# is heard between the nodes of a graph only, the longest of which is the vocabulary for the rows that are wanted.
_PART, _WANTED_AT_ONCE = 32, 16
_LONGEST_TOKEN = 64  # characters; a text with more of them than this for every token of the context cannot fit

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
class Entry:
    """A token to decode: where it stands, which sequences share it, whether the logits after it are wanted."""

    token: int
    position: int
    sequences: Sequence[int]
    wanted: bool


@dataclass(frozen=True)
class Row:
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


def _model_params() -> Any:
    params = llama_cpp.llama_model_default_params()
    if "AMX_INT8 = 1" in system_info():
        # llama.cpp's products with AMX tiles crash on many machines (ggml-org/llama.cpp issue 20824, pull request
        # 26954; seen with llama-cpp-python 0.3.36, built there). They are made of weights in extra buffers alone.
        params.use_extra_bufts = False
    return params


def ordinary(path: Path, *, n_ctx: int, n_threads: int, **options: Any) -> Any:
    """The ordinary interface of llama-cpp-python on a model, to compare with; ``options`` as for ``Llama``."""
    library = llama_cpp.llama_cpp  # where Llama looks its functions up; it has no option for this one
    library.llama_model_default_params = _model_params
    try:
        return llama_cpp.Llama(
            str(path), n_ctx=n_ctx, n_threads=n_threads, n_threads_batch=n_threads, verbose=False, **options
        )
    finally:
        library.llama_model_default_params = llama_cpp.llama_model_default_params


class Context:
    """A model with a context, whose memory is that of numbered sequences of tokens.

    Sequences that were forked share the memory of what they have in common. For an engine to build on; its members
    with an underscore are for that engine.

    Args:
        sequences: how many there are.
        sharers: how many of them one token may belong to when it is decoded.

    The other arguments, and what is raised: as for :class:`flip_edge.engine.Engine`.
    """

    def __init__(
        self,
        path: Path,
        *,
        sequences: int,
        sharers: int,
        n_ctx: int,
        n_threads: int,
        n_gpu_layers: int,
        check_tensors: bool,
        adapter: Path | None,
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
        self._load(n_gpu_layers, check_tensors, sequences)
        if adapter:
            self._apply(adapter)
        self._memory = llama_cpp.llama_get_memory(self._ctx)
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._n_vocab = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._open_batch(sharers)
        self._wanted_at_once = self._capacity if self._offloaded else _WANTED_AT_ONCE
        self._length = [0] * sequences
        self._own = [0] * sequences  # how many of its tokens a sequence does not share with the one it was forked from
        self._rows: dict[int, Row] = {}
        self.decoded_tokens = 0  # since this was made
        self.batches: list[tuple[int, int]] | None = None  # decoded since it was made a list: tokens, and logits wanted
        self._switch = StopSwitch()
        llama_cpp.llama_set_abort_callback(self._ctx, _STRLEN, self._switch.address)

    # --- loading and freeing

    def _load(self, n_gpu_layers: int, check_tensors: bool, sequences: int) -> None:
        if not self.path.is_file():
            raise ModelError(f"no model file at {self.path}; fetch one with: flip-edge models pull")
        _complaints.clear()
        llama_cpp.llama_backend_init()
        model_params = _model_params()
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
        params.n_seq_max = sequences
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

    def _open_batch(self, sharers: int) -> None:
        self._capacity = int(llama_cpp.llama_n_batch(self._ctx))
        self._batch = llama_cpp.llama_batch_init(self._capacity, 0, sharers)
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

    def _ends(self, token: int) -> bool:
        """Whether the model ends a text with this token."""
        return bool(llama_cpp.llama_vocab_is_eog(self._vocab, token))

    # --- sequences

    def _raise_if_closed(self) -> None:
        if not self._ctx:
            raise CheckError("the engine is closed")

    def _row(self, sequence: int) -> Row:
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

    def _clear(self) -> None:
        """Forget all sequences."""
        self._raise_if_closed()
        llama_cpp.llama_memory_clear(self._memory, True)
        for sequence in range(len(self._length)):
            self._drop(sequence)

    def _share(self, source: int, target: int, begin: int, end: int) -> None:
        """Have a sequence that ends at ``begin`` go on like another one, from there to ``end``."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, begin, end)
        self._length[target] = end

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
                        Entry(token, position + offset, (sequence,), last and offset == len(chunk) - 1)
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

    def _decode(self, entries: Sequence[Entry]) -> None:
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

    def _fill(self, entries: Sequence[Entry]) -> None:
        batch = self._batch
        for index, entry in enumerate(entries):
            self._tokens[index] = entry.token
            self._positions[index] = entry.position
            self._wanted[index] = entry.wanted
            self._sharers[index] = len(entry.sequences)
            for place, sequence in enumerate(entry.sequences):
                batch.seq_id[index][place] = sequence
        batch.n_tokens = len(entries)

    def _logits(self, index: int, *, copy: bool = False) -> Row:
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
        return Row(row, norm)

    @staticmethod
    def _log_probability(row: Row, token: int) -> float:
        return float(row.logits[token]) - row.norm

    def _timed(self, entries: Sequence[Entry]) -> float:
        """How many seconds llama.cpp takes to decode a batch of entries; no deadline is heard between batches."""
        self._raise_if_closed()
        self._fill(entries)
        started = time.perf_counter()
        code = llama_cpp.llama_decode(self._ctx, self._batch)
        llama_cpp.llama_synchronize(self._ctx)
        seconds = time.perf_counter() - started
        if code:
            raise CheckError(f"llama.cpp failed to decode {len(entries)} tokens (code {code})")
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
