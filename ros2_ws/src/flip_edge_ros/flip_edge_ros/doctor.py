"""What `flip-edge doctor` finds in the ROS graph: `python -m flip_edge_ros.doctor SECONDS`, findings as JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import rclpy
from lifecycle_msgs.srv import GetState
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_rmw_implementation_identifier

from flip_edge.doctor import ROS_SETTINGS
from flip_edge.findings import Finding, answer, guarded
from flip_edge.interfaces import ALERT, INPUTS, OUTPUTS, STRING
from flip_edge_ros.qos import reliable

_NAME = "flip_edge_doctor"
_CHECK = "flip_edge_msgs/srv/CheckExecution"  # who serves it is a self-check, whatever its name is
_ASK_AGAIN_S = 0.5  # a service may know us later than we know it, and then its answer is lost
_HINTS = 5
_INFINITE = Duration(nanoseconds=2**63 - 1)  # as rmw has it

_Name = tuple[str, str]  # of a node: its name and its namespace


def look(seconds: float) -> Iterator[Finding]:
    """Join the graph, listen to who is there for so many seconds, and leave it."""
    context = Context()
    try:
        # Ctrl-C must end the process even while it joins: no handlers of ROS.
        rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
        node = rclpy.create_node(_NAME, context=context, enable_rosout=False, start_parameter_services=False)
    except RuntimeError as error:  # of every kind in rclpy
        yield Finding("graph", "error", f"cannot be joined: {error}", ROS_SETTINGS)
        rclpy.try_shutdown(context=context)
        return
    try:
        joined = f"joined domain {context.get_domain_id()} with {get_rmw_implementation_identifier()}"
        yield Finding("graph", "ok", f"{joined}, and looked around for {seconds:g} s")
        states = _states(node, context, seconds)
        yield from _nodes(states)
        yield from _inputs(node, list(states), context.get_domain_id())
        for topic, kind in _topics(node, list(states), OUTPUTS, published=True).items():
            yield _endpoints(node, topic, kind, published=True)[0]
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


# --- self-checks


def _states(node: Node, context: Context, seconds: float) -> dict[_Name, str | None]:
    """The self-check nodes that are there after so many seconds, and their states; None where one did not answer."""
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    clients: dict[_Name, Any] = {}
    asked: dict[_Name, list[Any]] = {}
    end, next_round = time.monotonic() + seconds, 0.0
    while (now := time.monotonic()) < end:
        if now >= next_round:
            next_round = now + _ASK_AGAIN_S
            for name in _self_checks(node):
                if name not in clients:
                    clients[name] = node.create_client(GetState, f"{_full(name)}/get_state")
                if clients[name].service_is_ready():
                    asked.setdefault(name, []).append(clients[name].call_async(GetState.Request()))
        executor.spin_once(timeout_sec=min(0.1, max(0.0, end - time.monotonic())))
    executor.shutdown()
    there = _self_checks(node)
    answers = {name: [call for call in asked.get(name, []) if call.done()] for name in there}
    return {name: calls[-1].result().current_state.label if calls else None for name, calls in answers.items()}


def _self_checks(node: Node) -> list[_Name]:
    found = []
    for name in sorted(set(node.get_node_names_and_namespaces()), key=_full):
        with suppress(NodeNameNonExistentError):  # it went meanwhile
            services = node.get_service_names_and_types_by_node(*name)
            if any(_CHECK in kinds for _, kinds in services):
                found.append(name)
    return found


def _full(name: _Name) -> str:
    return f"{name[1].rstrip('/')}/{name[0]}"


def _nodes(states: Mapping[_Name, str | None]) -> Iterator[Finding]:
    if not states:
        remedy = "ros2 launch flip_edge_ros self_check.launch.py, or: python -m flip_edge_ros"
        yield Finding("node", "warning", "no self-check node is running", remedy)
    for name, state in states.items():
        full = _full(name)
        if state == "active":
            yield Finding("node", "ok", f"{full} is active")
        elif state is None:
            remedy = "look at its log and at /diagnostics; on a slow network, give --ros-seconds 10"
            yield Finding("node", "warning", f"{full} is there and did not tell its state", remedy)
        else:
            remedy = f"its log and /diagnostics say why; ros2 lifecycle set {full} "
            remedy += "activate" if state == "inactive" else "configure, then activate"
            yield Finding("node", "warning", f"{full} is {state}: it checks nothing", remedy)


# --- topics


def _topics(node: Node, checks: list[_Name], names: Mapping[str, str], *, published: bool = False) -> dict[str, str]:
    """The topics of the self-checks by their names, with their types.

    Where a node has them, they are the node's own, remapped or not; where none runs, those of the documentation, in
    every namespace in which somebody has one of that type.
    """
    topics: dict[str, str] = {}
    ask = node.get_publisher_names_and_types_by_node if published else node.get_subscriber_names_and_types_by_node
    for name in checks:
        own = {}
        with suppress(NodeNameNonExistentError):
            own = {topic: kinds[0] for topic, kinds in ask(*name) if kinds[0] in names.values()}
        topics |= own or {f"{name[1].rstrip('/')}/{base}": kind for base, kind in names.items()}
    if not checks:
        topics = {f"/{base}": kind for base, kind in names.items()}
        for topic, kinds in node.get_topic_names_and_types():
            kind = names.get(topic.rpartition("/")[2])
            if kind in kinds:
                topics[topic] = str(kind)
    return topics


def _inputs(node: Node, checks: list[_Name], domain: int) -> Iterator[Finding]:
    heard = set()
    for topic, kind in _topics(node, checks, INPUTS).items():
        finding, count = _endpoints(node, topic, kind)
        if count:
            heard.add(_said(topic, kind))
        yield finding
    if not heard:
        remedy = (
            f"is the robot's node running, with the same ROS_DOMAIN_ID ({domain}) and RMW_IMPLEMENTATION, on a network "
            f"that lets discovery through? Are the names remapped?{_hint(node)}"
        )
        yield Finding("input", "warning", "nothing is heard: nobody publishes on any of these", remedy)
    elif heard in ({"command"}, {"action"}):
        silent = "descriptions of what is done" if heard == {"command"} else "commands"
        remedy = f"every run will be UNKNOWN; publish them too, or remap their topic{_hint(node)}"
        yield Finding("input", "warning", f"nobody publishes {silent}", remedy)


def _said(topic: str, kind: str) -> str:
    """Whether a topic carries commands or descriptions; neither where a remapped name does not tell."""
    base = topic.rpartition("/")[2] if kind == STRING else kind.rpartition("/")[2].lower()
    return next((said for said in ("command", "action") if base.startswith(said)), "")


def _hint(node: Node) -> str:
    """Which topics carry text, for who has forgotten to remap one."""
    texts = [topic for topic, kinds in node.get_topic_names_and_types() if STRING in kinds]
    published = [topic for topic in texts if node.count_publishers(topic)]
    return f" Text is published on: {', '.join(published[:_HINTS])}" if published else ""


def _endpoints(node: Node, topic: str, kind: str, *, published: bool = False) -> tuple[Finding, int]:
    """Who is at the other end of a topic of ours, and whether type and QoS let messages pass; and how many they are."""
    ask = node.get_subscriptions_info_by_topic if published else node.get_publishers_info_by_topic
    latched = kind == ALERT
    others, problems = [], []
    for other in ask(topic):
        name = _full((other.node_name, other.node_namespace))
        profile = other.qos_profile
        others.append(f"{name} ({_plain(profile.reliability.name)}, {_plain(profile.durability.name)})")
        if other.topic_type != kind:
            problems.append(f"{name} has the type {other.topic_type}, not {kind}")
        elif reason := _incompatible(profile, reliable(1, latched=latched), published):
            problems.append(f"{name} has an incompatible QoS: {reason}")
    what = "subscriber" if published else "publisher"
    text = f"{topic} [{kind}]: {len(others) or 'no'} {what}{'' if len(others) == 1 else 's'}"
    text += f": {', '.join(sorted(others))}" if others else ""
    if not problems:
        return Finding("output" if published else "input", "ok", text), len(others)
    if published:
        remedy = "no message of ours arrives there: subscribe with our type"
        remedy += " and any usual QoS" if latched else " and durability VOLATILE; reliability may be either"
    else:
        remedy = (
            "no message of theirs arrives: publish with our type and reliability RELIABLE; durability may be either"
        )
    return Finding("output" if published else "input", "error", f"{text}; {'; '.join(problems)}", remedy), len(others)


def _incompatible(theirs: QoSProfile, ours: QoSProfile, published: bool) -> str:
    """Why no message passes between the two; empty where it does."""
    if published:  # what a profile leaves open counts as less than what the graph calls infinite
        ours.deadline = ours.liveliness_lease_duration = _INFINITE
    compatibility, reason = qos_check_compatible(ours, theirs) if published else qos_check_compatible(theirs, ours)
    return reason.removeprefix("ERROR: ").rstrip("; ") if compatibility == QoSCompatibility.ERROR else ""


def _plain(policy: str) -> str:
    return policy.lower().replace("_", " ")


if __name__ == "__main__":
    answer(guarded("graph", lambda: look(float(sys.argv[1]))))
