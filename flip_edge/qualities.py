"""What tells a thing from others of its kind: its number or letter, its side, its colour. Where a log has another one.

Each rule speaks only of a thing that command and log both name, by the same word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from flip_edge.acts import GOING, PUTTING, acts_of, is_verb, ruled_out
from flip_edge.lexicon import lexicon
from flip_edge.wording import (
    Mentions,
    apart,
    is_among,
    is_content,
    names_apart,
    parts_of,
    reports_failure,
    same_word,
    says_unchanged,
    spellings_of,
    word_key,
    words_of,
)

_LABEL = re.compile(r"[A-Za-z]?\d+(?:\.\d+)?|[A-HJ-Z]")  # no "I"
_FROM, _TO = (
    re.compile(rf"\b(?i:{words}) (?:the )?([^\W\d_]{{2,}}) ({_LABEL.pattern})\b")
    for words in ("from", "to|into|onto|in|on")
)
_ID = re.compile(r"(?<![^\W_])[A-Za-z]{1,3}-?\d+(?!\.\d)\b")
_FROM_ID, _TO_ID = (
    re.compile(rf"\b(?:{words}) ({_ID.pattern})", re.IGNORECASE) for words in ("from", "to|into|onto|in|on|at")
)
_MOST = 20  # things of a range
_MOST_LABELS = 100  # of a text that are compared; a command with more is none that a person would give
_WELL = 3  # letters and digits after the first of a label such as A12
_NUMBERED = re.compile(r"(?<=[^\W\d_]{2})(?=\d)")
_TOKEN = re.compile(r"(?<![^\W\d_])[A-Za-z]?\d+(?:\.\d+)?|[^\W\d_]+|[^\w\s-]|(?<= )-(?= )")
_HAND = re.compile(r"\b(left|right)[ -]hand\b", re.IGNORECASE)  # "the right-hand door"
_COLOURS = 0  # the first group of qualities
_SHORTEST = 4  # letters of a name that is found in another word
_LONGEST = 12  # letters of a quality
_NAME = 8  # words after a phrase among which the thing is named
RANGE = re.compile(r"\d\s*(?:-|\u2013|to|through)\s*\d")


def other_qualities(command: str, steps: Sequence[str]) -> Iterator[str]:
    """What the command says of a thing where the log says something else of it, in words.

    Args:
        command: the command.
        steps: the log.
    """
    yield from _other_labels(command, steps)
    yield from _put_at_another(command, steps)
    yield from _other_ids(command, steps)
    yield from _ends_exchanged(command, steps)
    yield from _other_kinds(command, steps)
    yield from _other_rooms(command, steps)
    yield from _other_sides(command, steps)


# --- numbers and letters that are names: "waypoint 3", "bin A"


def _other_labels(command: str, steps: Sequence[str]) -> Iterator[str]:
    unwanted = ruled_out(command)
    wanted = [pair for pair in labelled(command) if not unwanted & {word.lower() for word in pair}]
    if not wanted or any(RANGE.search(step) for step in steps):
        return
    seen = [pair for step in steps for pair in labelled(step)]
    said = {word_key(token) for step in steps for token in _tokens(step) if _LABEL.fullmatch(token)}
    said |= {word_key(word) for step in steps for word in words_of(step) if word in lexicon().numbers}
    for thing, label in wanted:
        if word_key(label) in said:
            continue
        meant = [other for of, other in wanted if same_word(of, thing)]
        others = [other for of, other in seen if same_word(of, thing) and not is_among(other, meant)]
        if others:
            yield f"'{thing} {label}' was commanded, '{thing} {others[-1]}' was done"


def _put_at_another(command: str, steps: Sequence[str]) -> Iterator[str]:
    """The last of some places that only their labels tell apart, where things are put: "on pallet A"."""
    wanted = labelled(command)
    put = [
        (name.lower(), label)
        for step in steps
        if not reports_failure(step) and any(act.kinds & PUTTING for act in acts_of(step))
        for name, label in _TO.findall(names_apart(step))
    ]
    for thing in dict.fromkeys(thing for thing, _ in wanted):
        meant = [label for of, label in wanted if same_word(of, thing)]
        there = [label for of, label in put if same_word(of, thing)]
        if any(is_among(label, meant) for label in there) and not is_among(there[-1], meant):
            yield f"'{thing} {meant[-1]}' was commanded, '{thing} {there[-1]}' was done"


def _other_ids(command: str, steps: Sequence[str]) -> Iterator[str]:
    """Places that have nothing but a label: "from A1 to B3"."""
    said = {found.upper() for step in steps for found in _ID.findall(step)}
    for pattern in (_FROM_ID, _TO_ID):
        wanted = [found.upper() for found in pattern.findall(command)]
        others = [found.upper() for step in steps for found in pattern.findall(step)]
        for label in wanted:
            alike = [other for other in others if _shape(other) == _shape(label) and other not in wanted]
            if label not in said and alike:
                yield f"'{label}' was commanded, '{alike[-1]}' was done"


def _shape(label: str) -> str:
    """What labels of one sort have in common: "B3" and "C12" are wells, "P-102" is a pump."""
    letters = "".join(filter(str.isalpha, label))
    return "single" if len(letters) == 1 and len(label) - 1 <= _WELL else letters


def _ends_exchanged(command: str, steps: Sequence[str]) -> Iterator[str]:
    """Start for goal, of two things that only their labels tell apart: "from tube A into tube B"."""
    started, ended = (
        {(name.lower(), label) for step in steps for name, label in pattern.findall(names_apart(step))}
        for pattern in (_FROM, _TO)
    )
    text = names_apart(command)
    for start, goal in zip(_FROM.finditer(text), _TO.finditer(text), strict=False):
        one, other = ((match[1].lower(), match[2]) for match in (start, goal))
        if one in ended - started and other in started - ended:
            told = f"from {' '.join(start.groups())} to {' '.join(goal.groups())}"
            yield f"{told} was commanded, the reverse was done"


def _tokens(text: str) -> list[str]:
    """Words, numbers and marks, identifiers taken apart, in their own case."""
    return _TOKEN.findall(_NUMBERED.sub(" ", names_apart(text)))


def labelled(text: str) -> list[tuple[str, str]]:
    """Things with the number or letter that names them. A number that counts or measures is none.

    >>> labelled("patrol waypoints 2, 5 and 7, then take 3 pictures")
    [('waypoints', '2'), ('waypoints', '5'), ('waypoints', '7')]
    """
    words, tokens = lexicon(), [*_tokens(text), "", "", ""]
    unnamed = words.prepositions | words.numbers.keys()
    found: list[tuple[str, str]] = []
    for place, thing in enumerate(tokens[:-3]):
        name = thing.lower()
        if len(found) >= _MOST_LABELS:
            break
        if not thing.isalpha() or not is_content(name) or spellings_of(name) or name in unnamed:
            continue
        if is_verb(name) and name not in words.numbered:
            continue
        at = place + 1
        while len(found) < _MOST_LABELS and _LABEL.fullmatch(tokens[at]) and not _counts(tokens[at + 1].lower()):
            found.append((name, tokens[at]))
            at += 1
            if (
                tokens[at] in ("to", "through")
                and (last := tokens[at + 1]).isdecimal()
                and not _counts(tokens[at + 2].lower())
            ):
                found += [(name, str(number)) for number in _between(found[-1][1], last)]
                at += 2
            while tokens[at] in (",", "and", "&") and _LABEL.fullmatch(tokens[at + 1 + (tokens[at + 1] == "and")]):
                at += 1
    return found


def _between(first: str, last: str) -> range:
    """The numbers after the first up to the last, where both are numbers and they are few."""
    start, end = (int(label) if label.isdecimal() else 0 for label in (first, last))
    return range(start + 1, end + 1) if 0 < start < end <= start + _MOST else range(0)


def _counts(after: str) -> bool:
    """Whether a number before this word counts or measures."""
    if not after.isalpha() or after in lexicon().prepositions | lexicon().boundaries:
        return False
    return bool(spellings_of(after)) or (is_content(after) and not is_verb(after))


# --- words that exclude each other: "the north side", "the red mug"


def _other_kinds(command: str, steps: Sequence[str]) -> Iterator[str]:
    parts = [part for step in steps for part in parts_of(step) if not says_unchanged(part)]
    seen = [told for part in parts for name in part.split(",") for told in _qualified(name)]
    wanted = list(_qualified(command))
    for quality, thing, of in wanted:
        meant = [told for other, same, _ in wanted if same_word(same, thing) for told in _meanings()[other]]
        told = [
            other
            for other, same, whose in (*seen, *_run_together(thing, steps))
            if same_word(same, thing) and (not of or not whose or same_word(of, whose))
        ]
        for group, meaning in _meanings()[quality]:
            if group != _COLOURS and len({other for of_group, other in meant if of_group == group}) > 1:
                continue  # "from the top shelf to the bottom shelf", of which a log may tell one
            others = [other for other in told if any(group == of_group for of_group, _ in _meanings()[other])]
            if others and not any((group, meaning) in _meanings()[other] for other in others):
                yield f"'{quality} {thing}' was commanded, '{others[-1]} {thing}' was done"
                break


def _run_together(thing: str, steps: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """A thing and its quality where a log has them in one word: "bluebarrel"."""
    known = _meanings()
    for step in steps:
        for word in words_of(step):
            for end in range(3, min(len(word) - 2, _LONGEST)):
                tail = word[end:]  # "bluetrafficcone" begins like the traffic cone
                if word[:end] in known and (
                    same_word(tail, thing) or (len(thing) >= _SHORTEST and tail.startswith(thing))
                ):
                    yield word[:end], thing, ""


@lru_cache(maxsize=1)
def _meanings() -> dict[str, list[tuple[int, int]]]:
    """Of each word its groups, with its meaning in each."""
    return _by_group(lexicon().qualities)


def is_quality(word: str) -> bool:
    """Whether a word tells a thing from others of its kind."""
    return word in _meanings()


def exclude_each_other(one: str, other: str) -> bool:
    """Whether a thing cannot be both: "red", "blue"."""
    meant, told = dict(_meanings().get(one, ())), dict(_meanings().get(other, ()))
    shared = meant.keys() & told.keys()
    return bool(shared) and all(meant[group] != told[group] for group in shared)


def _by_group(groups: Sequence[Sequence[frozenset[str]]]) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for number, group in enumerate(groups):
        for meaning, words in enumerate(group):
            for word in words:
                found.setdefault(word, []).append((number, meaning))
    return found


def _qualified(text: str) -> Iterator[tuple[str, str, str]]:
    """Qualities, the things that have them, and whose part these are: ("north", "side", "tower")."""
    words, known = words_of(_HAND.sub(r"\1", text)), _meanings()
    things = len(words)  # where the next word that is no quality stands
    for place, word in reversed(list(enumerate(words))):
        if word not in known:
            joins = word == "and" and place + 1 < len(words) and words[place + 1] in known  # "black and white"
            things = things if joins else place
            continue
        if things == len(words) or (not is_content(words[things]) and words[things] != "side"):
            continue
        thing, rest = words[things], words[things + 1 :]
        of = rest[2] if len(rest) > 2 and rest[0] == "of" and rest[1] in lexicon().articles else ""
        if is_verb(thing) and not of and thing not in lexicon().numbered:
            continue
        yield word, thing, of


# --- places that go by the word before: "the server room"


def _other_rooms(command: str, steps: Sequence[str]) -> Iterator[str]:
    wanted = list(
        dict.fromkeys(
            pair
            for act in acts_of(command)
            if act.kinds & (GOING | PUTTING) and not act.negated
            for name in (act.object, act.place)
            for pair in _rooms(name)
        )
    )
    if not wanted:
        return
    said = Mentions(steps)
    seen = [
        pair
        for step in steps
        if not reports_failure(step) and any(act.kinds & (GOING | PUTTING) for act in acts_of(step))
        for pair in _rooms(words_of(step))
    ]
    for name, room in wanted:
        others = [
            other
            for other, of in seen
            if same_word(of, room) and name not in other and not is_among(other, (own for own, _ in wanted))
        ]
        if others and not any(said.hold(word) for word in {name, *same_rooms(name)}):
            yield f"'{name} {room}' was commanded, '{others[-1]} {room}' was done"


def same_rooms(word: str) -> frozenset[str]:
    """Other words for a room that is called by one: the meeting room is the conference room."""
    return _same_rooms().get(word_key(word), frozenset())


def _rooms(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The words before a room and the like, with it."""
    for name, room in pairwise(words):
        named = name.isalpha() and is_content(name) and not is_verb(name) and name not in _meanings()
        if room in lexicon().rooms and named and name not in lexicon().numbers:
            yield name, room


