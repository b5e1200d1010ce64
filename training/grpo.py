"""Train a plan-writing policy by a reward: ``python -m training.grpo ALFRED_TRAIN.jsonl --policy RUN -o DIR``.

GRPO of TRL goes on from a policy of :mod:`training.policy`. The reward is :class:`flip_edge.FlipReward` as it is, under
llama.cpp, or a judge's rating by the same model. Writes ``log.jsonl`` and, as ``step-N``, the adapters of the
beginning, the way and the end; ``benchmarks.grpo`` measures them on held-out commands.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.model import Lora, adapter_state, best_dtype, load_adapter, load_model, save_adapter

import torch  # isort: skip # training.model says first that nothing is fetched
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from flip_edge.baselines.judges import PointwiseJudge
from flip_edge.config import Config
from flip_edge.episode import Episode
from flip_edge.errors import FlipEdgeError, InputError
from flip_edge.exchange import exchange_of, steps_of
from flip_edge.models import resolve, verify
from flip_edge.rank import config_for
from flip_edge.reward import FlipReward
from flip_edge.selfcheck import SelfCheck
from training.checkpoint import LOG_FILE, OPTIONS_FILE, sha256
from training.export import read_run
from training.policy import CHAT_TEMPLATE, LONGEST, PROMPT, wishes

REWARDS = ("flip", "pointwise")


@dataclass(frozen=True)
class Options:
    """What makes a run the run it is.

    Attributes:
        rows: an ALFRED file; commands that the policy was taught on are left out.
        policy: the folder of a run of ``training.policy``.
        reward: ``flip`` or ``pointwise``.
        steps: of the optimizer.
        prompts: commands of a step.
        generations: plans for each.
        learning_rate: after a warm-up it stays.
        temperature: of the draws.
        beta: weight of the distance to the policy that it began as, against an advantage of one standard deviation. At
            0, both rewards were hacked within fifteen steps.
        dtype: of the frozen weights.
        seed: for every choice.
    """

    rows: Path
    policy: Path
    reward: str = "flip"
    steps: int = 60
    prompts: int = 4
    generations: int = 8
    learning_rate: float = 1.5e-4
    temperature: float = 1.0
    beta: float = 0.3
    dtype: str = "float32"
    seed: int = 0


class PointwiseReward:
    """A judge's rating of a plan for a command as a reward in [0, 1], in the calling convention of TRL.

    Args:
        judge: of the bare model; its rating is from 1 to 10.
    """

    def __init__(self, judge: PointwiseJudge) -> None:
        self.__name__ = "pointwise_judge"
        self._judge = judge

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> list[float | None]:
        """A reward for each completion; 0 for an empty one, None where the judge gave no answer."""
        return [self._reward(*pair) for pair in zip(prompts, completions, strict=True)]

    def _reward(self, prompt: Any, completion: Any) -> float | None:
        exchange = exchange_of(prompt, completion)
        steps = steps_of(exchange.response)
        if not steps:
            return 0.0
        rating = self._judge.scores(Episode.of(exchange.instruction, steps))[0]
        return None if rating is None else (rating - 1) / 9


class _Keeper(TrainerCallback):  # type: ignore[misc] # of an untyped library
    """Writes the log and, on the way, the adapter."""

    def __init__(self, model: Any, folder: Path, base: str, policy: dict[str, Any], every: int) -> None:
        self._model, self._folder, self._base, self._policy, self._every = model, folder, base, policy, every
        self._started = time.perf_counter()
        self.logged: list[dict[str, Any]] = []

    def keep(self, step: int) -> None:
        folder = self._folder / f"step-{step:04d}"
        save_adapter(self._model, folder, self._base)
        # training.export wants to know what it is for.
        (folder / OPTIONS_FILE).write_text(json.dumps(self._policy, indent=2) + "\n", encoding="utf-8")

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and "reward" in logs:
            entry = {"step": state.global_step, "at_s": round(time.perf_counter() - self._started, 1), **logs}
            self.logged.append(entry)
            with (self._folder / LOG_FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self.keep(state.global_step)


def train(options: Options, folder: Path, *, every: int = 10) -> list[dict[str, Any]]:
    """Train, and write to ``folder``. Returns what was logged, one entry a step.

    Raises:
        FlipEdgeError: an input cannot be used, or the adapter did not change.
    """
    config, _, taught = read_run(options.policy)
    file = resolve(taught["model"])
    verify(file)
    if taught.get("prompt") != PROMPT:
        raise InputError(f"{options.policy} is no run of training.policy")
    rows = wishes(options.rows)
    left = rows[taught["limit"] :] or rows  # a handful of rows, in the smoke test, is all there is
    dataset = Dataset.from_list([{"prompt": [{"role": "user", "content": row.command}]} for row in left])
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} holds something; use another folder")
    folder.mkdir(parents=True, exist_ok=True)
    recorded = {**asdict(options), "rows": sha256(options.rows), "policy": str(options.policy)}
    (folder / OPTIONS_FILE).write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")
    torch.manual_seed(options.seed)
    model = load_model(file.path, Lora(config["r"], config["lora_alpha"]), dtype=options.dtype)
    load_adapter(model, options.policy)
    base = model.get_base_model()
    base.is_quantized = False  # its weights were taken out of the GGUF; the trainer would refuse them
    for module in base.modules():  # hooks, as autocast does not reach all that the trainer calls
        if isinstance(module, torch.nn.Linear) and module.weight.dtype is torch.bfloat16:
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].bfloat16(),))
            module.register_forward_hook(lambda *given: given[-1].float())
    tokenizer = AutoTokenizer.from_pretrained(file.path.parent, gguf_file=file.path.name)
    tokenizer.chat_template, tokenizer.padding_side = CHAT_TEMPLATE, "left"
    before = adapter_state(model)
    keeper = _Keeper(model, folder, taught["model"], taught, every)
    keeper.keep(0)
    reward, close = open_reward(options.reward, Config(n_threads=1))  # the other processors are the trainer's
    try:
        trainer = GRPOTrainer(
            model,
            reward_funcs=reward,
            args=_config(options, folder),
            train_dataset=dataset,
            processing_class=tokenizer,
            callbacks=[keeper],
        )
        trainer.train()
    finally:
        close()
    after = adapter_state(model)
    if not keeper.logged or all(torch.equal(before[name], after[name]) for name in before):
        raise FlipEdgeError("no reward was logged or the adapter did not change: every plan had the same reward")
    return keeper.logged


def _config(options: Options, folder: Path) -> GRPOConfig:
    return GRPOConfig(
        output_dir=str(folder / "trl"),
        max_steps=options.steps,
        per_device_train_batch_size=options.generations,
        gradient_accumulation_steps=options.prompts,  # memory: one prompt's plans at a time
        num_generations=options.generations,
        max_completion_length=LONGEST,
        temperature=options.temperature,
        learning_rate=options.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=3,
        loss_type="dr_grpo",  # no share by length: it makes long plans that are bad cheap
        scale_rewards="batch",  # nor by a prompt's own deviation: it makes much of next to nothing
        beta=options.beta,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        seed=options.seed,
    )


def open_reward(name: str, config: Config) -> tuple[Callable[..., list[float | None]], Callable[[], None]]:
    """One of :data:`REWARDS` in the calling convention of TRL, and what frees its model."""
    if name == "flip":
        reward = FlipReward(config, prompt="auto", method="likelihood", strip_copies=True)
        return reward, reward.close
    check = SelfCheck(config_for("pointwise", config))
    return PointwiseReward(PointwiseJudge(check.engine, check.model_id)), check.close


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.grpo", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("rows", type=Path, metavar="ALFRED_TRAIN.jsonl")
    parser.add_argument("--policy", type=Path, required=True, metavar="RUN", help="a run of training.policy")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--reward", choices=REWARDS, default=Options.reward, help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, default=Options.steps, help="(default: %(default)s)")
    parser.add_argument("--prompts", type=int, default=Options.prompts, help="of a step (default: %(default)s)")
    parser.add_argument(
        "--generations", type=int, default=Options.generations, help="of a prompt (default: %(default)s)"
    )
    parser.add_argument("--lr", type=float, default=Options.learning_rate, help="(default: %(default)s)")
    parser.add_argument("--beta", type=float, default=Options.beta, help="hold on to the policy (default: %(default)s)")
    parser.add_argument("--every", type=int, default=10, help="steps between adapters kept (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    arguments = parser.parse_args(argv)
    try:
        logged = train(
            Options(
                arguments.rows,
                arguments.policy,
                arguments.reward,
                arguments.steps,
                arguments.prompts,
                arguments.generations,
                arguments.lr,
                beta=arguments.beta,
                dtype=best_dtype("cpu") if arguments.dtype == "auto" else arguments.dtype,
                seed=arguments.seed,
            ),
            arguments.output,
            every=arguments.every,
        )
    except (FlipEdgeError, OSError) as error:
        print(f"python -m training.grpo: error: {error}", file=sys.stderr)
        return 2
    print(f"reward {logged[0]['reward']:.3f} at step 1, {logged[-1]['reward']:.3f} at step {logged[-1]['step']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
