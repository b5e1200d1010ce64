"""Train an adapter: ``python -m training.train ROWS.jsonl -o DIR``.

Writes to DIR the adapter as PEFT does, ``log.jsonl`` with a line a step, ``options.json``, and ``checkpoint.pt``.
Ctrl-C saves a checkpoint and exits with 130; ``--resume`` goes on from there as if nothing had happened.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from tqdm import tqdm

from flip_edge.engine import Engine
from flip_edge.errors import FlipEdgeError, InputError
from flip_edge.models import ModelFile, resolve, verify
from flip_edge.prompts import prompt_id
from training.checkpoint import Run, sha256
from training.examples import Example, Tokenizer, completion_prompt, kind_counts, read_examples
from training.export import read_exported
from training.model import (
    DTYPES,
    Lora,
    Scorer,
    adapter_file,
    adapter_parameters,
    best_dtype,
    load_adapter,
    load_model,
    parameters_of,
    set_adapter_state,
)
from training.objectives import OBJECTIVES, PRIORS, Loss, Objective
from training.packing import Draws, Item, all_batches, epoch_batches

INTERRUPTED = 130
_WARM_UP = 0.05  # of all steps
_FINAL = 0.1  # of the learning rate, at the end
_LONGEST_NORM = 1.0  # of the gradient


@dataclass(frozen=True)
class Options:
    """What makes a training run the run it is.

    Attributes:
        rows: the file to train on.
        model: a registry id or a GGUF file.
        prompt: the prompt format; ``auto`` for ``log-command-bare`` under the likelihood alone, which teaches no
            confirmation, else ``log-command-confirm``.
        objective: ``likelihood`` (stage 1) or ``contrast`` (stage 2).
        start: the folder of a run whose adapter to start from, or an exported adapter; None for a fresh one.
        limit: how many rows to use; None for all.
        epochs, steps: how long; ``steps`` wins where it is given.
        learning_rate: at its highest.
        batch_tokens: of one step.
        negatives, commands, wordings: of a row and epoch; see :class:`training.packing.Draws`.
        beta, likelihood_weight, prior, confirmation_weight: see :class:`training.objectives.Objective`.
        longest: rows with longer logs are left out; in tokens.
        rank, alpha, dropout: see :class:`training.model.Lora`.
        dtype: of the frozen weights.
        seed: for every choice.
    """

    rows: Path
    model: str = "default"
    prompt: str = "auto"
    objective: str = "likelihood"
    start: Path | None = None
    limit: int | None = None
    epochs: float = 1.0
    steps: int | None = None
    learning_rate: float = 1.5e-3
    batch_tokens: int = 1536
    negatives: int = 3
    commands: int = 4
    wordings: int = 2
    beta: float = 4.0
    likelihood_weight: float = 0.5
    prior: str = "adapted"
    confirmation_weight: float = 1.0
    longest: int = 512
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    dtype: str = "float32"
    seed: int = 0

    @property
    def prompt_name(self) -> str:
        """The prompt format that it comes to."""
        if self.prompt != "auto":
            return self.prompt
        return "log-command-confirm" if self.objective == "contrast" else "log-command-bare"

    def recorded(self, model: ModelFile, prompt: str) -> dict[str, Any]:
        """The options as a checkpoint keeps them: files by their contents, not by their places."""
        found = asdict(self)
        found["rows"] = sha256(self.rows)
        found["start"] = self.start and sha256(adapter_file(self.start))
        found["model"] = model.id if model.entry else str(model.path)
        return {**found, "model_sha256": sha256(model.path), "prompt": prompt}


def train(options: Options, folder: Path, *, every: int = 500, resume: bool = False, device: str = "cpu") -> bool:
    """Train and write to ``folder``.

    Args:
        options: what to train.
        folder: for the adapter, the log and the checkpoint.
        every: steps between checkpoints.
        resume: go on from the checkpoint in ``folder``.
        device: where.

    Returns:
        Whether it came to its end; False when it was interrupted.

    Raises:
        FlipEdgeError: an input cannot be used.
    """
    model_file = resolve(options.model)
    verify(model_file)
    examples, tokenizer = _tokenized(options, model_file)
    draws = Draws(options.negatives, options.commands, options.wordings)
    if options.objective != "contrast":
        draws = Draws(0)
    elif tokenizer.confirmation is None:
        draws = replace(draws, commands=0, wordings=0)
    kinds = kind_counts(examples)
    if draws.negatives and not kinds:
        raise InputError(f"{options.rows} has no negatives; use the objective likelihood")
    torch.manual_seed(options.seed)
    model = load_model(
        model_file.path, Lora(options.rank, options.alpha, options.dropout), dtype=options.dtype, device=device
    )
    if options.start and options.start.is_file():
        set_adapter_state(model, parameters_of(read_exported(options.start, model_file.path)))
    elif options.start:
        load_adapter(model, options.start)
    optimizer = torch.optim.AdamW(adapter_parameters(model), lr=options.learning_rate, weight_decay=0.0)
    recorded = options.recorded(model_file, prompt_id(completion_prompt(options.prompt_name)))
    run = Run(folder, recorded, model, optimizer)
    if resume:
        run.resume()
    else:
        run.begin()
    steps = options.steps
    if steps is None:
        in_epoch = len(epoch_batches(examples, draws, kinds, options.batch_tokens, options.seed, 0))
        steps = max(1, round(options.epochs * in_epoch))
    batches = all_batches(examples, draws, kinds, options.batch_tokens, options.seed)
    objective = Objective(
        options.beta,
        options.likelihood_weight,
        options.prior,
        tokenizer.without_log,
        tokenizer.confirmation,
        options.confirmation_weight,
    )
    return _loop(run, objective, itertools.islice(batches, run.step, None), steps, options.learning_rate, every)


def _tokenized(options: Options, model: ModelFile) -> tuple[list[Example], Tokenizer]:
    prompt = completion_prompt(options.prompt_name)
    with Engine(model.path, n_ctx=256, n_threads=1) as engine:
        tokenizer = Tokenizer(engine, prompt)
        return read_examples(options.rows, tokenizer, longest=options.longest, limit=options.limit), tokenizer


def _loop(
    run: Run, objective: Objective, batches: Iterator[list[Item]], steps: int, learning_rate: float, every: int
) -> bool:
    scorer = Scorer(run.model)
    run.model.train()
    with (
        _interruptible() as interrupted,
        tqdm(total=steps, initial=run.step, unit="step", disable=None, smoothing=0.05) as bar,
    ):
        while run.step < steps and not interrupted():
            started = time.perf_counter()
            items = next(batches)
            rate = learning_rate * _schedule(run.step, steps)
            loss, norm = _step(run, objective, scorer, items, rate)
            run.step += 1
            run.log(_entry(run.step, loss, norm, rate, items, time.perf_counter() - started))
            bar.set_postfix(loss=f"{float(loss.total.detach()):.3f}", refresh=False)
            bar.update()
            if run.step % every == 0 and run.step < steps:
                run.save()
    run.save()
    return run.step >= steps


def _step(run: Run, objective: Objective, scorer: Scorer, items: Sequence[Item], rate: float) -> tuple[Loss, float]:
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.optimizer.zero_grad(set_to_none=True)
    loss = objective(scorer, items)
    if not torch.isfinite(loss.total):
        raise FlipEdgeError(
            f"the loss of step {run.step + 1} is not a number; go back to the last checkpoint with a lower --lr"
        )
    loss.total.backward()
    norm = float(torch.nn.utils.clip_grad_norm_(adapter_parameters(run.model), _LONGEST_NORM))
    run.optimizer.step()
    return loss, norm


def _schedule(step: int, steps: int) -> float:
    """A warm-up and a cosine decay, as a function of the step alone: there is no state to keep."""
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return _FINAL + (1 - _FINAL) * (1 + math.cos(math.pi * progress)) / 2


def _entry(step: int, loss: Loss, norm: float, rate: float, items: Sequence[Item], seconds: float) -> dict[str, Any]:
    return {
        "step": step,
        "loss": float(loss.total.detach()),
        "nll": loss.nll,
        "contrast": loss.contrast,
        "confirmation": loss.confirmation,
        "share_won": loss.share_won,
        "won": loss.won,
        "gradient": norm,
        "learning_rate": rate,
        "rows": len(items),
        "tokens": sum(item.tokens for item in items),
        "seconds": round(seconds, 3),
    }


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Inside, a first Ctrl-C is remembered, and a second one is as ever."""
    caught = False

    def remember(_signal: int, _frame: FrameType | None) -> None:
        nonlocal caught
        caught = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: caught
    finally:
        signal.signal(signal.SIGINT, before)


