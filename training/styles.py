"""A run in the words of many kinds of logs.

A style is made of independent choices: the family of the log, the verb used for each act, tense and person, how things
are named and numbered, how results are written. All of them follow from one seed, so that a run and the wrong runs made
from it come out in exactly the same style and differ only in what was done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from training.grammar import gerund, participle, past, third_person
from training.lexicon import fill, fitting, unsaid, verb
from training.naming import CASES, NUMBERINGS, USER, Naming, in_case, noun, preposition, quantity
from training.plan import Act, Result, Thing, seeded

FAMILIES = ("sentences", "narrative", "terse", "environment", "skill_calls", "status_lines", "json", "telemetry")
"""What a log can look like. Beside these there is ``people``: words that people wrote, which is not made here."""

_T = TypeVar("_T")
_SUBJECTS = ("", "", "I", "The robot", "Robot", "It", "The agent")
_TENSES = ("past", "past", "present", "progressive", "perfect")
_SUCCESS = ("SUCCESS", "SUCCEEDED", "OK", "ok", "success", "succeeded", "done", "COMPLETED")
_FAILURE = {
    "SUCCESS": "FAILURE",
    "SUCCEEDED": "ABORTED",
    "OK": "FAILED",
    "ok": "failed",
    "success": "failure",
    "succeeded": "aborted",
    "done": "error",
    "COMPLETED": "FAILED",
}


@dataclass(frozen=True)
class Style:
    """One way to write a log.

    Attributes:
        family: one of :data:`FAMILIES`.
        seed: everything else follows from it.
    """

    family: str
    seed: int
    _writer: Callable[[Style, Sequence[Act]], list[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_writer", _WRITERS[self.family])

    def render(self, acts: Sequence[Act]) -> tuple[str, ...]:
        """The log of the acts, one line or sentence each; ``narrative`` joins some."""
        return tuple(line for line in self._writer(self, acts) if line)

    def choice(self, key: str, options: Sequence[_T]) -> _T:
        """A choice that is the same throughout the style."""
        return seeded(self.seed, self.family, key).choice(options)

    def chance(self, key: str, probability: float) -> bool:
        """A yes or no that is the same throughout the style."""
        return seeded(self.seed, self.family, key).random() < probability

    @property
    def tells_results(self) -> bool:
        """Whether its lines say how an act ended."""
        if self.family == "json":
            return bool(self.choice("result key", _RESULT_KEYS))
        return self.family != "environment" and (
            self.family != "skill_calls" or "{result}" in self.choice("call", _CALLS)
        )

    @cached_property
    def naming(self) -> Naming:
        """How it writes identifiers."""
        cases = ("words", "snake", "camel", "joined") if self.family == "terse" else CASES
        case = self.choice("case", cases)
        numbering = self.choice("numbering", NUMBERINGS) if self.chance("numbered", 0.6) else ""
        return Naming(case, numbering, self.seed, self.chance("aliases", 0.4))

    def said_slots(self, act: Act) -> dict[str, str]:
        """The slots of an act in words."""
        article = self.choice("article", ("the", "the", "the", ""))

        def say(thing: Thing) -> str:
            if thing.name == USER:
                return self.choice("user", ("the user", "you", "the user", "the operator"))
            return noun(thing, article)

        return _slots(act, say, self.seed)

    def named_slots(self, act: Act) -> dict[str, str]:
        """The slots of an act as identifiers."""
        return _slots(act, self.naming.name, self.seed)

    def skill(self, act: Act) -> str:
        """The name of the skill, in words."""
        return self.choice(f"skill {act.verb}", verb(act.verb).skills)

    def result(self, act: Act) -> str:
        """The word for how the act ended."""
        success = self.choice("result", _SUCCESS)
        return success if act.result is Result.DONE else _FAILURE[success]


def _slots(act: Act, say: Callable[[Thing], str], seed: int) -> dict[str, str]:
    slots = {
        name: say(thing)
        for name, thing in (("thing", act.thing), ("place", act.place), ("source", act.source), ("tool", act.tool))
        if thing
    }
    if act.place:
        slots["at"] = f"{preposition(act)} {slots['place']}"
    if act.side:
        slots["side"] = act.side
    if act.amount:
        slots["amount"] = quantity(act.amount, seed)
    return slots


# --- sentences


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


def _sentences(style: Style, acts: Sequence[Act]) -> list[str]:
    return [_finished(style, clause) for clause in _clauses(style, acts)]


def _narrative(style: Style, acts: Sequence[Act]) -> list[str]:
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


# --- machines


def _short_skill(style: Style, act: Act) -> str:
    """A name of the skill without filling words; all of "turn on", as "turn" alone would leave out what matters."""
    skills = verb(act.verb).skills
    short = [
        skill for skill in skills if len(skill.split()) <= 2 and not skill.endswith((" object", " location", " door"))
    ]
    return style.choice(f"short {act.verb}", short or skills)


def _terse_line(style: Style, act: Act, slots: Mapping[str, str]) -> str:
    template = verb(act.verb).terse
    line = fill(template, slots) if template and style.chance(f"terse {act.verb}", 0.7) else None
    if line is None:
        words = [_short_skill(style, act)]
        words += [slots[slot] for slot in ("side", "amount", "thing") if slot in slots]
        if "at" in slots:
            bare = verb(act.verb).unit == "nav" or style.chance("bare places", 0.5)
            words.append(slots["place"] if bare and not act.relation else slots["at"])
        line = " ".join(words)
    return line


def _terse(style: Style, acts: Sequence[Act]) -> list[str]:
    failed = style.choice("failed", (" failed", ": failed", " - FAILED", " not possible"))
    upper = style.chance("capitals", 0.15)
    lines = []
    for act in acts:
        line = _terse_line(style, act, style.named_slots(act))
        line += failed if act.result is Result.FAILED else ""
        lines.append(line.upper() if upper else line)
    return lines


def _environment(style: Style, acts: Sequence[Act]) -> list[str]:
    """Commands of text games. They do not tell how an act ended."""
    dialect = style.choice("dialect", ("in/on", "in/on", "in or on", "move", "script"))
    numbering = style.choice("numbering", ("", "{name} {number}", "{name} {number}"))
    naming = Naming(
        style.choice("case", ("joined", "joined", "words")), numbering, style.seed, style.chance("aliases", 0.7)
    )
    lines = []
    for act in acts:
        if dialect == "script":
            lines.append(_script_line(style, act))
            continue
        slots = _slots(act, naming.name, style.seed)
        template = verb(act.verb).env
        if act.relation not in ("", "in", "on") or dialect == "in or on":
            template = template.replace("in/on {place}", "{at}")
        elif dialect == "move" and act.verb == "place":
            template = "move {thing} to {place}"
        line = (fill(template, slots) if template else None) or _terse_line(style, act, slots)
        lines.append(line)
    return lines


def _script_line(style: Style, act: Act) -> str:
    """Household scripts: ``[grab] <mug> (1)``."""
    naming = Naming("snake", "", style.seed)
    name = in_case(_short_skill(style, act), "joined")
    things = [f"<{naming.name(thing)}> ({thing.instance + 1})" for thing in (act.thing, act.source, act.place) if thing]
    if act.relation and act.place:
        things.insert(-1, act.relation)
    more = [text for slot, text in _slots(act, naming.name, style.seed).items() if slot in ("side", "amount")]
    name = name.upper() if style.chance("capitals", 0.5) else name
    return " ".join([f"[{name}]", *more, *things])


_KEYS = {
    "thing": ("object", "obj", "item", "object_id", "target_object"),
    "place": ("location", "target", "place", "destination", "to"),
    "source": ("source", "from", "origin"),
    "tool": ("tool", "with"),
    "side": ("direction", "side"),
    "amount": ("amount", "value"),
    "relation": ("relation", "pose"),
}
_RESULT_KEYS = ("result", "status", "outcome", "success", "")
_AMOUNT_KEYS = {
    "m": "distance",
    "cm": "distance_cm",
    "degrees": "angle",
    "s": "seconds",
    "min": "minutes",
    "%": "percent",
}


def _arguments(style: Style, act: Act) -> dict[str, str | float]:
    """The skill's parameters by the names that this robot gives them."""
    slots = style.named_slots(act)
    values: dict[str, str | float] = {}
    for slot in ("thing", "source", "place", "tool", "side"):
        if slot in slots:
            values[style.choice(f"key {slot}", _KEYS[slot])] = slots[slot]
    if act.relation:
        values[style.choice("key relation", _KEYS["relation"])] = in_case(act.relation, "snake")
    if act.amount:
        values[_AMOUNT_KEYS.get(act.amount.unit, "count")] = act.amount.value
    return values


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _argument_list(style: Style, act: Act) -> str:
    """The parameters within the brackets of a call."""
    form = style.choice("arguments", ("plain", "plain", "quoted", "named", "named quoted", "colon"))
    quote = style.choice("quote", ('"', "'"))
    parts = []
    for key, value in _arguments(style, act).items():
        text = f"{quote}{value}{quote}" if "quoted" in form and isinstance(value, str) else _value(value)
        parts.append(f"{key}={text}" if "named" in form else f"{key}: {text}" if form == "colon" else text)
    return ", ".join(parts)


