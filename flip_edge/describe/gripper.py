"""The width of a gripper as sentences: "opened the gripper", "closed the gripper on something"."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flip_edge.describe.signals import Dwell, moment, reading, require_positive, was_set_back


@dataclass(frozen=True)
class GripperSettings:
    """When a gripper is closed, and what is worth telling. Every setting is above 0; widths in metres.

    For joint positions instead of widths, give the settings in the joint's unit; where the joint grows as the gripper
    closes, feed its negative plus the closed position.

    Attributes:
        closed_width: At this width or below, nothing is between the fingers.
        least_change: A smaller change of the width is not told.
        still_width: How far the width may lie from its mean while the fingers rest; noise stays below it.
        settle_s: Seconds of rest after which the fingers have arrived; shorter pauses interrupt nothing.
        holding_effort: An effort (newtons or the driver's unit, of either sign) from which the gripper holds something
            even where its width says closed, such as a sheet. None: the effort is not looked at; leave it so where the
            fingers press against each other when they close on nothing.

    Raises:
        ConfigError: A setting is not a number above 0.
    """

    closed_width: float = 0.005
    least_change: float = 0.01
    still_width: float = 0.002
    settle_s: float = 0.5
    holding_effort: float | None = None

    def __post_init__(self) -> None:
        require_positive(self)


class _Grip(Enum):
    UNKNOWN = "unknown"
    OPEN = "open"
    CLOSED = "closed"
    HOLDING = "holding"


_SENTENCES = {
    _Grip.OPEN: "opened the gripper",
    _Grip.CLOSED: "closed the gripper",
    _Grip.HOLDING: "closed the gripper on something",
}
_LOST = "lost what the gripper held"


class GripperDescriber:
    """Says what a gripper did, from its width at any rate.

    Each sentence is of a change: a gripper that opens further, or tightens on what it holds, says nothing. A gripper
    that holds something and closes without having opened has lost it. Readings that are not finite, or late, are left
    out; a clock that was set back begins a new run.

    >>> describer = GripperDescriber()
    >>> widths = [0.08] * 10 + [0.06, 0.05] + [0.04] * 10 + [0.02] + [0.0] * 10
    >>> [said for tick, width in enumerate(widths) for said in describer.observe(tick / 10, width)]
    ['closed the gripper on something', 'lost what the gripper held']
    """

    def __init__(self, settings: GripperSettings | None = None) -> None:
        self._settings = settings or GripperSettings()
        self._reset()

    def _reset(self) -> None:
        self._dwell: Dwell | None = None
        self._effort: float | None = None
        self._rested_at: float | None = None  # the width at the last rest, or the first one of all
        self._grip = _Grip.UNKNOWN

    def observe(self, time: float, width: float, effort: float | None = None) -> list[str]:
        """Takes one reading (seconds, metres, the effort where it is known); the sentence that it completes, if any.

        Raises:
            InputError: A value is not a number. No number raises.
        """
        seconds, metres = moment(time), reading("width", width)
        strength = None if effort is None else reading("effort", effort)
        if seconds is None or metres is None:
            return []
        dwell, settings = self._dwell, self._settings
        said: list[str] = []
        if dwell and seconds <= dwell.until:
            if not was_set_back(dwell.until, seconds):
                return []
            said, dwell = self.finish(), None
        if self._rested_at is None:
            self._rested_at = metres
        if effort is None or strength is not None:
            self._effort = strength
        if dwell is None or abs(metres - dwell.mean[0]) > settings.still_width:
            self._dwell = Dwell(seconds, [metres], memory_s=settings.settle_s)
            return said
        dwell.add(seconds, [metres])
        return self._rest(dwell.mean[0]) if dwell.duration >= settings.settle_s else []

    def settle(self) -> list[str]:
        """Where the fingers rest by now, said before they have done so long enough; what they hold stays known."""
        dwell = self._dwell
        rests = dwell is not None and dwell.duration >= self._settings.settle_s / 2
        return self._rest(dwell.mean[0]) if dwell and rests else []

    def finish(self) -> list[str]:
        """What is still under way, said as if it ended here; then forgets everything."""
        said = self._rest(self._dwell.mean[0]) if self._dwell else []
        self._reset()
        return said

    def _rest(self, width: float) -> list[str]:
        """The fingers rest at a width: what that is after the rest before."""
        settings, before = self._settings, self._rested_at
        if before is None:
            return []
        is_closed = width <= settings.closed_width
        # What slipped out may have been thinner than the least change of a gripper that moves by itself.
        slipped = self._grip is _Grip.HOLDING and is_closed and before - width > 2 * settings.still_width
        if abs(width - before) < settings.least_change and not slipped:
            return []
        self._rested_at = width
        grip = self._grip_after(is_opening=width > before, is_closed=is_closed)
        if grip is self._grip:
            return []
        has_lost = self._grip is _Grip.HOLDING and grip is _Grip.CLOSED
        self._grip = grip
        return [_LOST if has_lost else _SENTENCES[grip]]

    def _grip_after(self, *, is_opening: bool, is_closed: bool) -> _Grip:
        if is_opening:
            return _Grip.OPEN
        pressed = self._settings.holding_effort is not None and self._effort is not None
        if pressed and abs(self._effort or 0.0) >= (self._settings.holding_effort or 0.0):
            return _Grip.HOLDING
        return _Grip.CLOSED if is_closed else _Grip.HOLDING
