"""A small policy that writes plans for commands: ``python -m training.policy ALFRED_TRAIN.jsonl -o DIR``.

The embedded default model with LoRA, taught on few rows: weak but sensible, so that there is something to choose from
and to improve. Writes an adapter as ``training.train`` does; ``training.export`` makes it one for llama.cpp.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from flip_edge.engine import Engine
from flip_edge.errors import FlipEdgeError, InputError
from flip_edge.models import resolve, verify
from flip_edge.prompts import Piece
from training.checkpoint import Run, sha256
from training.model import Lora, Scorer, adapter_parameters, best_dtype, load_model
from training.packing import Branching
from training.plan import Act, seeded
from training.plan_quality import written
from training.readers import read_alfred

PROMPT = "Command: {command}\nPlan:\n"
END = "<|im_end|>"
"""What ends a plan: the end of text of the default model."""
LONGEST = 96
"""Tokens of a plan; a plan of twelve acts has about 75."""
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ 'Command: ' + message['content'] + '\nPlan:\n' }}"
    "{% else %}{{ message['content'] + '" + END + "' }}{% endif %}{% endfor %}"
)
""":data:`PROMPT` for trainers that have conversations: so the user's turn, which is rewarded, is the bare command."""


@dataclass(frozen=True)
class Wish:
    """A command and the symbolic plan for it.

    Attributes:
        id: of the row.
        command: in a person's words.
        acts: the plan.
    """

    id: str
    command: str
    acts: tuple[Act, ...]

    @property
    def plan(self) -> str:
        """As the policy is to write it."""
        return written(self.acts)


def wishes(path: Path, *, longest: int = 12) -> list[Wish]:
    """One row of each trajectory of an ALFRED file, in an order that looks random; plans with more acts are left out.

    Raises:
        InputError: there is no such row.
    """
    by_trial: dict[str, list[Wish]] = {}
    for task in read_alfred(path):
        if len(task.acts) <= longest:
            by_trial.setdefault(task.group, []).append(Wish(task.id, task.commands[0], task.acts))
    if not by_trial:
        raise InputError(f"{path} has no row with a command and a symbolic plan")
    trials = sorted(by_trial)
    draw = seeded("policy", "rows")
    draw.shuffle(trials)
    return [draw.choice(by_trial[trial]) for trial in trials]


# --- learning from plans


@dataclass(frozen=True)
class Options:
    """What makes a policy the policy it is.

    Attributes:
        rows: the file to train on; the first ``limit`` of :func:`wishes` are used.
        model: a registry id or a GGUF file.
        limit: rows, each read once.
        learning_rate: at its highest; it falls to nothing, linearly.
        batch: rows of a step.
        rank, alpha: see :class:`training.model.Lora`.
        dtype: of the frozen weights.
        seed: for every choice.
    """

    rows: Path
    model: str = "default"
    limit: int = 1200
    learning_rate: float = 1e-3
    batch: int = 16
    rank: int = 16
    alpha: int = 32
    dtype: str = "float32"
    seed: int = 0


def teach(options: Options, folder: Path) -> None:
    """Train a policy on plans, and write it to ``folder``.

    Raises:
        FlipEdgeError: an input cannot be used.
    """
    file = resolve(options.model)
    verify(file)
    rows = wishes(options.rows)[: options.limit]
    with Engine(file.path, n_ctx=256, n_threads=1) as engine:
        texts = [
            Branching(
                tuple(engine.tokenize([Piece(PROMPT.format(command=row.command))], start=True)),
                (tuple(engine.tokenize([Piece(row.plan), Piece(END, control=True)])),),
            )
            for row in rows
        ]
    torch.manual_seed(options.seed)
    model = load_model(file.path, Lora(options.rank, options.alpha), dtype=options.dtype)
    optimizer = torch.optim.AdamW(adapter_parameters(model), lr=options.learning_rate, weight_decay=0.0)
    recorded = {**asdict(options), "rows": sha256(options.rows), "model": options.model}
    run = Run(folder, {**recorded, "model_sha256": sha256(file.path), "prompt": PROMPT}, model, optimizer)
    run.begin()
    scorer = Scorer(model)
    model.train()
    starts = range(0, len(texts), options.batch)
    for start in tqdm(starts, unit="step", disable=None):
        started = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * min(1.0, (run.step + 1) / 5) * (1 - run.step / len(starts))
        optimizer.zero_grad(set_to_none=True)
        loss = -scorer(texts[start : start + options.batch]).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(adapter_parameters(model), 1.0)
        optimizer.step()
        run.step += 1
        run.log({"step": run.step, "loss": float(loss.detach()), "seconds": round(time.perf_counter() - started, 3)})
    run.save()


# --- writing plans under llama.cpp


class Writer:
    """Draws plans from a policy.

    Args:
        adapter: the policy's, as GGUF; None for the bare model.
        model: the one that it was made for.
        n_threads: processor threads; 0 for half of the processors.
    """

    def __init__(self, adapter: Path | None, *, model: str = "default", n_threads: int = 0) -> None:
        self._engine = Engine(resolve(model).path, n_ctx=2048, n_threads=n_threads, adapter=adapter)
        self._engine.prime([])

    def draw(self, command: str, count: int, *, temperature: float = 1.0, seed: int = 0) -> list[str]:
        """Plans, independent draws that are the same each time."""
        self._engine.read(self._pieces(command))
        random = seeded("plans", seed, command)
        points = [random.random() for _ in range(count)]
        return [one.text for one in self._engine.draw(points, LONGEST, temperature=temperature, stop=None)]

    def likeliest(self, command: str) -> str:
        """The plan that greedy decoding gives."""
        self._engine.read(self._pieces(command))
        return self._engine.generate(LONGEST, stop=None).text

    def close(self) -> None:
        """Free the model."""
        self._engine.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _pieces(command: str) -> list[Piece]:
        return [Piece(PROMPT.format(command=command))]


def _numbers(argv: Sequence[str] | None) -> tuple[Options, Path]:
    parser = argparse.ArgumentParser(prog="python -m training.policy", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("rows", type=Path, metavar="ALFRED_TRAIN.jsonl")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--limit", type=int, default=Options.limit, help="rows (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=Options.learning_rate, help="(default: %(default)s)")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    arguments = parser.parse_args(argv)
    dtype = best_dtype("cpu") if arguments.dtype == "auto" else arguments.dtype
    options = Options(arguments.rows, limit=arguments.limit, learning_rate=arguments.lr, dtype=dtype)
    return options, arguments.output


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and return the exit code."""
    options, folder = _numbers(argv)
    try:
        teach(options, folder)
    except (FlipEdgeError, OSError) as error:
        print(f"python -m training.policy: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
