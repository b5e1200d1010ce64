"""The mean of trained adapters: ``python -m training.average RUN RUN ... -o DIR``.

Runs that began at the same adapter, such as two second stages of one first stage, end in the same valley, and between
them it is lower: Wortsman et al., "Model soups", arXiv 2203.05482. Adapters of different beginnings do not mix.
What they began at mixes with them, too: an exported adapter can stand beside the folders of runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from flip_edge.errors import FlipEdgeError, InputError
from flip_edge.models import resolve
from training.checkpoint import OPTIONS_FILE, sha256
from training.export import Floats, exported_options, read_exported, read_run
from training.model import ADAPTER_FILE, adapter_file

_CONFIG_FILE = "adapter_config.json"
_SHAPE = ("rank", "alpha", "model_sha256", "prompt")


def average(runs: Sequence[Path], folder: Path) -> None:
    """Write the mean of the adapters of training runs, as the folder of a run that can be exported or started from.

    Args:
        runs: folders of training runs, and exported adapters; the first is a folder.
        folder: for the mean.

    Raises:
        InputError: a run has no adapter, or they are of different shapes, models or prompts.
    """
    _, first, own = read_run(runs[0])
    others = [_read(run, own["model"]) for run in runs[1:]]
    adapters, options = zip((first, own), *others, strict=True)
    for run, other in zip(runs, options, strict=True):
        if missing := [name for name in _SHAPE if name not in other]:
            raise InputError(f"{run} does not say its {', '.join(missing)}; give the folder of a training run")
        if different := [name for name in _SHAPE if other[name] != options[0].get(name)]:
            raise InputError(f"{run} differs from {runs[0]} in {', '.join(different)}; there is no mean of them")
    mean = {name: np.mean([adapter[name] for adapter in adapters], axis=0) for name in adapters[0]}
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(runs[0] / _CONFIG_FILE, folder / _CONFIG_FILE)
    kept = {name: options[0][name] for name in ("model", *_SHAPE)}
    kept["mean_of"] = [sha256(adapter_file(run)) for run in runs]
    (folder / OPTIONS_FILE).write_text(json.dumps(kept, indent=1), encoding="utf-8")
    save_file(mean, folder / ADAPTER_FILE)


def _read(run: Path, model: str) -> tuple[dict[str, Floats], dict[str, Any]]:
    """The tensors and the options of a run, or of an exported adapter of a model."""
    if run.is_file():
        options = exported_options(run)
        return read_exported(run, resolve(model).path), options
    _, adapter, options = read_run(run)
    return adapter, options


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.average", description="Write the mean of adapters that began alike."
    )
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="the folder of a training run; after it, an exported adapter, too",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="a folder for the mean")
    arguments = parser.parse_args(argv)
    try:
        average(arguments.runs, arguments.output)
    except (FlipEdgeError, OSError) as error:
        print(f"python -m training.average: error: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"adapter": str(arguments.output)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
