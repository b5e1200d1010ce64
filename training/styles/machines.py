"""Logs that machines write: terse lines, text-game commands, skill calls, status lines, JSON, telemetry."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from training.lexicon import fill, fitting, unsaid, verb
from training.naming import Naming, in_case
from training.plan import Act, Result, seeded

if TYPE_CHECKING:
    from training.styles import Style


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


def terse_lines(style: Style, acts: Sequence[Act]) -> list[str]:
    """Verb and object, and little more: "pick mug"."""
    failed = style.choice("failed", (" failed", ": failed", " - FAILED", " not possible"))
    upper = style.chance("capitals", 0.15)
    lines = []
    for act in acts:
        line = _terse_line(style, act, style.named_slots(act))
        line += failed if act.result is Result.FAILED else ""
        lines.append(line.upper() if upper else line)
    return lines


def _dialect(style: Style) -> str:
    return style.choice("dialect", ("in/on", "in/on", "in or on", "move", "script"))


def environment_naming(style: Style) -> Naming:
    """How a text game writes things: "coffeetable 1", or ``coffee_table`` in a script."""
    if _dialect(style) == "script":
        return Naming("snake", "", style.seed)
    numbering = style.choice("numbering", ("", "{name} {number}", "{name} {number}"))
    case = style.choice("case", ("joined", "joined", "words"))
    return Naming(case, numbering, style.seed, style.chance("aliases", 0.7))


def environment_commands(style: Style, acts: Sequence[Act]) -> list[str]:
    """Commands of text games. They do not tell how an act ended."""
    dialect = _dialect(style)
    lines = []
    for act in acts:
        if dialect == "script":
            lines.append(_script_line(style, act))
            continue
        slots = style.named_slots(act)
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
    name = in_case(_short_skill(style, act), "joined")
    things = [
        f"<{style.naming.name(thing)}> ({thing.instance + 1})" for thing in (act.thing, act.source, act.place) if thing
    ]
    if act.relation and act.place:
        things.insert(-1, act.relation)
    more = [text for slot, text in style.named_slots(act).items() if slot in ("side", "amount")]
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
RESULT_KEYS = ("result", "status", "outcome", "success", "")
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


CALLS = (
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


def skill_calls(style: Style, acts: Sequence[Act]) -> list[str]:
    """Calls of skills, mostly with what they returned: `pick(mug_1) -> SUCCESS`."""
    return _formatted(style, acts, style.choice("call", CALLS))


def status_lines(style: Style, acts: Sequence[Act]) -> list[str]:
    """Behaviour-tree and action status: `[PickObject] mug_1: RUNNING -> SUCCESS`."""
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


def json_lines(style: Style, acts: Sequence[Act]) -> list[str]:
    """A JSON object for each act, in brief or in full, or the same without its quotes."""
    skill_key = style.choice("skill key", ("skill", "action", "name", "type", "task", "cmd"))
    result_key = style.choice("result key", RESULT_KEYS)
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


def telemetry(style: Style, acts: Sequence[Act]) -> list[str]:
    """Numbered or timed lines of what happened: `003 | arm: mug_1 grasped`."""
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
