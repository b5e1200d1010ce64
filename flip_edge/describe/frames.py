"""Coordinate frames as tf tells of them: where a robot is, through all the transforms on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from flip_edge.describe.messages import number, seconds, text
from flip_edge.describe.signals import was_set_back
from flip_edge.errors import InputError

_MAX_FRAMES = 2000  # far beyond any robot's; bounds what a flood of frames can take
_NORM_TOLERANCE = 0.05


@dataclass(frozen=True)
class Transform:
    """A position in metres and a rotation as a unit quaternion (x, y, z, w).

    >>> turned = Transform((1.0, 0.0, 0.0), (0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)))
    >>> ahead = Transform((2.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    >>> [round(value, 6) for value in turned.then(ahead).position], round(math.degrees(turned.yaw))
    ([1.0, 2.0, 0.0], 90)
    """

    position: tuple[float, float, float]
    rotation: tuple[float, float, float, float]

    @classmethod
    def of(cls, position: Any, rotation: Any) -> Transform:
        """From a message's position (or translation) and orientation (or rotation).

        Raises:
            InputError: A value is not a finite number, or the quaternion is not a unit one: no rotation.
            AttributeError: A field is missing.
        """
        x, y, z = (number(axis, getattr(position, axis)) for axis in "xyz")
        quaternion = [number(axis, getattr(rotation, axis)) for axis in "xyzw"]
        norm = math.hypot(*quaternion)
        if abs(norm - 1) > _NORM_TOLERANCE:
            raise InputError(f"a quaternion's norm is {norm}: expected 1")
        qx, qy, qz, qw = (part / norm for part in quaternion)
        return cls((x, y, z), (qx, qy, qz, qw))

    @property
    def yaw(self) -> float:
        """The heading of the frame's x axis in the plane, in radians, counter-clockwise."""
        x, y, z, w = self.rotation
        return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))

    def then(self, other: Transform) -> Transform:
        """This transform with another one behind it: from its parent to the other's child."""
        x, y, z = self._rotate(other.position)
        px, py, pz = self.position
        return Transform((px + x, py + y, pz + z), _product(self.rotation, other.rotation))

    def inverse(self) -> Transform:
        """The transform back."""
        x, y, z, w = self.rotation
        back = Transform((0.0, 0.0, 0.0), (-x, -y, -z, w))
        px, py, pz = back._rotate(self.position)
        return Transform((-px, -py, -pz), back.rotation)

    def _rotate(self, point: tuple[float, float, float]) -> tuple[float, float, float]:
        x, y, z, w = self.rotation
        turned = _product(_product(self.rotation, (*point, 0.0)), (-x, -y, -z, w))
        return turned[0], turned[1], turned[2]


IDENTITY = Transform((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def _product(
    a: tuple[float, float, float, float], b: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


@dataclass(frozen=True)
class _Edge:
    parent: str
    transform: Any  # as it was sent: only those on the way are ever read
    time: float
    is_static: bool


class FrameTree:
    """The latest transform of each frame, and the way from one frame to another.

    As in tf, a frame has one parent. No interpolation: the latest of each on the way is taken, whatever its time.
    """

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}

    def hear(self, stamped: Any, received: float, *, is_static: bool) -> str:
        """Takes a geometry_msgs/TransformStamped; the frame that it places, or "" when it is late or of no use.

        Raises:
            InputError, AttributeError: It does not say which frames it is of, or when.
        """
        child = frame_name(stamped.child_frame_id)
        parent = frame_name(stamped.header.frame_id)
        time = seconds(stamped.header.stamp, received)
        before = self._edges.get(child)
        if not child or not parent or (before is None and len(self._edges) >= _MAX_FRAMES):
            return ""
        is_late = before is not None and time < before.time and not was_set_back(before.time, time)
        if is_late and not is_static:
            return ""
        self._edges[child] = _Edge(parent, stamped.transform, time, is_static)
        return child

    def leading(self, parent: str, child: str) -> str:
        """The moving frame on the way that is nearest to `child`, whose times are those of the pose; or "".

        Further up, localisations date their transforms ahead.
        """
        way = self._way(parent, child)
        if way is None:
            return ""
        frames = [*way[1], *reversed(way[0])]
        return next((frame for frame in frames if not self._edges[frame].is_static), "")

    def pose(self, parent: str, child: str) -> Transform | None:
        """The pose of `child` in `parent`; None as long as no way between them is known.

        Raises:
            InputError, AttributeError: A transform on the way is no transform.
        """
        way = self._way(parent, child)
        return self._from_ancestor(way[0]).inverse().then(self._from_ancestor(way[1])) if way else None

    def time(self, frame: str) -> float:
        """When a frame was last placed, in seconds."""
        return self._edges[frame].time

    def _way(self, parent: str, child: str) -> tuple[list[str], list[str]] | None:
        """The frames from either end up to, and without, the ancestor that both have in common."""
        above_parent, above_child = self._line(parent), self._line(child)
        met = next((frame for frame in above_child if frame in above_parent), None)
        if met is None:
            return None
        return above_parent[: above_parent.index(met)], above_child[: above_child.index(met)]

    def _line(self, frame: str) -> list[str]:
        """A frame and its ancestors; a loop, which is an error of whoever publishes it, ends it."""
        line = [frame]
        while (edge := self._edges.get(line[-1])) and edge.parent not in line:
            line.append(edge.parent)
        return line

    def _from_ancestor(self, frames: list[str]) -> Transform:
        found = IDENTITY
        for frame in reversed(frames):
            sent = self._edges[frame].transform
            found = found.then(Transform.of(sent.translation, sent.rotation))
        return found


def frame_name(value: object) -> str:
    """A frame's name as tf2 has it: without the slash that tf1 put before it."""
    return text("frame", value).lstrip("/")
