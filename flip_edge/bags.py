"""Recordings of ROS 2 (rosbag2, MCAP or SQLite) without ROS: the only module that uses rosbags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from flip_edge.errors import InputError
from flip_edge.interfaces import (
    ALERT,
    INPUTS,
    OUTPUTS,
    STRING,
    Heard,
    Sensed,
    alert_fields,
    definitions,
    said,
    verdict_fields,
)
from flip_edge.monitor import Alert
from flip_edge.verdict import Verdict

try:
    from rosbags.interfaces import (
        Connection,
        MessageDefinitionFormat,
        Qos,
        QosDurability,
        QosHistory,
        QosLiveliness,
        QosReliability,
        QosTime,
    )
    from rosbags.rosbag2 import Reader, StoragePlugin, Writer, WriterError
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    from rosbags.typesys.store import Typestore
except ImportError as error:
    raise InputError("reading bags needs the library rosbags: pip install 'flip_edge[replay]'") from error

_FOREVER = QosTime(9223372036, 854775807)  # RMW_DURATION_INFINITE


def typestore(recorded: Iterable[Connection] = ()) -> Typestore:
    """The standard message types, those that a recording tells of itself, and flip_edge's own."""
    types = get_typestore(Stores.ROS2_HUMBLE)
    for connection in recorded:
        if connection.msgtype not in types.fielddefs and connection.msgdef.format is MessageDefinitionFormat.MSG:
            with suppress(Exception):  # what cannot be made sense of is unreadable, message by message
                found = get_types_from_msg(connection.msgdef.data, connection.msgtype)
                types.register({name: kind for name, kind in found.items() if name not in types.fielddefs})
    for name, text in definitions().items():
        if name not in types.fielddefs:
            types.register(get_types_from_msg(text, name))
    return types


