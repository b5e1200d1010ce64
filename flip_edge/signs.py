"""Signs of an act in a log that does not name it: things used, states that it leads to, reports that it is done."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cached_property

from flip_edge.acts import FETCHING, GOING, PUTTING, Act, acts_of
from flip_edge.lexicon import lexicon
from flip_edge.wording import Mentions, parts_of, reports_failure, word_key, words_of

_DONE = re.compile(r"\b(?:done|complete|completed|finished)\b|\b100 ?%", re.IGNORECASE)
_UNUSED = re.compile(r"\b(?:is|are) (?:now |still )?(?:off|closed|shut|empty|idle|not)\b")
_STATE = re.compile(
    r"(?:\b(?:an?|is|are|was|were|now) |-> ?)(open|opened|closed|shut|locked|unlocked)\b", re.IGNORECASE
)
_STATES = {"open": "open", "opened": "open", "closed": "close", "shut": "close", "locked": "lock", "unlocked": "unlock"}
_NO_USE = GOING | FETCHING


class Signs:
    """What a log shows beside the acts that it names.

    Args:
        steps: the log.
    """

    def __init__(self, steps: Sequence[str]) -> None:
        self._steps = steps

    def of(self, act: Act, kinds: Collection[str]) -> bool:
        """Whether there is any sign that an act was done.

        Args:
            act: the act.
            kinds: of the acts that fulfil it.
        """
        return self.traced(kinds) or self._is_shown(act) or self._is_reported(act)

    @cached_property
    def unread(self) -> list[str]:
        """The steps that name no act that is known, and no failure."""
        return [step for step in self._steps if not acts_of(step) and not reports_failure(step)]

    def traced(self, kinds: Collection[str]) -> bool:
        """Whether something is used by which such acts are done.

        A microwave heats, but not who takes a cup out of it.
        """
        traces = {word_key(word) for kind in kinds for word in lexicon().traces.get(kind, ())}
        if not traces:
            return False
        arrived = False  # at such a thing, by the last step that tells of going somewhere
        for step in self._steps:
            acts = acts_of(step)
            # What is merely there is not used: "the microwave is off".
            told = [part for part in parts_of(step) if not _UNUSED.search(part) and not reports_failure(part)]
            named = not traces.isdisjoint(Mentions(told).keys)
            if any(act.kinds & GOING for act in acts):
                arrived = named
            used = [act for act in acts if not act.kinds <= _NO_USE]
            if (named and (used or not acts)) or (arrived and any(not act.place for act in used)):
                return True
        return False

    def _is_reported(self, act: Act) -> bool:
        """Whether a step says of what the act is to be done to that it is done, and no more: "Aisle 1 complete"."""
        names = [word for word in (*act.object, *act.place) if word.isalpha()]
        return any(_DONE.search(step) and any(map(Mentions([step]).hold, names)) for step in self.unread if names)

    def _is_shown(self, act: Act) -> bool:
        """Whether the log shows what the act comes to: "soup is in basket", and at the end "you see an open door"."""
        if act.kinds & PUTTING and act.object and act.place:
            told = [(step, said) for step in self.unread if (said := Mentions([step])).hold(act.object[-1])]
            relations = lexicon().relations
            return any(said.hold(act.place[-1]) and not relations.isdisjoint(words_of(step)) for step, said in told)
        if not act.object or not act.kinds <= set(_STATES.values()):
            return False
        states = [
            _STATES[state.lower()]
            for step in self._steps
            if not reports_failure(step)
            for clause in re.split("[,.;]", step)
            if Mentions([clause]).hold(act.object[-1])
            for state in _STATE.findall(clause)
        ]
        return states[-1:] == [*act.kinds]
