"""What a command asks to be done, and how much of it the log shows as done.

The model's likelihood says whether a log is *about* the command; a run that was broken off, or that did the thing the
wrong way round, is about it too. Here the acts of both are compared: whether each act that the command asks for was
done, often enough and to the end, whether on the things that it names, and whether anything was done that it rules
out. A command or a log without a verb that the lexicon knows is not judged here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import dropwhile, pairwise, takewhile

from flip_edge.acts import GOING, HOME, PUTTING, SEEING, Act, acts_of, done_by, is_verb
from flip_edge.contradictions import contradictions, failed_for_good
from flip_edge.lexicon import lexicon
from flip_edge.qualities import RANGE, is_quality, labelled, same_rooms
from flip_edge.signs import Signs
from flip_edge.wording import (
    Mentions,
    apart,
    is_among,
    is_content,
    is_state,
    parts_of,
    reports_failure,
    same_word,
    says_unchanged,
    spellings_of,
    untagged,
    word_key,
    words_of,
)

_DOORS = frozenset({"door", "doors", "entrance", "gate"})
_AT_THE_DOOR = re.compile(r"\w+ (?:door|entrance)s?\b(?! of)")
# What is no part of what is to be done: "until I tell you otherwise".
_CONDITION = re.compile(
    r"\bon the spot\b|\b(?:until|unless|because|in case|(?:if|when|once) (?:you|it|i|we|they|there))\b[^,.;]*", re.I
)
_HELD = re.compile(r"\bheld\w*\s*[=:]", re.IGNORECASE)  # tells a state, not an act
_EXACTLY = re.compile(r"\b(?:exactly|only|no more)\b", re.IGNORECASE)
_CALL = re.compile(r"[(\[{=|:]")  # in a line that a program writes
_MOST = 10  # repetitions that a command may ask for; larger numbers are amounts
MOTIONS = GOING | {"find"}
"""Kinds of acts that have goals, not objects."""
_SEEING = GOING | SEEING
_MOST_NAMED = 50  # things of a command that are told from each other; a person names fewer
_SURFACES = frozenset({"top", "basin", "area"})  # of things that may be named alone: "counter top"
_ALL = frozenset({"them", "both", "all", "these", "those", "everything", "anything", "they"})
_COUNTING = lexicon().numbers.keys() | lexicon().generic | {"other", "same", "another", "dirty", "wet"}
_ITSELF = frozenset({"battery", "vehicle", "robot"})  # what is charged
_TWICE = frozenset({"twice", "thrice"})
_OPENING = frozenset({"a", "an", "the", "my", "your", "one", "two", "three", "some"})  # another thing of a list


@dataclass(frozen=True)
class Demand:
    """An act that the command asks for.

    Attributes:
        verb: in the command's words.
        times: how often.
        done: the share of it that the log shows, in [0, 1].
    """

    verb: str
    times: int
    done: float

    @property
    def worth(self) -> float:
        """What it counts for: two of three are no two thirds of success."""
        return self.done / 2 if self.times > 1 and self.done < 1 else self.done


@dataclass(frozen=True)
class Fulfilment:
    """What of a command the acts of its log fulfil.

    Attributes:
        demands: the acts that it asks for, in order.
        handled: share of the things it wants handled that the log handles, and of the places it wants gone to that the
            log goes to, in [0, 1]; None where it names none, or where the log has no act that is known.
        placed: share of the places it wants things put that the log's steps of putting name; None likewise.
        contradictions: what was done the wrong way round or against the command, in words.
        failed: parts of steps that say that an act asked for has failed, and it was not done later on either.
        read: share of the log's steps in which an act was read, in [0, 1].
    """

    demands: tuple[Demand, ...] = ()
    handled: float | None = None
    placed: float | None = None
    contradictions: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    read: float = 1.0

    @property
    def completed(self) -> float:
        """Share of the demands that were met, in [0, 1], by what they are worth; 1 where none is known."""
        return sum(demand.worth for demand in self.demands) / len(self.demands) if self.demands else 1.0


def fulfilment(command: str, steps: Sequence[str]) -> Fulfilment:
    """Compare the acts of a command with those of its log."""
    log = [
        (number, act)
        for number, step in enumerate(steps)
        for part in parts_of(step)
        if not reports_failure(part) and not says_unchanged(part)
        for act in acts_of(part)
        if not act.negated
    ]
    wanted = [act for act in acts_of(_CONDITION.sub(" ", command)) if not act.negated]
    against = tuple(dict.fromkeys(contradictions(command, wanted, log, steps)))
    failed = tuple(failed_for_good(command, wanted, steps))
    read = sum(bool(acts_of(step)) for step in steps)
    if not read:
        return Fulfilment(contradictions=against, failed=failed, read=0.0)
    signs = Signs(steps)
    return Fulfilment(
        demands=(
            *_acts_demanded(command, wanted, log, steps, signs),
            *_states_demanded(wanted, log, signs),
            *_labels_demanded(command, wanted, steps),
        ),
        handled=_handled(wanted, log, steps, signs),
        placed=_placed(wanted, log, steps, signs),
        contradictions=against,
        failed=failed,
        read=read / len(steps),
    )


_Log = Sequence[tuple[int, Act]]


def _acts_demanded(
    command: str, wanted: Sequence[Act], log: _Log, steps: Sequence[str], signs: Signs
) -> Iterator[Demand]:
    ends = [act for act in wanted if not same_word(act.verb, "use")]  # "use the knife to cut the bread" wants it cut
    names: dict[frozenset[str], dict[tuple[str, ...], None]] = {}  # by the kinds of act, what it is to be done to
    for act in ends:
        names.setdefault(act.kinds, {}).update((name, None) for name in things_of(act) or [act.place] if name)
    times = 1
    words: tuple[str, ...] = ()
    for act in ends or wanted:
        if "them" not in act.rest:
            times, words = _times(act)
        accepted = done_by(act)
        hits = sorted({number for number, other in log if other.kinds & accepted and _fills(act, other, steps[number])})
        done = 1.0 if hits or signs.of(act, accepted) else 0.0
        if hits and done:
            named = things_of(act) or [act.place]
            done_to = _DoneTo(list(names.get(act.kinds, ())), [steps[number] for number in hits])
            done = sum(map(done_to, named)) / len(named)
        if done and act.kinds & PUTTING and ("place" in act.kinds or act.place) and _still_held(log, steps):
            done = 0.0
        counted = times > 1 and not act.kinds <= MOTIONS
        if done and counted and _EXACTLY.search(command) and _times_done(act, log) > times:
            done = 0.5
        elif done and counted and not _said_at_once(times, words, [steps[number] for number in hits]):
            # Of one thing that is taken and put down a log tells in two steps.
            each = [{number for number, other in log if kind in other.kinds} for kind in accepted]
            done = min(1.0, max(map(len, each), default=0) / times)
        yield Demand(act.verb, times if counted else 1, done)


def _fills(act: Act, done: Act, step: str) -> bool:
    """Whether putting something fills what is to be filled: into that, or with what it is to be filled with."""
    if act.kinds != {"fill"} or not done.kinds <= PUTTING or not act.object:
        return True
    return Mentions([step]).hold(act.place[-1]) if act.place else not is_among(act.object[-1], done.object)


def _states_demanded(wanted: Sequence[Act], log: _Log, signs: Signs) -> Iterator[Demand]:
    """ "A washed apple" asks for washing."""
    asked = {kind for act in wanted for kind in act.kinds}
    # Of a thing alone: "to the cold storage" asks for nothing.
    for word in (word for act in wanted if act.kinds & PUTTING for word in act.object):
        kinds = {kind for kind, states in lexicon().states.items() if word in states}
        if kinds and not kinds & asked:
            asked |= kinds
            shown = any(act.kinds & kinds for _, act in log) or signs.traced(kinds)
            yield Demand(word, 1, 1.0 if shown else 0.0)


def _labels_demanded(command: str, wanted: Sequence[Act], steps: Sequence[str]) -> Iterator[Demand]:
    """Of several things that only their labels tell apart each one: "waypoints 2, 5 and 7"."""
    if any(act.source for act in wanted) or any(map(RANGE.search, steps)):
        return
    named: dict[str, dict[str, None]] = {}
    for thing, label in labelled(command):
        named.setdefault(word_key(thing), {})[label] = None
    told = {(word_key(thing), word_key(label)) for step in steps for thing, label in labelled(step)}
    for thing, labels in named.items():
        seen = {label: (thing, word_key(label)) in told for label in labels}
        if len(labels) > 1 and any(seen.values()):
            yield from (Demand(f"{thing} {label}", 1, float(done)) for label, done in seen.items())


class _DoneTo:
    """Whether steps that do an act do it to what is named, one of several things that it is to be done to.

    A log may have other names. So many steps as there are things will do; and so does one that says it of all of them.
    """

    def __init__(self, names: Sequence[tuple[str, ...]], steps: Sequence[str]) -> None:
        self._names, self._steps = names, len(steps)
        self._heads = {name[-1] for name in names}
        self._said = Mentions(steps)
        self._all = any(word in _ALL for step in steps for word in words_of(step))

    def __call__(self, name: tuple[str, ...]) -> bool:
        if self._all or not name or self._steps >= len(self._names):
            return True
        if self._steps < len(self._heads):
            return _holds(self._said, name)
        # "the clean room door and the front door": what the others are not called by must be said
        alike = [other for other in self._names[:_MOST_NAMED] if other[-1] == name[-1] and other != name]
        own = [word for word in name[:-1] if not any(word in other for other in alike)]
        if not alike or not own or spellings_of(name[-1]):  # "left 5 m, then right 2 m"
            return True
        return any(map(self._said.hold, own))


def things_of(act: Act) -> list[tuple[str, ...]]:
    """What an act is done to, thing by thing.

    >>> [things_of(act) for act in acts_of("put the salt and pepper and the red mug on the table")]
    [[('salt', 'pepper'), ('red', 'mug')]]
    """
    found: list[tuple[str, ...]] = []
    left = list(act.object)
    for place, word in enumerate(act.rest):
        if left and word == left[0]:
            joined = act.rest[max(0, place - 2) : place - 1] == ("and",) and act.rest[place - 1] in _OPENING
            found = [*found, (word,)] if joined or not found else [*found[:-1], (*found[-1], word)]
            left.pop(0)
    return found or ([act.object] if act.object else [])


def _still_held(log: _Log, steps: Sequence[str]) -> bool:
    """Whether what was taken last was not put anywhere."""
    moved = [act.kinds for at, act in log if act.kinds & {"take", "place"} and not _HELD.search(steps[at])]
    return bool(moved) and "place" not in moved[-1]


def _times(act: Act) -> tuple[int, tuple[str, ...]]:
    """How often an act is wanted, and the words after the number: "put two mugs on the shelf"."""
    if several := [lexicon().numbers[word] for word in act.rest if word in _TWICE]:
        return several[0], ()
    for place, (word, successor) in enumerate(pairwise(act.rest)):
        number = lexicon().numbers.get(word) or (int(word) if word.isdecimal() else 0)
        counts = not spellings_of(successor) and successor.isalpha() and is_content(successor)
        named = place > 0 and act.rest[place - 1] in lexicon().numbered
        if counts and not named and 1 < number <= _MOST:
            return number, act.rest[place + 1 :]
    return 1, ()


def _times_done(act: Act, log: _Log) -> int:
    """How many steps of a log do just such an act."""
    return len({number for number, other in log if other.kinds & act.kinds})


def _said_at_once(times: int, words: Sequence[str], steps: Sequence[str]) -> bool:
    """Whether one step says that it was done to all of them: by the number, by "both", or in the plural."""
    noun = next((word for word in words if word.endswith("s")), "")
    for step in steps:
        said = words_of(step)
        if any(same_word(one, str(times)) or one in ("both", "all") for one in said) or (noun and noun in said):
            return True
    return False


def _handled(wanted: Sequence[Act], log: _Log, steps: Sequence[str], signs: Signs) -> float | None:
    """Share of the things to be handled, and of the places to be gone to, that the log's acts of that sort name.

    Of a name the last word counts: "the blue mug" is a mug, and its colour is another matter.
    """
    found = []
    # `PickObject: mug` names its object where a sentence would not.
    told = [(act, " ".join(() if _CALL.search(steps[number]) else act.object) or steps[number]) for number, act in log]
    unread = signs.unread if log else []  # may be about anything that they mention
    every = Mentions([*dict.fromkeys(text for _, text in told), *unread])
    more = [*dict.fromkeys(text for act, text in told if not act.kinds <= _SEEING), *unread]
    touched = Mentions(more) if more else every
    sorts = _Sorts(steps)
    for act in wanted:
        if act.kinds & MOTIONS or _is_called_it(act):
            continue
        handled = every if act.kinds <= _SEEING else touched  # what was found is not taken yet
        for thing in things_of(act):
            if words := [word for word in thing if word not in lexicon().recordings]:
                found.append(_credit(_holds(handled, words), words, sorts))
    goals = [goal for act in wanted if act.kinds <= GOING for goal in (_followed(act), act.place) if goal]
    if goals:
        went = _steps_of(GOING, log, steps)
        # At the door of a room nobody is in the room yet.
        gone_in, gone_to = Mentions([_AT_THE_DOOR.sub(" ", apart(step)) for step in went]), Mentions(went)
        found += [
            1.0
            if words[-1] in HOME and _is_home(went)
            else _credit(_holds(gone_to if words[-1] in _DOORS else gone_in, words), words, sorts)
            for words in goals
        ]
    return sum(found) / len(found) if found and log else None


def _brought(wanted: Sequence[Act], log: _Log, steps: Sequence[str]) -> list[bool]:
    """Of the places that things are taken to whether the log comes there, whether it puts them down or not."""
    goals = [
        act.place
        for act in wanted
        if act.kinds == {"take"} and act.object and act.relation == "to" and not {"next", "be"}.intersection(act.rest)
    ]
    arrived = Mentions(_steps_of(GOING | PUTTING, log, steps)) if goals else None
    return [_holds(arrived, words) for words in goals] if arrived and arrived.keys else []


def _is_called_it(act: Act) -> bool:
    """Whether a word that stands for anything is among those of the object."""
    words = lexicon()
    named = dropwhile(lambda word: word in words.particles, act.rest)
    return not words.generic.isdisjoint(takewhile(lambda word: word not in words.prepositions, named))


def _steps_of(kinds: frozenset[str], log: _Log, steps: Sequence[str]) -> list[str]:
    """The steps that tell of acts of some kinds."""
    return [steps[number] for number in sorted({number for number, act in log if act.kinds & kinds})]


def _is_home(steps: Sequence[str]) -> bool:
    """Whether steps lead to where the robot is charged, by whatever name."""
    return any("dock" in act.kinds for step in steps for act in acts_of(step)) or any(
        word in HOME for step in steps for word in words_of(step)
    )


def _credit(named: bool, name: Sequence[str], sorts: _Sorts) -> float:
    """1 for what is named, and half of it where what is named may be another thing of the sort."""
    return 0.5 if named and sorts.lack(name) else float(named)


class _Sorts:
    """Of which sorts the things of a log are: the soap bottle, the spray bottle."""

    def __init__(self, steps: Sequence[str]) -> None:
        self._steps = steps

    @cached_property
    def _said(self) -> Mentions:
        return Mentions(self._steps)

    @cached_property
    def _told(self) -> set[str]:
        return {
            word_key(word) for step in self._steps for before, word in pairwise(words_of(step)) if _tells_sorts(before)
        }

    def lack(self, name: Sequence[str]) -> bool:
        """Whether there are other things of that name, and none of the sort: a spray bottle and no soap bottle."""
        own = [word for word in name[:-1] if _tells_sorts(word)]
        if not own or word_key(name[-1]) not in self._told:
            return False
        own += [word for one in own for word in same_rooms(one)]
        return not any(map(self._said.hold, (*own, "".join(name[-2:]))))


def _tells_sorts(word: str) -> bool:
    if not word.isalpha() or not is_content(word) or is_quality(word) or is_verb(word):
        return False
    return word not in _COUNTING and not is_state(word)


def _followed(act: Act) -> list[str]:
    """What a way leads to or follows that no preposition names: "approach the pump", "follow the nurse"."""
    words = lexicon()
    no_name = words.directions | words.routes | words.generic | words.body | frozenset().union(*words.ways)
    if any(word[0].isdecimal() or word in words.numbers or spellings_of(word) for word in act.object):
        return []
    no_name |= _ITSELF if "dock" in act.kinds else set()
    return [word for word in act.object if word not in no_name]


def _holds(mentions: Mentions, words: Sequence[str]) -> bool:
    return mentions.hold(words[-1]) or mentions.hold("".join(words[-2:]))


def _placed(wanted: Sequence[Act], log: _Log, steps: Sequence[str], signs: Signs) -> float | None:
    """Share of the goals that steps of putting something name, anywhere: "opened the drawer and put it inside".

    "Take the plates to the kitchen" has one too, and is done with who comes there.
    """
    goals = [_heads(act) for act in wanted if act.place and PUTTING & act.kinds and act.relation != "with"]
    put = {number for number, act in log if act.kinds & PUTTING}
    brought = _brought(wanted, log, steps)
    if not goals or not put:
        return sum(brought) / len(brought) if brought else None
    # Who says nothing of the place puts it where he is.
    there = {
        max((number for number, other in log if other.kinds & MOTIONS and number <= at), default=at)
        for at, act in log
        if act.kinds & PUTTING and not act.place and not _CALL.search(untagged(steps[at]))
    }
    things = [act.object[-1] for act in wanted if act.object and PUTTING & act.kinds]
    shown = [step for step in signs.unread if any(map(Mentions([step]).hold, things))]  # "soup is in basket"
    found = Mentions([*(steps[number] for number in sorted(put | there)), *shown])
    told = [any(map(found.hold, words)) for words in goals] + brought
    return sum(told) / len(told)


def _heads(act: Act) -> list[str]:
    """The words by which a log may name the place of an act: of "the drawer of the desk", or "sink basin", either."""
    words = [act.place[-1], "".join(act.place[-2:])]
    if act.place[-1] in _SURFACES:
        words += act.place[-2:-1]
    return words + [word for word, after in pairwise((*act.rest, "")) if word in act.place[:-1] and after == "of"]
