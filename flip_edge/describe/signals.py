"""Sampled signals: the mean of a signal for as long as it stays about where it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from numbers import Real
from typing import Any

from flip_edge.errors import ConfigError, InputError

_HUGE = 1e9  # beyond this a reading is no position, and its differences lose their digits
_LATE_S = 1.0  # messages out of order are late by less; a clock that goes back by more was set anew


def reading(name: str, value: object) -> float | None:
    """A number of a live signal, or None for one that says nothing: NaN, infinite, or beyond 1e9 either way.

    Raises:
        InputError: The value is not a number.

    >>> reading("x", 2), reading("x", float("nan"))
    (2.0, None)
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{name} must be a number, not {value!r}")
    # Compared before it is converted: an integer may be too large for a float.
    return float(value) if abs(value) <= _HUGE else None  # type: ignore[operator]


def moment(value: object) -> float | None:
    """A time in seconds as `reading` takes it, of any size that is finite.

    Raises:
        InputError: The value is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"time must be a number of seconds, not {value!r}")
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None


def was_set_back(before: float, now: float) -> bool:
    """Whether a clock was set back: a bag that starts over, a simulation that was reset."""
    return before - now > _LATE_S


def require_positive(settings: Any) -> None:
    """Checks that each number of a dataclass of settings is finite and above 0; None stands for "not used".

    Raises:
        ConfigError: Naming the setting and its value.
    """
    for field in fields(settings):
        value = getattr(settings, field.name)
        number = isinstance(value, Real) and not isinstance(value, bool)
        if value is not None and not (number and math.isfinite(value) and value > 0):
            raise ConfigError(f"{type(settings).__name__}.{field.name} is {value!r}: give a number above 0")


class Dwell:
    """A signal that stays about where it is: since when, and its mean there.

    The mean is that of all samples at first and forgets them slowly later, so that what led into the dwell fades.

    >>> dwell = Dwell(0.0, [1.0], memory_s=1.0)
    >>> dwell.add(0.1, [2.0])
    >>> dwell.mean, round(dwell.duration, 1)
    ([1.5], 0.1)
    """

    def __init__(self, time: float, values: Sequence[float], memory_s: float) -> None:
        self.since = self.until = time
        self.mean = list(values)
        self.first = self.latest = list(values)
        self._memory_s = memory_s
        self._samples = 1

    @property
    def duration(self) -> float:
        """Seconds from the first sample to the latest."""
        return self.until - self.since

    def add(self, time: float, values: Sequence[float]) -> None:
        """One more sample."""
        self._samples += 1
        # Never more than half a mean at once, however rare the samples are.
        weight = max(1 / self._samples, min(0.5, (time - self.until) / self._memory_s))
        self.mean = [mean + weight * (value - mean) for mean, value in zip(self.mean, values, strict=True)]
        self.latest = list(values)
        self.until = time
