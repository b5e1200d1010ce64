"""Poses of a mobile robot as sentences: "drove 2.1 m forward", "turned left 90 degrees", "stopped near the desk".

The path is cut into dwells: poses that stay within a small distance and angle of their own mean. From one dwell to the
next the robot drove one way or turned on the spot, and dwells that go on in the same way make one stretch. A stretch
has ended when another one is long enough to be told, or when the robot stands still. Noise moves no dwell, or moves
it to and fro, and is not told.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from flip_edge.describe.naming import noun_phrase
from flip_edge.describe.places import Place, nearest_place
from flip_edge.describe.signals import Dwell, moment, reading, require_positive, was_set_back

_TURNS = ("left", "right")
_DRIVES = {"ahead": "forward", "astern": "backward", "port": "to the left", "starboard": "to the right"}
_ROUNDED_TO_DEG = 5


@dataclass(frozen=True)
class MotionSettings:
    """What is worth telling. Every setting is above 0.

    Movement slower than twice `still_distance_m` or `still_angle_deg` in `standstill_s` counts as standing.

    Attributes:
        least_distance_m: Shorter drives are not told.
        least_angle_deg: Smaller turns on the spot are not told.
        bend_deg: A drive is told to have turned when it ends this far from the heading that it began with.
        standstill_s: Seconds without movement after which the robot has stopped; shorter pauses interrupt nothing.
        still_distance_m, still_angle_deg: How far a standing robot's poses may lie from their mean; five times the
            standard deviation of the noise is a good choice.
        turn_radius_m: A curve tighter than this is a turn on the spot.
        max_speed_m_s, max_turn_deg_s: Poses that differ by more were not driven to: the localisation jumped.
        place_radius_m: How near to a place is near, for places without a radius of their own.

    Raises:
        ConfigError: A setting is not a number above 0.
    """

    least_distance_m: float = 0.2
    least_angle_deg: float = 15.0
    bend_deg: float = 30.0
    standstill_s: float = 2.0
    still_distance_m: float = 0.05
    still_angle_deg: float = 5.0
    turn_radius_m: float = 0.2
    max_speed_m_s: float = 5.0
    max_turn_deg_s: float = 720.0
    place_radius_m: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self)


@dataclass(frozen=True)
class _Pose:
    time: float
    x: float
    y: float
    yaw: float


@dataclass
class _Stretch:
    """Movement of one kind, which its sums say: a turn to one side, or a drive in one direction.

    Metres ahead and to the left, radians to the left, and the headings of the first and the latest dwells.
    """

    heading: float  # that of the movement before it
    turn_radius: float
    first: list[float] = field(default_factory=list)
    latest: deque[float] = field(default_factory=lambda: deque(maxlen=5))
    ahead: float = 0.0
    left: float = 0.0
    turned: float = 0.0

    @property
    def kind(self) -> str:
        if self.metres < self.turn_radius * abs(self.turned):
            return "left" if self.turned > 0 else "right"
        if abs(self.ahead) >= abs(self.left):
            return "ahead" if self.ahead > 0 else "astern"
        return "port" if self.left > 0 else "starboard"

    @property
    def is_turn(self) -> bool:
        return self.kind in _TURNS

    @property
    def metres(self) -> float:
        return math.hypot(self.ahead, self.left)

    def add(self, ahead: float, left: float, heading: float, turned: float) -> None:
        if not self.latest:
            self.latest.append(heading - turned)
        self.ahead += ahead
        self.left += left
        self.turned += turned
        self.latest.append(heading)
        if len(self.first) < 2:
            self.first.append(heading)

    def absorb(self, other: _Stretch) -> None:
        self.ahead += other.ahead
        self.left += other.left
        self.turned += other.turned
        self.latest.extend(list(other.latest)[1:])
        self.first = (self.first + other.first)[:2]

    @property
    def last_heading(self) -> float:
        """The heading before this ends; a drive's last dwell may hold some of the turn that follows."""
        inner = list(self.latest)[:-1]
        return self.latest[-1] if self.is_turn or not inner else median(inner)

    @property
    def first_heading(self) -> float:
        """The heading after this has begun; the dwell that it began in may hold some of the turn before it."""
        return self.latest[0] if self.is_turn else median(list(self.latest)[1:])

    @property
    def bend(self) -> float:
        """Radians that a drive turned to the left, without the dwells that it shares with the turns around it."""
        return self.latest[-2] - self.first[0] if len(self.latest) > 2 else 0.0


