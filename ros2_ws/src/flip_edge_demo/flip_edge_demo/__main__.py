"""Run the demo: the robot and the self-check as processes of their own, the operator's console in this one."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from flip_edge import Config
from flip_edge.errors import CalibrationError, FlipEdgeError, InputError
from flip_edge_demo.commission import commission

NAMESPACE = "/flip_edge_demo"
_STOP_GRACE_S = 10.0


class Process:
    """A node in a process of its own, its output in a file."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        command = [sys.executable, "-m", module, "--ros-args", "-r", f"__ns:={NAMESPACE}", *arguments]
        with self.log.open("wb") as out:
            # A session of its own: Ctrl-C reaches this process first, which then stops the others in order.
            self._process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)

    def raise_if_dead(self) -> None:
        """Raise a FlipEdgeError with the end of its log when the process is gone."""
        code = self._process.poll()
        if code is not None:
            tail = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
            raise FlipEdgeError(f"the {self.name} process ended with code {code}; its last words:\n{tail}")

    def stop(self) -> None:
        """Ask it to end, and end it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="flip-edge demo",
        description="A simulated household robot is told things and does them, or fails to. flip_edge reads what it "
        "did and says whether that is what it was told. The truth comes from the simulator. Exit code 0 when every "
        "episode got its verdict, right or wrong.",
    )
    parser.add_argument(
        "--speed", type=float, default=20.0, help="times real time; 0: as fast as it goes (default: 20)"
    )
    parser.add_argument("--rule", help="the rule that decides, as in flip-edge check")
    parser.add_argument("--model", help="registry id or GGUF file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON lines, too")
    parser.add_argument(
        "--record", type=Path, metavar="BAG", help="record a bag, and the calibration beside it, for flip-edge replay"
    )
    return parser.parse_args(argv)


def _isolate(folder: str) -> None:
    """Keep the demo's topics on this machine and out of the way of other ROS systems, unless told otherwise."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.SystemRandom().randint(1, 101)))
    os.environ.setdefault("ROS_LOG_DIR", folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    arguments = _arguments(argv)
    with tempfile.TemporaryDirectory(prefix="flip_edge_demo_") as folder:
        _isolate(folder)
        try:
            return _run(arguments, Path(folder))
        except FlipEdgeError as error:
            print(f"flip-edge demo: error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("flip-edge demo: interrupted", file=sys.stderr)
            return 130


def _commissioned(config: Config, folder: Path, tell: Callable[[str], None]) -> dict[str, str]:
    """Calibrate on the robot's good runs; the settings that use it, none where the model has no weights for it."""
    path = folder / "calibration.yaml"
    try:
        tell(commission(config, path))
    except CalibrationError as error:
        tell(f"not calibrated: {error}")
        return {}
    return {"calibration": str(path)}


def _keep(bag: Path, settings: dict[str, str]) -> str:
    """Keep the calibration that the bag's verdicts were made with; how to replay them."""
    options = [f"--{name} {value}" for name, value in settings.items() if name != "calibration"]
    if "calibration" in settings:
        kept = bag.with_name(f"{bag.name}.calibration.yaml")
        shutil.copyfile(settings["calibration"], kept)
        options.append(f"--calibration {kept}")
    return f"recorded: flip-edge replay {bag} {' '.join(options)}"


def _run(arguments: argparse.Namespace, folder: Path) -> int:
    # After _isolate: rclpy reads its environment when it is imported and initialised.
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from flip_edge_demo.console import Console
    from flip_edge_demo.episodes import load_episodes
    from flip_edge_demo.table import LiveTable

    if arguments.record:
        if arguments.record.exists():
            raise InputError(f"{arguments.record} is there already: give --record a folder that is not")
        from flip_edge_demo.recording import Recorder  # here, as rosbags is an extra

    table = LiveTable()
    settings = {name: value for name in ("rule", "model") if (value := getattr(arguments, name))}
    if "rule" not in settings:
        settings |= _commissioned(Config().replace(**settings), folder, table.console.print)
    settings["infer"] = "always"  # here somebody watches
    parameters = [part for name, value in settings.items() for part in ("-p", f"{name}:={value}")]
    with ExitStack() as stack:
        processes = [
            Process("self-check", "flip_edge_ros", parameters, folder),
            Process("robot", "flip_edge_demo.robot_node", ["-p", f"speed:={arguments.speed:f}"], folder),
        ]
        for process in processes:
            stack.callback(process.stop)
        rclpy.init(args=["--ros-args", "-r", f"__ns:={NAMESPACE}"], signal_handler_options=SignalHandlerOptions.NO)
        stack.callback(rclpy.try_shutdown)
        console = Console()
        stack.callback(console.close)
        recorder = Recorder(console) if arguments.record else None

        def alive() -> None:
            for process in processes:
                process.raise_if_dead()

        table.console.print("starting a robot and a self-check, two processes over ROS 2 ...")
        console.wait_until_ready(alive)
        rows = []
        for row in console.play(load_episodes(), alive):
            table.add(row)
            rows.append(row)
        table.summarise(rows)
        if recorder:
            table.console.print(_keep(recorder.write(arguments.record), settings))
    if arguments.json:
        lines = "".join(json.dumps(row.to_dict()) + "\n" for row in rows)
        arguments.json.write_text(lines, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
