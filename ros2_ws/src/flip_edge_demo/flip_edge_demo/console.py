"""The operator's side of the demo: gives the commands, listens for verdicts and alerts, knows what was true."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from flip_edge_msgs.msg import Command, MismatchAlert, Verdict
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from flip_edge.errors import FlipEdgeError
from flip_edge_demo.episodes import DemoEpisode, EpisodeKind

START_TIMEOUT_S = 90.0
EPISODE_TIMEOUT_S = 120.0
OUTCOMES = {Verdict.UNKNOWN: "UNKNOWN", Verdict.MATCH: "MATCH", Verdict.MISMATCH: "MISMATCH"}


class DemoError(FlipEdgeError):
    """The demo itself broke down, which is not the same as a wrong verdict."""


@dataclass(frozen=True)
class Row:
    """One episode, as it went.

    Attributes:
        id, kind, command: of the episode.
        done: what the robot said it did.
        inferred, f1, score, verdict, reason, seconds: from the self-check's verdict; None for figures it lacks.
        alerted: whether an alert was raised for it.
        reached: whether the goal held in the simulator when the robot had stopped.
    """

    id: str
    kind: str
    command: str
    done: tuple[str, ...]
    inferred: str
    f1: float | None
    score: float | None
    verdict: str
    reason: str
    seconds: float
    alerted: bool
    reached: bool

    @property
    def right(self) -> bool:
        """Whether the verdict is what was true. UNKNOWN is not."""
        return self.verdict == ("MATCH" if self.reached else "MISMATCH")

    def to_dict(self) -> dict[str, object]:
        """Plain data for JSON."""
        return {**asdict(self), "right": self.right}


class Console(Node):
    """Plays episodes one after the other and gathers what is published about each."""

    def __init__(self) -> None:
        super().__init__("console")
        latched = QoSProfile(
            depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
        )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._commands = self.create_publisher(Command, "command_stamped", 10)
        self._verdicts: dict[str, Verdict] = {}
        self._alerts: set[str] = set()
        self._reached: dict[str, bool] = {}
        self._active = False
        self.create_subscription(Verdict, "verdict", self._on_verdict, 10)
        self.create_subscription(MismatchAlert, "mismatch_alert", self._on_alert, latched)
        self.create_subscription(String, "outcome", self._on_outcome, 10)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def wait_until_ready(self, alive: Callable[[], None]) -> None:
        """Wait for the robot and for a self-check that is active.

        Args:
            alive: called again and again; raises when one of the other processes has ended.

        Raises:
            DemoError: they were not ready in time.
        """
        subscribers = 2  # the robot and the self-check
        if not self._spin(lambda: self._active and self._listeners() >= subscribers, START_TIMEOUT_S, alive):
            state = "is active" if self._active else "is not active"
            heard = self._listeners()
            raise DemoError(
                f"not ready within {START_TIMEOUT_S:.0f} s: the self-check {state}, {heard} nodes take commands"
            )

    def _listeners(self) -> int:
        """Other nodes that take commands."""
        endpoints = self.get_subscriptions_info_by_topic(self._commands.topic_name)
        return sum(endpoint.node_name != self.get_name() for endpoint in endpoints)

    def play(self, episodes: Iterable[DemoEpisode], alive: Callable[[], None]) -> Iterator[Row]:
        """Give each episode's command and yield what came of it.

        Raises:
            DemoError: no verdict or no outcome came in time.
        """
        for episode in episodes:
            message = Command(command_id=episode.id, text=episode.command)
            message.header.stamp = self.get_clock().now().to_msg()
            self._commands.publish(message)
            if not self._spin(partial(self._is_complete, episode.id), EPISODE_TIMEOUT_S, alive):
                lacking = [
                    name
                    for name, heard in (("verdict", self._verdicts), ("outcome", self._reached))
                    if episode.id not in heard
                ]
                raise DemoError(f"episode {episode.id}: no {' and no '.join(lacking)} within {EPISODE_TIMEOUT_S:.0f} s")
            yield self._row(episode)

    def _is_complete(self, id: str) -> bool:
        verdict = self._verdicts.get(id)
        if verdict is None or id not in self._reached:
            return False
        return verdict.verdict != Verdict.MISMATCH or id in self._alerts

    def _row(self, episode: DemoEpisode) -> Row:
        verdict = self._verdicts[episode.id]
        return Row(
            id=episode.id,
            kind=episode.kind.value,
            command=episode.command,
            done=tuple(verdict.steps),
            inferred=verdict.inferred_instruction,
            f1=_figure(verdict.f1),
            score=_figure(verdict.score),
            verdict=OUTCOMES[verdict.verdict],
            reason=verdict.reason,
            seconds=verdict.waited_s + verdict.computed_s,
            alerted=episode.id in self._alerts,
            reached=self._reached[episode.id],
        )

    def _spin(self, done: Callable[[], bool], timeout_s: float, alive: Callable[[], None]) -> bool:
        until = time.monotonic() + timeout_s
        while not done():
            alive()
            if time.monotonic() > until:
                return False
            self._executor.spin_once(timeout_sec=0.1)
        return True

    def _on_verdict(self, message: Verdict) -> None:
        self._verdicts[message.command_id] = message

    def _on_alert(self, message: MismatchAlert) -> None:
        if message.state == MismatchAlert.RAISED:
            self._alerts.add(message.verdict.command_id)

    def _on_outcome(self, message: String) -> None:
        outcome = json.loads(message.data)
        self._reached[outcome["id"]] = outcome["reached"]

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        own = f"{self.get_namespace().rstrip('/')}/self_check"
        for status in message.status:
            if status.name.startswith(own):
                self._active = any(value.key == "state" and value.value == "active" for value in status.values)
                if status.level == type(status).ERROR:
                    raise DemoError(f"the self-check cannot start: {status.message}")

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.destroy_node()


def _figure(value: float) -> float | None:
    return None if math.isnan(value) else value


def tally(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """For each kind of episode: how many there were, how many alerts, how many without a verdict."""
    counts: dict[str, dict[str, int]] = {}
    for kind in EpisodeKind:
        counts[kind.value] = {"episodes": 0, "alerted": 0, "unknown": 0}
    for row in rows:
        counts[row.kind]["episodes"] += 1
        counts[row.kind]["alerted"] += row.alerted
        counts[row.kind]["unknown"] += row.verdict == "UNKNOWN"
    return counts
