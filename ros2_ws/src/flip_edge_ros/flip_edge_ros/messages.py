"""From the core's data to ROS messages."""

from __future__ import annotations

from builtin_interfaces.msg import Time
from flip_edge_msgs.msg import MismatchAlert
from flip_edge_msgs.msg import Verdict as VerdictMessage

from flip_edge.interfaces import alert_fields, verdict_fields
from flip_edge.monitor import Alert
from flip_edge.verdict import Verdict


def to_verdict_message(verdict: Verdict, stamp: Time) -> VerdictMessage:
    """A verdict as a message; figures that are not known are NaN, texts that are not known are empty."""
    message = VerdictMessage(**verdict_fields(verdict))
    message.header.stamp = stamp
    return message


def to_alert_message(alert: Alert, stamp: Time) -> MismatchAlert:
    """An alert as a message, with the verdict that raised or cleared it."""
    message = MismatchAlert(**alert_fields(alert), verdict=to_verdict_message(alert.verdict, stamp))
    message.header.stamp = stamp
    return message
