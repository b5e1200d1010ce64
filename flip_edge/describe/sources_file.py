"""The file that says which topics tell what, read and checked: `examples/describe.yaml` shows all of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from flip_edge.describe.gripper import GripperSettings
from flip_edge.describe.logs import LogDescriber, LogPattern
from flip_edge.describe.motion import MotionDescriber, MotionSettings
from flip_edge.describe.places import Place, load_places, to_places
from flip_edge.describe.progress_readers import ActionReader, GoalPlaces, SnapshotReader, TreeLogReader
from flip_edge.describe.readers import (
    ODOMETRY,
    POSES,
    TRANSFORMS,
    GripperReader,
    LogReader,
    MotionReader,
    Reader,
    SkillReader,
    TransformReader,
)
from flip_edge.describe.skills import SkillDescriber, SkillTemplate
from flip_edge.errors import ConfigError

_Settings = TypeVar("_Settings", MotionSettings, GripperSettings)
_TOPIC = re.compile(r"[/~]?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
_DETERMINERS = frozenset({"a", "an", "the", "my", "your", "our", "his", "her", "its", "their", "some"})
_KEYS = ("names", "places", "templates", "sources")


def load_readers(path: Path) -> list[Reader]:
    """The readers that a file asks for, in its order.

    Raises:
        ConfigError: The file cannot be read, or names the source, the key and the value that is wrong.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the sources {path}: {error}") from error
    keys = _Keys(data, str(path), "keys and values, among them `sources:`")
    names = _names(keys.take("names", {}))
    world = _World(SkillDescriber(_templates(keys.take("templates", {})), names), _places(keys, path, names))
    entries = keys.take("sources", None)
    keys.done(_KEYS)
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"sources is {entries!r}: give a list of sources, such as `- odometry: /odom`")
    return [_reader(entry, number, world) for number, entry in enumerate(entries, start=1)]


@dataclass(frozen=True)
class _World:
    """What all sources share."""

    skills: SkillDescriber
    places: tuple[Place, ...]


class _Keys:
    """The keys of a mapping, taken one by one, so that those left over are known to be wrong."""

    def __init__(self, data: object, where: str, expected: str) -> None:
        if not isinstance(data, dict):
            raise ConfigError(f"{where}: expected {expected}, got {data!r:.80}")
        self.where = where
        self._left: dict[object, Any] = dict(data)

    def take(self, key: str, default: Any) -> Any:
        return self._left.pop(key, default)

    def text(self, key: str, default: str | None = None) -> str:
        """A text that is not blank; one without a default must be there."""
        value = self.take(key, default)
        if value is None:
            raise ConfigError(f"{self.where} has no {key}: name it, as `{key}: ...`")
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{self.where}: {key} is {value!r:.80}: give a text that is not blank")
        return value.strip()

    def topic(self, key: str) -> str:
        name = self.text(key)
        if not _TOPIC.fullmatch(name):
            raise ConfigError(f"{self.where}: {key} is {name!r:.80}: give the name of a topic, such as /odom")
        return name

    def texts(self, key: str) -> list[str]:
        """A list of texts, empty where the key is not there; one text is a list of one."""
        values = self.take(key, [])
        values = [values] if isinstance(values, str) else values
        if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
            raise ConfigError(f"{self.where}: {key} is {values!r:.80}: give a list of texts")
        return values

    def number(self, key: str, default: float | None) -> float | None:
        value = self.take(key, default)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e9
        if not is_number and value is not default:
            raise ConfigError(f"{self.where}: {key} is {value!r:.80}: give a number")
        return value  # type: ignore[no-any-return]

    def settings(self, kind: type[_Settings]) -> _Settings:
        known = [field.name for field in fields(kind)]
        given = {name: self._left.pop(name) for name in known if name in self._left}
        for name, value in given.items():
            if value is None and name != "holding_effort":
                raise ConfigError(f"{self.where}: {name} has no value: give a number above 0, or leave it out")
        return kind(**given)

    def done(self, known: Sequence[str]) -> None:
        if self._left:
            key = next(iter(self._left))
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"{self.where}: unknown key {key!r}; {hint}")


