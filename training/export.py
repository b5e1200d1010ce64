"""Write an adapter for llama.cpp: ``python -m training.export DIR -o adapter.gguf``.

The tensors are float16. In GGUF files of the llama architecture the rows of Q and K lie in another order (rotary pairs
side by side), and so must those of their adapters. As in llama.cpp's ``convert_lora_to_gguf.py``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from flip_edge.errors import FlipEdgeError, InputError
from flip_edge.models import resolve, verify
from training.checkpoint import OPTIONS_FILE, sha256
from training.model import ADAPTER_FILE

LARGEST = 20_000_000  # bytes; what ships in models/

Floats = npt.NDArray[np.float32]

_ARCHITECTURE = "llama"
_MATRICES = ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down")
_NAME = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<which>[AB])\.weight")


@dataclass(frozen=True)
class _Base:
    """What must be known of the model that the adapter is for."""

    architecture: str
    blocks: int
    heads: int
    key_heads: int
    shapes: dict[str, tuple[int, int]]  # (inputs, outputs) of every matrix

    @classmethod
    def read(cls, path: Path) -> _Base:
        reader = gguf.GGUFReader(path)

        def value(key: str) -> Any:
            field = reader.get_field(key)
            if field is None:
                raise InputError(f"{path} does not say its {key}")
            return field.contents()

        architecture = str(value("general.architecture"))
        if architecture != _ARCHITECTURE:
            raise InputError(f"{path} is of the architecture {architecture!r}; only {_ARCHITECTURE!r} can be exported")
        shapes = {
            tensor.name: (int(tensor.shape[0]), int(tensor.shape[1]))
            for tensor in reader.tensors
            if len(tensor.shape) == 2
        }
        return cls(
            architecture,
            int(value(f"{architecture}.block_count")),
            int(value(f"{architecture}.attention.head_count")),
            int(value(f"{architecture}.attention.head_count_kv")),
            shapes,
        )

    def rotating_heads(self, matrix: str) -> int:
        """The heads whose rows lie in another order in a matrix; 0 where none do."""
        return {"attn_q": self.heads, "attn_k": self.key_heads}.get(matrix.rpartition(".")[2], 0)


def export(folder: Path, target: Path, *, model: str | None = None) -> int:
    """Write the adapter of a training run as GGUF and return its size in bytes.

    Args:
        folder: of the run.
        target: the file to write; it is whole or not there.
        model: the model it was trained for, by registry id or path; None for the one that the run names.

    Raises:
        InputError: there is no adapter, it does not fit the model, or it is larger than what ships.
    """
    config, tensors, options = read_run(folder)
    file = resolve(model or options["model"])
    verify(file)
    if options.get("model_sha256", own := sha256(file.path)) != own:
        raise InputError(f"the adapter in {folder} was trained for another model than {file.path}")
    base = _Base.read(file.path)
    part = target.with_name(target.name + ".part")
    writer = gguf.GGUFWriter(part, base.architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(config["lora_alpha"]))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    # For people, and for whoever checks that an adapter meets its own model and prompt.
    writer.add_string("flip_edge.model", file.id)
    writer.add_string("flip_edge.model_sha256", own)
    writer.add_string("flip_edge.prompt", str(options.get("prompt", "")))
    try:
        for name, values in _converted(tensors, base):
            writer.add_tensor(name, values.astype(np.float16))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        size = part.stat().st_size
        if size > LARGEST:
            raise InputError(
                f"the adapter has {size / 1e6:.1f} MB, and {LARGEST / 1e6:.0f} MB may ship; lower its rank"
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return size


def read_run(folder: Path) -> tuple[dict[str, Any], dict[str, Floats], dict[str, Any]]:
    """The adapter of a training run: PEFT's configuration, the tensors, and the run's options.

    Raises:
        InputError: there is none, or it is a variant of LoRA that llama.cpp does not know.
    """
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        options_file = folder / OPTIONS_FILE
        options = json.loads(options_file.read_text(encoding="utf-8")) if options_file.is_file() else {}
        tensors = load_file(folder / ADAPTER_FILE)
    except (OSError, ValueError) as error:
        raise InputError(f"no adapter in {folder}: {error}; give the folder of a training run") from None
    if config.get("use_rslora") or config.get("use_dora") or config.get("rank_pattern") or config.get("alpha_pattern"):
        raise InputError(f"{folder} holds a variant of LoRA that llama.cpp does not know; train with training.train")
    return config, tensors, {"model": "default", **options}


def _converted(tensors: dict[str, Floats], base: _Base) -> Iterator[tuple[str, Floats]]:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, base.blocks)
    for name in sorted(tensors):
        found = _NAME.fullmatch(name)
        own = names.get_name(found["module"]) if found else None
        if not found or own is None or f"{own}.weight" not in base.shapes:
            raise InputError(f"the adapter has a tensor that the model has no place for: {name}")
        values = tensors[name].astype(np.float32)
        inputs, outputs = base.shapes[f"{own}.weight"]
        first = found["which"] == "A"
        if (values.shape[1] if first else values.shape[0]) != (inputs if first else outputs):
            raise InputError(f"{name} has the shape {values.shape}, the model's matrix is {outputs} x {inputs}")
        if not first and (heads := base.rotating_heads(own)):
            values = permuted(values, heads)
        yield f"{own}.weight.lora_{found['which'].lower()}", values


def read_exported(adapter: Path, model: Path) -> dict[str, Floats]:
    """The tensors of an exported adapter by the names that PEFT gives them, to go on training with.

    Args:
        adapter: the GGUF file.
        model: the GGUF file of the model it is for.

    Raises:
        InputError: it is no adapter, or one for another model.
    """
    base = _Base.read(model)
    stored = {tensor.name: tensor for tensor in _opened(adapter).tensors}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, base.blocks)
    modules = {
        names.get_name(module): module
        for block in range(base.blocks)
        for module in (f"model.layers.{block}.{matrix}_proj" for matrix in _MATRICES)
    }
    found = {}
    for name, tensor in stored.items():
        own, _, which = name.partition(".weight.lora_")
        if own not in modules or which not in ("a", "b") or f"{own}.weight" not in base.shapes:
            raise InputError(f"{adapter} has a tensor that {model} has no place for: {name}")
        values = np.array(tensor.data, dtype=np.float32)
        if which == "b" and (heads := base.rotating_heads(own)):
            values = permuted_back(values, heads)
        found[f"base_model.model.{modules[own]}.lora_{which.upper()}.weight"] = values
    return found


def exported_options(adapter: Path) -> dict[str, Any]:
    """What an exported adapter says of itself, in the words of a run's options: rank, alpha, model and prompt.

    Raises:
        InputError: it is no GGUF file, or it does not say all of that.
    """
    reader = _opened(adapter)
    keys = {
        "alpha": gguf.Keys.Adapter.LORA_ALPHA,
        "model_sha256": "flip_edge.model_sha256",
        "prompt": "flip_edge.prompt",
    }
    fields = {name: reader.get_field(key) for name, key in keys.items()}
    ranks = {int(tensor.shape[1]) for tensor in reader.tensors if tensor.name.endswith(".lora_a")}
    if len(ranks) != 1 or any(field is None for field in fields.values()):
        raise InputError(f"{adapter} is no adapter of training.export")
    return {"rank": ranks.pop()} | {name: field.contents() for name, field in fields.items() if field}


def _opened(adapter: Path) -> gguf.GGUFReader:
    try:
        return gguf.GGUFReader(adapter)
    except (OSError, ValueError) as error:
        raise InputError(f"{adapter} is no GGUF file: {error}") from None


def permuted_back(rows: Floats, heads: int) -> Floats:
    """What :func:`permuted` was given.

    >>> permuted_back(permuted(np.arange(8, dtype=np.float32)[:, None], 2), 2)[:, 0].tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    """
    pairs = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(rows.shape))


def permuted(rows: Floats, heads: int) -> Floats:
    """Rows of Q or K as llama.cpp has them: of each head, the halves that rotate together taking turns.

    >>> permuted(np.arange(8, dtype=np.float32)[:, None], 2)[:, 0].tolist()
    [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]
    """
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows.shape))


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.export", description="Write the adapter of a training run for llama.cpp."
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder of the run")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="ADAPTER.gguf")
    parser.add_argument("--model", help="the model it is for, if not the one that the run names")
    arguments = parser.parse_args(argv)
    try:
        size = export(arguments.folder, arguments.output, model=arguments.model)
    except (FlipEdgeError, OSError) as error:
        print(f"python -m training.export: error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.output}: {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
