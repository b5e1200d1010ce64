"""The node in the test's own process, for what cannot be seen or brought about from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import rclpy
from flip_edge_ros.node import SelfCheckNode
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from flip_edge import Episode, SelfCheck

from .process import NodeProcess


def before_checks(monkeypatch: pytest.MonkeyPatch, call: Callable[[Episode], object]) -> None:
    """Have this called before each check, by the thread that checks."""
    check = SelfCheck.check

    def called_first(self: SelfCheck, episode: Episode, *, waited_s: float = 0.0) -> Any:
        call(episode)
        return check(self, episode, waited_s=waited_s)

    monkeypatch.setattr(SelfCheck, "check", called_first)


class NodeInThisProcess(NodeProcess):
    """Looks like a node process to a client, and is a thread that spins the node with a timer of ours beside it."""

    def __init__(self, namespace: str, **parameters: str | float | bool) -> None:
        self.namespace = namespace
        self.ticks: list[float] = []
        self._context = Context()
        rclpy.init(context=self._context)
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = SelfCheckNode(context=self._context, namespace=namespace, parameter_overrides=overrides)
        self.node.start()
        self.node.create_timer(0.1, lambda: self.ticks.append(time.monotonic()))
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def log(self) -> str:
        return "(in the test's output)"

    def stop(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.finish()
        self.node.close()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)
