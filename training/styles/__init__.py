"""A run in the words of many kinds of logs.

A style is made of independent choices: the family of the log, the verb used for each act, tense and person, how things
are named and numbered, how results are written. All of them follow from one seed, so that a run and the wrong runs made
from it come out in exactly the same style and differ only in what was done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from training.lexicon import verb
from training.naming import CASES, NUMBERINGS, USER, Naming, measured, noun
from training.plan import Act, Result, Thing, seeded
from training.styles import machines, sentences
from training.styles.slots import slots_in

FAMILIES = (
    "sentences",
    "narrative",
    "describer",
    "terse",
    "environment",
    "skill_calls",
    "status_lines",
    "json",
    "telemetry",
)
"""What a log can look like. Beside these there is ``people``: words that people wrote, which is not made here."""

_T = TypeVar("_T")

_CHATTER = (
    "[INFO] battery {number} %",
    "battery: {number}%",
    "localization ok",
    "cpu load {number} %",
    "[WARN] costmap update late",
    "replanning",
    "heartbeat",
    "[DEBUG] tf delay 0.{number} s",
    "wifi signal {number} %",
)

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

    def render(self, acts: Sequence[Act]) -> tuple[str, ...]:
        """The log of the acts, one line or sentence each; ``narrative`` joins some."""
        if self.measures:
            acts = [replace(act, amount=act.amount and measured(act.amount, self.seed)) for act in acts]
        lines = [line for line in _WRITERS[self.family](self, acts) if line]
        return tuple(self._with_chatter(lines) if self.chatters else lines)

    @cached_property
    def measures(self) -> bool:
        """Whether it tells what was measured, 1.98 m, and not what was asked for, 2 m."""
        return self.chance("measures", 0.25)

    @cached_property
    def chatters(self) -> bool:
        """Whether it has lines that have nothing to do with the task."""
        return self.family in ("telemetry", "status_lines") and self.chance("chatters", 0.25)

    def _with_chatter(self, lines: Sequence[str]) -> list[str]:
        told = []
        for number, line in enumerate(lines):
            told.append(line)
            draw = seeded(self.seed, "chatter", number)
            if draw.random() < 0.3:
                told.append(draw.choice(_CHATTER).format(number=draw.randint(20, 99)))
        return told

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
            return bool(self.choice("result key", machines.RESULT_KEYS))
        return self.family != "environment" and (
            self.family != "skill_calls" or "{result}" in self.choice("call", machines.CALLS)
        )

    @cached_property
    def naming(self) -> Naming:
        """How it writes identifiers."""
        if self.family == "environment":
            return machines.environment_naming(self)
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

        return slots_in(act, say, self.seed)

    def named_slots(self, act: Act) -> dict[str, str]:
        """The slots of an act as identifiers."""
        return slots_in(act, self.naming.name, self.seed)

    def skill(self, act: Act) -> str:
        """The name of the skill, in words."""
        return self.choice(f"skill {act.verb}", verb(act.verb).skills)

    def result(self, act: Act) -> str:
        """The word for how the act ended."""
        success = self.choice("result", _SUCCESS)
        return success if act.result is Result.DONE else _FAILURE[success]


_WRITERS: dict[str, Callable[[Style, Sequence[Act]], list[str]]] = {
    "sentences": sentences.sentences,
    "narrative": sentences.narrative,
    "describer": sentences.described,
    "terse": machines.terse_lines,
    "environment": machines.environment_commands,
    "skill_calls": machines.skill_calls,
    "status_lines": machines.status_lines,
    "json": machines.json_lines,
    "telemetry": machines.telemetry,
}
