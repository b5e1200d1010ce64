"""The node under test, as a process."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

EXIT_S = 60.0
_SHARED_MEMORY = Path("/dev/shm")
_YOUNG_S = 2.0


class NodeProcess:
    """`python -m flip_edge_ros`, with its log in a file.

    Args:
        log: where stdout and stderr go.
        namespace: of the node; keeps nodes of different tests apart.
        arguments: further ROS arguments.
        parameters: set with ``-p``.
    """

    def __init__(
        self, log: Path, *, namespace: str = "", arguments: tuple[str, ...] = (), **parameters: str | float | bool
    ) -> None:
        self.namespace = namespace
        command = [sys.executable, "-m", "flip_edge_ros", "--ros-args"]
        if namespace:
            command += ["-r", f"__ns:={namespace}"]
        command += arguments
        for name, value in parameters.items():
            command += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for_log(self, text: str, timeout_s: float = 60.0) -> None:
        end = time.monotonic() + timeout_s
        while text not in self.log:
            assert self.alive, f"the node exited with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < end, f"no {text!r} in the node's log:\n{self.log}"
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = EXIT_S) -> int:
        return self.process.wait(timeout_s)

    def stop(self) -> None:
        """End it as a user does, and see that it ends well."""
        try:
            self.wait_for_log("[")  # from its first line on it minds signals
            self.send(signal.SIGINT)
            code = self.wait()
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the node did not end after SIGINT:\n{self.log}") from None
        finally:
            self.kill()
        assert code == 0, f"the node exited with {code}:\n{self.log}"
        assert "Traceback" not in self.log, self.log

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def remove_dead_shared_memory(domain: int) -> None:
    """Remove what participants left in shared memory: segments of killed ones, and the ports of our domain.

    The living hold a lock. Other domains' ports are left alone, and so is what is so young that its lock may follow.
    """
    first_port = 7400 + 250 * domain  # as the RTPS standard has it
    ours = {str(port) for port in range(first_port, first_port + 250)}
    for path in list(_SHARED_MEMORY.glob("fast*_*")):  # fastdds_, and on Jazzy fastrtps_
        _, is_port, port = path.name.partition("_port")
        if path.name.endswith(("_el", "_sl")) or (is_port and port not in ours):
            continue
        locks = [path.with_name(path.name + end) for end in ("_el", "_sl")]
        with suppress(OSError):  # gone, or another user's
            if time.time() - path.stat().st_mtime < _YOUNG_S or any(map(_held, locks)):
                continue
            for left in (path, *locks, path.with_name(f"sem.{path.name}_mutex")):
                left.unlink(missing_ok=True)


def _held(lock: Path) -> bool:
    if not lock.exists():
        return False
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
