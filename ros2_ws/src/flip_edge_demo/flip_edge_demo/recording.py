"""The demo as a bag: what the monitor heard and said, as it came over ROS, for `flip-edge replay` and for ROS tools."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from flip_edge.bags import write_raw
from flip_edge.interfaces import INPUTS, OUTPUTS


class Recorder:
    """Keeps what is published on the monitor's topics, with the time at which it came.

    Args:
        node: that listens; in the namespace of the monitor.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._messages: list[tuple[int, str, str, bytes]] = []
        profile = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
        for name, kind in {**INPUTS, **OUTPUTS}.items():
            package, _, message = kind.partition("/msg/")
            heard: Any = partial(self._keep, node.resolve_topic_name(name), kind)
            message_type = getattr(importlib.import_module(f"{package}.msg"), message)
            node.create_subscription(message_type, name, heard, profile, raw=True)

    def _keep(self, topic: str, kind: str, data: bytes) -> None:
        self._messages.append((self._node.get_clock().now().nanoseconds, topic, kind, data))

    def write(self, path: Path) -> Path:
        """Write the bag, an MCAP file in a folder that must not exist."""
        return write_raw(path, self._messages)