@lru_cache(maxsize=1)
def _same_rooms() -> dict[str, frozenset[str]]:
    """Of the key of each word those that mean the same."""
    return {word_key(word): words for words in lexicon().same_rooms for word in words}


# --- where something is put: "behind the rock", "under the table"


def _other_sides(command: str, steps: Sequence[str]) -> Iterator[str]:
    if not any(act.kinds & PUTTING and not act.negated for act in acts_of(command)):
        return
    putting = [
        step for step in steps if not reports_failure(step) and any(act.kinds & PUTTING for act in acts_of(step))
    ]
    put = [told for step in putting for told in _sides_of(step)]
    wanted = list(_sides_of(command))
    for phrase, side, thing in wanted:
        if any(other[0] == side[0] and other != side for _, other, _ in wanted) or f"from {phrase}" in apart(command):
            continue  # "from under the table to the top of it"
        others = [(other, where) for other, where, of in put if where[0] == side[0] and same_word(of, thing)]
        if others and not any(where == side for _, where in others):
            yield f"'{phrase} {thing}' was commanded, '{others[-1][0]} {thing}' was done"


@lru_cache(maxsize=1)
def _sides() -> tuple[re.Pattern[str], dict[str, list[tuple[int, int]]]]:
    """Matches the phrases, and of each its groups, with its meaning in each."""
    known = _by_group(lexicon().sides)
    longest_first = "|".join(sorted(known, key=len, reverse=True))
    return re.compile(rf"\b({longest_first})\b((?: +\w+){{1,{_NAME}}})"), known


def _sides_of(text: str) -> Iterator[tuple[str, tuple[int, int], str]]:
    """The phrases of a text with their meanings and the things that follow them."""
    pattern, known = _sides()
    text = apart(text)
    place = 0
    while match := pattern.search(text, place):
        place = match.end(1)
        words = match[2].split()
        end = next((at for at, word in enumerate(words) if word in lexicon().prepositions | lexicon().boundaries), None)
        named = [word for word in words[:end] if is_content(word) and word.isalpha()]
        if named and "and" not in words[:end]:
            for side in known[match[1]]:
                yield match[1], side, named[-1]
