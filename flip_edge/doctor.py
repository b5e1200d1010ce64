"""`flip-edge doctor`: is everything there that a check needs, and does a check come out right?

What can end a process, native code that was built for another processor above all, is looked at in a process of its
own, so that its end is a finding as well. So is ROS, which the core does not import.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import logging
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from flip_edge.calibration import find_calibration
from flip_edge.config import Config, to_config
from flip_edge.decision import Outcome
from flip_edge.errors import FlipEdgeError, ModelError
from flip_edge.findings import (
    REBUILD,
    Finding,
    State,
    answer,
    count,
    failed,
    guarded,
    in_a_process,
    number,
    summed_up,
    told,
)
from flip_edge.gguf import check_gguf
from flip_edge.models import (
    AdapterFile,
    ModelFile,
    ModelRow,
    joined_id,
    list_models,
    models_folder,
    resolve,
    resolve_adapter,
    verify,
)
from flip_edge.neighbours import processors
from flip_edge.prepared import find_prepared, prepared_folder
from flip_edge.prompts import load_prompt, prompt_id
from flip_edge.selfcheck import SelfCheck

_OVERHEAD = 150_000_000  # bytes beside the files; measured with the default model and context: docs/speed.md
_COMMAND = "bring the mug to the sink"
_RUNS = {
    Outcome.MATCH: ["drove to the kitchen", "picked up the mug", "drove to the sink", "put the mug in the sink"],
    Outcome.MISMATCH: ["drove to the charging dock", "docked at the charging dock"],
}
_LEAST_GAIN = 0.1  # nats per token between them; a model that reads the logs has more than 1
_CHECK_S = 600.0  # a large model on a small board reads its examples for minutes
_IMPORT_S = 60.0

# What the processor can do, as /proc/cpuinfo calls it, and what llama.cpp calls it where it was built to use it.
_FAST = {"avx2": "AVX2", "asimddp": "DOTPROD"}

# Imported in a process of its own: the wheels of rclpy start the interpreter anew, and a broken one could end it.
_IMPORT = """
import importlib, json, sys
def tried(name):
    try:
        importlib.import_module(name)
    except Exception as error:
        return {"name": name, "state": "error", "text": f"{type(error).__name__}: {error}"}
    return {"name": name, "state": "ok", "text": ""}
