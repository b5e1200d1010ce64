"""A goal in the words of many commanders.

The counterpart of :mod:`training.styles`: one seed, and from it the verbs, the articles, how polite the commander is
and how the parts of a command are joined. Order is only said where it was meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from training.grammar import indefinite
from training.lexicon import fill, fitting, verb
from training.naming import USER, Naming, noun
from training.plan import Act, Thing, seeded
from training.styles.slots import filled, things_in

_DECORATED = 0.15
_FRAMES = (
    "please {}", "{} please", "can you {}?", "could you {}?", "I want you to {}", "I need you to {}", "robot, {}",
    "your task is to {}", "would you {}?", "the task: {}",
)  # fmt: skip
_TOGETHER = (" and ", " and ", ", and ", " and also ", "; ")
_ORDERED = (" and then ", ", then ", " then ", ", and then ", ", after that ")


@dataclass(frozen=True)
class Wording:
    """One commander's way to say a goal.

    Attributes:
        seed: everything follows from it.
        naming: how the robot writes identifiers, for a commander who does the same ("put a mug on coffeetable");
            None for one who speaks in words.
    """

    seed: int
    naming: Naming | None = None

    def render(self, goal: Sequence[Act], *, ordered: bool = False) -> str:
        """The command.

        Args:
            goal: what is to be done.
            ordered: whether it must be done in this order.
        """
        parts = self._wanted(goal) if not ordered else None
        frame = "{}"
        if parts is None:
            goal = merged(goal) if seeded(self.seed, "merge").random() < 0.5 else tuple(goal)
            parts = self._parts(goal, ordered=ordered)
            draw = seeded(self.seed, "frame")
            frame = draw.choice(_FRAMES) if draw.random() < _DECORATED else "{}"
        return self._finished(frame.format(self._joined(parts, ordered=ordered)))

    def _parts(self, goal: Sequence[Act], *, ordered: bool) -> list[str]:
        parts = []
        before: Act | None = None
        mentioned: set[str] = set()
        for group in _gathered(goal) if not ordered else [[act] for act in goal]:
            act = group[0]
            slots = self._slots(act)
            if act.thing and act.thing.name in mentioned and slots["thing"].startswith(("a ", "an ", "some ")):
                slots["thing"] = self._named(act.thing, "the")
            mentioned.update(thing.name for other in group for thing in other.things)
            for slot in ("thing", "place"):
                if len({getattr(other, slot) for other in group}) > 1:
                    slots[slot] = _listed([self._slots(other)[slot] for other in group])
            if len(group) == 1 and before and before.thing and act.thing and before.thing.name == act.thing.name:
                slots["thing"] = "them" if act.thing.count > 1 else "it"
            phrase = self._phrase(act, slots)
            parts.append(f"{seeded(self.seed, 'negation').choice(('do not', 'do not', 'never'))} {phrase}"
                         if act.negated else phrase)  # fmt: skip
            before = act
        return parts

    def _phrase(self, act: Act, slots: Mapping[str, str]) -> str:
        entry = verb(act.verb)
        phrases = fitting((*entry.say, *entry.command), slots) or [act.verb]
        # As people choose words: the lexicon begins with the usual ones, the second comes half as often as the first.
        usual = [1 / rank for rank in range(1, len(phrases) + 1)]
        phrase = seeded(self.seed, "say", act.verb).choices(phrases, usual)[0]
        return fill(phrase, slots) or act.verb

    def _slots(self, act: Act) -> dict[str, str]:
        said = {name: self._noun(thing, name) for name, thing in things_in(act)}
        small = act.amount is not None and act.amount.value < 13
        return filled(act, said, self.seed, words=small and seeded(self.seed, "numbers").random() < 0.4)

    def _noun(self, thing: Thing, slot: str) -> str:
        if thing.name == USER:
            return "me"
        articles = ("the", "the", "the", "a", "") if slot == "thing" else ("the", "the", "the", "")
        article = seeded(self.seed, "article", slot).choice(articles)
        if thing.count > 1 and article == "a":
            article = ""
        return self._named(thing, article)

    def _named(self, thing: Thing, article: str) -> str:
        if self.naming is None:
            return noun(thing, article)
        name = self.naming.kind(thing)
        plain = not article or thing.proper or thing.label
        return name if plain else indefinite(name) if article == "a" else f"the {name}"

    def _wanted(self, goal: Sequence[Act]) -> list[str] | None:
        """The state that is wanted instead of the way there: "I need the mug on the table"."""
        if seeded(self.seed, "wanted").random() > 0.06:
            return None
        if len(goal) != 1 or goal[0].verb not in ("place", "bring") or goal[0].negated or goal[0].source:
            return None
        act = goal[0]
        if not act.thing or not act.place:
            return None
        slots = self._slots(replace(act, thing=replace(act.thing)))
        wish = seeded(self.seed, "wish").choice(
            ("I need {} {}", "I want {} {}", "I would like {} {}", "{} should be {}")
        )
        where = slots["at"] if act.verb == "place" else f"at {slots['place']}"
        if act.place.name == USER:
            return [wish.format(slots["thing"], "").replace("should be", "for me, please").strip()]
        return [wish.format(slots["thing"], where)]

    def _joined(self, parts: Sequence[str], *, ordered: bool) -> str:
        if len(parts) == 1:
            return parts[0]
        if ordered:
            kind = seeded(self.seed, "order").random()
            if kind < 0.15 and len(parts) == 2:
                return f"{parts[0]} before you {parts[1]}"
            if kind < 0.3 and len(parts) == 2:
                return f"after you {parts[0]}, {parts[1]}"
            joint = seeded(self.seed, "joint").choice(_ORDERED)
            return ("first " if kind > 0.85 else "") + joint.join(parts)
        joint = seeded(self.seed, "joint").choice(_TOGETHER)
        if any(part.startswith(("do not", "never")) for part in parts[1:]):
            return " but ".join(parts)
        if len(parts) > 2:
            return ", ".join(parts[:-1]) + joint + parts[-1]
        return joint.join(parts)

    def _finished(self, text: str) -> str:
        text = " ".join(text.split())
        if seeded(self.seed, "capital").random() < 0.45:
            text = text[:1].upper() + text[1:]
        if not text.endswith("?") and seeded(self.seed, "full stop").random() < 0.35:
            text += "."
        return text


def _gathered(goal: Sequence[Act]) -> list[list[Act]]:
    """Acts beside each other that differ in the thing alone, or ways that differ in where they go."""
    groups: list[list[Act]] = []
    for act in goal:
        before = groups[-1][-1] if groups else None
        if before and before != act:
            same_but_thing = before.thing and act.thing and replace(before, thing=act.thing) == act
            same_but_place = before.verb == "go" and replace(before, place=act.place) == act
            if same_but_thing or same_but_place:
                groups[-1].append(act)
                continue
        groups.append([act])
    return groups


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def merged(goal: Sequence[Act]) -> tuple[Act, ...]:
    """A change of state and what is done with the thing afterwards as one act: "put a heated apple on the table"."""
    result: list[Act] = []
    for act in goal:
        before = result[-1] if result else None
        if (
            before
            and before.thing
            and act.thing
            and before.thing.name == act.thing.name
            and not act.negated
            and not before.negated
            and (states := verb(before.verb).state)
        ):
            state = seeded("state", before.thing.name, act.place).choice(states)
            result[-1] = replace(act, thing=replace(before.thing, attributes=(state, *before.thing.attributes)))
        else:
            result.append(act)
    return tuple(result)