# --- the command line


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    default = Options(Path())
    parser = argparse.ArgumentParser(
        prog="python -m training.train",
        description="Train an adapter on rows of training.prepare.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("rows", type=Path, metavar="ROWS.jsonl")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run in DIR; give the same options")
    parser.add_argument("--model", default=default.model, help="a registry id or a GGUF file")
    parser.add_argument("--prompt", default=default.prompt, help="the prompt format: a name, a YAML file or auto")
    parser.add_argument("--objective", choices=OBJECTIVES, default=default.objective, help="stage 1, or stage 2")
    parser.add_argument("--start", type=Path, metavar="RUN", help="start from its adapter; or from an exported one")
    parser.add_argument("--limit", type=int, metavar="N", help="use the first N rows")
    parser.add_argument("--epochs", type=float, default=default.epochs)
    parser.add_argument("--steps", type=int, help="instead of --epochs")
    parser.add_argument("--lr", type=float, default=default.learning_rate, dest="learning_rate", help="at its highest")
    parser.add_argument("--batch-tokens", type=int, default=default.batch_tokens, help="tokens of a step")
    parser.add_argument("--negatives", type=int, default=default.negatives, help="of a row and epoch")
    parser.add_argument(
        "--commands",
        type=int,
        default=default.commands,
        help="further wrong ones, of which only the confirmation is asked",
    )
    parser.add_argument("--wordings", type=int, default=default.wordings, help="other right ones of a row and epoch")
    parser.add_argument("--beta", type=float, default=default.beta, help="sharpness of a contrast")
    parser.add_argument("--likelihood-weight", type=float, default=default.likelihood_weight)
    parser.add_argument("--prior", choices=PRIORS, default=default.prior, help="who tells a command without its log")
    parser.add_argument(
        "--confirmation-weight",
        type=float,
        default=default.confirmation_weight,
        help="of whether a command is right, where the prompt asks",
    )
    parser.add_argument("--longest", type=int, default=default.longest, help="leave rows of more tokens out")
    parser.add_argument("--rank", type=int, default=default.rank)
    parser.add_argument("--alpha", type=int, default=default.alpha)
    parser.add_argument("--dropout", type=float, default=default.dropout)
    parser.add_argument("--dtype", choices=("auto", *DTYPES), default="auto", help="of the frozen weights")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    parser.add_argument("--checkpoint-every", type=int, default=500, metavar="STEPS")
    parser.add_argument("--seed", type=int, default=default.seed)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and return the exit code."""
    arguments = _arguments(argv)
    torch.set_num_threads(arguments.threads)
    settings = vars(arguments)
    settings["dtype"] = best_dtype(arguments.device) if arguments.dtype == "auto" else arguments.dtype
    options = Options(**{name: settings[name] for name in Options.__dataclass_fields__})
    try:
        finished = train(
            options,
            arguments.output,
            every=arguments.checkpoint_every,
            resume=arguments.resume,
            device=arguments.device,
        )
    except (FlipEdgeError, OSError) as error:
        print(f"python -m training.train: error: {error}", file=sys.stderr)
        return 2
    if not finished:
        print(f"interrupted; the checkpoint is in {arguments.output}, --resume goes on from it", file=sys.stderr)
        return INTERRUPTED
    print(json.dumps({"adapter": str(arguments.output)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
