"""Quality of service of the node's topics, and the events that tell of lost messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

# Histories are deep on the receiving side, where depth is no part of the contract: a history that overflows there
# loses messages and nobody is told (Fast DDS raises no event; measured with bursts of 1,000 against a depth of 50).
COMMAND_DEPTH = 100
ACTION_DEPTH = 2000


def reliable(depth: int, *, latched: bool = False) -> QoSProfile:
    """Reliable, keep last ``depth``; latched: a subscriber that joins later receives the last message too."""
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=durability)


def subscribe(
    node: Node, kind: Any, topic: str, callback: Callable[[Any], None], depth: int, on_lost: Callable[[int], None]
) -> Any:
    """Subscribe, and be told how many messages the middleware lost where it can tell."""
    events = SubscriptionEventCallbacks(message_lost=lambda event: on_lost(event.total_count_change))
    try:
        return node.create_subscription(kind, topic, callback, reliable(depth), event_callbacks=events)
    except UnsupportedEventTypeError:
        return node.create_subscription(kind, topic, callback, reliable(depth))
