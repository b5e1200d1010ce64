"""Episodes: a command, the plan that the robot's planner makes of it, and when the command is carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from flip_edge_demo.goals import Goal
from flip_edge_demo.terms import EpisodeError, Term

EPISODES_FILE = Path(__file__).parent / "data" / "episodes.yaml"

# The arguments of each action, in order.
_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "navigate": ("target",),
    "pick": ("object",),
    "place": ("object", "target"),
    "open": ("target",),
    "close": ("target",),
    "detect": ("object",),
}
_FIELDS = ("id", "command", "kind", "plan", "goal")


class EpisodeKind(Enum):
    """What an episode is meant to show. What was true is decided by its goal, not by this."""

    SUCCESS = "success"
    WRONG_OBJECT = "wrong_object"
    WRONG_PLACE = "wrong_place"
    STOPPED_EARLY = "stopped_early"
    UNRELATED_TASK = "unrelated_task"
    ACTION_FAILED = "action_failed"


@dataclass(frozen=True)
class PlannedAction:
    """One action as the planner asks for it, in the names of the world.

    Attributes:
        type: `navigate`, `pick`, `place`, `open`, `close` or `detect`.
        object: What to handle.
        target: Where to go or to put it, or what to open or close.
    """

    type: str
    object: str | None = None
    target: str | None = None

    @classmethod
    def parse(cls, text: Any) -> PlannedAction:
        """Reads an action such as `place(apple, desk)`.

        Raises:
            EpisodeError: It is not a term, or not an action with its arguments.
        """
        term = Term.parse(text)
        if term.name not in _ACTIONS:
            raise EpisodeError(f"unknown action {term}: known are {', '.join(_ACTIONS)}")
        names = _ACTIONS[term.name]
        if len(term.arguments) != len(names):
            raise EpisodeError(f"{term}: write {term.name}({', '.join(names)})")
        return cls(term.name, **dict(zip(names, term.arguments, strict=True)))


@dataclass(frozen=True)
class DemoEpisode:
    """One thing the robot is told, and what it will do.

    Attributes:
        id: A name, different in each episode.
        command: The sentence that the robot is given.
        kind: What the episode is meant to show.
        plan: The actions that the robot's planner, faulty or not, runs for the command.
        goal: When the command counts as carried out.
    """

    id: str
    command: str
    kind: EpisodeKind
    plan: tuple[PlannedAction, ...]
    goal: Goal


def load_episodes(path: Path = EPISODES_FILE) -> tuple[DemoEpisode, ...]:
    """Reads the episodes of a file.

    Raises:
        EpisodeError: The file cannot be read, or an episode is wrong; the message says which.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise EpisodeError(f"{path}: cannot be read: {error}") from error
    entries = document.get("episodes") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise EpisodeError(f"{path}: there is no list of `episodes` in it")
    episodes: dict[str, DemoEpisode] = {}
    for number, entry in enumerate(entries, start=1):
        name = entry.get("id", number) if isinstance(entry, dict) else number
        try:
            episode = _parse_episode(entry)
        except EpisodeError as error:
            raise EpisodeError(f"{path}: episode {name}: {error}") from error
        if episode.id in episodes:
            raise EpisodeError(f"{path}: two episodes have the id {episode.id!r}")
        episodes[episode.id] = episode
    return tuple(episodes.values())


def _parse_episode(entry: object) -> DemoEpisode:
    if not isinstance(entry, dict) or set(entry) != set(_FIELDS):
        raise EpisodeError(f"it needs exactly the fields {', '.join(_FIELDS)}, and is {entry!r}")
    for field in ("id", "command"):
        if not isinstance(entry[field], str) or not entry[field].strip():
            raise EpisodeError(f"`{field}` must be text, not {entry[field]!r}")
    kinds = [kind.value for kind in EpisodeKind]
    if entry["kind"] not in kinds:
        raise EpisodeError(f"unknown kind {entry['kind']!r}: known are {', '.join(kinds)}")
    if not isinstance(entry["plan"], list) or not entry["plan"]:
        raise EpisodeError(f"`plan` must be a list of actions, not {entry['plan']!r}")
    return DemoEpisode(
        id=entry["id"].strip(),
        command=entry["command"].strip(),
        kind=EpisodeKind(entry["kind"]),
        plan=tuple(PlannedAction.parse(action) for action in entry["plan"]),
        goal=Goal.parse(entry["goal"]),
    )
