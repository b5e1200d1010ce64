"""Topics of a robot as sentences: which topic tells what, from a YAML file, and the messages one by one.

No ROS here: messages are objects whose attributes are named after their fields, as rclpy and rosbags make them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from flip_edge.describe.readers import UNREADABLE, Reader
from flip_edge.describe.signals import moment
from flip_edge.describe.sources_file import load_readers
from flip_edge.errors import ConfigError, InputError

MERGED_S = 5.0
"""Seconds within which two sources that say the same are taken to tell of the same."""

_MAX_LATELY = 500
_MAX_SENTENCE_LENGTH = 400


class Sources:
    """The describers of a robot and the topics that they read.

    A sentence that one source said is not said again by another one within `MERGED_S`. What ends a drive is said
    before what another source tells of the robot that has come to rest.

    >>> from flip_edge.describe.readers import SkillReader
    >>> from flip_edge.describe.skills import SkillDescriber
    >>> from types import SimpleNamespace
    >>> sources = Sources([SkillReader("/skill_calls", SkillDescriber())])
    >>> sources.observe("/skill_calls", SimpleNamespace(data="pick(mug_1) -> SUCCESS"), time=12.0)
    ['picked up the mug']

    Args:
        readers: Those of the sources, in the order in which they are asked.

    Attributes:
        received: Messages by topic, so far.
        unreadable: Those of them that were, as a whole or in parts, not what their type promises.

    Raises:
        ConfigError: Two sources take the same topic for different types.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._readers = tuple(readers)
        self._by_topic: dict[str, list[Reader]] = {}
        topics: dict[str, str] = {}
        for reader in self._readers:
            for topic, kind in reader.topics.items():
                if topics.setdefault(topic, kind) != kind:
                    raise ConfigError(f"topic {topic} is {topics[topic]} to one source and {kind} to another")
                self._by_topic.setdefault(topic, []).append(reader)
        self._topics = MappingProxyType(topics)
        self.received: Counter[str] = Counter()
        self.unreadable: Counter[str] = Counter()
        self._now = 0.0
        self._lately: deque[tuple[float, Reader, str]] = deque(maxlen=_MAX_LATELY)  # what each source told

    @classmethod
    def load(cls, path: Path | str) -> Sources:
        """From a YAML file, as `examples/describe.yaml`; paths in it are relative to it.

        Raises:
            ConfigError: The file cannot be read, or names the source, the key and the value that is wrong.
        """
        try:
            return cls(load_readers(Path(path)))
        except ConfigError as error:
            told = str(error)
            raise ConfigError(told if str(path) in told else f"{path}: {told}") from error

    @property
    def topics(self) -> Mapping[str, str]:
        """The topics, as they are configured, and their types: {"/odom": "nav_msgs/msg/Odometry"}."""
        return self._topics

    @property
    def is_busy(self) -> bool:
        """Whether the robot is seen in the middle of something that will be said when it has ended."""
        return any(reader.is_busy(self._now) for reader in self._readers)

    def observe(self, topic: str, message: object, time: float) -> list[str]:
        """Takes a message; the sentences that it completes, mostly none. Never raises.

        Args:
            topic: As in `topics`; of others nothing is said.
            message: Anything with the fields of the topic's type; what lacks them is counted as unreadable.
            time: When it was received, in seconds; used for messages that have no stamp.
        """
        readers = self._by_topic.get(topic, ())
        if not readers:
            return []
        self.received[topic] += 1
        self._now = self._moment(time)
        said: list[str] = []
        is_readable = True
        for reader in readers:
            told, is_whole = self._read(reader, topic, message)
            is_readable &= is_whole
            if news := [sentence for sentence in told if self._is_news(reader, sentence)]:
                said += self._settle(reader) + news
        if not is_readable:
            self.unreadable[topic] += 1
        return said

    def finish(self) -> list[str]:
        """A run ends: what is still under way, said as if it ended here; the next run begins without it.

        What outlasts a run stays known: transforms, what a gripper holds, and which goals have been told.
        """
        told = [(reader, sentence) for reader in self._readers for sentence in reader.finish(self._now)]
        said = [sentence for reader, sentence in told if self._is_news(reader, sentence)]
        self._lately.clear()
        return said

    def _moment(self, time: float) -> float:
        try:
            found = moment(time)
        except InputError:
            found = None
        return self._now if found is None else found

    def _read(self, reader: Reader, topic: str, message: object) -> tuple[list[str], bool]:
        """What a reader says, and whether it could read the whole message."""
        said: list[str] = []
        is_whole = True
        try:
            for sentence in reader.read(topic, message, self._now):
                if sentence is UNREADABLE:
                    is_whole = False
                else:
                    said.append(sentence[:_MAX_SENTENCE_LENGTH])
        except Exception:  # a message may be anything; the monitor goes on with the next one
            is_whole = False
        return said, is_whole

    def _settle(self, speaker: Reader) -> list[str]:
        """What has come to rest before a source speaks."""
        told = [(reader, sentence) for reader in self._readers if reader is not speaker for sentence in reader.settle()]
        return [sentence for reader, sentence in told if self._is_news(reader, sentence)]

    def _is_news(self, reader: Reader, sentence: str) -> bool:
        """Whether no other source told this lately, as often as this one has by now."""
        while self._lately and abs(self._now - self._lately[0][0]) > MERGED_S:
            self._lately.popleft()
        self._lately.append((self._now, reader, sentence))
        told = Counter(id(other) for _, other, same in self._lately if same == sentence)
        own = told.pop(id(reader))
        return own > max(told.values(), default=0)