print(json.dumps([tried(name) for name in sys.argv[1:]]))
"""
ROS_SETTINGS = "check ROS_DOMAIN_ID (0 to 101), RMW_IMPLEMENTATION (is that middleware installed?) and the network"
_BUILD_ROS = "see 'From ROS 2' and 'On a Jetson or a Pi' in README.md: colcon build, then source install/setup.bash"
_ROS_MODULES = {"flip_edge_msgs.msg": _BUILD_ROS, "flip_edge_ros.node": _BUILD_ROS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--ros-seconds",
        type=_seconds,
        default=3.0,
        metavar="N",
        help="how long to look around in the ROS graph; 0 leaves ROS out (default: 3)",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 600:
        raise argparse.ArgumentTypeError(f"it must lie between 0 and 600 seconds, not {text}")
    return value


def run(load: Callable[[], Config], arguments: argparse.Namespace) -> int:
    """Look at everything and print it. Returns the exit code: 0 where nothing is an error, else 1."""
    found = []
    for finding in examine(load, arguments.ros_seconds):
        found.append(finding)
        if not arguments.json:
            print(told(finding), flush=True)  # at once: the check takes its time, and who waits wants to see it
    if arguments.json:
        document = {"ok": not count(found, "error"), "findings": [asdict(finding) for finding in found]}
        print(json.dumps(document, indent=2))
    else:
        print(summed_up(found))
    return 1 if count(found, "error") else 0


def examine(load: Callable[[], Config], ros_seconds: float = 3.0) -> Iterator[Finding]:
    """Look at one thing after the other; a finding comes as soon as it is made, and nothing is raised.

    Args:
        load: makes the configuration; what it raises is a finding, and the defaults are used for the rest.
        ros_seconds: how long to look around in the ROS graph; 0 leaves ROS out.
    """
    yield from guarded("python", python)
    config = Config()
    try:
        config = load()
        yield configuration(config)
    except FlipEdgeError as error:
        text, _, remedy = str(error).rpartition("; ") if "; " in str(error) else (str(error), "", "correct it")
        yield Finding("configuration", "error", text, f"{remedy}; the rest was looked at with the default settings")
    yield from in_a_process("llama.cpp", _part("llama.cpp"), config, _IMPORT_S)
    usable = True
    for finding in guarded("model", lambda: model(config)):
        usable = finding.state != "error"
        yield finding
    if usable:
        yield from guarded("adapter", lambda: adapter(config))
        yield from guarded("prepared", lambda: prepared(config))
        yield from guarded("calibration", lambda: calibration(config))
        yield from guarded("memory", lambda: memory(config))
    yield from guarded("disk", lambda: disk(config))
    if usable:
        yield from in_a_process("check", _part("check"), config, _CHECK_S)
    else:
        yield Finding("check", "warning", "not tried, as the model cannot be used")
    if ros_seconds:
        yield from guarded("ros", lambda: ros(ros_seconds))


def _part(name: str) -> list[str]:
    return [sys.executable, "-m", "flip_edge.doctor", name]


def _answer_part(name: str) -> None:
    config = to_config(json.load(sys.stdin))
    look = {"llama.cpp": llama, "check": check}[name]
    answer(guarded(name, lambda: look(config)))


# --- the machine and the settings


def python() -> Iterator[Finding]:
    """The interpreter and the machine."""
    state: State = "ok" if sys.version_info >= (3, 10) else "error"
    text = f"Python {platform.python_version()}, {platform.system()} on {platform.machine()}"
    yield Finding("python", state, text, "" if state == "ok" else "flip_edge needs Python 3.10 or newer")


def configuration(config: Config) -> Finding:
    """Which settings differ from the defaults."""
    defaults = Config()
    changed = [name for name in config.__struct_fields__ if getattr(config, name) != getattr(defaults, name)]
    told = ", ".join(f"{name} {getattr(config, name)!r}" for name in changed)
    return Finding("configuration", "ok", f"valid: {told or 'the defaults'}")


def llama(config: Config) -> Iterator[Finding]:
    """llama.cpp, what it was built for, and the processors it computes on."""
    from flip_edge.llama import default_threads, gpu_offload_supported, system_info

    text = f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}"
    gpu = gpu_offload_supported()
    text += f", {'with' if gpu else 'without'} GPU support"
    slow = unused_features(Path("/proc/cpuinfo").read_text(encoding="utf-8"), system_info())
    if config.n_gpu_layers and not gpu:
        remedy = f'set n_gpu_layers to 0, or build it with CMAKE_ARGS="-DGGML_CUDA=on"; {REBUILD}'
        yield Finding("llama.cpp", "warning", f"{text}, but n_gpu_layers is {config.n_gpu_layers}: on the CPU", remedy)
    elif slow:
        remedy = REBUILD
        yield Finding("llama.cpp", "warning", f"{text}; slow: built without {', '.join(slow)}, which is here", remedy)
    else:
        yield Finding("llama.cpp", "ok", text)
    allowed = len(processors(config.cpus) or os.sched_getaffinity(0))
    threads = config.n_threads or (allowed if config.cpus else default_threads())
    text = f"{number(threads, 'thread')} on {number(allowed, 'processor')} that may be used"
    if threads > allowed:
        yield Finding("processors", "warning", f"{text}: they wait for each other", f"set n_threads to {allowed} or 0")
    else:
        yield Finding("processors", "ok", text)


def unused_features(cpuinfo: str, built_for: str) -> list[str]:
    """What makes a model fast, is in this processor, and is not in this llama.cpp; both as text that names features."""
    there, used = set(cpuinfo.split()), set(built_for.split())
    return [name for flag, name in _FAST.items() if flag in there and name not in used]


def memory(config: Config, available: int | None = None) -> Iterator[Finding]:
    """Whether a model has room; ``available`` in bytes, None for what the system says.

    What is needed is estimated for a context of 2,048 tokens; a larger one takes more.
    """
    if available is None:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024
    needed = sum(file.path.stat().st_size for file in _in_use(config) if file) + _OVERHEAD
    text = f"{available / 1e6:,.0f} MB are free and about {needed / 1e6:,.0f} MB are needed"
    if available < needed:
        yield Finding("memory", "error", text, "end other processes, or use a smaller model: flip-edge models list")
    else:
        yield Finding("memory", "ok", text)


def disk(config: Config, free: int | None = None) -> Iterator[Finding]:
    """Whether the cache has room to fetch and prepare the model; ``free`` in bytes, None for what the system says."""
    folder = models_folder()
    if free is None:
        free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    row = _row(config)
    needed = 2 * row.size if row else 0
    text = f"{free / 1e6:,.0f} MB are free in {folder}"
    if free < needed:
        remedy = "free some space, or set FLIP_EDGE_CACHE to a folder on another disk"
        yield Finding("disk", "warning", f"{text}; to fetch and prepare the model takes {needed / 1e6:,.0f} MB", remedy)
    else:
        yield Finding("disk", "ok", text)


# --- the files


def _row(config: Config) -> ModelRow | None:
    """What the registry says of the model; None for a file."""
    return next((row for row in list_models() if config.model in (row.id, "default" if row.default else "")), None)


def _in_use(config: Config) -> tuple[ModelFile, AdapterFile | None]:
    """The model and adapter that a check loads."""
    with _warnings():
        model = resolve(config.model)
        adapter = resolve_adapter(config.adapter, model, config.prompt)
        prepared = find_prepared(model, adapter)
    return (prepared, None) if prepared else (model, adapter)


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What flip_edge warns of meanwhile, to be told as findings and not on the terminal."""
    told: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("flip_edge")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield told
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def model(config: Config) -> Iterator[Finding]:
    """Whether the model is there, whole, and the one it should be."""
    try:
        found = resolve(config.model)
        verify(found, progress=_silent)
    except ModelError as error:
        remedy = "" if _row(config) else "give a registry id (flip-edge models list) or the path of a whole GGUF file"
        yield failed("model", error, remedy)
        return
    known = "size and SHA-256 as promised" if found.sha256 else "a whole GGUF file; its checksum is not known here"
    yield Finding("model", "ok", f"{found.id}, {found.path.stat().st_size / 1e6:,.0f} MB, {known}: {found.path}")


