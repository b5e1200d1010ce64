"""Is this a whole GGUF file? Reads the header alone, and trusts nothing in it.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. llama.cpp checks the same and more when it
loads a model, but to its caller it says only that loading failed.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import BinaryIO

from flip_edge.errors import ModelError

_STRING, _ARRAY = 8, 9
_UINT32 = 4
_VALUE_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_MAX_KEY = 65_535
_MAX_NAME = 64
_MAX_DIMS = 4

# ggml type -> (elements in a block, bytes of a block)
_BLOCKS = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    9: (32, 36),  # Q8_1
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    15: (256, 292),  # Q8_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    24: (1, 1),  # I8
    25: (1, 2),  # I16
    26: (1, 4),  # I32
    27: (1, 8),  # I64
    28: (1, 8),  # F64
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
    34: (256, 54),  # TQ1_0
    35: (256, 66),  # TQ2_0
    39: (32, 17),  # MXFP4
    40: (64, 36),  # NVFP4
    41: (128, 18),  # Q1_0
}


class _GarbageError(Exception):
    """What the header says cannot be; the text says why."""


def check_gguf(path: Path) -> dict[str, str]:
    """Check that a file is GGUF, of a version that llama.cpp reads, and not cut short.

    The weights themselves are not looked at: only a SHA-256 finds a flipped byte in them.

    Returns:
        What the file says of itself to flip_edge: its ``flip_edge.*`` texts, by key.

    Raises:
        ModelError: it is not; the message names the file, what is wrong and what to do.
    """
    remedy = "copy or download the file again, or use a model of the registry (`flip-edge models list`)"
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _Header(file, size)
            end = header.data_end()
    except _GarbageError as error:
        raise ModelError(f"{path} is not a usable GGUF file: {error}; {remedy}") from None
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}; check it") from error
    if end > size:
        raise ModelError(f"{path} is truncated: it has {size:,} bytes and its header promises {end:,}; {remedy}")
    return header.texts


class _Header:
    """Walks through a GGUF header; believes no length that is more than what is left of the file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size
        self._position = 0
        self.texts: dict[str, str] = {}

    def data_end(self) -> int:
        """The least size that the file must have for its tensors to be whole."""
        if (magic := self._read(4)) != b"GGUF":
            raise _GarbageError(f"it starts with {magic!r}, not with b'GGUF'")
        self._check_version(self._number("<I"))
        tensors, pairs = self._number("<Q"), self._number("<Q")
        self._check_room(pairs, 8 + 4 + 1, "metadata entries")
        alignment = 32
        for _ in range(pairs):
            key = self._string(_MAX_KEY)
            if not key:
                raise _GarbageError("it has a metadata entry without a name")
            kind = self._number("<I")
            if key == b"tokenizer.ggml.tokens":
                self._distinct(kind)
            elif key == b"general.alignment":
                alignment = self._alignment(kind)
            elif key.startswith(b"flip_edge.") and kind == _STRING:
                self.texts[key.decode("utf-8", "replace")] = self._string(_MAX_KEY).decode("utf-8", "replace")
            else:
                self._skip_value(kind)
        if not tensors:
            raise _GarbageError("it holds no tensors, so it is not a model")
        self._check_room(tensors, 8 + 4 + 4 + 8, "tensors")
        ends = [self._tensor_end() for _ in range(tensors)]
        start = -(-self._position // alignment) * alignment
        return start + max(ends)

    def _check_version(self, version: int) -> None:
        if version and not version & 0xFFFF:
            raise _GarbageError("it was written for machines with the other byte order")
        if version not in (2, 3):
            raise _GarbageError(f"its GGUF version is {version}; versions 2 and 3 can be read")

    def _alignment(self, kind: int) -> int:
        value = self._number("<I") if kind == _UINT32 else 0
        if not value or value & (value - 1):
            raise _GarbageError("its alignment is not a power of two")
        return value

    def _tensor_end(self) -> int:
        """Where a tensor's data ends, counted from the start of all data."""
        self._string(_MAX_NAME)
        dims = self._number("<I")
        if dims > _MAX_DIMS:
            raise _GarbageError(f"a tensor has {dims} dimensions")
        shape = [self._number("<q") for _ in range(dims)]
        kind = self._number("<I")
        offset = self._number("<Q")
        if any(extent < 0 for extent in shape):
            raise _GarbageError(f"a tensor has the shape {shape}")
        # llama.cpp may know types that are newer than this table: of them only the start is checked.
        elements, size = _BLOCKS.get(kind, (1, 0))
        if shape and shape[0] % elements:
            raise _GarbageError(f"a tensor has rows of {shape[0]}, not a multiple of its blocks of {elements}")
        return offset + math.prod(shape) // elements * size

    def _skip_value(self, kind: int) -> None:
        if kind == _STRING:
            self._skip(self._number("<Q"))
        elif kind == _ARRAY:
            inner, count = self._number("<I"), self._number("<Q")
            if inner == _STRING:
                self._check_room(count, 8, "texts")
                for _ in range(count):
                    self._skip(self._number("<Q"))
            else:
                self._skip(count * self._value_bytes(inner))
        else:
            self._skip(self._value_bytes(kind))

    def _distinct(self, kind: int) -> None:
        """llama.cpp aborts the process over a vocabulary in which a token stands twice."""
        if kind != _ARRAY or self._number("<I") != _STRING:
            raise _GarbageError("its vocabulary is not a list of texts")
        count = self._number("<Q")
        self._check_room(count, 8, "tokens")
        if len({self._read(self._number("<Q")) for _ in range(count)}) != count:
            raise _GarbageError("a token stands twice in its vocabulary")

    def _value_bytes(self, kind: int) -> int:
        if kind not in _VALUE_BYTES:
            raise _GarbageError(f"its metadata has a value of the unknown type {kind}")
        return _VALUE_BYTES[kind]

    def _check_room(self, count: int, least: int, what: str) -> None:
        if count * least > self._left:
            raise _GarbageError(f"its header announces {count:,} {what}, and only {self._left:,} bytes follow")

    def _string(self, longest: int) -> bytes:
        length = self._number("<Q")
        if length > longest:
            raise _GarbageError(f"it has a name of {length:,} bytes")
        return self._read(length)

    def _number(self, form: str) -> int:
        value: int = struct.unpack(form, self._read(struct.calcsize(form)))[0]
        return value

    def _take(self, count: int) -> None:
        if count > self._left:
            raise _GarbageError(f"its {self._position + self._left:,} bytes end inside its header")
        self._left -= count
        self._position += count

    def _read(self, count: int) -> bytes:
        self._take(count)
        data = self._file.read(count)
        if len(data) != count:
            raise _GarbageError("it became shorter while it was read")
        return data

    def _skip(self, count: int) -> None:
        self._take(count)
        self._file.seek(self._position)
