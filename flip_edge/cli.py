"""The command line, `flip-edge`: what a person types; each longer command has a room of its own."""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from tqdm import tqdm

from flip_edge import __version__, bench, calibrate, doctor, evaluate, rank, reference, replay, report
from flip_edge.config import Config, Infer, Rule, load_config
from flip_edge.decision import Outcome
from flip_edge.errors import FlipEdgeError, InputError, ModelError
from flip_edge.models import ModelFile, ModelRow, list_models, pull, resolve, resolve_adapter, verify
from flip_edge.prepare import TYPES, prepare
from flip_edge.prepared import find_prepared, remove_prepared
from flip_edge.score import Summary, score_file, score_lines
from flip_edge.selfcheck import SelfCheck
from flip_edge.verdict import Verdict

EXIT_CODES = {Outcome.MATCH: 0, Outcome.MISMATCH: 1, Outcome.UNKNOWN: 2}
BAD_INPUT = 2
BROKEN = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130

_REFERENCES = {"yaml": reference.as_yaml, "ros": reference.as_ros, "markdown": reference.as_markdown}

_EXAMPLES = """\
examples:
  flip-edge check --command "bring the mug to the sink" --action "picked up the mug" --action "put it in the sink"
  flip-edge score runs.jsonl -o verdicts.jsonl
  flip-edge models pull
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show a character must not cost the verdict
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments, rest = _parser().parse_known_args(argv)
    if rest and arguments.run is not _demo:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
    if arguments.run is _demo:
        arguments.arguments = [*rest, *arguments.arguments]
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except FlipEdgeError as error:
        if run is _check and arguments.json:
            print(json.dumps({"verdict": Outcome.UNKNOWN.value, "reason": str(error)}))
        print(f"flip-edge: error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("flip-edge: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BAD_INPUT
    except Exception:
        traceback.print_exc()
        return BROKEN  # the interpreter's own exit code, 1, would read as MISMATCH


# --- arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flip-edge",
        description="Did the robot do what it was told? Infers the instruction that a run implies with a small "
        "language model on this machine, and compares it with the command.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"flip-edge {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_check(commands)
    _add_score(commands)
    _add_rank(commands)
    _add_evaluate(commands)
    _add_calibrate(commands)
    _add_bench(commands)
    _add_replay(commands)
    _add_models(commands)
    _add_report(commands)
    _add_settings_command(commands)
    _add_doctor(commands)
    _add_demo(commands)
    return parser


def _add_check(commands: Any) -> None:
    check = commands.add_parser(
        "check",
        help="check one run",
        description="Check one run. Exit code: 0 MATCH, 1 MISMATCH, 2 UNKNOWN or bad input.",
    )
    check.add_argument("--command", required=True, metavar="TEXT", help="what the robot was told")
    check.add_argument(
        "--action",
        action="append",
        default=[],
        metavar="TEXT",
        help="what it did; once for each step, in order",
    )
    check.add_argument("--log", type=Path, metavar="FILE", help="more steps from a text file, one a line; - for stdin")
    check.add_argument("--json", action="store_true", help="print the whole verdict as JSON")
    _add_infer(check)
    _add_settings(check)
    check.set_defaults(run=_check)


def _add_score(commands: Any) -> None:
    score = commands.add_parser(
        "score",
        help="check a file of runs",
        description='Check every run of a JSONL file of {"id", "command", "actions": [...]} rows, in order. Bad lines '
        "are named and passed over. Exit code: 0, or 2 when a line could not be scored.",
    )
    score.add_argument("input", metavar="IN.jsonl", help="the runs; - for standard input")
    score.add_argument(
        "-o",
        "--output",
        default="-",
        metavar="OUT.jsonl",
        help="where the verdicts go (default: standard output)",
    )
    score.add_argument("--resume", action="store_true", help="go on where an interrupted run with this output stopped")
    _add_infer(score)
    _add_settings(score)
    score.set_defaults(run=_score)


def _add_rank(commands: Any) -> None:
    parser = commands.add_parser(
        "rank",
        help="rank plans or answers by how well they fit a command",
        description="Ranks candidate plans or answers for a command, the best first, and says why the first one won. "
        "Exit code: 0, or 2 for bad input.",
    )
    rank.add_arguments(parser)
    _add_settings(parser)
    parser.set_defaults(run=lambda arguments: rank.run(arguments, _config(arguments), SelfCheck))


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure on labelled runs, beside every baseline",
        description="Measure how well failed runs are told from good ones: flip_edge beside judges and word counting, "
        "on the same model and runs, with intervals. Runs that do not match are made from successful ones.",
    )
    evaluate.add_arguments(parser)
    _add_settings(parser)
    parser.set_defaults(run=lambda arguments: evaluate.run(arguments, _config(arguments)))


def _add_calibrate(commands: Any) -> None:
    parser = commands.add_parser(
        "calibrate",
        help="set thresholds from your robot's own runs",
        description="Set the threshold for a wanted false-alarm rate from successful runs, and, where failed runs are "
        'among them ("outcome": "failure"), fit the weights of the score.',
    )
    calibrate.add_arguments(parser)
    _add_settings(parser)
    parser.set_defaults(run=_calibrate)


def _add_bench(commands: Any) -> None:
    parser = commands.add_parser(
        "bench",
        help="measure what a check costs on this machine",
        description="Measures checks of three built-in runs, side by side with llama.cpp alone on the same tokens, a "
        "judge, the ordinary interface, and FLIP as published; and what memory a monitor takes.",
    )
    bench.add_arguments(parser)
    _add_settings(parser)
    parser.set_defaults(run=lambda arguments: bench.run(_config(arguments), arguments))


def _add_replay(commands: Any) -> None:
    parser = commands.add_parser(
        "replay",
        help="check the runs of a recorded bag",
        description="Plays a rosbag2 recording (MCAP or SQLite) to the monitor on recorded time, without ROS, and "
        "prints what it says. Exit code: 0 without a mismatch, 1 with one, 2 where the bag could not be read whole.",
    )
    replay.add_arguments(parser)
    _add_infer(parser)
    _add_settings(parser)
    parser.set_defaults(run=lambda arguments: replay.run(_config(arguments), arguments))


def _add_models(commands: Any) -> None:
    models = commands.add_parser("models", help="list, fetch and verify model files")
    actions = models.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the models of the registry, and which are installed")
    listing.add_argument("--json", action="store_true", help="print as JSON")
    listing.set_defaults(run=_models_list)
    pulling = actions.add_parser("pull", help="fetch a model and verify it")
    pulling.add_argument("model", nargs="?", default="default", help="registry id (default: the default model)")
    pulling.add_argument("--force", action="store_true", help="fetch it even when it is there")
    pulling.set_defaults(run=_models_pull)
    preparing = actions.add_parser(
        "prepare",
        help="merge model and adapter and requantize, where that is faster here",
        description="Makes one file of a model and its adapter in weight types that are fast, measures each beside the "
        "model as it is, on this machine, and keeps the fastest that is as good. It is used from then on. Where one is "
        "kept already, nothing is done.",
    )
    preparing.add_argument("model", nargs="?", default="default", help="registry id (default: the default model)")
    preparing.add_argument("--type", choices=TYPES, action="append", help="try this alone; can be repeated")
    preparing.add_argument("--threads", type=int, default=0, metavar="N", help="processor threads to measure with")
    preparing.add_argument("--force", action="store_true", help="measure anew even where one is kept")
    preparing.add_argument("--remove", action="store_true", help="remove the prepared file: the model as it is again")
    preparing.set_defaults(run=_models_prepare)
    verifying = actions.add_parser("verify", help="check size and SHA-256 of model files")
    verifying.add_argument("model", nargs="*", help="registry ids or GGUF files (default: all that are installed)")
    verifying.set_defaults(run=_models_verify)


def _add_report(commands: Any) -> None:
    parser = commands.add_parser(
        "report",
        help="make a page of runs and verdicts, for people",
        description="Makes one HTML file, complete in itself, from the verdicts of replay or score or from a black "
        "box: a timeline, the figures against their thresholds, and every run with its steps and what did not fit. "
        "Exit code: 0, or 2 where only a part of the input could be read.",
    )
    report.add_arguments(parser)
    parser.set_defaults(run=lambda arguments: report.run(Config(), arguments))


def _add_settings_command(commands: Any) -> None:
    parser = commands.add_parser(
        "settings",
        help="print every setting with its default and what it means",
        description="Prints every setting: as a configuration file for --config, as a parameter file for the ROS node, "
        "or as a page.",
    )
    parser.add_argument("--format", choices=_REFERENCES, default="yaml", help="default: yaml")
    parser.set_defaults(run=_settings)


def _add_doctor(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="look for what is wrong, and say what to do",
        description="Looks at all that a check needs, from the model's file to the robot's topics, checks two built-in "
        "runs, and says line by line what is fine and what to do about the rest. Exit code: 0 where nothing is an "
        "error (warnings are none), else 1.",
    )
    doctor.add_arguments(parser)
    _add_settings(parser)
    parser.set_defaults(run=lambda arguments: doctor.run(lambda: _config(arguments), arguments))


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="watch a simulated robot being checked over ROS 2",
        description="A simulated robot is told things and does them, or fails to; flip_edge says which, over real "
        "ROS 2 topics. Arguments go to the demo; try: flip-edge demo --help-demo",
        add_help=True,
    )
    demo.add_argument("--help-demo", action="store_true", help="show the demo's own options")
    demo.add_argument("arguments", nargs=argparse.REMAINDER, help="options of the demo")
    demo.set_defaults(run=_demo)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    defaults = Config()
    group = parser.add_argument_group("settings (they win over the configuration file)")
    group.add_argument("--config", type=Path, metavar="FILE", help="YAML configuration")
    group.add_argument("--model", metavar="ID|FILE", help="registry id or GGUF file")
    group.add_argument("--adapter", metavar="auto|none|FILE", help="LoRA adapter (default: the model's own, if any)")
    group.add_argument("--prompt", metavar="NAME|FILE", help="prompt format (default: the model's or adapter's own)")
    group.add_argument("--rule", choices=get_args(Rule), help=f"what decides (default: {defaults.rule})")
    group.add_argument(
        "--f1-threshold",
        type=float,
        metavar="X",
        help=f"rule f1: mismatch below it (default: {defaults.f1_threshold})",
    )
    group.add_argument(
        "--samples", type=int, metavar="N", help=f"rule f1: instructions to sample (default: {defaults.samples})"
    )
    group.add_argument(
        "--gain-threshold",
        type=float,
        metavar="X",
        help=f"rule likelihood: mismatch below it, nats per token (default: {defaults.gain_threshold})",
    )
    group.add_argument("--calibration", metavar="FILE", help="rule calibrated: a calibration of your own")
    group.add_argument(
        "--score-threshold",
        type=float,
        metavar="X",
        help="rule calibrated: mismatch below it (default: the calibration's)",
    )
    group.add_argument("--deadline", dest="deadline_s", type=float, metavar="S", help="seconds a check may compute")
    group.add_argument("--threads", dest="n_threads", type=int, metavar="N", help="processor threads")


def _add_infer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--infer",
        choices=get_args(Infer),
        default="always",  # nothing waits for a command line, and who reads it wants to know
        help="when to infer an instruction: always, or if the verdict needs it as in a monitor (default: always)",
    )


def _config(arguments: argparse.Namespace) -> Config:
    config = load_config(arguments.config) if arguments.config else Config()
    names = ["model", "adapter", "prompt", "rule", "f1_threshold", "gain_threshold", "calibration"]
    names += ["score_threshold", "deadline_s", "n_threads", "infer", "samples", "sources"]
    return config.replace(**{name: value for name in names if (value := getattr(arguments, name, None)) is not None})


# --- check


def _check(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    steps = [*arguments.action, *(_steps_from(arguments.log) if arguments.log else [])]
    with SelfCheck(config) as check:
        verdict = check(arguments.command, steps)
    print(json.dumps(verdict.to_dict()) if arguments.json else _told(verdict))
    return EXIT_CODES[verdict.outcome]


def _steps_from(path: Path) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the log {path}: {error.strerror}") from error
    return data.decode("utf-8", "replace").splitlines()


def _told(verdict: Verdict) -> str:
    """A verdict as a person reads it."""
    lines = [f"{verdict.outcome.value}: {verdict.reason}", f"  command      {verdict.command}"]
    if verdict.inferred is not None:
        lines.append(f"  implied      {verdict.inferred}")
    if others := [text for text in dict.fromkeys(verdict.sampled) if text and text != verdict.inferred]:
        lines.append(f"  or           {' | '.join(others)}")
    if verdict.f1 is not None:
        parts = f"precision {verdict.precision:.2f}, recall {verdict.recall:.2f}"
        parts = f"mean of {len(verdict.sampled)} samples; what is implied: {parts}" if verdict.sampled else parts
        lines.append(f"  F1           {verdict.f1:.2f}  ({parts}, threshold {verdict.f1_threshold:g})")
    if verdict.gain is not None:
        lines.append(f"  gain         {verdict.gain:+.2f} nats per token  (threshold {verdict.gain_threshold:g})")
    if verdict.score is not None:
        lines.append(
            f"  score        {verdict.score:.2f}  (threshold {verdict.score_threshold:.2f}, {verdict.calibration_id})"
        )
    if verdict.missing:
        lines.append(f"  missing      {', '.join(verdict.missing)}")
    if verdict.unexpected:
        lines.append(f"  unexpected   {', '.join(verdict.unexpected)}")
    lines.append(
        f"  decided by   rule {verdict.rule}, {verdict.model_id}, {verdict.prompt_id}, {verdict.computed_s:.2f} s"
    )
    return "\n".join(lines)


# --- score


def _score(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    stdin = arguments.input == "-"
    try:
        source = sys.stdin.buffer if stdin else Path(arguments.input).open("rb")  # noqa: SIM115 - closed below
        size = None if stdin else os.fstat(source.fileno()).st_size
    except OSError as error:
        raise InputError(f"cannot read {arguments.input}: {error.strerror}") from error
    with source, SelfCheck(config) as check, tqdm(total=size, unit="B", unit_scale=True, disable=None) as bar:

        def on_bad(number: int, error: str) -> None:
            bar.clear()
            print(f"flip-edge: {arguments.input}: line {number}: {error}", file=sys.stderr)

        if arguments.output == "-":
            summary = Summary()
            for result in score_lines(iter(source), check, summary, on_bad):
                print(json.dumps(result, ensure_ascii=False), flush=True)
        else:
            target = Path(arguments.output)
            try:
                summary = score_file(
                    source,
                    target,
                    check,
                    resume=arguments.resume,
                    on_bad=on_bad,
                    on_line=bar.update,
                )
            except KeyboardInterrupt:
                print(
                    f"flip-edge: interrupted; what is done lies in {target}.partial, go on with --resume",
                    file=sys.stderr,
                )
                return INTERRUPTED
    counts = ", ".join(f"{count} {name}" for name, count in summary.verdicts.items())
    bad = f", {len(summary.bad_lines)} bad lines" if summary.bad_lines else ""
    print(f"flip-edge: {sum(summary.verdicts.values())} runs: {counts}{bad}", file=sys.stderr)
    return BAD_INPUT if summary.bad_lines else 0


# --- calibrate


def _calibrate(arguments: argparse.Namespace) -> int:
    with SelfCheck(_config(arguments)) as check:
        return calibrate.run(check, arguments)


# --- models


def _settings(arguments: argparse.Namespace) -> int:
    print(_REFERENCES[arguments.format](), end="")
    return 0


def _models_list(arguments: argparse.Namespace) -> int:
    rows = list_models()
    if arguments.json:
        print(json.dumps([_plain(row) for row in rows], indent=2))
        return 0
    width = max(len(row.id) for row in rows)
    for row in rows:
        print(_listed(row, "*" if row.default else " ", width))
        if row.adapter:
            print(_listed(row.adapter, "+", width))
    print("* the default; fetch one with: flip-edge models pull ID")
    print("+ the adapter of the model above it; comes with flip_edge; --adapter none leaves it out")
    return 0


def _listed(row: ModelRow, mark: str, width: int) -> str:
    state = "installed" if row.installed else "-"
    return f"{mark} {row.id:{width}}  {row.size / 1e6:5.0f} MB  {state:9}  {row.licence}: {row.description}"


def _plain(row: ModelRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "installed": row.installed,
        "default": row.default,
        "size": row.size,
        "licence": row.licence,
        "path": str(row.path),
        "description": row.description,
        "adapter": _plain(row.adapter) if row.adapter else None,
    }


def _models_pull(arguments: argparse.Namespace) -> int:
    model = pull(arguments.model, force=arguments.force)
    print(f"{model.id}: {model.path}")
    return 0


def _models_prepare(arguments: argparse.Namespace) -> int:
    if arguments.remove:
        source = resolve(arguments.model)
        print(f"{source.id}: {'removed' if remove_prepared(source) else 'there was nothing prepared'}")
        return 0
    if not (arguments.force or arguments.type) and (there := _prepared(arguments.model)):
        print(f"{there.id}: kept already; --force measures anew")
        return 0
    kept, trials = prepare(arguments.model, types=arguments.type, n_threads=arguments.threads)
    before = trials[0]
    print(f"{'':10}{'ms a check':>12}{'speed':>8}{'AUROC gain':>12}{'AUROC F1':>10}")
    columns = (("gain", 12), ("f1", 10))
    for trial in trials:
        print(
            f"{trial.type or 'as it is':10}{1000 * trial.seconds:12.0f}{before.seconds / trial.seconds:7.2f}x"
            + "".join(f"{f'{trial.auroc[name]:.3f}' if trial.auroc else '-':>{width}}" for name, width in columns)
        )
    print(f"kept: {kept.id}" if kept else "nothing is faster and as good: the model is used as it is")
    return 0


def _prepared(name: str) -> ModelFile | None:
    """The prepared form that is used already; None where there is none, or no whole one."""
    model = resolve(name)
    found = find_prepared(model, resolve_adapter("auto", model))
    try:
        if found:
            verify(found)
    except ModelError:
        return None
    return found


def _models_verify(arguments: argparse.Namespace) -> int:
    names = arguments.model or [row.id for row in list_models() if row.path.exists()]
    if not names:
        raise InputError("no model is installed; fetch one with: flip-edge models pull")
    failed = 0
    for name in names:
        try:
            model = resolve(name)
            adapter = resolve_adapter("auto", model)
            prepared = find_prepared(model, adapter)
            for file in (model, adapter, prepared):
                if file:
                    verify(file)
        except FlipEdgeError as error:
            failed += 1
            print(f"flip-edge: {name}: {error}", file=sys.stderr)
        else:
            known = "sha256 as promised" if model.sha256 else "a whole GGUF file; its checksum is not known here"
            more = "".join([f" + {adapter.id}" if adapter else "", f", {prepared.id}" if prepared else ""])
            print(f"{name}{more}: good ({known})")
    return BAD_INPUT if failed else 0


# --- demo


def _demo(arguments: argparse.Namespace) -> int:
    missing = [name for name in ("rclpy", "flip_edge_ros", "flip_edge_demo", "pyrobosim") if not _importable(name)]
    if missing:
        raise InputError(
            f"the demo needs {', '.join(missing)}, which this Python ({sys.executable}) does not have. In a source "
            "checkout, `make demo` sets everything up; flip_edge_demo lies in ros2_ws/src"
        )
    options = ["--help"] if arguments.help_demo else arguments.arguments
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "flip_edge_demo", *options])


def _importable(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


if __name__ == "__main__":
    sys.exit(main())
