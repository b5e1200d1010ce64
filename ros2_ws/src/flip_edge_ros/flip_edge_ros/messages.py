"""From the core's data to ROS messages."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from builtin_interfaces.msg import Time
from flip_edge_msgs.msg import MismatchAlert
from flip_edge_msgs.msg import Verdict as VerdictMessage

from flip_edge.decision import Outcome
from flip_edge.monitor import Alert
from flip_edge.verdict import Verdict

_CODES = {
    Outcome.MATCH: VerdictMessage.MATCH,
    Outcome.MISMATCH: VerdictMessage.MISMATCH,
    Outcome.UNKNOWN: VerdictMessage.UNKNOWN,
}
_KINDS = VerdictMessage.get_fields_and_field_types()
_SAME_NAME = [field.name for field in fields(Verdict) if field.name in _KINDS and field.name != "steps"]
_FLOATS = ("float", "double")


def to_verdict_message(verdict: Verdict, stamp: Time) -> VerdictMessage:
    """A verdict as a message; figures that are not known are NaN, texts that are not known are empty."""
    message = VerdictMessage()
    message.header.stamp = stamp
    message.verdict = _CODES[verdict.outcome]
    message.steps = list(verdict.steps)
    message.inferred_instruction = verdict.inferred or ""
    message.sampled_instructions = list(verdict.sampled)
    message.missing_words = list(verdict.missing)
    message.unexpected_words = list(verdict.unexpected)
    for name in _SAME_NAME:
        setattr(message, name, _known(getattr(verdict, name), _KINDS[name]))
    return message


def _known(value: Any, kind: str) -> Any:
    if value is not None:
        return value
    return math.nan if kind in _FLOATS else ""


def to_alert_message(alert: Alert, stamp: Time) -> MismatchAlert:
    """An alert as a message, with the verdict that raised or cleared it."""
    message = MismatchAlert()
    message.header.stamp = stamp
    message.state = MismatchAlert.RAISED if alert.raised else MismatchAlert.CLEARED
    message.alert_id = alert.id
    message.consecutive_mismatches = alert.consecutive
    message.verdict = to_verdict_message(alert.verdict, stamp)
    return message
