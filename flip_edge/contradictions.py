"""What a log shows to have been done against the command: forbidden, the wrong way round, or of the wrong kind.

Each rule is narrow: it speaks only where both command and log say plainly, of the same thing, what cannot both be.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from flip_edge.acts import GOING, NOT_A_PLACE, PUTTING, SEEING, Act, acts_of, done_by, following, is_verb
from flip_edge.amounts import amounts_of, comes_to, equal_amounts, value_of
from flip_edge.lexicon import lexicon
from flip_edge.order import came_in_reverse, out_of_order
from flip_edge.qualities import exclude_each_other, is_quality, other_qualities
from flip_edge.support import all_in_vain, tried_in_vain, unrecovered_failures
from flip_edge.wording import (
    Mentions,
    apart,
    is_among,
    is_content,
    parts_of,
    reports_failure,
    same_word,
    word_key,
    words_of,
)

_EXCEPTED = re.compile(r"\b(?:everything|all|anything)\s+(?:but|except)\s+(?:the|a|an|my|your)?\s*(\w+)")
_WITHOUT = re.compile(r"\bwithout\s+(?:the|a|an|any|my|your)\s+(\w+)")
_KEYED = re.compile(r"(\w+)['\"]?\s*[:=]\s*['\"]?(\w[\w -]*)")
_THING_KEYS = ("object", "item", "obj", "thing")
_PLACE_KEYS = ("target", "place", "location", "destination", "to", "on", "in")
_MOTIONS = (frozenset({"go", "raise", "lower"}), frozenset({"press"}))
_BARE = re.compile(
    r"""(?:[(,\[]\s*|\b(angle|degrees|distance|amount|value)['"]?\s*[:=]\s*)(-?\d+(?:\.\d+)?)\s*(?=[,)\]}]|$)"""
)
_ANGLES = ("degrees", "rad")
_FACTORS = (1.0, math.pi / 180, 1e-2, 1e-3, 1e2, 1e3)  # a call may count in radians, metres, centimetres or millimetres
_SWITCHED = frozenset({"on", "off"})
_BEFORE = frozenset({"of", "outside", "near", "before"})
_USING = ("ride", "take", "board", "enter", "operate")
# An amount that another one may keep to: "at least one metre away".
_LIMIT = re.compile(
    r"\b(?:at (?:least|most)|under|over|below|above|less than|more than|\w+er than|within) (?:\w+ )?[\d.]*",
    re.IGNORECASE,
)
_JOINED = re.compile(r"([^\W\d_]+)_([^\W\d_]+)")
_TAKING = frozenset({"take", "get", "remove"})
_MOVING = frozenset({"take", "place", "carry", "get", "remove"})

_Log = Sequence[tuple[int, Act]]


def contradictions(command: str, wanted: Sequence[Act], log: _Log, steps: Sequence[str]) -> Iterator[str]:
    """What was done against the command, in words.

    Args:
        command: the command.
        wanted: the acts that it asks for.
        log: the acts that were done, each with the number of its step.
        steps: the log.
    """
    yield from _forbidden(command, log, steps)
    yield from _neglected(wanted, log)
    yield from _turned_round(wanted, log, steps)
    yield from _undone(wanted, log)
    yield from _exchanged(wanted, log)
    yield from out_of_order(command, steps)
    yield from _other_ways(wanted, log, steps)
    yield from _other_amounts(command, steps)
    yield from _other_numbers(wanted, steps)
    yield from _of_another_kind(wanted, log, steps)
    yield from other_qualities(command, steps)


def failed_for_good(command: str, wanted: Sequence[Act], steps: Sequence[str]) -> Iterator[str]:
    """Parts of steps that say that an act that was asked for has failed, where it was not done later on either.

    Args:
        command, wanted, steps: as for :func:`contradictions`.
    """
    unrecovered = dict.fromkeys(unrecovered_failures(steps, command))
    if not unrecovered:
        return
    names = [word for word in words_of(command) if is_content(word) and not is_verb(word)]
    parts = [(number, part) for number, step in enumerate(steps) for part in parts_of(step)]
    last = {part: (place, number) for place, (number, part) in enumerate(parts)}
    for failed in unrecovered:
        place, number = last[failed]
        if number == len(steps) - 1 and all_in_vain(steps[number]):
            yield failed
            continue
        said = Mentions([failed])
        kinds = {kind for act in acts_of(failed) for kind in act.kinds}
        good = [part for _, part in parts[place + 1 :] if not reports_failure(part)]
        for act in wanted:
            if not (act.kinds & kinds or word_key(act.verb) in said.keys):
                continue
            accepted = done_by(act)
            later = [
                (part, done) for part in good for done in acts_of(part) if done.kinds & accepted and not done.negated
            ]
            own = (*act.object[-1:], *act.place[-1:])
            named = own if any(map(said.hold, own)) else list(filter(said.hold, names))
            if named:
                done = any(Mentions([part]).hold(name) for part, _ in later for name in named)
            elif tried_in_vain(failed) == {word_key(act.verb)}:  # "insertion failed"
                done = is_among(act.verb, [other.verb for _, other in later])
            else:
                continue
            if not done:
                yield failed
                break


def _forbidden(command: str, log: _Log, steps: Sequence[str]) -> Iterator[str]:
    """What was done although the command rules it out."""
    for act in acts_of(command):
        if not act.negated:
            continue
        about = Mentions([" ".join(act.about)]).keys
        labels = {word_key(word) for word in act.about if word[0].isdecimal()}  # "room 3" is no other room
        done = [
            " ".join((other.verb, *other.rest))
            for _, other in (log[:-1] if act.kinds == {"stop"} else log)  # in the end every run stops
            if (other.kinds & act.kinds or (same_word(act.verb, "use") and is_among(other.verb, _USING)))
            and not _at_a_part(other, act)
            and (not about or (about & (said := Mentions([" ".join(other.about)]).keys) and labels <= said))
        ]
        if not act.kinds:
            said = {word_key(act.verb), *about}
            done = [
                step for step in steps if said <= Mentions([step]).keys and not any(a.negated for a in acts_of(step))
            ]
        if done:
            yield f'"{done[-1]}" was not to be done'
    text = apart(command)
    for excepted in _EXCEPTED.findall(text):
        left = lexicon().acts["leave"]
        if any(is_among(excepted, act.object) and act.verb not in left and act.kinds & _MOVING for _, act in log):
            yield f"the {excepted} was to be left alone"
    for excluded in _WITHOUT.findall(text):
        if (last := _last_moved(excluded, log)) and "take" in last[1].kinds:
            yield f"it was to be done without the {excluded}"


def _at_a_part(done: Act, forbidden: Act) -> bool:
    """Whether an act leads to a part of what is forbidden: who goes to the door of a room is not in it."""
    places = [place for place, word in enumerate(done.rest) if is_among(word, forbidden.about)]
    before = done.rest[: places[0]] if places and forbidden.kinds & GOING else ()
    return not _BEFORE.isdisjoint(before)


def _neglected(wanted: Sequence[Act], log: _Log) -> Iterator[str]:
    """What was left behind although the command wants it along."""
    for act in wanted:
        _, along = following(act.rest, ("with",))
        last = _last_moved(along[-1], log) if "go" in act.kinds and along else None
        if last and "place" in last[1].kinds and any("go" in other.kinds for number, other in log if number > last[0]):
            yield f"it was to be done with the {along[-1]}"
        last = _last_moved(act.object[-1], log) if "take" in act.kinds and act.object else None
        if last and last[1].verb in lexicon().acts["leave"]:
            yield f"the {act.object[-1]} was left"


def _last_moved(thing: str, log: _Log) -> tuple[int, Act] | None:
    """The last time something was taken, put or left, and by which act."""
    moved = [(number, act) for number, act in log if act.kinds & _MOVING and is_among(thing, act.object)]
    return moved[-1] if moved else None


def _turned_round(wanted: Sequence[Act], log: _Log, steps: Sequence[str]) -> Iterator[str]:
    """Thing and place, or start and goal exchanged; on for off."""
    put = list(_put(log, steps))
    for act in wanted:
        if act.object and act.place and act.relation not in NOT_A_PLACE:
            thing, place = act.object[-1], act.place[-1]
            if alike := same_word(thing, place):  # "the big box behind the small box"
                thing, place = _apart(act.object, act.place)
            names = [(what, where) if alike else (what[-1:], where[-1:]) for what, where in put]
            as_told = any(is_among(thing, what) and is_among(place, where) for what, where in names)
            reverse = any(is_among(place, what) and is_among(thing, where) for what, where in names)
            if thing and place and reverse and not as_told:
                yield f"'{thing} {act.relation} {place}' was commanded, '{place} {act.relation} {thing}' was done"
        if act.source and act.kinds & _MOVING and (other := _other_start(act, log, steps)):
            yield f"from the {act.source[-1]} was commanded, from the {other} was done"
        if act.source and act.place and came_in_reverse(act.source[-1:], act.place[-1:], steps):
            yield f"from the {act.source[-1]} to the {act.place[-1]} was commanded, the reverse was done"
        told = _switched(act)
        if len(told) == 1:
            switched = [way for _, other in log if (way := _switched(other))]
            if switched and not any(told <= ways for ways in switched):
                yield f"'{min(told)}' was commanded, '{min(switched[-1])}' was done"


def _other_start(act: Act, log: _Log, steps: Sequence[str]) -> str:
    """Where a thing was taken from, if that is not where it was to be taken from, which the log never mentions."""
    said, words = Mentions(steps), lexicon()
    if (
        not act.object
        or "across" in act.rest
        or any(word in words.body | words.rooms or said.hold(word) for word in act.source)
    ):
        return ""
    for _, done in log:
        if done.kinds & _TAKING and done.source and done.object and is_among(act.object[-1], done.object):
            start = done.source[-1]
            # The counter is the countertop, and the bathtub the tub.
            if not is_quality(start) and not any(start in word or word in start for word in act.source):
                return start
    return ""


def _switched(act: Act) -> frozenset[str]:
    """Whether something is switched on or off by an act."""
    if act.kinds != {"switch"}:
        return frozenset()
    return _SWITCHED.intersection(act.rest) or frozenset(
        way for way, verbs in lexicon().switched.items() if is_among(act.verb, verbs)
    )


def _undone(wanted: Sequence[Act], log: _Log) -> Iterator[str]:
    """Acts whose reverse was done to the same thing, and they themselves were not."""
    tools = frozenset[str]().union(*lexicon().traces.values())  # "to the microwave" heats nothing
    for act in wanted:
        if act.kinds == {"empty"} and act.object:
            into = [is_among(act.object[-1], done.place) for _, done in log if done.kinds & PUTTING and done.place]
            if into and all(into):
                yield f"'{act.verb} the {act.object[-1]}' was commanded, something was put into it"
        if act.kinds == {"separate"} and act.source:
            joined = [done for _, done in log if done.place and is_among(act.source[-1], done.place)]
            if joined:
                yield f"'{act.verb}' was commanded, '{' '.join((joined[-1].verb, *joined[-1].rest))}' was done"
        for one, other in lexicon().reverses:
            kind, reverse = (one, other) if one in act.kinds else (other, one)
            if kind not in act.kinds or any(kind in done.kinds for _, done in log):
                continue
            amiss = [
                done
                for _, done in log
                if reverse in done.kinds
                and done.verb not in tools
                and (not act.object or not done.object or is_among(act.object[-1], done.object))
            ]
            if amiss:
                yield f"'{act.verb}' was commanded, '{amiss[-1].verb}' was done"


def _exchanged(wanted: Sequence[Act], log: _Log) -> Iterator[str]:
    """Two acts of which each was done to the other's thing: the left door opened and the right one closed."""
    named = [(act, name) for act in wanted if (name := act.object or act.place)]
    for (one, its), (other, others) in pairwise(named):
        if one.kinds & other.kinds:
            continue
        first, second = (its[-1], others[-1]) if not same_word(its[-1], others[-1]) else _apart(its, others)
        if not first or not second:
            continue
        done = [
            {
                name
                for name in (first, second)
                for _, act in log
                if act.kinds & kinds and is_among(name, act.object or act.place)
            }
            for kinds in (one.kinds, other.kinds)
        ]
        if done == [{second}, {first}]:
            yield f"'{one.verb} {first}, {other.verb} {second}' was commanded, and done to the other"


def _apart(thing: Sequence[str], place: Sequence[str]) -> tuple[str, str]:
    """The words that tell a thing and a place of one name from each other."""
    for one, other in zip(reversed(thing), reversed(place), strict=False):
        if not same_word(one, other):
            return one, other
    return "", ""


def _put(log: _Log, steps: Sequence[str]) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
    """What was put where: by the words of an act, or by the keys of a skill that was called."""
    called = []
    for number, act in log:
        if act.object and act.place:
            if act.relation not in NOT_A_PLACE:
                yield act.object, act.place
        elif act.kinds & PUTTING:
            called.append(number)
    for number in dict.fromkeys(called):
        given = {key: words_of(value) for key, value in _KEYED.findall(apart(steps[number]))}
        what, where = ([word for key in keys for word in given.get(key, ())] for keys in (_THING_KEYS, _PLACE_KEYS))
        if what and where:
            yield what, where


def _other_ways(wanted: Sequence[Act], log: _Log, steps: Sequence[str]) -> Iterator[str]:
    """Directions of a motion that the log has the opposites of, and only those."""
    said = _ways(steps)
    gone = [_ways([step for step in steps if _may_be(step, kinds)]) for kinds in _MOTIONS]
    for act in wanted:
        moving = next((number for number, kinds in enumerate(_MOTIONS) if act.kinds & kinds), None)
        if moving is None:
            continue
        for place, word in enumerate(act.rest):
            follows = act.rest[place + 1 : place + 2]
            if any(is_content(other) and not other[0].isdigit() for other in follows):
                continue  # "the left door" is a name
            for other in _opposites(word):
                if other in gone[moving] and word not in said:
                    yield f"'{act.verb} {word}' was commanded, '{act.verb} {other}' was done"


def _may_be(step: str, kinds: frozenset[str]) -> bool:
    """Whether a step tells of such an act, or of none that is known: "backward 2.5 m"."""
    acts = acts_of(step)
    return any(act.kinds & kinds for act in acts) if acts else not reports_failure(step)


def _ways(steps: Sequence[str]) -> set[str]:
    """The words of steps, with other words for the directions among them."""
    words = {word for step in steps for word in words_of(step)}
    return words.union(*(same for same in lexicon().ways if words & same))


def _opposites(word: str) -> list[str]:
    """The opposites of a direction."""
    words = lexicon()
    ways = words.directions | words.particles
    return [b if word == a else a for a, b in words.opposites if word in (a, b) and {a, b} <= ways - _SWITCHED]


def _other_amounts(command: str, steps: Sequence[str]) -> Iterator[str]:
    """Amounts of a unit that the log has other amounts of."""
    done = [amount for step in steps for amount in amounts_of(step)]
    for wanted in amounts_of(_LIMIT.sub(" ", command)):
        others = [other for other in done if other.unit == wanted.unit]
        if others and not comes_to(wanted, done):
            yield f"'{wanted.number} {wanted.unit}' was commanded, '{others[-1].number} {wanted.unit}' was done"


def _of_another_kind(wanted: Sequence[Act], log: _Log, steps: Sequence[str]) -> Iterator[str]:
    """What was handled, or where it was put, where what is as commanded was merely seen: the grey key was taken."""
    for act in wanted:
        if act.kinds & GOING or act.kinds <= SEEING:
            continue
        accepted = done_by(act)
        done = [
            " ".join((*other.object, *other.rest))
            if other.object
            else steps[number]  # a call names its object in its arguments
            for number, other in log
            if other.kinds & accepted and not other.kinds & (GOING | SEEING)
        ]
        for *before, thing in filter(None, (act.object, act.place)):
            qualities = _qualities(before)
            told = [word for step in done for word in _beside(thing, step)]
            if any(exclude_each_other(one, other) for one, other in combinations(qualities, 2)):
                continue  # "a full and an empty roll"
            for quality in qualities:
                others = [word for word in told if exclude_each_other(quality, word)]
                if others and not is_among(quality, told):
                    yield f"'{quality} {thing}' was commanded, '{others[-1]} {thing}' was done"


def _qualities(before: Sequence[str]) -> list[str]:
    """Those of a thing among the words before it: "left cabinet", but of "yellow knife blue" no yellow one."""
    found: list[str] = []
    for word in reversed(before):
        if is_quality(word):
            found.append(word)
        elif found:
            break
    return found


def _beside(thing: str, step: str) -> Iterator[str]:
    """The words before a thing, and after it in an identifier: "the blue mug", "mug_blue"."""
    for one, other in pairwise(words_of(step)):
        if same_word(thing, other):
            yield one
    for one, other in _JOINED.findall(step):
        if same_word(thing, one):
            yield other.lower()


def _other_numbers(wanted: Sequence[Act], steps: Sequence[str]) -> Iterator[str]:
    """Amounts of a motion that calls of the same kind have as another number, without a unit: "rotate(left, 45)"."""
    directions = frozenset().union(*lexicon().ways, lexicon().particles)
    moves = [act for act in wanted if act.kinds & _MOTIONS[0] and not directions.isdisjoint(act.rest)]
    asked = [(act, amounts) for act in moves if (amounts := amounts_of(" ".join(act.rest)))]
    units = {amount.base for step in steps for amount in amounts_of(step)} if asked else set()
    for act, amounts in asked:
        called = [_BARE.findall(step) for step in steps if any(done.kinds & act.kinds for done in acts_of(step))]
        for amount in amounts:
            if amount.base in units:
                continue  # which is compared above
            others = ("distance",) if amount.unit in _ANGLES else ("angle", "degrees")
            values = [abs(float(found[0][1])) for found in called if len(found) == 1 and found[0][0] not in others]
            same = [value_of(amount.number) * factor for factor in _FACTORS]
            if values and not any(equal_amounts(one, other) for one in same for other in (*values, sum(values))):
                yield f"'{amount.number} {amount.unit}' was commanded, '{values[-1]:g}' was done"
