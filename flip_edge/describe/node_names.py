"""Names of behaviour-tree nodes and of actions, read as skills: `PutMugOnTable` puts the mug on the table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache

from flip_edge.describe.naming import split_words
from flip_edge.describe.skills import SkillDescriber, SkillResult, SkillTemplate
from flip_edge.lexicon import lexicon
from flip_edge.verbs import is_verb_phrase, past_tense, present_tense

_KIND_OF_NODE = frozenset({"action", "bt", "client", "node", "server", "skill", "task"})
_RUN_TOGETHER = {"backup": ["back", "up"]}
_PLACES_IN_GENERAL = frozenset(
    {"goal", "goals", "location", "place", "pose", "poses", "position", "target", "waypoint"}
)
_ITSELF = frozenset({"base", "robot"})
_DIRECTION_WORDS = """
    ahead backward backwards clockwise counterclockwise forward forwards home left right sideways straight
"""
_DIRECTIONS = frozenset(_DIRECTION_WORDS.split())
_GOING = ("go", "move", "return")
_GOES_SOMEWHERE = frozenset({"drive", "go", "move base", "move robot", "nav", "navigate"})
_SOURCES = ("from", "off")
_SPOTS = ("at", "in", "on")  # which a skill's own template words
_OTHER_RELATIONS = ("into", "onto", "to", "through", "over", "under", "behind", "beside", "near", "with", "for")
_RELATIONS = frozenset((*_SOURCES, *_SPOTS, *_OTHER_RELATIONS))


def name_words(name: str) -> list[str]:
    """The words of a node's or an action's name, without its path, its number and the kind of thing it is.

    >>> name_words("main/PickMugAction::12"), name_words("/robot1/navigate_to_pose")
    (['pick', 'mug'], ['navigate', 'to', 'pose'])
    """
    words = split_words(name.rstrip("/ ").rpartition("/")[2])
    while len(words) > 1 and words[-1] in _KIND_OF_NODE:
        words = words[:-1]
    return [part for word in words for part in _RUN_TOGETHER.get(word, [word])]


def is_among(words: list[str], patterns: Iterable[str]) -> bool:
    """Whether a name, as its words with blanks between, matches one of the shell patterns.

    >>> is_among(["check", "battery"], {"check *"}), is_among(["wipe", "table"], {"check *"})
    (True, False)
    """
    return any(fnmatchcase(" ".join(words), pattern) for pattern in patterns)


def reads_as_skill(words: list[str], describer: SkillDescriber) -> bool:
    """Whether a name begins with a verb of the lexicon or of the describer's own templates."""
    if not words:
        return False
    own = {split_words(name)[0] for name in describer.templates if split_words(name)}
    return words[0] in _verbs() or words[0] in own


@lru_cache(maxsize=1)
def _verbs() -> frozenset[str]:
    """The lexicon's verbs in the form that names have: "take", not "took"."""
    known = {verb for verbs in lexicon().acts.values() for verb in verbs if present_tense(verb) == verb}
    return frozenset(known - {"left", "send"})  # what a node sends is a goal, to another node


def describe_name(describer: SkillDescriber, words: list[str], status: str, *, what: str = "", reason: str = "") -> str:
    """The sentence for a skill of which only the name is known.

    Args:
        describer: Says the skill.
        words: The name, from `name_words`; at least one word.
        status: How it ended, as `SkillOutcome.from_status` reads it.
        what: What or where to, in the robot's words, where that is known: "kitchen".
        reason: Why it failed or stopped.

    >>> describe_name(SkillDescriber(), ["put", "mug", "on", "table"], "SUCCESS")
    'put the mug on the table'
    >>> describe_name(SkillDescriber(), ["navigate", "to", "pose"], "FAILURE", what="kitchen", reason="No path.")
    'failed to drive to the kitchen: no path'
    """
    name = " ".join(words)
    if not reads_as_skill(words, describer):
        return describer.describe(SkillResult(name, object=what or None, status=status, message=reason))
    describer = replace(describer, names={"home": "home", **describer.names})
    # "Returned" is also said of what was brought back.
    action, thing, relation, place = _parts(["go", "home"] if words == ["return", "home"] else words)
    is_through_goals = relation == "through" and place in _PLACES_IN_GENERAL
    place = "" if place in _PLACES_IN_GENERAL else place
    if not thing or thing in _ITSELF:
        goes = relation in ("to", "into", "in", "at") or is_through_goals
        if _is_going(action) and (goes or name in _GOES_SOMEWHERE):
            result = SkillResult("navigate", target=what or place or "goal", status=status, message=reason)
            return describer.describe(result)
    thing = "" if thing in _ITSELF | _PLACES_IN_GENERAL else thing
    result = SkillResult(action, object=what or thing or None, status=status, message=reason)
    if relation in _SOURCES:
        result = replace(result, source=place or None)
    elif place:
        result = replace(result, target=place)
    own_words = place and relation in _OTHER_RELATIONS
    if action not in describer.templates and (own_words or not _DIRECTIONS.isdisjoint(action.split())):
        tail = "[ {object}]" + (f" {relation} {{target}}" if own_words else "[ from {source}][ at {target}]")
        template = SkillTemplate(past_tense(action.split()) + tail, action + tail)
        describer = replace(describer, templates={**describer.templates, action: template})
    return describer.describe(result)


def _parts(words: list[str]) -> tuple[str, str, str, str]:
    """Verb with its particles, what it is done to, and where: "turn on", "lamp", "in", "kitchen"."""
    end = 1
    while end < len(words) and (
        words[end] in _DIRECTIONS or (words[end] not in ("into", "in", "through") and is_verb_phrase(words[: end + 1]))
    ):
        end += 1
    rest = words[end:]
    at = next((index for index, word in enumerate(rest) if word in _RELATIONS), len(rest))
    return " ".join(words[:end]), " ".join(rest[:at]), "".join(rest[at : at + 1]), " ".join(rest[at + 1 :])


def _is_going(action: str) -> bool:
    return any(action in lexicon().acts[kind] for kind in _GOING)