class MotionDescriber:
    """Says how a robot moved, from its poses at any rate.

    Yaw is counter-clockwise. A robot that can drive sideways is told to have driven "to the left" or "to the right".
    Jumps of the localisation, single outliers, poses that are not finite and late ones are no movement; a clock that
    was set back begins a new run.

    >>> describer = MotionDescriber(places=[Place("kitchen_table", 2.5, 0.0)])
    >>> sentences = []
    >>> for tick in range(100):
    ...     sentences += describer.observe(tick / 20, x=min(tick / 20, 2.1), y=0.0, yaw=0.0)
    >>> sentences
    ['drove 2.1 m forward', 'stopped near the kitchen table']

    Args:
        settings: What is worth telling.
        places: Places that a stop may be near to.
    """

    def __init__(self, settings: MotionSettings | None = None, places: Sequence[Place] = ()) -> None:
        self._settings = settings or MotionSettings()
        self._places = tuple(places)
        self._reset()

    def _reset(self) -> None:
        self._raw: _Pose | None = None  # the latest pose as it was given
        self._outlier: _Pose | None = None  # a pose too far from it, until the next one says which of both is right
        self._path = [0.0, 0.0, 0.0]  # x, y and yaw with the jumps taken out and the yaw unwrapped
        self._dwell: Dwell | None = None
        self._left_dwell: list[float] | None = None  # mean of the dwell before; None while the robot stands
        self._current: _Stretch | None = None
        self._next: _Stretch | None = None  # movement of another kind, not yet enough to be told
        self._drove = False  # since the last stop

    def observe(self, time: float, x: float, y: float, yaw: float) -> list[str]:
        """Takes one pose (seconds, metres, metres, radians); the sentences it completes, mostly none.

        Raises:
            InputError: A value is not a number. No number raises.
        """
        seconds, values = moment(time), [reading(name, v) for name, v in (("x", x), ("y", y), ("yaw", yaw))]
        if seconds is None or None in values:
            return []
        pose = _Pose(seconds, *(value for value in values if value is not None))
        if self._raw and pose.time <= self._raw.time:
            if not was_set_back(self._raw.time, pose.time):
                return []
            said = self.finish()
            return said + self.observe(time, x, y, yaw)
        if not self._follow(pose):
            return []
        return self._arrive(pose.time)

    def finish(self) -> list[str]:
        """What is still under way, said as if it ended here; then forgets everything."""
        said = self._end_movement()
        self._reset()
        return said

    @property
    def is_moving(self) -> bool:
        """Whether a movement that is worth telling is under way."""
        return any(stretch and self._is_worth_telling(stretch) for stretch in (self._current, self._next))

    def settle(self) -> list[str]:
        """What has ended if the robot rests by now, said before it has stood long enough; mostly nothing.

        For those who tell what else happens, so that it comes after the drive that led to it.
        """
        if not (self._left_dwell and self._dwell and self._has_rested(self._dwell)):
            return []
        return self._end_movement() + self._stop()

    def _follow(self, pose: _Pose) -> bool:
        """Moves the path along with a pose; False for one that is not to be believed yet."""
        before = self._raw
        if before and self._is_jump(before, pose):
            before, self._outlier = self._outlier, pose
            if before is None or pose.time <= before.time or self._is_jump(before, pose):
                return False
        self._raw, self._outlier = pose, None
        if before:
            # Turned into the path's frame, which a jump of the yaw has left behind.
            cos, sin = math.cos(self._path[2] - before.yaw), math.sin(self._path[2] - before.yaw)
            dx, dy = pose.x - before.x, pose.y - before.y
            self._path[0] += cos * dx - sin * dy
            self._path[1] += sin * dx + cos * dy
            self._path[2] += math.remainder(pose.yaw - before.yaw, math.tau)
        return True

    def _is_jump(self, before: _Pose, pose: _Pose) -> bool:
        settings, seconds = self._settings, pose.time - before.time
        turned = abs(math.degrees(math.remainder(pose.yaw - before.yaw, math.tau)))
        # The allowance for noise keeps poses at a high rate from looking fast.
        return (
            math.hypot(pose.x - before.x, pose.y - before.y)
            > 2 * settings.still_distance_m + settings.max_speed_m_s * seconds
            or turned > 2 * settings.still_angle_deg + settings.max_turn_deg_s * seconds
        )

    def _arrive(self, time: float) -> list[str]:
        """Stays in the dwell, or leaves it for a new one."""
        settings, dwell = self._settings, self._dwell
        said: list[str] = []
        if dwell and self._is_within(dwell):
            dwell.add(time, self._path)
            if self._left_dwell and dwell.duration >= settings.standstill_s:
                said = self._end_movement() + self._stop()
            return said
        if dwell:
            # A robot that was on its way from the first pose on did not begin at its first dwell's mean.
            mean = dwell.mean if self._left_dwell or self._has_rested(dwell) else dwell.first
            said = self._move_to(mean)
            self._left_dwell = mean
        self._dwell = Dwell(time, self._path, memory_s=settings.standstill_s / 2)
        return said

    def _has_rested(self, dwell: Dwell) -> bool:
        return dwell.duration >= self._settings.standstill_s / 4

    def _is_within(self, dwell: Dwell) -> bool:
        x, y, yaw = (value - mean for value, mean in zip(self._path, dwell.mean, strict=True))
        near = math.hypot(x, y) <= self._settings.still_distance_m
        return near and abs(math.degrees(yaw)) <= self._settings.still_angle_deg

    def _move_to(self, mean: Sequence[float]) -> list[str]:
        """Adds the way from the dwell before to the stretch that it belongs to."""
        if self._left_dwell is None:
            return []
        dx, dy, turned = (now - before for now, before in zip(mean, self._left_dwell, strict=True))
        middle = mean[2] - turned / 2
        ahead = dx * math.cos(middle) + dy * math.sin(middle)
        left = dy * math.cos(middle) - dx * math.sin(middle)
        current = self._current or self._stretch(self._left_dwell[2])
        self._current = current
        if not self._is_worth_telling(current):
            current.add(ahead, left, mean[2], turned)
            return []
        following = self._next or self._stretch(current.last_heading)
        self._next = following
        following.add(ahead, left, mean[2], turned)
        if following.kind == current.kind:
            self._absorb_next()
        if self._next is None or not self._is_worth_telling(following):
            return []
        self._current, self._next = following, None
        return self._tell(current, heading=following.first_heading)

    def _stretch(self, heading: float) -> _Stretch:
        return _Stretch(heading, self._settings.turn_radius_m)

    def _absorb_next(self) -> None:
        """A stretch too short to be told is part of the one before it."""
        if self._current and self._next:
            self._current.absorb(self._next)
        self._next = None

    def _end_movement(self) -> list[str]:
        said: list[str] = []
        if self._dwell and self._left_dwell:
            # A dwell's mean is behind a robot that has just come in; its latest pose is not.
            said = self._move_to(self._dwell.mean if self._has_rested(self._dwell) else self._dwell.latest)
        self._absorb_next()
        if self._current:
            said += self._tell(self._current, heading=self._current.latest[-1])
        self._current = self._left_dwell = None
        return said

    def _stop(self) -> list[str]:
        if not self._drove or self._raw is None:
            return []
        self._drove = False
        place = nearest_place(self._places, self._raw.x, self._raw.y, self._settings.place_radius_m)
        return [f"stopped near {noun_phrase(place.name)}" if place else "stopped"]

    def _is_worth_telling(self, stretch: _Stretch) -> bool:
        if stretch.is_turn:
            return abs(math.degrees(stretch.turned)) >= self._settings.least_angle_deg
        return stretch.metres >= self._settings.least_distance_m

    def _tell(self, stretch: _Stretch, heading: float) -> list[str]:
        """The sentence for a stretch, given the heading after it."""
        if not self._is_worth_telling(stretch):
            return []
        if stretch.is_turn:
            between = heading - stretch.heading
            # In curves the headings around a turn are those of no straight way; the turn's own sum is the better.
            is_clear = abs(math.degrees(between)) >= self._settings.least_angle_deg
            return [f"turned {_angle(between if is_clear else stretch.turned)}"]
        self._drove = True
        said = f"drove {stretch.metres:.1f} m {_DRIVES[stretch.kind]}"
        bends = abs(math.degrees(stretch.bend)) >= self._settings.bend_deg
        return [f"{said}, turning {_angle(stretch.bend)}" if bends else said]


def _angle(radians: float) -> str:
    degrees = _ROUNDED_TO_DEG * round(abs(math.degrees(radians)) / _ROUNDED_TO_DEG)
    return f"{'left' if radians > 0 else 'right'} {degrees} degrees"