class BagReader:
    """What a monitor would have heard of a recording.

    Args:
        path: a bag's folder, or a single ``.mcap`` or ``.db3`` file.
        namespace: of the monitor; None for the one that the recording's topics are in.
        remap: topics by the monitor's names for them, for robots that call them otherwise.
        sources: the topics that describers read, as they call them, and their types.

    Attributes:
        topics: the recorded topic that stands for each input that there is.
        types: the message types, as the recording has them.
        missing: sources that are not in the recording.
        unreadable: messages that could not be decoded, so far.

    Raises:
        InputError: there is no such recording, it cannot be read, or none of its topics is the monitor's.
    """

    def __init__(
        self,
        path: Path,
        *,
        namespace: str | None = None,
        remap: Mapping[str, str] | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self.unreadable = 0
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
            self._connections, self._sources = self._find(namespace, remap or {}, sources or {})
        except BaseException:
            self.close()
            raise
        self.topics = {name: found[0].topic for name, found in self._connections.items()}
        self.missing = [source for source in sources or {} if source not in self._sources]
        self.types = typestore(self._wanted)
        if unknown := [name for name in self._sources if (sources or {})[name] not in self.types.fielddefs]:
            self.close()
            raise InputError(
                f"the bag {path} does not tell what a {(sources or {})[unknown[0]]} is, the type of {unknown[0]}: "
                "convert it to MCAP with `ros2 bag convert`, or leave the source out"
            )

    @property
    def _wanted(self) -> list[Connection]:
        return [*chain.from_iterable([*self._connections.values(), *self._sources.values()])]

    def _find(
        self, namespace: str | None, remap: Mapping[str, str], sources: Mapping[str, str]
    ) -> tuple[dict[str, list[Connection]], dict[str, list[Connection]]]:
        """Where the monitor's inputs and the describers' sources are recorded."""
        if unknown := [name for name in remap if name not in INPUTS]:
            raise InputError(f"cannot remap {unknown[0]!r}: the monitor's topics are {', '.join(INPUTS)}")
        if namespace is None:
            namespace = self._namespace({name for name in INPUTS if name not in remap})
        found: dict[str, list[Connection]] = {}
        for name, kind in INPUTS.items():
            topic = _absolute(remap.get(name, name), namespace)
            if same := self._recorded(topic, name, kind):
                found[name] = same
            elif name in remap:
                raise InputError(f"no topic {topic} in {self.path}; there are: {self._heard_topics()}")
        if not found:
            raise InputError(
                f"nothing in {self.path} is for the monitor, whose topics are {', '.join(INPUTS)}. There are: "
                f"{self._heard_topics()}. Name yours with --remap command:=/their/topic"
            )
        sensed = {
            source: same
            for source, kind in sources.items()
            if (same := self._recorded(_absolute(source, namespace), source, kind))
        }
        return found, sensed

    def _recorded(self, topic: str, name: str, kind: str) -> list[Connection]:
        """A topic's connections, which must be of a type."""
        same = [connection for connection in self._reader.connections if connection.topic == topic]
        if wrong := [connection.msgtype for connection in same if connection.msgtype != kind]:
            raise InputError(f"topic {topic} of {self.path} is of type {wrong[0]}; {name} is {kind}")
        return same

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
        return sum(connection.msgcount for connection in self._wanted)

    def heard(self) -> Iterator[tuple[Heard | Sensed, bytes]]:
        """The messages for the monitor and its describers, as they were recorded; each decoded, and as it was.

        What cannot be decoded is counted, and lost.

        Raises:
            InputError: the recording is damaged: it cannot be read on, or messages that it promised are not there.
        """
        decoders = {
            id(connection): partial(decode, name)
            for decode, found in ((self._heard, self._connections), (self._sensed, self._sources))
            for name, some in found.items()
            for connection in some
        }
        messages = self._reader.messages(self._wanted)
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
            yield decoders[id(connection)](time_ns, connection.msgtype, data), data
        if count < self.messages:  # a reader may pass over what it cannot make out
            raise InputError(f"the bag {self.path} is damaged: of {self.messages} messages {count} were found")

    def _heard(self, name: str, time_ns: int, kind: str, data: bytes) -> Heard:
        message = self._decoded(kind, data)
        if message is None:
            return Heard(time_ns, name, "", lost=True)
        return Heard(time_ns, name, **said(message))

    def _sensed(self, source: str, time_ns: int, kind: str, data: bytes) -> Sensed:
        return Sensed(time_ns, source, self._decoded(kind, data))

    def _decoded(self, kind: str, data: bytes) -> Any:
        try:
            return self.types.deserialize_cdr(data, kind)
        except Exception:
            self.unreadable += 1
            return None

    def close(self) -> None:
        """Close the recording."""
        self._stack.close()

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_raw(path: Path, messages: Iterable[tuple[int, str, str, bytes]]) -> Path:
    """Write messages as they came as a new bag.

    Args:
        path: the bag's folder, which must not exist.
        messages: of each the time in nanoseconds, the topic, the type and the serialized message.

    Raises:
        InputError: it cannot be written there.
    """
    types = typestore()
    opened: dict[str, Connection] = {}
    with closing(_created(path)) as writer:
        for time_ns, topic, kind, data in messages:
            if topic not in opened:
                opened[topic] = writer.add_connection(topic, kind, typestore=types)
            writer.write(opened[topic], time_ns, data)
    return path


def _created(path: Path) -> Writer:
    try:
        writer = Writer(path, version=8, storage_plugin=StoragePlugin.MCAP)  # 8: what Humble reads
        writer.open()
    except (WriterError, OSError) as error:
        raise InputError(f"cannot write the bag {path}: {error}") from error
    return writer


class BagWriter:
    """Writes what a monitor heard and what it said of it as a new bag.

    Args:
        path: the bag's folder, which must not exist.
        reader: where what was heard comes from.

    Raises:
        InputError: it cannot be written there.
    """

    def __init__(self, path: Path, reader: BagReader) -> None:
        self.path = path
        self._types = typestore()
        topics = reader.topics
        self._writer = _created(path)
        namespace = next(iter(topics.values()), "/").rpartition("/")[0]
        # Copied as they are, so of the recording's own types.
        self._inputs = {name: self._open(topic, INPUTS[name], reader.types) for name, topic in topics.items()}
        self._outputs = {name: self._open(f"{namespace}/{name}", kind, self._types) for name, kind in OUTPUTS.items()}

    def _open(self, topic: str, kind: str, types: Typestore) -> Connection:
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
        return self._writer.add_connection(topic, kind, typestore=types, offered_qos_profiles=[offered])

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