def _skill_name(style: Style, act: Act) -> str:
    return in_case(style.skill(act), style.choice("skill case", ("snake", "snake", "camel", "camel", "upper")))


def _reason(style: Style, act: Act) -> str:
    return style.choice("reason", (" ({})", ": {}", ' "{}"')).format(act.reason) if act.reason else ""


_CALLS = (
    "{name}({arguments}) -> {result}",
    "{name}({arguments}) => {result}",
    "{name}({arguments}): {result}",
    "{name}({arguments}) returned {result}",
    "{name}({arguments})",
    "robot.{name}({arguments})",
    "{name}{{{arguments}}} result={result}",
    "{name} [{arguments}] {result}",
    "call {name}({arguments}) ... {result}",
    "skill={name} args=({arguments}) result={result}",
)
_STATUS = (
    "[{name}] {arguments}: RUNNING -> {result}",
    "[{name}] {arguments} RUNNING {result}",
    "{name}({arguments}) IDLE -> RUNNING -> {result}",
    "BT node {name}[{arguments}] returned {result}",
    "{name} {arguments} status: {result}",
    "action {name} goal ({arguments}) finished with {result}",
    "[INFO] {name}: goal {arguments} {result}",
    "/{name} goal={{{arguments}}} status={result}",
    "{name}: {arguments} [{result}]",
    "task {name} ({arguments}) | state {result}",
)


