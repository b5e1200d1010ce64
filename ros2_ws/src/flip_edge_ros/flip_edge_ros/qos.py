"""Quality of service of the node's topics, and the events that tell of what it does not hear."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

# Histories are deep on the receiving side, where depth is no part of the contract: a history that overflows there
# loses messages and nobody is told (Fast DDS raises no event; measured with bursts of 1,000 against a depth of 50).
COMMAND_DEPTH = 100
ACTION_DEPTH = 2000
SENSOR_DEPTH = 200

_POLICIES = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)
OVERRIDABLE = QoSOverridingOptions(_POLICIES)


@dataclass
class Hearing:
    """What arrived, and what did not, by topic.

    Attributes:
        topics: that are listened to.
        received: messages.
        lost: messages that the middleware lost before they reached the node.
        unreadable: messages that were not what their type promises.
        unfitting: the policy for which a publisher is not heard.
    """

    topics: list[str] = field(default_factory=list)
    received: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    unfitting: dict[str, str] = field(default_factory=dict)


def reliable(depth: int, *, latched: bool = False) -> QoSProfile:
    """Reliable, keep last ``depth``; latched: a subscriber that joins later receives the last message too."""
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=durability)


def best_effort(depth: int) -> QoSProfile:
    """For streams: hears publishers of either kind, and a message that is lost is followed by the next."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)


def publish(node: Node, kind: Any, topic: str, profile: QoSProfile) -> Publisher[Any]:
    """A publisher whose quality of service can be overridden by parameters."""
    return node.create_publisher(kind, topic, profile, qos_overriding_options=OVERRIDABLE)


def subscribe(
    node: Node,
    kind: Any,
    topic: str,
    callback: Callable[[Any], None],
    profile: QoSProfile,
    hearing: Hearing,
    on_lost: Callable[[int], None] = lambda _: None,
) -> Any:
    """Subscribe, with a quality of service that parameters can override, and keep account of what is heard.

    Args:
        node: that subscribes.
        kind: of message.
        topic: its name, before it is remapped.
        callback: given each message.
        profile: the quality of service, unless it is overridden.
        hearing: the account.
        on_lost: given how many messages the middleware lost, where it can tell.
    """

    hearing.topics.append(topic)

    def heard(message: Any) -> None:
        hearing.received[topic] += 1
        callback(message)

    def lost(event: Any) -> None:
        hearing.lost[topic] += event.total_count_change
        on_lost(event.total_count_change)

    def unfitting(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        hearing.unfitting[topic] = policy
        node.get_logger().warning(
            f"a publisher on {topic} is not heard: its {policy} does not fit; "
            f"change it there, or here with qos_overrides.{node.resolve_topic_name(topic)}.subscription.{policy}"
        )

    events = SubscriptionEventCallbacks(message_lost=lost, incompatible_qos=unfitting)
    try:
        return node.create_subscription(
            kind, topic, heard, profile, event_callbacks=events, qos_overriding_options=OVERRIDABLE
        )
    except UnsupportedEventTypeError:
        return node.create_subscription(kind, topic, heard, profile, qos_overriding_options=OVERRIDABLE)
