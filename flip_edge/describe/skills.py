"""Results of robot skills as sentences: "picked up the apple from the kitchen table".

One `SkillResult` in, one sentence out, in the past tense and without a subject, as a person who watched the
robot would note it down. A skill that failed is said to have failed, with its reason: "failed to put the
apple on the desk: no free place was found". Deterministic; needs nothing but the record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from flip_edge.describe.naming import noun_phrase, split_words
from flip_edge.errors import ConfigError, InputError
from flip_edge.verbs import is_verb_phrase, past_tense

_MAX_REASON_LENGTH = 160


class SkillOutcome(Enum):
    """How a skill ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @classmethod
    def from_status(cls, status: str) -> SkillOutcome:
        """The outcome that a status name of ROS 2 actions, behaviour trees or simulators stands for.

        Only names known to mean success are successes; every name that is not known is a failure.

        >>> [SkillOutcome.from_status(status).value for status in ("SUCCESS", "STATUS_CANCELED", "ABORTED")]
        ['succeeded', 'canceled', 'failed']
        """
        name = status.strip().upper().removeprefix("STATUS_")
        if name in ("SUCCESS", "SUCCEEDED"):
            return cls.SUCCEEDED
        if name in ("CANCELED", "CANCELLED", "PREEMPTED"):
            return cls.CANCELED
        return cls.FAILED


@dataclass(frozen=True)
class SkillResult:
    """One skill as it was executed, in the identifiers of the robot's own world model.

    Attributes:
        action: The kind of skill: `navigate`, `pick`, `place`, `open`, `close`, `detect`, or any other name.
        object: What was handled, if anything.
        source: Where it was taken from, or where the robot came from.
        target: Where it was put, where the robot went, or what was opened or closed.
        status: The name of the final status, as `SkillOutcome.from_status` reads it.
        message: Why it failed or stopped, in the robot's words; not said of a success.

    Raises:
        InputError: A field is not text, or there is no word in the action.
    """

    action: str
    object: str | None = None
    source: str | None = None
    target: str | None = None
    status: str = "SUCCESS"
    message: str = ""

    def __post_init__(self) -> None:
        for name in ("action", "status", "message"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"SkillResult.{name} must be text, not {getattr(self, name)!r}")
        for name in ("object", "source", "target"):
            if not isinstance(getattr(self, name), str | None):
                raise InputError(f"SkillResult.{name} must be text or None, not {getattr(self, name)!r}")
        if not split_words(self.action):
            raise InputError(f"SkillResult.action is {self.action!r}: name the skill that was executed")

    @property
    def outcome(self) -> SkillOutcome:
        """How the skill ended."""
        return SkillOutcome.from_status(self.status)


_SLOT = re.compile(r"\{(object|source|target|on)\}")
_GROUP = re.compile(r"\[([^\[\]]*)\]")
_UNKNOWN = {"object": "something", "source": "somewhere", "target": "somewhere", "on": "at"}


@dataclass(frozen=True)
class SkillTemplate:
    """How one kind of skill is said.

    `{object}`, `{source}` and `{target}` stand for noun phrases, and `{on}` for the target's preposition:
    "on", or "in" for a container. `[a|b|c]` is the first alternative whose phrases are all known, or nothing.
    Outside of brackets a phrase that is not known becomes "something" or "somewhere".

    Attributes:
        past: The sentence when the skill succeeded: "took {object}[ from {source}]".
        base: The same after "failed to": "take {object}[ from {source}]".

    Raises:
        ConfigError: A blank text, an unknown placeholder, or brackets that are nested or not closed.
    """

    past: str
    base: str

    def __post_init__(self) -> None:
        for text in (self.past, self.base):
            if not text.strip() or set(_SLOT.sub("", _GROUP.sub(r"\1", text))) & set("[]{}"):
                raise ConfigError(
                    f"bad skill template {text!r}: it may hold words, the placeholders {{object}}, "
                    "{source}, {target} and {on}, and optional parts as [one|other], not nested"
                )


_WHAT = "[{object}|{target}|something]"
DEFAULT_TEMPLATES: Mapping[str, SkillTemplate] = {
    "navigate": SkillTemplate(
        "drove[ from {source}][ to {target}| to {object}| somewhere else]",
        "drive[ from {source}][ to {target}| to {object}| somewhere else]",
    ),
    "pick": SkillTemplate(
        "picked up {object}[ from {source}| from {target}]",
        "pick up {object}[ from {source}| from {target}]",
    ),
    "place": SkillTemplate("put {object}[ {on} {target}| down]", "put {object}[ {on} {target}| down]"),
    "open": SkillTemplate(f"opened {_WHAT}", f"open {_WHAT}"),
    "close": SkillTemplate(f"closed {_WHAT}", f"close {_WHAT}"),
    "detect": SkillTemplate(
        "[found {object} {on} {target}|found {object}|looked around at {target}|looked around]",
        "[find {object} {on} {target}|find {object}|look around at {target}|look around]",
    ),
}
"""The templates of the usual skills. `SkillDescriber(templates=...)` replaces them by name."""

