"""A switch that stops a computation: at a deadline, or when its owner says so."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flip_edge.errors import CancelledError, DeadlineError

CANCELLED = "cancelled: the check was interrupted"


class StopSwitch:
    """One byte that native code can watch, set by a timer or by :meth:`interrupt`.

    The byte lies at :attr:`address` and is 0 until the computation is to stop. :meth:`interrupt` and :meth:`resume` may
    be called from any thread, the rest from the thread that computes.
    """

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(2)
        self._lock = threading.Lock()
        self._interrupted = False
        self._limit = 0
        self._seconds: float | None = None
        self._expires: float | None = None

    @property
    def address(self) -> int:
        """Where the byte lies; a zero byte follows it."""
        return ctypes.addressof(self._flag)

    @contextmanager
    def deadline(self, seconds: float | None) -> Iterator[None]:
        """Bound what is computed inside to ``seconds`` of wall time; None for no bound."""
        with self._lock:
            self._limit += 1
            limit = self._limit
            self._seconds = seconds
            self._expires = None if seconds is None else time.monotonic() + seconds
            self._reset()

        def expire() -> None:
            with self._lock:
                if self._limit == limit:
                    self._flag[0] = b"\1"

        timer = threading.Timer(seconds, expire) if seconds is not None else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            if timer:
                timer.cancel()
            with self._lock:
                self._limit += 1
                self._expires = None
                self._reset()

    def interrupt(self) -> None:
        """Stop what is computed, and everything after it until :meth:`resume`."""
        with self._lock:
            self._interrupted = True
            self._flag[0] = b"\1"

    def resume(self) -> None:
        """Allow computations again."""
        with self._lock:
            self._interrupted = False
            if self._expires is None or time.monotonic() < self._expires:
                self._flag[0] = b"\0"

    def raise_if_stopped(self) -> None:
        """Raise DeadlineError or CancelledError when it is time to stop."""
        # The clock is looked at too, for native code that cannot watch the byte.
        expired = self._expires is not None and time.monotonic() >= self._expires
        if self._flag[0] == b"\0" and not expired:
            return
        if self._interrupted:
            raise CancelledError(CANCELLED)
        raise DeadlineError(f"deadline passed: the check took longer than {self._seconds} s")

    def _reset(self) -> None:
        self._flag[0] = b"\1" if self._interrupted else b"\0"
