"""The model to train: the GGUF of the robot, de-quantized and frozen, with a LoRA adapter on its linear layers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Everything comes from files that are here; nothing may wait for a network that is not.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import numpy.typing as npt
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from flip_edge.errors import InputError, ModelError
from training.packing import Branching, Packed, pack

DTYPES = ("float32", "bfloat16")
ADAPTER_FILE = "adapter_model.safetensors"


@dataclass(frozen=True)
class Lora:
    """The shape of an adapter: its rank, the factor ``alpha / rank`` on it, and dropout before it while it learns."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0


def best_dtype(device: str) -> str:
    """bfloat16 where it is multiplied in hardware (on a processor three times as fast), else float32."""
    return "bfloat16" if device != "cpu" or torch.cpu._is_avx512_bf16_supported() else "float32"


def load_model(gguf: Path, lora: Lora, *, dtype: str = "float32", device: str = "cpu") -> Any:
    """The model of a GGUF file, frozen, with a fresh adapter that changes nothing yet.

    Args:
        gguf: a file that transformers can de-quantize.
        lora: the adapter's shape.
        dtype: of the frozen linear layers. The adapter, the norms and the residual stream stay in float32.
        device: where to train.

    Raises:
        ModelError: transformers cannot load it.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        base = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise ModelError(f"transformers cannot de-quantize {gguf}: {error}") from error
    head = base.get_output_embeddings()
    for module in base.modules():
        if isinstance(module, torch.nn.Linear) and module is not head:
            module.to(getattr(torch, dtype))
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(base, config)
    for parameter in adapter_parameters(model):
        parameter.data = parameter.data.float()
    return model.to(device)


def adapter_parameters(model: Any) -> list[Any]:
    """The tensors that are trained."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def adapter_state(model: Any) -> dict[str, Any]:
    """Copies of the adapter's tensors by their names."""
    return {
        name: parameter.detach().cpu().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def set_adapter_state(model: Any, state: dict[str, Any]) -> None:
    """Put tensors from :func:`adapter_state` in place.

    Raises:
        InputError: they are of an adapter of another shape or for another model.
    """
    own = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if {name: tensor.shape for name, tensor in own.items()} != {name: tensor.shape for name, tensor in state.items()}:
        raise InputError("the adapter to start from has another shape or is for another model")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state[name])


def adapter_file(place: Path) -> Path:
    """The file with the adapter: an exported one itself, else that in the folder of a run."""
    return place if place.is_file() else place / ADAPTER_FILE


def load_adapter(model: Any, folder: Path) -> None:
    """Start from a trained adapter.

    Raises:
        InputError: there is none, or it does not fit.
    """
    file = folder / ADAPTER_FILE
    if not file.is_file():
        raise InputError(f"no adapter in {folder}: {ADAPTER_FILE} is missing; give the folder of a training run")
    set_adapter_state(model, parameters_of(load_file(file)))


def parameters_of(tensors: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, Any]:
    """An adapter's tensors by the names that they have in the model, from those that PEFT writes."""
    return {name.replace(".weight", ".default.weight"): torch.from_numpy(tensors[name]) for name in tensors}


def save_adapter(model: Any, folder: Path, base: str) -> None:
    """Write the adapter as PEFT does: ``adapter_config.json`` and ``adapter_model.safetensors``."""
    assert isinstance(model, PeftModel)
    model.peft_config["default"].base_model_name_or_path = base
    # Without False, PEFT asks a hub whether the vocabulary has grown.
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's form of a model card, all blanks


class Scorer:
    """Mean log-likelihoods of answers, in nats per token, as rule ``likelihood`` means them.

    Args:
        model: from :func:`load_model`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        base = model.get_base_model()
        self._body, self._head = base.get_decoder(), base.get_output_embeddings()
        weights = [module.weight for module in self._body.modules() if isinstance(module, torch.nn.Linear)]
        self._device = weights[0].device
        self._mixed = any(weight.dtype == torch.bfloat16 for weight in weights)

    def __call__(self, texts: Sequence[Branching]) -> Any:
        """One number for each answer of each text, in order; a tensor that gradients flow through."""
        return self.with_confirmations(texts)[0]

    def with_confirmations(self, texts: Sequence[Branching]) -> tuple[Any, Any]:
        """The same, and the log-likelihoods of what says whether an answer is right, of those that have it in order."""
        packed = pack(texts)
        found = self.token_log_likelihoods(packed)
        confirms, owners = self._tensor(packed.confirmations), self._tensor(packed.owners)
        total = torch.zeros(len(packed.lengths), device=self._device)
        of_answers = total.index_add(0, owners, found.masked_fill(confirms, 0.0))
        # Texts are laid out the longest first.
        return of_answers / self._tensor(packed.lengths), found[confirms][owners[confirms].argsort()]

    def without_adapter(self, texts: Sequence[Branching]) -> Any:
        """What a call returns, from the frozen model; a constant."""
        with torch.no_grad(), self._model.disable_adapter():
            return self(texts)

    def token_log_likelihoods(self, packed: Packed) -> Any:
        """Of every answer's tokens, in the order of ``packed.targets``."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._mixed):
            hidden = self._body(
                input_ids=self._tensor(packed.tokens),
                attention_mask=self._tensor(packed.mask),
                position_ids=self._tensor(packed.positions),
                use_cache=False,
            ).last_hidden_state
            # The head is a fifth of the model: it is asked only where an answer's token follows.
            logits = self._head(hidden.flatten(0, 1).index_select(0, self._tensor(packed.sources)))
        targets = self._tensor(packed.targets)
        return -torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")

    def _tensor(self, array: Any) -> Any:
        return torch.from_numpy(array).to(self._device)
