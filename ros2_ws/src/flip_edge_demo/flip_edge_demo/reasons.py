"""The simulator's failure messages in the words of a person who watches the robot."""

from __future__ import annotations

import re

_REASONS: tuple[tuple[str, str], ...] = (
    (r"Could not sample a placement position", "no free place was found"),
    (r"Failed to plan a path", "no path was found"),
    (r"Could not generate valid grasps", "it does not fit the gripper"),
    (r"is locked", "it is locked"),
    (r"is not open\. Cannot", "it is closed"),
    (r"Found no object|Failed to detect", "it was not found"),
    (r"\w+ is at \w+ and robot is at \w+", "it is not there"),
    (r"already holding", "the gripper is full"),
    (r"is holding an object", "the gripper is full"),
    (r"No manipulated object", "the gripper is empty"),
    (r"is not an object spawn|is not at an? (openable|closeable) location", "the robot is not there"),
)


def plain_reason(message: str | None) -> str:
    """What the message means; a message that is not known comes back as it is.

    >>> plain_reason("Could not sample a placement position at desk_top")
    'no free place was found'
    """
    for pattern, reason in _REASONS:
        if message and re.search(pattern, message):
            return reason
    return message or ""
