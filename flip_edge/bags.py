"""Recordings of ROS 2 (rosbag2, MCAP or SQLite) without ROS: the only module that uses rosbags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flip_edge.errors import InputError
from flip_edge.interfaces import ALERT, INPUTS, OUTPUTS, STRING, alert_fields, definitions, verdict_fields
from flip_edge.monitor import Alert
from flip_edge.verdict import Verdict

try:
    from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
    from rosbags.rosbag2 import Reader, StoragePlugin, Writer, WriterError
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    from rosbags.typesys.store import Typestore
except ImportError as error:
    raise InputError("reading bags needs the library rosbags: pip install 'flip_edge[replay]'") from error

_FOREVER = QosTime(9223372036, 854775807)  # RMW_DURATION_INFINITE


@dataclass(frozen=True)
class Heard:
    """A message of a recording that a monitor listens to.

    Attributes:
        time_ns: when it was recorded, in nanoseconds.
        input: which of the monitor's topics it is, one of :data:`flip_edge.interfaces.INPUTS`.
        text, command_id, final: what it says; without ids on the plain topics.
        lost: whether it could not be decoded, so that nothing of that is known.
    """

    time_ns: int
    input: str
    text: str
    command_id: str = ""
    final: bool = False
    lost: bool = False


def typestore() -> Typestore:
    """The standard message types and flip_edge's own."""
    types = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in definitions().items():
        types.register(get_types_from_msg(text, name))
    return types


