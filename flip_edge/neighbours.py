"""The model shares the robot's processors with the robot: which of them it may use, and how far it stands back."""

from __future__ import annotations

import os
import threading

from flip_edge.errors import ConfigError


def processors(text: str) -> frozenset[int]:
    """Processors by number, from text such as ``2,3`` or ``4-7``; empty for no choice.

    Raises:
        ConfigError: one of them is not there, or not this process's to use.
    """
    chosen: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        # A range as long as the machine is named by its ends alone, so that no typing error fills the memory.
        chosen.update(range(int(first), min(int(last or first), int(first) + (1 << 16)) + 1))
    allowed = os.sched_getaffinity(0)
    if missing := sorted(chosen - allowed):
        raise ConfigError(
            f"cpus is {text!r}, but this process may not use processor {missing[0]}; "
            f"it may use {', '.join(map(str, sorted(allowed)))}"
        )
    if text and not chosen:
        raise ConfigError(f"cpus is {text!r}, which names no processor; write the smaller number first")
    return frozenset(chosen)


def stand_back(nice: int, cpus: str) -> None:
    """Move the calling thread, and the threads that it starts from now on, to these processors at this nice level.

    Raises:
        ConfigError: as :func:`processors`.
    """
    thread = threading.get_native_id()  # Linux schedules threads, not processes
    if nice:
        level = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, max(level, nice))
    if chosen := processors(cpus):
        os.sched_setaffinity(thread, chosen)
