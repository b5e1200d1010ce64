"""The process around the node."""

from __future__ import annotations

import signal
import threading
import time

_POLL_S = 0.2  # how long a signal may go unnoticed
_ANSWERS_S = 1.0  # for answering the calls that wait when it ends


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM.

    The signals are ours and not rclpy's: its handlers invalidate the context first, and the runs that are open could
    no longer be reported.

    Returns:
        0 after a shutdown in good order; 1 when a parameter cannot be used, with the reason on the log.
    """
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    # After the handlers, because loading ROS takes most of a second, in which a signal is to end in good order too.
    import rclpy
    from rclpy.exceptions import ParameterException
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.logging import get_logger
    from rclpy.signals import SignalHandlerOptions

    from flip_edge.errors import FlipEdgeError
    from flip_edge_ros.node import SelfCheckNode

    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = SelfCheckNode()
    except (FlipEdgeError, ParameterException) as error:
        get_logger("flip_edge_ros").fatal(f"cannot start: {error}")
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if not node.autostart:
            node.get_logger().info("unconfigured: autostart is off, waiting for a lifecycle manager")
        elif not stopping.is_set():
            node.start()
        while not stopping.is_set():
            executor.spin_once(timeout_sec=_POLL_S)
    finally:
        node.finish()
        end = time.monotonic() + _ANSWERS_S
        while node.unanswered and time.monotonic() < end:
            executor.spin_once(timeout_sec=0)
        executor.shutdown()
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0
