"""`flip-edge bench`: what a check costs on this machine, beside llama.cpp itself and beside other ways to ask.

Everything is measured side by side in one run, taking turns, so that whatever else the machine does slows all of it
alike: trust the ratios more than the milliseconds.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml
from tqdm import tqdm

from flip_edge.backward import BackwardInference
from flip_edge.baselines.judges import YesNoJudge
from flip_edge.bench_report import picture, table
from flip_edge.config import Config
from flip_edge.episode import Episode
from flip_edge.errors import ConfigError
from flip_edge.evaluation_report import require_matplotlib
from flip_edge.models import resolve
from flip_edge.prompts import ChatPrompt, CompletionPrompt, Query, load_prompt
from flip_edge.selfcheck import SelfCheck
from flip_edge.statistics import ratio_estimate

_STEPS = (1, 2, 5, 10, 20, 50, 100, 200)
_ALTERNATIVES = (1, 2, 4, 8, 16, 32)
_EXAMPLES = (0, 1, 2, 4, 8, 16)
_THREADS = (1, 2, 4, 8, 16, 32, 64)
_DEADLINES = (0.05, 0.2, 1.0)
_TURNS = (0, 1, 0, 0, 0, 0, 0, 2, 0, 0)  # runs by number: mostly short ones, as of a robot that is told much
_FLOOR = "llama.cpp alone, the same tokens"
_FIVE = "FLIP as published, five answers"
_FIVE_ROUNDS = 3  # it takes long
_ENERGY = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


class Timing(msgspec.Struct, frozen=True):
    """One way to check one run.

    Attributes:
        run, way: what was checked, and how.
        median_s: of one check.
        ratio, low, high: to the floor of the same run in the same round, the median and its 95 % interval.
        times: how often it was measured.
    """

    run: str
    way: str
    median_s: float
    ratio: float
    low: float
    high: float
    times: int


class Point(msgspec.Struct, frozen=True):
    """How the time of a check grows with something: the median of several checks where it has this value."""

    by: str
    value: int
    seconds: float
    note: str = ""


class Overrun(msgspec.Struct, frozen=True):
    """By how much checks that take too long outlast their deadline.

    Attributes:
        deadline_s: what they were given.
        median_s, p99_s, most_s: how much later the verdict came.
        times: how many checks.
        clean: whether the next check, looked at every tenth time, said what it says on a fresh engine.
    """

    deadline_s: float
    median_s: float
    p99_s: float
    most_s: float
    times: int
    clean: bool


class Footprint(msgspec.Struct, frozen=True):
    """What a process that checks takes.

    Attributes:
        start_s: from nothing to a check that can be asked, and
        first_s: the first check.
        model_bytes: the files of model and adapter.
        peak_bytes: resident memory at most, of the whole process.
        grown_bytes: by how much resident memory grew from the 10th check to the last one.
        checks: how many there were.
        same: whether the last verdict was the first one, to the bit.
    """

    start_s: float
    first_s: float
    model_bytes: int
    peak_bytes: int
    grown_bytes: int
    checks: int
    same: bool


class Report(msgspec.Struct, frozen=True):
    """All that was measured, and with what."""

    model_id: str
    prompt_id: str
    n_threads: int
    processors: int
    timings: list[Timing]
    scaling: list[Point]
    overruns: list[Overrun]
    footprint: Footprint
    characters_per_token: float
    joules_a_check: float | None


def episodes() -> dict[str, Episode]:
    """The built-in runs, by name."""
    data = yaml.safe_load((Path(__file__).with_suffix(".yaml")).read_text(encoding="utf-8"))
    return {name: Episode.of(run["command"], run["steps"]) for name, run in data.items()}


def run(config: Config, arguments: argparse.Namespace) -> int:
    """Carry out `flip-edge bench` and return its exit code."""
    if arguments.rounds < 2:
        raise ConfigError(f"--rounds is {arguments.rounds}; it takes at least 2 to tell how sure a figure is")
    if arguments.picture:
        require_matplotlib()
    report = measure(config, arguments.rounds, full=arguments.full, checks=arguments.checks)
    print(table(report))
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    if arguments.picture:
        picture(report, arguments.picture)
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `flip-edge bench` takes, beyond the settings."""
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="times everything is measured (10)")
    parser.add_argument(
        "--full",
        action="store_true",
        help="also by steps, alternatives, examples and threads, and how deadlines are kept",
    )
    parser.add_argument(
        "--checks", type=int, default=100, metavar="N", help="checks in a row, to see memory grow (default: 100)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="a picture, .svg or .png; takes 'flip_edge[eval]'")


def measure(config: Config, rounds: int, *, full: bool = False, checks: int = 100) -> Report:
    """Measure everything.

    Raises:
        ModelError, ConfigError: a model or prompt cannot be used.
    """
    footprint = _footprint(config, checks)
    runs = episodes()
    with SelfCheck(config) as check:
        engine: Any = check.engine
        timings = list(_side_by_side(check, runs, rounds))
        tokens = _log_tokens(check, runs["long"])
        joules = _energy(lambda: check.check(runs["median"]), rounds)
        points = list(_scaling(check, runs, max(2, rounds // 2))) if full else []
        overruns = list(_overruns(check, runs, 10 * rounds)) if full else []
        return Report(
            model_id=check.model_id,
            prompt_id=check.prompt_id,
            n_threads=engine.n_threads,
            processors=len(os.sched_getaffinity(0)),
            timings=timings,
            scaling=points,
            overruns=overruns,
            footprint=footprint,
            characters_per_token=sum(len(step) for step in runs["long"].steps) / tokens,
            joules_a_check=joules,
        )


# --- side by side


def _side_by_side(check: SelfCheck, runs: dict[str, Episode], rounds: int) -> Iterator[Timing]:
    engine: Any = check.engine
    base = resolve(check.config.model)
    from flip_edge.engine import Engine  # here, so that llama.cpp is loaded only where a model is
    from flip_edge.llama import ordinary

    always = check.config.replace(infer="always")
    plain = check.config

    def explained(episode: Episode) -> float:
        check.reconfigure(always)
        seconds = _timed(lambda: check.check(episode))
        check.reconfigure(plain)
        return seconds

    def streaming(episode: Episode) -> float:
        for end in range(1, len(episode.steps)):
            check.read_ahead(Episode.of(episode.command, episode.steps[:end]))
        seconds = _timed(lambda: check.check(episode))
        check.check(Episode.of("wait", ["waited"]))  # another run: nothing that was read ahead is left
        return seconds

    def batches(episode: Episode) -> list[tuple[int, int]]:
        engine.batches = []
        check.check(episode)
        found: list[tuple[int, int]] = engine.batches
        engine.batches = None
        return found

    options = {"n_ctx": check.config.n_ctx, "n_threads": engine.n_threads}
    with (
        closing(ordinary(base.path, **options)) as completing,
        closing(ordinary(base.path, **options)) as chatting,
        Engine(base.path, **options) as judging,
    ):
        judge = YesNoJudge(judging, base.id)
        seeds = itertools.count()  # other answers every time: how long they get differs by more than anything else here
        floors = {episode: batches(episode) for episode in runs.values()}
        ways: dict[str, Callable[[Episode], float]] = {
            _FLOOR: lambda episode: engine.seconds_of(floors[episode]),
            "all at once": lambda episode: _timed(lambda: check.check(episode)),
            "steps read as they came": streaming,
            "all at once, always explained": explained,
            "yes/no judge": lambda episode: _timed(lambda: judge.scores(episode)),
            "few-shot, ordinary interface": lambda episode: _completion(completing, episode),
            _FIVE: lambda episode: _published(chatting, episode, seeds),
        }
        seconds: dict[tuple[str, str], list[float]] = {}
        for number in tqdm(range(rounds + 1), desc="side by side", unit="round", disable=None):
            for name, episode in runs.items():
                for way, timed in ways.items():
                    if way == _FIVE and number > _FIVE_ROUNDS:
                        continue
                    found = timed(episode)
                    if number:  # the first round warms up
                        seconds.setdefault((name, way), []).append(found)
    for (name, way), measured in seconds.items():
        ratio = ratio_estimate(measured, seconds[name, _FLOOR][: len(measured)])
        yield Timing(name, way, statistics.median(measured), ratio.value, ratio.low, ratio.high, len(measured))


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _typical(work: Callable[[], object], rounds: int) -> float:
    """The median of several times, after one that warms up."""
    work()
    return statistics.median(_timed(work) for _ in range(rounds))


def _completion(llama: Any, episode: Episode) -> float:
    """The few-shot format through the ordinary completion interface, which keeps a common beginning by itself."""
    prompt = load_prompt("log-command")
    assert isinstance(prompt, CompletionPrompt)
    text = "".join(piece.text for piece in (*prompt.prefix(str), *prompt.log(episode.steps, str)))
    return _timed(
        lambda: llama.create_completion(text, max_tokens=prompt.max_new_tokens, stop=[prompt.stop], temperature=0.0)
    )


def _published(llama: Any, episode: Episode, seeds: Iterator[int]) -> float:
    """FLIP's prompt through the ordinary chat interface: five sampled answers, JSON with reasoning, as in the paper."""
    prompt = load_prompt("flip")
    assert isinstance(prompt, ChatPrompt)
    user = prompt.user.replace("{context}", "(none)").replace("{response}", "\n".join(episode.steps))
    messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
    messages.append({"role": "user", "content": user})

    def answer() -> None:
        for seed in itertools.islice(seeds, 5):
            llama.create_chat_completion(messages, max_tokens=prompt.max_new_tokens, temperature=1.0, seed=seed)

    return _timed(answer)


def _log_tokens(check: SelfCheck, episode: Episode) -> int:
    engine: Any = check.engine
    return len(engine.tokenize(check.prompt.log(episode.steps, engine.chat)))


# --- how it grows


def _scaling(check: SelfCheck, runs: dict[str, Episode], rounds: int) -> Iterator[Point]:
    config = check.config
    median = runs["median"]

    for count in tqdm(_STEPS, desc="steps", disable=None):
        episode = Episode.of(median.command, (median.steps * -(-count // len(median.steps)))[:count])
        verdict = check.check(episode)
        note = f"{verdict.tokens_prefilled} tokens" if verdict.tokens_prefilled else verdict.reason
        yield Point("steps", count, _typical(partial(check.check, episode), rounds), note)
    if check.prompt.supports_likelihood:
        for count in tqdm(_ALTERNATIVES, desc="alternatives", disable=None):
            yield Point("alternatives", count, _weighing(check, runs["long"], count, rounds))
    yield from _with_examples(config, median, rounds)
    processors = len(os.sched_getaffinity(0))
    for count in tqdm([count for count in _THREADS if count <= processors], desc="threads", disable=None):
        with SelfCheck(config.replace(n_threads=count)) as other:
            yield Point("threads", count, _typical(partial(other.check, median), rounds))


def _weighing(check: SelfCheck, episode: Episode, count: int, rounds: int) -> float:
    """A check that weighs the command against so many others, which differ in one word."""
    engine: Any = check.engine
    prompt = check.prompt
    words = [word for step in episode.steps for word in step.split() if word.isalpha()]
    own = prompt.answer_text(episode.command)
    others = [prompt.answer_text(episode.command.replace("blue", word)) for word in dict.fromkeys(words)][:count]

    def weigh() -> None:
        engine.read(prompt.log(episode.steps, engine.chat))
        given_log, _ = engine.log_likelihoods([Query(own), Query(own, given_log=False)])
        engine.log_likelihoods([Query(text) for text in others], at_least=float(given_log.sum()))

    return _typical(weigh, rounds)


def _with_examples(config: Config, episode: Episode, rounds: int) -> Iterator[Point]:
    """The bare model with more and fewer examples before the log; they are read once, when a check is opened."""
    from flip_edge.engine import Engine

    few_shot = load_prompt("log-command")
    assert isinstance(few_shot, CompletionPrompt)
    base = resolve(config.model)
    for count in tqdm(_EXAMPLES, desc="examples", disable=None):
        shown = (few_shot.examples * -(-count // len(few_shot.examples)))[:count]
        prompt = msgspec.structs.replace(few_shot, examples=shown)
        with Engine(base.path, n_ctx=config.n_ctx, n_threads=config.n_threads) as engine:
            started = time.perf_counter()
            reader = BackwardInference(engine, prompt, config.max_new_tokens, config.max_alternatives)
            opened = time.perf_counter() - started
            seconds = _typical(partial(reader.observe, episode, None, lambda _: True), rounds)
        yield Point("examples", count, seconds, f"read once in {opened:.2f} s")


# --- deadlines


def _overruns(check: SelfCheck, runs: dict[str, Episode], times: int) -> Iterator[Overrun]:
    config = check.config
    steps = runs["median"].steps * 12
    fresh = check.check(runs["short"])
    for deadline in tqdm(_DEADLINES, desc="deadlines", disable=None):
        late = []
        clean = True
        for number in range(times):
            check.reconfigure(config.replace(deadline_s=deadline))
            episode = Episode.of(runs["median"].command, steps[number % len(runs["median"].steps) :])
            seconds = _timed(partial(check.check, episode))
            if seconds >= deadline:
                late.append(seconds - deadline)
            check.reconfigure(config)
            if number % 10 == 0:
                again = check.check(runs["short"])
                clean = clean and (again.score, again.gain, again.reason) == (fresh.score, fresh.gain, fresh.reason)
        if late:
            median, most = statistics.median(late), max(late)
            yield Overrun(deadline, median, float(np.quantile(late, 0.99)), most, len(late), clean)


# --- a process of its own


def _footprint(config: Config, checks: int) -> Footprint:
    """Measured in a new process that does nothing else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_check_again_and_again, config, checks).result()


def _check_again_and_again(config: Config, checks: int) -> Footprint:
    started = time.perf_counter()
    runs = list(episodes().values())
    with SelfCheck(config) as check:
        opened = time.perf_counter()
        first = [check.check(episode) for episode in runs]
        ready = time.perf_counter()
        settled = 0
        last = list(first)
        for number in tqdm(range(len(runs), checks), desc="in a row", unit="check", disable=None):
            index = _TURNS[number % len(_TURNS)]
            last[index] = check.check(runs[index])
            if number == min(10, checks - 1):
                settled = _status("VmRSS")
        engine: Any = check.engine
        files = [path for path in (engine.path, engine.adapter) if path]
        figures = [[(found.outcome, found.reason, found.score, found.gain) for found in some] for some in (first, last)]
        return Footprint(
            start_s=opened - started,
            first_s=(ready - opened) / len(runs),
            model_bytes=sum(path.stat().st_size for path in files),
            peak_bytes=_status("VmHWM"),
            grown_bytes=max(0, _status("VmRSS") - settled) if settled else 0,
            checks=max(checks, len(runs)),
            same=figures[0] == figures[1],
        )


def _status(name: str) -> int:
    """A figure in bytes of what Linux says of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _energy(work: Callable[[], object], rounds: int) -> float | None:
    """Joules of the processor package for one call, where the machine tells; all that runs on it is counted."""
    try:
        before = int(_ENERGY.read_text())
        for _ in range(rounds):
            work()
        used = int(_ENERGY.read_text()) - before
    except (OSError, ValueError):
        return None
    return used / 1e6 / rounds if used > 0 else None
