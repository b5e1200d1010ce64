"""A tiny model of the llama architecture with the default model's vocabulary, and rows to train it on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training.prepare import Options, rows

DATA = Path(__file__).parent / "data"
LAYERS, WIDTH, HEADS, KEY_HEADS, HIDDEN = 2, 64, 4, 2, 96


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    made = rows(Options(data=DATA, limit=16, sources=("synthetic",)))
    file.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    """Random weights in float32, so that nothing but the adapter's float16 is between llama.cpp and transformers."""
    gguf = pytest.importorskip("gguf")
    reader = gguf.GGUFReader(model_path)
    file = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    for key, found in reader.fields.items():
        if key.startswith("tokenizer."):
            inner = found.types[-1] if len(found.types) > 1 else None
            writer.add_key_value(key, found.contents(), found.types[0], inner)
    writer.add_block_count(LAYERS)
    writer.add_context_length(1024)
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
