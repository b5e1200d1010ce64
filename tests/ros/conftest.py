"""Nodes and clients for the tests; nothing here imports ROS before a test that needs it runs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .process import NodeProcess, remove_dead_shared_memory

if TYPE_CHECKING:
    from .client import Client

StartNode = Callable[..., NodeProcess]
Connect = Callable[..., "Client"]

_TAKEN_DOMAIN = 71  # the demo's
_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    # lark, through rosidl_generator_py, on Python 3.11 and later
    config.addinivalue_line("filterwarnings", "ignore:module 'sre_constants' is deprecated:DeprecationWarning")


@pytest.fixture(scope="session", autouse=True)
def ros_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """This machine only, a domain for this test process, and logs out of the way."""
    domain = 1 + os.getpid() % 100
    domain += domain == _TAKEN_DOMAIN
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        patch.setenv("ROS_DOMAIN_ID", str(domain))
        patch.setenv("ROS_LOG_DIR", str(tmp_path_factory.mktemp("ros_log")))
        yield
        remove_dead_shared_memory(domain)


@contextmanager
def _nodes_in(directory: Path) -> Iterator[StartNode]:
    """A function that starts nodes in a namespace of their own; in the end each must end well, unless it was killed."""
    nodes: list[NodeProcess] = []

    def start(**options: object) -> NodeProcess:
        number = next(_numbers)
        options.setdefault("namespace", f"/t{os.getpid()}_{number}")
        nodes.append(NodeProcess(directory / f"node-{number}.log", **options))  # type: ignore[arg-type]
        return nodes[-1]

    yield start
    failures = []
    for node in nodes:
        if node.process.returncode is not None:
            continue  # the test ended it, and looked at how
        try:
            node.stop()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


@contextmanager
def _clients() -> Iterator[Connect]:
    from .client import Client

    clients: list[Client] = []

    def connect(node: NodeProcess, **options: str) -> Client:
        clients.append(Client(node, **options))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def start_node(tmp_path: Path, model_path: Path) -> Iterator[StartNode]:
    """Starts nodes of the test's own."""
    with _nodes_in(tmp_path) as start:
        yield start


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes clients of the test's own."""
    with _clients() as connect:
        yield connect


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Iterator[NodeProcess]:
    """One active node for all tests of a module; :func:`robot` gives it to a test in a known state."""
    with _nodes_in(tmp_path_factory.mktemp("shared_node")) as start:
        yield start(idle_timeout_s=3600.0)


@pytest.fixture(scope="module")
def shared_client(shared_node: NodeProcess) -> Iterator[Client]:
    with _clients() as connect:
        client = connect(shared_node)
        client.connect()
        yield client


@pytest.fixture
def robot(shared_node: NodeProcess, shared_client: Client) -> Iterator[Client]:
    """A client of the module's node, with no run open, default settings and no silence timeout."""
    from flip_edge.config import LIVE, Config

    client = shared_client
    defaults = {name: getattr(Config(), name) for name in sorted(LIVE)}
    client.change_settings(**{**defaults, "idle_timeout_s": 3600.0})
    assert client.change("deactivate")
    assert client.change("activate")
    client.spin(0.1)
    client.verdicts.clear()
    client.alerts.clear()
    yield client
    assert shared_node.alive, shared_node.log
    assert "Traceback" not in shared_node.log, shared_node.log
