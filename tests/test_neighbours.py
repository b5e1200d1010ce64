"""Which processors the model uses, and at what priority: seen where it matters, at the thread that computes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from conftest import FakeEngine

from flip_edge import Config, Episode, SelfCheck
from flip_edge.errors import ConfigError
from flip_edge.neighbours import processors, stand_back
from flip_edge.worker import Worker

OWN = os.sched_getaffinity(0)
LAST = max(OWN)


def in_a_thread(work: Callable[[], object]) -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_processors_are_named_one_by_one_or_as_a_range() -> None:
    assert processors("") == frozenset()
    assert processors(f"{LAST}") == {LAST}
    if set(range(LAST + 1)) == OWN:
        assert processors(f"0-{LAST}") == OWN
        assert processors(f"{LAST},0") == {0, LAST}


@pytest.mark.parametrize("text", ["4095", "0-4095", f"{LAST},4000"])
def test_a_processor_that_is_not_there_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"may not use processor \d+; it may use "):
        processors(text)


def test_a_range_that_runs_backwards_is_no_choice() -> None:
    with pytest.raises(ConfigError, match="names no processor"):
        processors("3-1")


@pytest.mark.parametrize("text", ["a", "1,", "-1", "1-2-3", "0x1", "1 2"])
def test_what_is_no_list_of_processors_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="cpus"):
        Config().replace(cpus=text)


def test_a_thread_stands_back_alone_and_its_own_threads_with_it() -> None:
    def placed() -> tuple[set[int], int]:
        thread = threading.get_native_id()
        return os.sched_getaffinity(thread), os.getpriority(os.PRIO_PROCESS, thread)

    before = placed()

    def work() -> object:
        stand_back(7, str(LAST))
        return placed(), in_a_thread(placed)

    wanted = ({LAST}, max(7, before[1]))
    assert in_a_thread(work) == (wanted, wanted)
    assert placed() == before


def test_the_worker_computes_where_it_may(engine: FakeEngine) -> None:
    seen: list[tuple[set[int], int]] = []
    done = threading.Event()
    engine.enqueue("go there")
    check = SelfCheck(Config(nice=5, cpus=str(LAST)), engine=engine)
    worker = Worker(check, 1)

    def record(_: object) -> None:
        thread = threading.get_native_id()
        seen.append((os.sched_getaffinity(thread), os.getpriority(os.PRIO_PROCESS, thread)))
        done.set()

    worker.submit(Episode.of("go there", ["went there"]), record)
    assert done.wait(20)
    worker.stop()
    assert seen == [({LAST}, max(5, os.getpriority(os.PRIO_PROCESS, 0)))]


def test_processors_that_are_not_there_stop_the_start(engine: FakeEngine) -> None:
    with pytest.raises(ConfigError, match="4000"):
        SelfCheck(Config(cpus="4000"), engine=engine)