class BagReader:
    """What a monitor would have heard of a recording.

    Args:
        path: a bag's folder, or a single ``.mcap`` or ``.db3`` file.
        namespace: of the monitor; None for the one that the recording's topics are in.
        remap: topics by the monitor's names for them, for robots that call them otherwise.

    Attributes:
        topics: the recorded topic that stands for each input that there is.
        unreadable: messages that could not be decoded, so far.

    Raises:
        InputError: there is no such recording, it cannot be read, or none of its topics is the monitor's.
    """

    def __init__(self, path: Path, *, namespace: str | None = None, remap: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.unreadable = 0
        self._types = typestore()
        self._stack = ExitStack()
        try:
            self._reader = self._stack.enter_context(Reader(path))
        except FileNotFoundError as error:
            raise InputError(
                f"no bag at {path}: {error}. A folder without metadata.yaml is a recording that was cut off: mend it "
                "with `ros2 bag reindex`, or name its .mcap or .db3 file"
            ) from error
        except Exception as error:  # damaged files make readers, decompressors and databases raise all kinds
            raise InputError(f"cannot read the bag {path}: {_told(error)}") from error
        try:
            self._connections = self._find(namespace, remap or {})
        except BaseException:
            self.close()
            raise
        self.topics = {name: found[0].topic for name, found in self._connections.items()}

    def _find(self, namespace: str | None, remap: Mapping[str, str]) -> dict[str, list[Connection]]:
        if unknown := [name for name in remap if name not in INPUTS]:
            raise InputError(f"cannot remap {unknown[0]!r}: the monitor's topics are {', '.join(INPUTS)}")
        recorded = self._reader.connections
        if namespace is None:
            namespace = self._namespace({name for name in INPUTS if name not in remap})
        found: dict[str, list[Connection]] = {}
        for name, kind in INPUTS.items():
            topic = _absolute(remap.get(name, name), namespace)
            same = [connection for connection in recorded if connection.topic == topic]
            if wrong := [connection.msgtype for connection in same if connection.msgtype != kind]:
                raise InputError(f"topic {topic} of {self.path} is of type {wrong[0]}; {name} is {kind}")
            if same:
                found[name] = same
            elif name in remap:
                raise InputError(f"no topic {topic} in {self.path}; there are: {self._heard_topics()}")
        if not found:
            raise InputError(
                f"nothing in {self.path} is for the monitor, whose topics are {', '.join(INPUTS)}. There are: "
                f"{self._heard_topics()}. Name yours with --remap command:=/their/topic"
            )
        return found

    def _namespace(self, names: set[str]) -> str:
        """The only namespace that has any of the inputs."""
        parts = [
            (namespace, name, connection.msgtype)
            for connection in self._reader.connections
            for namespace, _, name in [connection.topic.rpartition("/")]
        ]
        found = sorted({namespace for namespace, name, kind in parts if name in names and kind == INPUTS[name]})
        if len(found) > 1:
            told = ", ".join(namespace or "/" for namespace in found)
            raise InputError(f"several robots are in {self.path}: choose one with --namespace, of {told}")
        return found[0] if found else ""

    def _heard_topics(self) -> str:
        own = {STRING, *INPUTS.values()}
        told = sorted({connection.topic for connection in self._reader.connections if connection.msgtype in own})
        return ", ".join(told) or "no topics of texts"

    @property
    def end_ns(self) -> int:
        """When the recording ended, all its topics together, in nanoseconds."""
        return self._reader.end_time

    @property
    def messages(self) -> int:
        """How many messages for the monitor there are; 0 where the recording does not tell."""
        return sum(connection.msgcount for some in self._connections.values() for connection in some)

    def heard(self) -> Iterator[tuple[Heard, bytes]]:
        """The messages for the monitor, as they were recorded; each decoded, and as it was.

        What cannot be decoded is counted, and lost.

        Raises:
            InputError: the recording is damaged: it cannot be read on, or messages that it promised are not there.
        """
        names = {id(connection): name for name, some in self._connections.items() for connection in some}
        wanted = [connection for some in self._connections.values() for connection in some]
        messages = self._reader.messages(wanted)
        count = 0
        while True:
            try:
                found = next(messages, None)
            except Exception as error:
                raise InputError(f"the bag {self.path} is damaged after {count} messages: {_told(error)}") from error
            if found is None:
                break
            connection, time_ns, data = found
            count += 1
            name = names[id(connection)]
            try:
                heard = self._decoded(name, time_ns, data)
            except Exception:
                self.unreadable += 1
                heard = Heard(time_ns, name, "", lost=True)
            yield heard, data
        if count < self.messages:  # a reader may pass over what it cannot make out
            raise InputError(f"the bag {self.path} is damaged: of {self.messages} messages {count} were found")

    def _decoded(self, name: str, time_ns: int, data: bytes) -> Heard:
        message: Any = self._types.deserialize_cdr(data, INPUTS[name])
        if INPUTS[name] == STRING:
            return Heard(time_ns, name, message.data)
        return Heard(time_ns, name, message.text, message.command_id, getattr(message, "final", False))

    def close(self) -> None:
        """Close the recording."""
        self._stack.close()

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BagWriter:
    """Writes what a monitor heard and what it said of it as a new bag.

    Args:
        path: the bag's folder, which must not exist.
        topics: the topic of each input, as :class:`BagReader` found them.

    Raises:
        InputError: it cannot be written there.
    """

    def __init__(self, path: Path, topics: Mapping[str, str]) -> None:
        self.path = path
        self._types = typestore()
        try:
            self._writer = Writer(path, version=8, storage_plugin=StoragePlugin.MCAP)  # 8: what Humble reads
            self._writer.open()
        except (WriterError, OSError) as error:
            raise InputError(f"cannot write the bag {path}: {error}") from error
        namespace = next(iter(topics.values()), "/").rpartition("/")[0]
        self._inputs = {name: self._open(topic, INPUTS[name]) for name, topic in topics.items()}
        self._outputs = {name: self._open(f"{namespace}/{name}", kind) for name, kind in OUTPUTS.items()}

    def _open(self, topic: str, kind: str) -> Connection:
        latched = kind == ALERT
        offered = Qos(
            QosHistory.KEEP_LAST,
            1 if latched else 10,
            QosReliability.RELIABLE,
            QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
            _FOREVER,
            _FOREVER,
            QosLiveliness.AUTOMATIC,
            _FOREVER,
            False,
        )
        return self._writer.add_connection(topic, kind, typestore=self._types, offered_qos_profiles=[offered])

    def copy(self, heard: Heard, data: bytes) -> None:
        """Write a message as it was recorded."""
        self._writer.write(self._inputs[heard.input], heard.time_ns, data)

    def verdict(self, verdict: Verdict, time_ns: int) -> None:
        """Write a verdict as of that time."""
        self._write("verdict", time_ns, self._verdict(verdict, time_ns))

    def alert(self, alert: Alert, time_ns: int) -> None:
        """Write a change of the alert."""
        kind = self._types.types[OUTPUTS["mismatch_alert"]]
        verdict = self._verdict(alert.verdict, time_ns)
        self._write("mismatch_alert", time_ns, kind(self._header(time_ns), **alert_fields(alert), verdict=verdict))

    def _verdict(self, verdict: Verdict, time_ns: int) -> Any:
        kind = self._types.types[OUTPUTS["verdict"]]
        return kind(self._header(time_ns), **verdict_fields(verdict))

    def _header(self, time_ns: int) -> Any:
        types = self._types.types
        stamp = types["builtin_interfaces/msg/Time"](*divmod(time_ns, 1_000_000_000))
        return types["std_msgs/msg/Header"](stamp, "")

    def _write(self, name: str, time_ns: int, message: Any) -> None:
        data = self._types.serialize_cdr(message, OUTPUTS[name])
        self._writer.write(self._outputs[name], time_ns, data)

    def close(self) -> None:
        """Finish the bag, so that others can open it."""
        self._writer.close()

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()  # also after a failure: what was said until then is worth keeping


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


def _absolute(topic: str, namespace: str) -> str:
    if topic.startswith("/"):
        return topic
    namespace = namespace.strip("/")
    return f"/{namespace}/{topic}" if namespace else f"/{topic}"
