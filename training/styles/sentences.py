"""Logs in sentences: in tenses and persons, several acts in one, and as the package's own describer writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from flip_edge.describe import SkillDescriber, SkillResult
from training.grammar import gerund, participle, past, third_person
from training.lexicon import fill, fitting, verb
from training.naming import noun
from training.plan import Act, Result, seeded
from training.styles.slots import slots_in

if TYPE_CHECKING:
    from training.styles import Style

_SUBJECTS = ("", "", "I", "The robot", "Robot", "It", "The agent")
_TENSES = ("past", "past", "present", "progressive", "perfect")


def _phrase(style: Style, act: Act, slots: Mapping[str, str]) -> str:
    """The verb phrase in its base form."""
    phrases = fitting(verb(act.verb).say, slots) or [act.verb]
    # The choice is made among all phrases, so that a verb is not said otherwise only because more is known.
    rank = seeded(style.seed, "say", act.verb).random()
    return fill(phrases[int(rank * len(phrases))], slots) or act.verb


def _conjugated(style: Style, act: Act, phrase: str) -> str:
    subject = style.choice("subject", _SUBJECTS)
    tense = style.choice("tense", _TENSES if subject else ("past", "past", "progressive", "imperative", "present"))
    if act.result is Result.FAILED:
        tried = style.choice("failure", ("failed to {}", "could not {}", "tried to {} but failed", "was unable to {}"))
        return f"{subject} {tried.format(phrase)}".strip() + _because(style, act)
    first_person = subject == "I"
    if tense == "past":
        said = past(phrase)
    elif tense == "progressive":
        said = f"{'am' if first_person else 'is'} {gerund(phrase)}" if subject else gerund(phrase)
    elif tense == "perfect":
        said = f"{'have' if first_person else 'has'} {participle(phrase)}"
    elif tense == "imperative" or first_person:
        said = phrase
    else:
        said = third_person(phrase)
    return f"{subject} {said}".strip()


def _because(style: Style, act: Act) -> str:
    if not act.reason:
        return ""
    return style.choice("because", (": {}", " because {}", ", {}", " ({})")).format(act.reason)


def _clauses(style: Style, acts: Sequence[Act]) -> list[str]:
    pronouns = style.chance("pronouns", 0.4)
    clauses = []
    before: Act | None = None
    for act in acts:
        slots = style.said_slots(act)
        known = before is not None and before.thing == act.thing and before.result is Result.DONE
        if pronouns and known and "thing" in slots and act.place:
            slots["thing"] = "it"
        clauses.append(_conjugated(style, act, _phrase(style, act, slots)))
        before = act
    return clauses


def _finished(style: Style, sentence: str) -> str:
    if style.chance("capital", 0.5):
        sentence = sentence[:1].upper() + sentence[1:]
    elif not sentence.startswith("I "):
        sentence = sentence[:1].lower() + sentence[1:]
    return sentence + ("." if style.chance("full stop", 0.4) else "")


def sentences(style: Style, acts: Sequence[Act]) -> list[str]:
    """A sentence for each act."""
    return [_finished(style, clause) for clause in _clauses(style, acts)]


def narrative(style: Style, acts: Sequence[Act]) -> list[str]:
    """Two or three acts in one sentence, as a person would sum them up."""
    size = style.choice("size", (2, 2, 3))
    joint = style.choice("joint", (" and ", ", then ", ", and then ", " and then ", "; "))
    subject = style.choice("subject", _SUBJECTS)
    clauses = _clauses(style, acts)
    lines = []
    for start in range(0, len(clauses), size):
        first, *others = clauses[start : start + size]
        lines.append(_finished(style, joint.join([first, *(other.removeprefix(subject).strip() for other in others)])))
    return lines


_DESCRIBED = {"go": "navigate", "pick": "pick", "place": "place", "open": "open", "close": "close", "find": "detect"}


def described(style: Style, acts: Sequence[Act]) -> list[str]:
    """The sentences of the package's own describer, as a robot with flip_edge writes them."""
    lines = []
    for act in acts:
        if act.verb not in _DESCRIBED or act.relation:
            said = _phrase(style, act, slots_in(act, lambda thing: noun(thing, "the"), style.seed))
            lines.append(past(said) if act.result is Result.DONE else f"failed to {said}{_describer_reason(act)}")
            continue
        opened = act.verb in ("open", "close")
        fields = {
            "object": None if opened else act.thing,
            "source": act.source,
            "target": act.thing if opened else act.place,
        }
        # The describer would leave out the number of a room as that of an instance.
        names = {thing.words: noun(thing, "the") for thing in fields.values() if thing}
        result = SkillResult(
            _DESCRIBED[act.verb],
            **{name: thing.words for name, thing in fields.items() if thing},
            status="SUCCEEDED" if act.result is Result.DONE else "ABORTED",
            message=act.reason,
        )
        lines.append(SkillDescriber(names=names).describe(result))
    return lines


def _describer_reason(act: Act) -> str:
    return f": {act.reason}" if act.reason else ""