# --- what all sources share


def _names(data: object) -> dict[str, str]:
    """Phrases by identifier, with an article where a person would use one."""
    if not isinstance(data, dict):
        raise ConfigError(f"names is {data!r:.80}: give what things are called, as `mug_1: red mug`")
    for identifier, phrase in data.items():
        for value in (identifier, phrase):
            if not isinstance(value, str) or not value.strip():
                raise ConfigError(f"names: {identifier!r:.80}: {phrase!r:.80}: give two texts, as `mug_1: red mug`")
    return {identifier: _with_article(" ".join(phrase.split())) for identifier, phrase in data.items()}


def _with_article(phrase: str) -> str:
    first = phrase.split()[0]
    is_name = not first[0].islower() or first in _DETERMINERS or phrase == "home"
    return phrase if is_name else f"the {phrase}"


def _places(keys: _Keys, path: Path, names: Mapping[str, str]) -> tuple[Place, ...]:
    data = keys.take("places", {})
    if isinstance(data, str) and data.strip():
        found = load_places(path.parent / Path(data).expanduser())
    elif isinstance(data, dict):
        found = to_places(data) if data else ()
    else:
        raise ConfigError(f"places is {data!r:.80}: give a file's path, or places as `desk: {{x: 1.0, y: 2.0}}`")
    return tuple(Place(names.get(place.name, place.name), place.x, place.y, place.radius) for place in found)


def _templates(data: object) -> dict[str, SkillTemplate]:
    if not isinstance(data, dict):
        raise ConfigError(f"templates is {data!r:.80}: give skills by name, as `pick: {{past: ..., base: ...}}`")
    found = {}
    for name, entry in data.items():
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"templates: a skill is named {name!r:.80}: give a name with a word in it, in quotes")
        keys = _Keys(entry, f"template {name!r}", "`{past: ..., base: ...}`")
        past, base = keys.text("past"), keys.text("base")
        keys.done(("past", "base"))
        found[name] = SkillTemplate(past, base)
    return found


# --- one source


def _reader(entry: object, number: int, world: _World) -> Reader:
    keys = _Keys(entry, f"source {number}", "a mapping such as `- odometry: /odom`")
    kinds = [kind for kind in _KINDS if isinstance(entry, dict) and kind in entry]
    if len(kinds) != 1:
        found = " and ".join(kinds) or f"none of them: {entry!r:.80}"
        raise ConfigError(f"source {number}: expected one of the kinds {', '.join(_KINDS)}; got {found}")
    kind = kinds[0]
    keys.where = f"source {number} ({kind})"
    build, known = _KINDS[kind]
    try:
        reader = build(keys, world)
    except ConfigError as error:
        told = str(error)
        raise ConfigError(told if told.startswith(keys.where) else f"{keys.where}: {told}") from error
    keys.done((kind, *known))
    return reader


def _motion(keys: _Keys, world: _World) -> MotionDescriber:
    return MotionDescriber(keys.settings(MotionSettings), world.places)


def _odometry(keys: _Keys, world: _World) -> Reader:
    return MotionReader({keys.topic("odometry"): ODOMETRY}, _motion(keys, world))


def _pose(keys: _Keys, world: _World) -> Reader:
    kind = keys.text("type", next(iter(POSES))).rpartition("/")[2]
    if kind not in POSES:
        raise ConfigError(f"type is {kind!r:.80}: give one of {', '.join(POSES)}")
    return MotionReader({keys.topic("pose"): POSES[kind]}, _motion(keys, world))


