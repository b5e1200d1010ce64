"""From messages to describers: one reader for each kind of source, which knows the fields of its messages.

Messages are objects whose attributes are named after their fields, as rclpy and rosbags make them; neither is needed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flip_edge.describe.frames import FrameTree, Transform, frame_name
from flip_edge.describe.gripper import GripperDescriber, GripperSettings
from flip_edge.describe.logs import MAX_LINE_LENGTH, LogDescriber
from flip_edge.describe.messages import code, entries, number, stamp_seconds, text
from flip_edge.describe.motion import MotionDescriber
from flip_edge.describe.signals import reading
from flip_edge.describe.skill_calls import MAX_LENGTH, parse_skill_call
from flip_edge.describe.skills import SkillDescriber
from flip_edge.errors import FlipEdgeError

ODOMETRY = "nav_msgs/msg/Odometry"
POSES = {
    name.rpartition("/")[2]: name
    for name in ("geometry_msgs/msg/PoseWithCovarianceStamped", "geometry_msgs/msg/PoseStamped")
}
TRANSFORMS = "tf2_msgs/msg/TFMessage"
JOINTS = "sensor_msgs/msg/JointState"
LOG = "rcl_interfaces/msg/Log"
TEXT = "std_msgs/msg/String"

UNREADABLE = None
"""Said by a reader of an entry that it cannot read, and goes on."""

BAD_ENTRY = (FlipEdgeError, AttributeError, TypeError, ValueError)
"""What an entry of a list raises that is not of its type."""

_SILENT_S = 5.0  # a robot whose poses have stopped coming is not known to move


class Reader(ABC):
    """Reads the messages of one source.

    Attributes:
        topics: The types of its messages, by topic.
    """

    def __init__(self, topics: Mapping[str, str]) -> None:
        self.topics = dict(topics)

    @abstractmethod
    def read(self, topic: str, message: Any, time: float) -> Iterator[str | None]:
        """What a message that arrived at a time, in seconds, completes; `UNREADABLE` for a part that says nothing.

        May raise anything at a message that is not of its type.
        """

    def settle(self) -> list[str]:
        """Another source says something: what has come to rest, and belongs before it."""
        return []

    def finish(self, now: float) -> list[str]:
        """A run ends: what is still under way, said as if it ended here."""
        return []

    def is_busy(self, now: float) -> bool:
        """Whether something is under way that will be said when it has ended."""
        return False


# --- motion


class MotionReader(Reader):
    """Poses of a robot, from whatever tells them."""

    def __init__(self, topics: Mapping[str, str], describer: MotionDescriber) -> None:
        super().__init__(topics)
        self._describer = describer
        self._heard = 0.0

    def read(self, topic: str, message: Any, time: float) -> Iterator[str | None]:
        """See `Reader.read`."""
        # Odometry and PoseWithCovarianceStamped have a pose with a covariance in between.
        pose = message.pose.pose if hasattr(message.pose, "pose") else message.pose
        yield from self._at(
            Transform.of(pose.position, pose.orientation), stamp_seconds(getattr(message, "header", None), time), time
        )

    def _at(self, pose: Transform, stamp: float, received: float) -> list[str]:
        self._heard = received
        return self._describer.observe(stamp, pose.position[0], pose.position[1], pose.yaw)

    def settle(self) -> list[str]:
        """See `Reader.settle`."""
        return self._describer.settle()

    def finish(self, now: float) -> list[str]:
        """See `Reader.finish`."""
        return self._describer.finish()

    def is_busy(self, now: float) -> bool:
        """See `Reader.is_busy`."""
        return self._describer.is_moving and abs(now - self._heard) < _SILENT_S


class TransformReader(MotionReader):
    """The pose of one frame in another, through all transforms between them."""

    def __init__(
        self, topics: Mapping[str, str], describer: MotionDescriber, parent: str, child: str, static: str | None
    ) -> None:
        super().__init__(topics, describer)
        self._parent, self._child, self._static = frame_name(parent), frame_name(child), static
        self._frames = FrameTree()

    def read(self, topic: str, message: Any, time: float) -> Iterator[str | None]:
        """See `Reader.read`."""
        moved = set()
        for stamped in entries("transforms", message.transforms):
            try:
                moved.add(self._frames.hear(stamped, time, is_static=topic == self._static))
            except BAD_ENTRY:
                yield UNREADABLE
        leading = self._frames.leading(self._parent, self._child)
        if leading not in moved or not leading:
            return
        if pose := self._frames.pose(self._parent, self._child):
            yield from self._at(pose, self._frames.time(leading), time)


# --- grippers


class GripperReader(Reader):
    """The width of a gripper, from the positions of its joints.

    Args:
        topic: Of sensor_msgs/JointState.
        joints: Their names; the width is the sum of their positions. Messages without any of them are of others.
        settings: When the gripper is closed.
        closed_position: Where the joints grow as the gripper closes: their sum when it is closed. None: the sum is
            the width.
    """

    def __init__(
        self, topic: str, joints: Sequence[str], settings: GripperSettings, closed_position: float | None = None
    ) -> None:
        super().__init__({topic: JOINTS})
        self._joints = tuple(joints)
        self._closed_position = closed_position
        self._describer = GripperDescriber(settings)
        self._positions: dict[str, float] = {}
        self._efforts: dict[str, float] = {}

    def read(self, topic: str, message: Any, time: float) -> Iterator[str | None]:
        """See `Reader.read`."""
        names = [text("name", name) for name in entries("name", message.name)]
        at = {joint: names.index(joint) for joint in self._joints if joint in names}
        if not at:
            return
        self._positions.update({joint: number(joint, message.position[place]) for joint, place in at.items()})
        if len(self._positions) < len(self._joints):
            return
        width = sum(self._positions.values())
        if self._closed_position is not None:
            width = self._closed_position - width
        stamp = stamp_seconds(getattr(message, "header", None), time)
        yield from self._describer.observe(stamp, width, self._effort(message, at))

    def _effort(self, message: Any, at: Mapping[str, int]) -> float | None:
        """The strongest effort of the joints; drivers that do not measure it leave it out, or send NaN."""
        efforts = getattr(message, "effort", ())
        known = [reading(joint, efforts[place]) for joint, place in at.items() if place < len(efforts)]
        self._efforts.update({joint: effort for joint, effort in zip(at, known, strict=False) if effort is not None})
        return max((abs(value) for value in self._efforts.values()), default=None)

    def finish(self, now: float) -> list[str]:
        """See `Reader.finish`. What the gripper holds, it holds in the next run too."""
        return self._describer.settle()


# --- texts


class LogReader(Reader):
    """Lines of the log."""

    def __init__(self, topic: str, describer: LogDescriber) -> None:
        super().__init__({topic: LOG})
        self._describer = describer

    def read(self, topic: str, message: Any, time: float) -> Iterator[str | None]:
        """See `Reader.read`."""
        node, line = text("name", message.name), text("msg", message.msg, MAX_LINE_LENGTH)
        stamp = stamp_seconds(message, time)
        yield from self._describer.observe(stamp, node, code("level", message.level), line)

    def finish(self, now: float) -> list[str]:
        """See `Reader.finish`."""
        return self._describer.finish()


class SkillReader(Reader):
    """Skills that report themselves, one a line."""

    def __init__(self, topic: str, skills: SkillDescriber) -> None:
        super().__init__({topic: TEXT})
        self._skills = skills

    def read(self, topic: str, message: Any, time: float) -> Iterator[str | None]:
        """See `Reader.read`."""
        result = parse_skill_call(text("data", message.data, MAX_LENGTH + 1))
        if result:
            yield self._skills.describe(result)