def _silent(_what: str, _done: int, _total: int | None) -> None:
    """No progress bar between the lines."""


def adapter(config: Config) -> Iterator[Finding]:
    """Whether the model's adapter is there, whole, and made for this model."""
    model = resolve(config.model)
    with _warnings() as warnings:
        found = resolve_adapter(config.adapter, model, config.prompt)
    if warnings:
        text, _, remedy = warnings[0].rpartition("; ")
        yield Finding("adapter", "warning", text, remedy)
    elif found is None:
        why = "as the settings say" if config.adapter == "none" else "there is none for this model and prompt"
        yield Finding("adapter", "ok", f"none: {why}")
    else:
        verify(found, progress=_silent)
        made_for = check_gguf(found.path).get("flip_edge.model_sha256")
        text = f"{found.id}, {found.path.stat().st_size / 1e6:,.0f} MB, whole"
        if made_for and made_for == model.sha256:
            yield Finding("adapter", "ok", f"{text}, made for this model")
        else:
            remedy = "make sure that it was trained for this very model; llama.cpp looks at the shapes alone"
            yield Finding("adapter", "warning", f"{text}; nothing tells whether it was made for this model", remedy)


def prepared(config: Config) -> Iterator[Finding]:
    """Whether a prepared form of the model is used, and is whole."""
    model = resolve(config.model)
    with _warnings() as warnings:
        adapter = resolve_adapter(config.adapter, model, config.prompt)
        warnings.clear()
        found = find_prepared(model, adapter)
    if found:
        verify(found, progress=_silent)
        yield Finding("prepared", "ok", f"{found.id} is used, size and SHA-256 as recorded")
    elif warnings:
        text, _, remedy = warnings[0].rpartition("; ")
        yield Finding("prepared", "warning", text, remedy)
    elif prepared_folder(model).is_dir():
        text = f"not used: what is in {prepared_folder(model)} was made from another model or adapter"
        yield Finding("prepared", "warning", text, "flip-edge models prepare makes it anew")
    elif model.entry:
        remedy = "for faster checks: flip-edge models prepare, a minute or two, needs pip install 'flip_edge[prepare]'"
        yield Finding("prepared", "ok", "none: the model is used as it is", remedy)
    else:
        yield Finding("prepared", "ok", "none: only models of the registry can be prepared")


