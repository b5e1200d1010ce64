"""Checkpoints of a training run: all that it takes to go on as if nothing had happened."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from flip_edge.errors import ConfigError, InputError
from flip_edge.models import sha256_of
from training.model import adapter_state, save_adapter, set_adapter_state

STATE_FILE, LOG_FILE, OPTIONS_FILE = "checkpoint.pt", "log.jsonl", "options.json"


@dataclass
class Run:
    """A training run in its folder.

    Attributes:
        folder: where its files are.
        options: what makes it this run; a run goes on with the same only.
        model: with the adapter.
        optimizer: of the adapter.
        step: steps done.
    """

    folder: Path
    options: dict[str, Any]
    model: Any
    optimizer: Any
    step: int = 0

    def begin(self) -> None:
        """Make the folder.

        Raises:
            ConfigError: there is a run in it.
        """
        if (self.folder / STATE_FILE).exists():
            raise ConfigError(f"{self.folder} holds a training run; go on with --resume, or use another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / OPTIONS_FILE).write_text(json.dumps(self.options, indent=2) + "\n", encoding="utf-8")
        (self.folder / LOG_FILE).write_text("", encoding="utf-8")

    def save(self) -> None:
        """Write a checkpoint, whole or not at all, and the adapter as it is now."""
        state = {
            "step": self.step,
            "options": self.options,
            "adapter": adapter_state(self.model),
            "optimizer": self.optimizer.state_dict(),
            "generator": torch.get_rng_state(),
            "device_generators": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        part = self.folder / (STATE_FILE + ".part")
        torch.save(state, part)
        part.replace(self.folder / STATE_FILE)
        save_adapter(self.model, self.folder, self.options["model"])

    def resume(self) -> None:
        """Go on where the last checkpoint was made; what was logged after it is forgotten.

        Raises:
            InputError: there is no checkpoint, or it cannot be read.
            ConfigError: it is of a run with other options; the message names them.
        """
        file = self.folder / STATE_FILE
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise InputError(f"nothing to resume: {file} is missing; train without --resume") from None
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise InputError(f"cannot read the checkpoint {file}: {error}") from None
        if different := _differences(state["options"], self.options):
            raise ConfigError(f"{self.folder} holds a run with other options: {different}; use the same to resume it")
        set_adapter_state(self.model, state["adapter"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["generator"])
        if state["device_generators"]:
            torch.cuda.set_rng_state_all(state["device_generators"])
        self.step = state["step"]
        log = self.folder / LOG_FILE
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        log.write_text("".join(lines[: self.step]), encoding="utf-8")

    def log(self, entry: Mapping[str, Any]) -> None:
        """Append what a step gave to the log."""
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def sha256(path: Path) -> str:
    """Of a file's contents.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    # Where the model lies may change; its SHA-256 tells whether it is the same.
    names = sorted(name for name in {*before, *now} - {"model"} if before.get(name) != now.get(name))
    return ", ".join(f"{name} was {before.get(name)} and is {now.get(name)}" for name in names)
