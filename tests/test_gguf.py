import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flip_edge.errors import ModelError
from flip_edge.gguf import check_gguf

F32, Q8_0, FUTURE_TYPE = 0, 8, 999


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(shape: tuple[int, ...], kind: int, offset: int, name: str = "w") -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}qIQ", len(shape), *shape, kind, offset)


PAIRS = [
    pair("general.architecture", 8, text("llama")),
    pair("general.alignment", 4, struct.pack("<I", 64)),
    pair("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("bc")),
    pair("tokenizer.ggml.scores", 9, struct.pack("<IQ2f", 6, 2, 0.5, 0.5)),
    pair("llama.rope.scale", 12, struct.pack("<d", 1.0)),
]
TENSORS = [
    tensor((32, 2), Q8_0, 0, "a"),
    tensor((16,), F32, 128, "b"),
]  # 68 bytes, padding to 128, then 64 bytes


def gguf(
    version: int = 3,
    pairs: list[bytes] = PAIRS,
    tensors: list[bytes] = TENSORS,
    counts: tuple[int, int] | None = None,
    data: int = 192,
    alignment: int = 64,
) -> bytes:
    counted = counts or (len(tensors), len(pairs))
    header = b"GGUF" + struct.pack("<IQQ", version, *counted) + b"".join(pairs) + b"".join(tensors)
    return header + bytes(-len(header) % alignment) + bytes(data)


WHOLE = gguf()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf") / "model.gguf"


@pytest.mark.parametrize(
    "content",
    [
        WHOLE,
        gguf(version=2),
        WHOLE + bytes(64),  # padding at the end
        gguf(pairs=[], tensors=[tensor((32,), F32, 0)], data=128, alignment=32),
        gguf(tensors=[tensor((32,), FUTURE_TYPE, 0)], data=8),
    ],
)
def test_accepts_what_is_whole(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    check_gguf(file)


def test_any_cut_is_found(file: Path) -> None:
    for length in range(len(WHOLE)):
        file.write_bytes(WHOLE[:length])
        with pytest.raises(ModelError, match=r"model\.gguf .*(truncated|end inside|starts with|follow)"):
            check_gguf(file)


def test_a_cut_in_the_weights_says_how_much_is_missing(file: Path) -> None:
    file.write_bytes(WHOLE[:-1])
    with pytest.raises(ModelError) as raised:
        check_gguf(file)
    assert f"has {len(WHOLE) - 1:,} bytes and its header promises {len(WHOLE):,}" in str(raised.value)
    assert "flip-edge models list" in str(raised.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "end inside its header"),
        (b"PK\x03\x04" + bytes(500), "starts with"),
        (b"<!DOCTYPE html><html>404</html>", "starts with"),
        (gguf(version=1), "version is 1"),
        (gguf(version=4), "version is 4"),
        (gguf(version=0), "version is 0"),
        (gguf(version=3 << 24), "other byte order"),
        (gguf(pairs=[], tensors=[]), "no tensors"),
        (gguf(counts=(2**64 - 1, 0), pairs=[]), "18,446,744,073,709,551,615 tensors"),
        (gguf(counts=(1, 2**63)), "metadata entries"),
        (gguf(pairs=[pair("x", 8, struct.pack("<Q", 2**62))]), "end inside its header"),
        (gguf(pairs=[pair("x", 9, struct.pack("<IQ", 8, 2**61))]), "texts"),
        (gguf(pairs=[pair("x", 9, struct.pack("<IQ", 10, 2**63))]), "end inside its header"),
        (gguf(pairs=[pair("x", 9, struct.pack("<IQ", 9, 1))]), "unknown type 9"),
        (gguf(pairs=[pair("x", 13, b"")]), "unknown type 13"),
        (gguf(pairs=[pair("", 0, b"0")]), "without a name"),
        (gguf(pairs=[pair("x" * 70_000, 0, b"0")]), "name of 70,000 bytes"),
        (gguf(pairs=[pair("general.alignment", 4, struct.pack("<I", 48))]), "power of two"),
        (gguf(pairs=[pair("general.alignment", 4, bytes(4))]), "power of two"),
        (gguf(pairs=[pair("general.alignment", 8, text("32"))]), "power of two"),
        (gguf(tensors=[tensor((2,) * 5, F32, 0)]), "5 dimensions"),
        (gguf(tensors=[tensor((-32,), F32, 0)]), "shape"),
        (gguf(tensors=[tensor((33,), Q8_0, 0)]), "rows of 33"),
        (gguf(tensors=[tensor((2**62,) * 4, F32, 0)]), "truncated"),
        (gguf(tensors=[tensor((1,), F32, 2**64 - 1)]), "truncated"),
    ],
)
def test_garbage_is_named(file: Path, content: bytes, reason: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        check_gguf(file)


@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_are_only_ever_a_model_error(file: Path, content: bytes, with_magic: bool) -> None:
    file.write_bytes(b"GGUF\x03\0\0\0" + content if with_magic else content)
    with pytest.raises(ModelError):
        check_gguf(file)


@given(st.integers(0, len(WHOLE) - 200), st.binary(min_size=1, max_size=8))
def test_overwritten_headers_are_only_ever_a_model_error(file: Path, at: int, patch: bytes) -> None:
    file.write_bytes(WHOLE[:at] + patch + WHOLE[at + len(patch) :])
    with contextlib.suppress(ModelError):  # some patches leave a header that is good
        check_gguf(file)


def test_what_cannot_be_opened_is_a_model_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.gguf"):
        with pytest.raises(ModelError, match="cannot read the model"):
            check_gguf(path)
