"""The ROS messages of flip_edge as plain data, for the node and for bags alike; no ROS is needed."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from flip_edge.decision import Outcome
from flip_edge.errors import InputError
from flip_edge.monitor import Alert
from flip_edge.verdict import Verdict

PACKAGE = "flip_edge_msgs"
STRING = "std_msgs/msg/String"
COMMAND, ACTION = f"{PACKAGE}/msg/Command", f"{PACKAGE}/msg/ActionDescription"
VERDICT, ALERT = f"{PACKAGE}/msg/Verdict", f"{PACKAGE}/msg/MismatchAlert"
INPUTS = {
    "command": STRING,
    "action_description": STRING,
    "command_stamped": COMMAND,
    "action_description_stamped": ACTION,
}
OUTPUTS = {"verdict": VERDICT, "mismatch_alert": ALERT}

# Constants of the messages.
_CODES = {Outcome.UNKNOWN: 0, Outcome.MATCH: 1, Outcome.MISMATCH: 2}
_CLEARED, _RAISED = 0, 1

_OTHER_NAMES = {
    "outcome": "verdict",
    "inferred": "inferred_instruction",
    "sampled": "sampled_instructions",
    "missing": "missing_words",
    "unexpected": "unexpected_words",
}


@dataclass(frozen=True)
class Heard:
    """A message of a recording that a monitor listens to.

    Attributes:
        time_ns: when it was recorded, in nanoseconds.
        input: which of the monitor's topics it is, one of :data:`INPUTS`.
        text, command_id, final, cancel: what it says; without ids on the plain topics.
        stamp: when it was said, in seconds of the robot's clock; None where it does not tell.
        lost: whether it could not be decoded, so that nothing of that is known.
    """

    time_ns: int
    input: str
    text: str
    command_id: str = ""
    final: bool = False
    cancel: bool = False
    stamp: float | None = None
    lost: bool = False


@dataclass(frozen=True)
class Sensed:
    """A message of a recording that a describer reads.

    Attributes:
        time_ns: when it was recorded, in nanoseconds.
        source: the topic, as the describers' configuration calls it.
        message: the message; None where it could not be decoded.
    """

    time_ns: int
    source: str
    message: Any


def said(message: Any) -> dict[str, Any]:
    """What a message on one of the inputs says: its text, and, where it is a stamped one, ids, flags and stamp."""
    if not hasattr(message, "header"):
        return {"text": message.data}
    stamp = message.header.stamp
    seconds = stamp.sec + stamp.nanosec / 1e9
    flags = {name: bool(getattr(message, name)) for name in ("final", "cancel") if hasattr(message, name)}
    return {"text": message.text, "command_id": message.command_id, "stamp": seconds or None, **flags}


def verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """The fields of a Verdict message but its header; figures that are not known are NaN, such texts empty."""
    found: dict[str, Any] = {}
    for field in fields(Verdict):
        value = getattr(verdict, field.name)
        if value is None:
            value = math.nan if "float" in str(field.type) else ""
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, Outcome):
            value = _CODES[value]
        found[_OTHER_NAMES.get(field.name, field.name)] = value
    return found


def alert_fields(alert: Alert) -> dict[str, Any]:
    """The fields of a MismatchAlert message but its header and its verdict."""
    return {
        "state": _RAISED if alert.raised else _CLEARED,
        "alert_id": alert.id,
        "consecutive_mismatches": alert.consecutive,
    }


def definitions() -> dict[str, str]:
    """The definitions of flip_edge's own messages, by full name.

    Raises:
        InputError: the installation lacks them.
    """
    here = Path(__file__).parent
    # In an installed wheel; in a source checkout.
    folders = (here / "_msgs", here.parent / "ros2_ws" / "src" / PACKAGE / "msg")
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise InputError(f"the message definitions are missing from {folders[0]}: install flip_edge again")
    return {f"{PACKAGE}/msg/{path.stem}": path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.msg"))}
