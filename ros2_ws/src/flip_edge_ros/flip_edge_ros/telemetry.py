"""The topics that describers read: what the robot's own telemetry says of what it does."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node

from flip_edge.describe.sources import Sources
from flip_edge.errors import ConfigError
from flip_edge_ros.qos import SENSOR_DEPTH, Hearing, best_effort, reliable, subscribe

_STREAMS = frozenset(
    {
        "nav_msgs/msg/Odometry",
        "tf2_msgs/msg/TFMessage",
        "sensor_msgs/msg/JointState",
        "geometry_msgs/msg/PoseStamped",
        "geometry_msgs/msg/PoseWithCovarianceStamped",
    }
)


class Telemetry:
    """Subscriptions of a node to the sources of its describers.

    Args:
        node: that subscribes.
        sources: the describers.
        hearing: the account of what is heard.
        saw: given each sentence; called with nothing in the end of a message.
        stirs: called when something is under way.

    Raises:
        ConfigError: a type of message is not installed.
    """

    def __init__(
        self, node: Node, sources: Sources, hearing: Hearing, saw: Callable[[str], None], stirs: Callable[[], None]
    ) -> None:
        self._node, self._sources, self._hearing = node, sources, hearing
        self._saw, self._stirs = saw, stirs
        kinds = {topic: _message_type(topic, name) for topic, name in sources.topics.items()}
        self._subscriptions = []
        for topic, kind in kinds.items():
            latched = topic.endswith("_static")
            stream = sources.topics[topic] in _STREAMS and not latched
            profile = best_effort(SENSOR_DEPTH) if stream else reliable(SENSOR_DEPTH, latched=latched)
            hear = partial(self._on_message, topic)
            self._subscriptions.append(subscribe(node, kind, topic, hear, profile, hearing))

    def _on_message(self, topic: str, message: Any) -> None:
        now = self._node.get_clock().now().nanoseconds / 1e9
        for text in self._sources.observe(topic, message, now):
            self._saw(text)
        self._hearing.unreadable[topic] = self._sources.unreadable[topic]
        if self._sources.is_busy:
            self._stirs()

    def close(self) -> None:
        """End the subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []


def _message_type(topic: str, name: str) -> Any:
    package, _, kind = name.partition("/msg/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), kind)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"source {topic} is of type {name}, which is not installed: install the package {package}, or leave the "
            "source out"
        ) from error