def calibration(config: Config) -> Iterator[Finding]:
    """Which calibration there is for model and prompt, and its threshold."""
    model, adapter = _in_use(config)
    prompt = load_prompt(config.prompt if config.prompt != "auto" else (adapter or model).prompt)
    found = find_calibration(config.calibration, joined_id(model, adapter), prompt_id(prompt))
    if found is None:
        text = f"none for model {joined_id(model, adapter)} with prompt {prompt_id(prompt)}"
        if config.rule != "calibrated":
            yield Finding("calibration", "ok", f"{text}; rule {config.rule!r} needs none")
        else:
            remedy = "make one from 20 or more good runs of your robot: flip-edge calibrate"
            yield Finding("calibration", "warning", f"{text}: rule 'likelihood' decides", remedy)
        return
    shipped = config.calibration == "auto"
    text = f"{found.id}, {'comes with flip_edge' if shipped else f'from {config.calibration}'}: threshold "
    text += f"{found.threshold:.2f}, for {found.false_alarm_rate:.0%} false alarms, from {found.runs} good runs"
    if config.rule != "calibrated":
        text += f"; not used, as rule {config.rule!r} decides"
    elif config.score_threshold:
        text += f"; score_threshold {config.score_threshold:g} decides in its place"
    remedy = "to catch more near misses, make your own from 20 or more good runs of your robot: flip-edge calibrate"
    yield Finding("calibration", "ok", text, remedy if shipped else "")


# --- a check


def check(config: Config) -> Iterator[Finding]:
    """Check a run that did as it was told and one that did not."""
    started = time.perf_counter()
    with SelfCheck(config) as checking:
        yield Finding("check", "ok", f"{checking.model_id} loaded in {time.perf_counter() - started:.1f} s")
        # The verdicts of others' thresholds cannot be foretold.
        vouched = checking.rule == "calibrated" and config.calibration == "auto" and not config.score_threshold
        gains = []
        for expected, steps in _RUNS.items():
            verdict = checking(_COMMAND, steps)
            gains.append(verdict.gain)
            text = f"{_COMMAND!r}: {'; '.join(steps)}: {verdict.outcome.value} in {verdict.computed_s:.2f} s"
            if verdict.outcome is expected:
                yield Finding("check", "ok", text)
            elif verdict.outcome is Outcome.UNKNOWN:
                yield Finding("check", "error", f"{text}: {verdict.reason}", "change the setting that the reason names")
            else:
                remedy = "use the model and settings that come with flip_edge, or calibrate: flip-edge calibrate"
                text += f", which is not {expected.value}: {verdict.reason}"
                yield Finding("check", "error" if vouched else "warning", text, remedy)
    good, bad = gains
    if good is not None and bad is not None and good - bad < _LEAST_GAIN:
        text = f"the model does not tell them apart: gain {good:+.2f} and {bad:+.2f} nats per token"
        yield Finding("check", "error", text, "use another model; with a GPU, try n_gpu_layers 0")


# --- ROS


def ros(seconds: float) -> Iterator[Finding]:
    """Whether ROS 2 and our packages can be imported, and what flip_edge_ros finds in the graph."""
    names = ("ROS_DISTRO", "RMW_IMPLEMENTATION", "ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY")
    text = ", ".join(f"{name} {os.environ[name]}" for name in names if os.environ.get(name))
    yield Finding("ros", "ok", text or "no ROS variable is set: domain 0, the default middleware")
    modules = {"rclpy": _get_ros(), **_ROS_MODULES}
    usable = True
    for tried in in_a_process("ros", [sys.executable, "-c", _IMPORT, *modules], Config(), _IMPORT_S, ROS_SETTINGS):
        package = tried.name.partition(".")[0]
        usable &= tried.state == "ok"
        if tried.state == "ok":
            yield Finding("ros", "ok", f"{package} can be imported")
        elif tried.name not in modules:
            yield tried
        elif importlib.util.find_spec(package) is None:
            yield Finding("ros", "warning", f"{package} is not there for {sys.executable}", modules[tried.name])
        else:
            yield Finding("ros", "error", f"{package} cannot be imported: {tried.text}", modules[tried.name])
    if usable:
        command = [sys.executable, "-m", "flip_edge_ros.doctor", str(seconds)]
        yield from in_a_process("graph", command, Config(), seconds + _IMPORT_S, ROS_SETTINGS)


def _get_ros() -> str:
    """How this machine comes to an rclpy that can be imported."""
    installed = sorted(Path("/opt/ros").glob("*/setup.bash"))
    if distro := os.environ.get("ROS_DISTRO"):
        return f"ROS {distro} is sourced: use its own Python, in an environment with --system-site-packages"
    if installed:
        return f"source {installed[-1]}, in an environment with --system-site-packages"
    return "pip install 'flip_edge[ros]' on x86-64; else install ROS 2 from apt and source its setup.bash"


if __name__ == "__main__":
    _answer_part(sys.argv[1])
