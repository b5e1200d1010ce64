"""What a log calls a thing: "the alarm clock", ``alarm_clock_2``, ``AlarmClock``, "alarmclock 2"."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from flip_edge.describe.skills import CONTAINERS
from training.grammar import indefinite, number_word, plural
from training.plan import Act, Quantity, Thing, seeded

CASES = ("words", "snake", "camel", "upper", "kebab", "joined", "title")
NUMBERINGS = ("", "{name}_{number}", "{name}_{number:02d}", "{name}{number}", "{name} {number}", "{name}-{number}")
USER = "user"
"""Name of the person who gives the commands: "me" in a command, "the user" or "you" in a log."""

_PREPOSITIONS = dict.fromkeys(["bring", "give", "guide", "follow", "report", "attach"], "to") | {"detach": "from"}
_MORE_CONTAINERS = """
    aisle area autoclave barn bay centrifuge clean container fridge hall incubator kiln lab laboratory lobby pantry
    pharmacy sector shed storage storeroom study tote trash trunk tunnel ward warehouse wheelbarrow workshop zone
"""
_INSIDE = CONTAINERS | frozenset(_MORE_CONTAINERS.split())


@dataclass(frozen=True)
class Naming:
    """One robot's way to write identifiers.

    Attributes:
        case: one of :data:`CASES`.
        numbering: one of :data:`NUMBERINGS`.
        seed: the number of each thing depends on it.
        aliases: whether things go by their aliases.
    """

    case: str = "words"
    numbering: str = ""
    seed: int = 0
    aliases: bool = False

    def name(self, thing: Thing) -> str:
        """The identifier of a thing.

        >>> Naming("snake", "{name}_{number}").name(Thing("alarm clock", ("red",)))
        'red_alarm_clock_3'
        """
        if self.aliases and thing.alias:
            thing = replace(thing, name=thing.alias)
        text = in_case(thing.words, self.case)
        if not self.numbering or thing.label or thing.proper or thing.name == USER:
            return text
        first = seeded(self.seed, "number", thing.words).randint(1, 4)
        return self.numbering.format(name=text, number=first + thing.instance)

    def kind(self, thing: Thing) -> str:
        """What it calls things of this kind, as commanders say it who think in its identifiers: without a number.

        >>> Naming("joined", "{name} {number}").kind(Thing("alarm clock", ("heavy",), count=2))
        'two heavy alarmclock'
        """
        if thing.proper:
            return thing.words
        text = in_case(thing.alias if self.aliases and thing.alias else thing.name, self.case)
        count = [number_word(thing.count)] if thing.count > 1 else []
        return " ".join([*count, *thing.attributes, text, *([thing.label] if thing.label else [])])


def in_case(words: str, case: str) -> str:
    """The words written as an identifier.

    >>> [in_case("pick up", case) for case in CASES]
    ['pick up', 'pick_up', 'PickUp', 'PICK_UP', 'pick-up', 'pickup', 'Pick Up']
    """
    parts = re.split(r"[\s_-]+", words.replace("'", ""))
    if case == "camel":
        return "".join(part[:1].upper() + part[1:] for part in parts)
    if case == "title":
        return " ".join(part[:1].upper() + part[1:] for part in parts)
    joint = {"snake": "_", "upper": "_", "kebab": "-", "joined": "", "words": " "}[case]
    text = joint.join(parts)
    return text.upper() if case == "upper" else text


def preposition(act: Act) -> str:
    """How the act's thing lies to its place: what the act says, else "in" or "on"."""
    if act.relation:
        return act.relation
    if act.verb in _PREPOSITIONS:
        return _PREPOSITIONS[act.verb]
    return "in" if act.place and act.place.name.split()[-1] in _INSIDE else "on"


def noun(thing: Thing, article: str) -> str:
    """The thing in a sentence. ``article``: ``the``, ``a``, or nothing.

    >>> noun(Thing("egg"), "a"), noun(Thing("egg", count=2), "a"), noun(Thing("room", label="4"), "the")
    ('an egg', 'two eggs', 'room 4')
    """
    if thing.proper or thing.label:
        return thing.words
    if thing.count > 1:
        many = " ".join([number_word(thing.count), *thing.attributes, plural(thing.name)])
        return f"the {many}" if article == "the" else many
    if article == "a":
        return indefinite(thing.words)
    return f"the {thing.words}" if article else thing.words


_UNITS = {
    "m": ("m", "meters", "metres"),
    "cm": ("cm", "centimeters"),
    "degrees": ("degrees", "deg"),
    "s": ("seconds", "s"),
    "min": ("minutes", "min"),
    "%": ("%", "percent"),
}
_ONE = {"meters": "meter", "metres": "metre", "degrees": "degree", "seconds": "second", "minutes": "minute"}


_MEASURED = {"m": 2, "cm": 1, "degrees": 1, "s": 1}
_ERROR = 0.02


def measured(amount: Quantity, seed: int) -> Quantity:
    """What an instrument would show for it: within two per cent, with decimals; what is counted stays.

    >>> 1.47 <= measured(Quantity(1.5, "m"), 0).value <= 1.53, measured(Quantity(3, "pictures"), 0).value
    (True, 3)
    """
    if amount.unit not in _MEASURED:
        return amount
    error = seeded(seed, "measured", amount).uniform(-_ERROR, _ERROR)
    return Quantity(round(amount.value * (1 + error), _MEASURED[amount.unit]), amount.unit)


def quantity(amount: Quantity, seed: int, *, words: bool = False) -> str:
    """A number with its unit; small whole numbers as words where asked.

    >>> quantity(Quantity(3, "pictures"), 0, words=True)
    'three pictures'
    """
    unit = seeded(seed, "unit", amount.unit).choice(_UNITS.get(amount.unit, (amount.unit,)))
    if amount.value == 1:
        unit = _ONE.get(unit, unit.removesuffix("s") if amount.unit not in _UNITS else unit)
    number = number_word(amount.value) if words else f"{amount.value:g}"
    return f"{number}{'' if unit == '%' else ' '}{unit}".strip()