def _transform(keys: _Keys, world: _World) -> Reader:
    topic = keys.topic("transform")
    static = keys.take("static", f"{topic}_static")
    if static is not None and not (isinstance(static, str) and _TOPIC.fullmatch(static)):
        raise ConfigError(f"static is {static!r:.80}: give the topic of the static transforms, or null for none")
    parent, child = keys.text("parent"), keys.text("child")
    if parent.lstrip("/") == child.lstrip("/"):
        raise ConfigError(f"parent and child are both {parent!r}: give two frames, such as map and base_link")
    topics = {name: TRANSFORMS for name in (topic, static) if name}
    return TransformReader(topics, _motion(keys, world), parent, child, static)


def _gripper(keys: _Keys, world: _World) -> Reader:
    topic, joints = keys.topic("gripper"), keys.texts("joints")
    if not joints or len(set(joints)) < len(joints):
        raise ConfigError(f"joints is {joints!r:.80}: name the gripper's joints, each once, as in the topic's messages")
    return GripperReader(topic, joints, keys.settings(GripperSettings), keys.number("closed_position", None))


def _behavior_tree(keys: _Keys, world: _World) -> Reader:
    return TreeLogReader(keys.topic("behavior_tree"), world.skills, keys.texts("ignore"))


def _py_trees(keys: _Keys, world: _World) -> Reader:
    return SnapshotReader(keys.topic("py_trees"), world.skills, keys.texts("ignore"))


def _action(keys: _Keys, world: _World) -> Reader:
    goals = None
    frame, radius = keys.take("goal_frame", None), keys.number("goal_radius_m", None)
    topic = keys.take("goal_topic", None)
    if topic is None and (frame is not None or radius is not None):
        raise ConfigError("goal_frame and goal_radius_m are for goals that a topic tells: give goal_topic too")
    if topic is not None:
        options = _Keys({"goal_topic": topic, "goal_frame": frame or "map"}, keys.where, "")
        if not world.places:
            raise ConfigError(f"goal_topic is {topic!r:.80}, but there are no places: give places, or leave it out")
        if radius is not None and radius <= 0:
            raise ConfigError(f"goal_radius_m is {radius!r}: give metres above 0")
        goals = GoalPlaces(options.topic("goal_topic"), world.places, options.text("goal_frame"), radius or 1.0)
    return ActionReader(keys.topic("action"), world.skills, keys.texts("ignore"), goals)


def _log(keys: _Keys, world: _World) -> Reader:
    topic, data = keys.topic("log"), keys.take("patterns", [])
    if not isinstance(data, list) or not data:
        raise ConfigError(f"patterns is {data!r:.80}: give a list of patterns, each with `matches` and `says`")
    patterns = [_pattern(entry, f"pattern {number}") for number, entry in enumerate(data, start=1)]
    repeat_s = keys.number("repeat_s", 2.0)
    return LogReader(topic, LogDescriber(patterns, world.skills.names, 2.0 if repeat_s is None else repeat_s))


def _pattern(entry: object, where: str) -> LogPattern:
    keys = _Keys(entry, where, "`{matches: ..., says: ...}`")
    matches, says = keys.text("matches"), keys.text("says")
    node, level = keys.text("node", "*"), keys.text("level", "debug")
    keys.done(("node", "level", "matches", "says"))
    try:
        return LogPattern(matches, says, node, level)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _skill(keys: _Keys, world: _World) -> Reader:
    return SkillReader(keys.topic("skill"), world.skills)


_MOTION_KEYS = tuple(field.name for field in fields(MotionSettings))
_KINDS: Mapping[str, tuple[Callable[[_Keys, _World], Reader], Sequence[str]]] = {
    "odometry": (_odometry, _MOTION_KEYS),
    "transform": (_transform, ("parent", "child", "static", *_MOTION_KEYS)),
    "pose": (_pose, ("type", *_MOTION_KEYS)),
    "gripper": (_gripper, ("joints", "closed_position", *(field.name for field in fields(GripperSettings)))),
    "behavior_tree": (_behavior_tree, ("ignore",)),
    "py_trees": (_py_trees, ("ignore",)),
    "action": (_action, ("goal_topic", "goal_frame", "goal_radius_m", "ignore")),
    "log": (_log, ("patterns", "repeat_s")),
    "skill": (_skill, ()),
}
