"""The process around the node."""

from __future__ import annotations

import signal
import threading

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from flip_edge_ros.node import SelfCheckNode

_POLL_S = 0.2  # how long a signal may go unnoticed


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; 0 after a shutdown in good order.

    The signals are ours and not rclpy's: its handlers invalidate the context first, and the runs that are open could
    no longer be reported.
    """
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    node = SelfCheckNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.autostart:
            node.start()
        while not stopping.is_set():
            executor.spin_once(timeout_sec=_POLL_S)
    finally:
        node.stop()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0
