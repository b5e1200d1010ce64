"""The robot as a ROS 2 node: takes a command, acts, and publishes what it really did.

The id of a command names the episode whose plan the robot's (possibly faulty) planner runs. After the last action
comes an empty, final description, and on `outcome` what was true in the simulator, which the robot itself would not
know and the self-check never sees.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time

import rclpy
from flip_edge_msgs.msg import ActionDescription, Command
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from std_msgs.msg import String

from flip_edge_demo.episodes import DemoEpisode, load_episodes
from flip_edge_demo.robot import DemoRobot

_DISCOVERY_S = 10.0


class RobotNode(Node):
    """Runs one episode after the other in a thread of its own, which alone touches the simulator."""

    def __init__(self) -> None:
        super().__init__("robot")
        self._speed = float(self.declare_parameter("speed", 0.0).value)
        self._episodes = {episode.id: episode for episode in load_episodes()}
        self._actions = self.create_publisher(ActionDescription, "action_description_stamped", 50)
        self._outcomes = self.create_publisher(String, "outcome", 10)
        self._orders: queue.SimpleQueue[DemoEpisode | None] = queue.SimpleQueue()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, name="robot", daemon=True)
        self._thread.start()
        # Subscribing says that the robot is ready, so it waits for the world.
        self._ready.wait()
        self.create_subscription(Command, "command_stamped", self._on_command, 10)

    def _on_command(self, message: Command) -> None:
        episode = self._episodes.get(message.command_id)
        if episode is None:
            self.get_logger().error(f"no plan for command {message.command_id!r}: {message.text}")
            return
        self._orders.put(episode)

    def _work(self) -> None:
        self._robot = DemoRobot(speed=self._speed)
        self._ready.set()
        while (episode := self._orders.get()) is not None:
            self._robot.reset()
            self._wait_to_be_heard()
            for report in self._robot.run(episode.plan):
                self._describe(episode, report.sentence)
            self._describe(episode, "", final=True)
            outcome = {"id": episode.id, "kind": episode.kind.value, "reached": self._robot.reached(episode.goal)}
            self._outcomes.publish(String(data=json.dumps(outcome)))

    def _wait_to_be_heard(self) -> None:
        """A volatile message is lost on a listener whose discovery is not over; commands may arrive before it is."""
        end = time.monotonic() + _DISCOVERY_S
        while time.monotonic() < end:
            listeners = self.get_subscriptions_info_by_topic(self._actions.topic_name)
            known = any(endpoint.node_name == "self_check" for endpoint in listeners)
            if known and self._actions.get_subscription_count() >= len(listeners):
                return
            time.sleep(0.02)

    def _describe(self, episode: DemoEpisode, text: str, *, final: bool = False) -> None:
        message = ActionDescription(command_id=episode.id, text=text, final=final)
        message.header.stamp = self.get_clock().now().to_msg()
        self._actions.publish(message)

    def stop(self) -> None:
        """End the thread, whatever it does."""
        self._orders.put(None)
        self._robot.cancel()
        self._thread.join(timeout=10)


def main() -> int:
    """Run the node until it is told to stop."""
    rclpy.init()
    node = RobotNode()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.stop()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