def _calls(style: Style, acts: Sequence[Act]) -> list[str]:
    return _formatted(style, acts, style.choice("call", _CALLS))


def _status_lines(style: Style, acts: Sequence[Act]) -> list[str]:
    return _formatted(style, acts, style.choice("status", _STATUS))


def _formatted(style: Style, acts: Sequence[Act], template: str) -> list[str]:
    tells = "{result}" in template
    lines = []
    for act in acts:
        line = template.format(
            name=_skill_name(style, act), arguments=_argument_list(style, act), result=style.result(act)
        )
        lines.append(" ".join(line.split()) + (_reason(style, act) if tells else ""))
    return lines


def _json(style: Style, acts: Sequence[Act]) -> list[str]:
    skill_key = style.choice("skill key", ("skill", "action", "name", "type", "task", "cmd"))
    result_key = style.choice("result key", _RESULT_KEYS)
    nested = style.choice("nested", ("", "", "params", "args"))
    form = style.choice("form", ("json", "json", "compact", "flow"))
    lines = []
    for act in acts:
        arguments: dict[str, object] = dict(_arguments(style, act))
        row: dict[str, object] = {skill_key: _skill_name(style, act)}
        row |= {nested: arguments} if nested and arguments else arguments
        if result_key == "success":
            row["success"] = act.result is Result.DONE
        elif result_key:
            row[result_key] = style.result(act)
        if act.reason and result_key:
            row["message"] = act.reason
        text = json.dumps(row, separators=(",", ":") if form == "compact" else None)
        lines.append(text.replace('"', "")[1:-1] if form == "flow" else text)
    return lines


def _telemetry(style: Style, acts: Sequence[Act]) -> list[str]:
    prefix = style.choice(
        "prefix",
        (
            "t={t:.1f}s ",
            "[{t:.3f}] ",
            "{n:03d} | ",
            "#{n} ",
            "{clock} ",
            "{n}. ",
            "step {n}: ",
            "[{clock}] [INFO] ",
            "",
        ),
    )
    unit = style.choice("unit", ("", "", "{unit}: ", "{unit} | ", "[{unit}] "))
    suffix = style.choice("suffix", ("", "", " [ok]", " OK", " (ok)"))
    terse = style.chance("terse", 0.3)
    time = seeded(style.seed, "time").uniform(0, 40)
    start = seeded(style.seed, "clock").randrange(6 * 3600, 20 * 3600)
    lines = []
    for number, act in enumerate(acts, start=1):
        time += seeded(style.seed, "step", number).uniform(0.8, 14)
        seconds = start + int(time)
        head = prefix.format(
            t=time, n=number, clock=f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        ) + unit.format(unit=_unit_name(style, act))
        if act.result is Result.FAILED:
            body = _terse_line(style, act, style.named_slots(act)) + " FAILED" + _reason(style, act)
        else:
            body = (_terse_line(style, act, style.named_slots(act)) if terse else _event(style, act)) + suffix
        lines.append(head + body)
    return lines


def _unit_name(style: Style, act: Act) -> str:
    name = verb(act.verb).unit
    return name.upper() if style.chance("upper unit", 0.5) else name


def _event(style: Style, act: Act) -> str:
    slots = style.named_slots(act)
    events = [event for event in fitting(verb(act.verb).events, slots) if not unsaid(event, slots)]
    if not events:
        return _terse_line(style, act, slots)
    rank = seeded(style.seed, "event", act.verb).random()
    return fill(events[int(rank * len(events))], slots) or act.verb


_WRITERS: dict[str, Callable[[Style, Sequence[Act]], list[str]]] = {
    "sentences": _sentences,
    "narrative": _narrative,
    "terse": _terse,
    "environment": _environment,
    "skill_calls": _calls,
    "status_lines": _status_lines,
    "json": _json,
    "telemetry": _telemetry,
}