_CONTAINER_WORDS = """
    bag basin basket bathroom bathtub bedroom bin bowl box bucket cabinet can case chest closet crate cup
    cupboard dishwasher drawer freezer fridge garage hamper hallway jar kitchen locker microwave mug office
    oven pan pantry pot refrigerator room safe sink suitcase toaster tray tub vase wardrobe washer
"""
CONTAINERS: frozenset[str] = frozenset(_CONTAINER_WORDS.split())
"""Last words of the places that things are put "in"; elsewhere they are put "on"."""

_SYNONYMS: Mapping[str, str] = {
    name: skill
    for skill, names in {
        "navigate": "drive|drive to|go|go to|goto|go to location|goto location|move base|move to|navigate to"
        "|navigate to pose|nav to pose",
        "pick": "grasp|pick object|pick up|pickup|pick up object|pickup object|take|take object",
        "place": "place object|put|put down|put object|set down",
        "open": "open location|open object",
        "close": "close location|close object|shut",
        "detect": "detect object|detect objects|find|find object|look for|search|search for",
    }.items()
    for name in names.split("|")
}


@dataclass(frozen=True)
class SkillDescriber:
    """Says what a skill did.

    >>> describer = SkillDescriber()
    >>> describer.describe(SkillResult("navigate", target="kitchen_table0"))
    'drove to the kitchen table'
    >>> describer.describe(SkillResult("place", object="apple0", target="my_desk", status="PLANNING_FAILURE",
    ...                                message="No free place was found."))
    'failed to put the apple on the desk: no free place was found'

    Attributes:
        templates: Templates by skill name, over or beside `DEFAULT_TEMPLATES`.
        names: Phrases for identifiers that do not read well by themselves: `{"loc_7": "the charging dock"}`.
        containers: Last words of the places that things are put "in".
    """

    templates: Mapping[str, SkillTemplate] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    containers: frozenset[str] = CONTAINERS

    def describe(self, result: SkillResult) -> str:
        """The sentence for one result: past tense, no subject, no final full stop, one line."""
        past, base = self._sentences(result)
        if result.outcome is SkillOutcome.SUCCEEDED:
            return past
        sentence = "failed to " if result.outcome is SkillOutcome.FAILED else "was stopped before it could "
        sentence += base
        reason = _plain_reason(result.message)
        return f"{sentence}: {reason}" if reason else sentence

    def _sentences(self, result: SkillResult) -> tuple[str, str]:
        """What is said of a success, and what is said after "failed to"."""
        phrases = {
            slot: phrase
            for slot in ("object", "source", "target")
            if (phrase := self._phrase(getattr(result, slot) or ""))
        }
        if "target" in phrases:
            phrases["on"] = "in" if phrases["target"].split()[-1] in self.containers else "on"
        template = self._template(result.action)
        return _fill(template.past, phrases), _fill(template.base, phrases)

    def _phrase(self, identifier: str) -> str:
        return self.names.get(identifier) or noun_phrase(identifier)

    def _template(self, action: str) -> SkillTemplate:
        words = split_words(action)
        name = " ".join(words)
        for candidate in (action, name, _SYNONYMS.get(name, name)):
            if candidate in self.templates:
                return self.templates[candidate]
        return DEFAULT_TEMPLATES.get(_SYNONYMS.get(name, name)) or _generic_template(words)


def _generic_template(words: list[str]) -> SkillTemplate:
    """A sentence for a skill nobody has described: "wiped the table", 'ran "arm calibration"'."""
    where = "[ from {source} to {target}| from {source}| at {target}]"
    if is_verb_phrase(words):
        what = f"[ {{object}}]{where}"
        return SkillTemplate(past_tense(words) + what, " ".join(words) + what)
    what = f'"{" ".join(words)}"[ with {{object}}]{where}'
    return SkillTemplate(f"ran {what}", f"run {what}")


def _fill(text: str, phrases: Mapping[str, str]) -> str:
    """Chooses in each bracket the first alternative whose phrases are all known, and puts the phrases in."""

    def choose(group: re.Match[str]) -> str:
        for alternative in group[1].split("|"):
            if all(slot in phrases for slot in _SLOT.findall(alternative)):
                return alternative
        return ""

    return _SLOT.sub(lambda slot: phrases.get(slot[1], _UNKNOWN[slot[1]]), _GROUP.sub(choose, text)).strip()


def _plain_reason(message: str) -> str:
    """A robot's message as the tail of a sentence: one line, identifiers as words, no closing full stop."""
    text = "".join(c if c.isprintable() else " " for c in message)
    text = " ".join(re.sub(r"\w+", lambda token: _plain_token(token[0]), text).split()).rstrip(" .!")
    if len(text) > _MAX_REASON_LENGTH:
        text = text[:_MAX_REASON_LENGTH].rsplit(" ", 1)[0] + " …"
    # "No path" becomes "no path"; an acronym such as "IK" stays.
    return text[0].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def _plain_token(token: str) -> str:
    """Turns `kitchen_table0` into words and leaves numbers and ordinary words alone."""
    is_identifier = token[0].isalpha() and any(c == "_" or c.isdigit() for c in token)
    return " ".join(split_words(token)) if is_identifier else token
