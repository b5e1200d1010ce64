"""What a sentence says is done: its acts, and what each of them is done to.

Robots' logs and commands are plain: one verb at the head of each clause, its object after it. A small lexicon of verbs
and the clause's shape are enough to read them; a verb that it does not know is no act, and no claim is made about it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from flip_edge.lexicon import lexicon
from flip_edge.wording import apart, is_content, is_state, spellings_of, word_key

_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|[^\w\s]")
_HYPHEN = re.compile(r"(?<=\w)-(?=\w)")
_RUN_TOGETHER_WITH = frozenset({"to", "in", "into", "onto", "from", "towards", "toward", "robot"})
_RUN_TOGETHER = (5, 20)  # letters of a word that may be a verb and something else
_AFTER_THAT = re.compile(r"\bafter (?:that|this|which)\b")
_NOT = re.compile("n['\u2019]t\\b")
# Relations that put no thing in a place: a cup with a fork in it.
NOT_A_PLACE = frozenset({"with", "to", "toward", "towards", "from"})
_ARTICLE = "the"
PUTTING = frozenset({"place", "carry"})
"""Kinds of acts that put something somewhere."""
GOING = frozenset({"go", "dock", "undock", "enter", "exit", "leave", "turn"})
"""Kinds of acts that have ways and goals."""
SEEING = frozenset({"find", "look"})
"""Kinds of acts that leave a thing as it is."""
FETCHING = SEEING | {"get", "take"}
"""Kinds of acts at a thing that do not use it."""
_PUSHING = frozenset({"press", "pull", "slide"})
_MOVED_TO = frozenset({"to", "toward", "towards", "into", "onto"})
_MOVED_BESIDE = frozenset({"under", "underneath", "below", "beneath", "above", "over", "beside", "behind"})
_TIMES = frozenset({"s", "ms", "sec"})
_AUXILIARIES = frozenset({"is", "are", "was", "were", "been"})
HOME = frozenset({"home", "base", "start", "dock", "charging", "charger"})
"""Where the robot is charged."""
_PLANTS = frozenset({"plant", "plants", "flower", "flowers"})
_HANDS = frozenset({"left", "right"})
_ALONE = frozenset({"alone", "untouched"})
_NOTHING = frozenset({"nothing", "none"})
_REST = frozenset({"rests", "rest", "lies", "lie", "sits", "sit", "hangs", "hang"})  # where they were put
_MUST = frozenset({"should", "must", "shall", "needs", "need", "ought", "has", "have"})
_CARRYING = frozenset({"carry", "carries", "carrying", "carried"})
_SIDES = frozenset({"left", "right", "north", "south", "east", "west", "front", "ahead"})
_HEADLINE = 3  # words of what a line is headed with
_NEAR = 7  # words after "turn" or "switch" within which "on" or "off" belongs to it


@dataclass(frozen=True)
class Act:
    """One thing done or to be done.

    Attributes:
        kinds: the kinds of act that the verb may stand for here; see ``acts`` in the lexicon. Empty only where a verb
            that the lexicon does not know is negated.
        verb: as it stands in the text, in lower case.
        object: the content words of what it is done to.
        relation: the preposition that says where, such as "on"; empty where there is none.
        place: the content words after it.
        source: the content words after "from".
        about: all content words after the verb.
        rest: all words after the verb.
        negated: whether the text says that it is not done, or must not be.
    """

    kinds: frozenset[str]
    verb: str
    object: tuple[str, ...] = ()
    relation: str = ""
    place: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    negated: bool = False


@lru_cache(maxsize=4096)
def acts_of(text: str) -> tuple[Act, ...]:
    """The acts that a text names, in order.

    >>> [(sorted(act.kinds), act.object) for act in acts_of("Turn around and put the red cup down in the sink")]
    [(['go'], ()), (['place'], ('red', 'cup'))]
    >>> [act.negated for act in acts_of("inspect the pump but do not touch it")]
    [False, True]
    """
    return tuple(act for clause in _clauses(text) if (act := _act(clause)))


def _clauses(text: str) -> list[list[str]]:
    """Words between punctuation and conjunctions; a clause that a negation opens begins with it."""
    words = lexicon()
    tokens = [
        part
        for token in _TOKEN.findall(_NOT.sub(" not", _HYPHEN.sub(" ", _AFTER_THAT.sub("then", apart(text)))))
        for part in _split(token)
    ]
    clauses: list[list[str]] = []
    ended = True  # the last clause
    key = ""  # what the next word is a value of: in "target=dock_1" the dock is a name, no act
    acting = False  # whether a clause before the last one has a verb
    for place, token in enumerate(tokens):
        if token in (":", "=") and clauses:
            key = clauses[-1][-1]
            if acting and len(clauses[-1]) == 1 and key in words.keys:
                clauses[-1].insert(0, _ARTICLE)  # "action: pick, item: mug, place: table" places nothing
            ended = True
        elif token == "," and not ended and _list_goes_on(clauses[-1][-1], tokens, place + 1):
            clauses[-1].append("and")
        elif (
            not token[0].isalnum()
            or (
                token in words.boundaries and not (token == "by" and _is_place_or_amount(tokens[place + 1 : place + 2]))
            )
            or (token in ("and", "to") and _verb_follows(tokens, place + 1) and not _is_goal(tokens, place + 1))
        ):
            ended = True
        else:
            if ended or key or (token in words.negators and token != "not"):
                said = clauses[-1] if clauses else []
                acting = acting or any(is_verb(word) and word not in words.leading for word in said)
                clauses.append([_ARTICLE] if key in words.keys else [])
            clauses[-1].append(token)
            ended, key = False, ""
    return clauses


def _is_place_or_amount(tokens: Sequence[str]) -> bool:
    """Whether "by" says where or by how much: "by the sink", "by 2 m", not "by turning the key"."""
    words = lexicon()
    return any(token[0].isdigit() or token in words.numbers or token in words.articles for token in tokens)


def _list_goes_on(last: str, tokens: Sequence[str], place: int) -> bool:
    """Whether after a comma another thing is named, as in "put a cup, a plate and a fork on the table"."""
    words = lexicon()
    if place == len(tokens) or tokens[place] not in words.articles or last in words.particles | words.directions:
        return False
    for at in range(place + 1, len(tokens)):
        word = tokens[at]
        if not word[0].isalnum() or word in words.boundaries:
            break
        if word in _AUXILIARIES or (tokens[at - 1] not in words.articles and is_verb(word)):
            return False
    return True


def _verb_follows(tokens: Sequence[str], place: int) -> bool:
    """Whether another clause begins: "take it and go", "asked to open it", but not "the fork and the spoon"."""
    words = lexicon()
    if tokens[place - 1] == "and":
        while place < len(tokens) and tokens[place] in (words.leading | words.negators) - words.articles:
            place += 1
    return place < len(tokens) and is_verb(tokens[place])


def _is_goal(tokens: Sequence[str], place: int) -> bool:
    """Whether what may be a verb names where somebody goes: "go to clean room 2", not "go to clean the room"."""
    words = lexicon()
    if place < 2 or tokens[place - 1] != "to" or place + 1 == len(tokens):
        return False
    going = next((word for word in reversed(tokens[: place - 1]) if word not in words.particles), "")
    after = tokens[place + 1]
    return (
        bool(_kinds(going))
        and _kinds(going) <= GOING | {"move", "return"}
        and not _kinds(tokens[place]) & FETCHING
        and after.isalpha()
        and is_content(after)
        and not after.endswith("s")
        and after not in words.articles | words.particles | words.prepositions | words.boundaries | words.generic
    )


@lru_cache(maxsize=4096)
def _split(token: str) -> tuple[str, ...]:
    """A verb and its particle that a log has run together: "turnon", "putin", "movebase"."""
    words = lexicon()
    if _RUN_TOGETHER[0] <= len(token) <= _RUN_TOGETHER[1] and not is_verb(token):
        for cut in range(len(token) - 2, 2, -1):
            verb, tail = token[:cut], token[cut:]
            if tail in words.particles | words.generic | words.body | _RUN_TOGETHER_WITH and any(
                verb in known for known in words.acts.values()
            ):
                return verb, tail
    return (token,)


def _act(clause: Sequence[str]) -> Act | None:
    words = lexicon()
    told = len(clause)
    while clause and clause[-1] in words.statuses:
        clause = clause[:-1]  # "alarm off OK"
    start, negated = 0, False
    while start < len(clause) and (
        (clause[start] in words.leading and not _is_way(clause[start : start + 2]))
        or clause[start] in words.negators
        or clause[start][0].isdigit()
        or (start and clause[start - 1][0].isdigit() and clause[start] in _TIMES)  # "t=12.5s drove to the dock"
    ):
        negated = negated or clause[start] in words.negators
        start += 1
    if start == len(clause):
        return None
    if clause[start] in _HANDS and _is_by_hand(clause[start + 1 :]):
        start += 1  # "LEFT_GRASP"
    verb, rest = clause[start], list(clause[start + 1 :])
    # After an article stands a name: "to the close counter" closes nothing.
    named = start > 0 and clause[start - 1] in words.articles
    if named and not (_AUXILIARIES | _REST | {"be", "belongs"}).intersection(rest):
        return None
    # "the close counter", "microwave is off"
    kinds, things = frozenset() if named or _AUXILIARIES.intersection(rest[:1]) else _kinds(verb), _object(rest)
    if (not kinds or _is_done_to(clause[start:])) and (passive := _passive(clause, start)):
        verb, things, rest = passive
        kinds = _kinds(verb)
    if not kinds and not named and len(clause) <= _HEADLINE and clause[-1].endswith("tion") and _kinds(clause[-1]):
        verb, things, rest = clause[-1], (), []  # "thermal_inspection: pump 3"
        kinds = _kinds(verb)
    if not kinds and not negated:
        return None
    if "return" in kinds and (len(clause) < told or words.generic.intersection(rest[:1])):
        return None  # "returned SUCCESS"
    if start and clause[start - 1] in words.body and (not things or kinds & {"open", "close"}):
        things = (clause[start - 1],)  # "gripper opened", "gripper closed on the mug"
    # "handed over the towels" are over nothing.
    after = rest[1:] if rest[:1] == ["over"] else rest
    relation, place = following(
        after, words.relations - {"from", "with"} if kinds & PUTTING else words.relations - {"from"}
    )
    if not place:
        relation, place = following(after, ("with",))
    meant = _in_context(kinds, verb, rest, things, place)
    if not meant and not negated:
        return None
    if "place" in meant and _is_in_hand(rest):
        relation, place = "", ()
    if "leave" in kinds and _ALONE.intersection(rest[1:]):
        meant, negated = frozenset(), True  # "leave the vase alone"
    return Act(
        kinds=meant,
        verb=verb,
        object=things,
        relation=relation,
        place=place,
        source=following(rest, ("from",))[1],
        about=tuple(dict.fromkeys((*things, *filter(is_content, rest)))),
        rest=tuple(rest),
        negated=negated,
    )


def _is_way(words: Sequence[str]) -> bool:
    """Whether "going" is no auxiliary: "going to the sink", where "going to take" has ended before the verb."""
    return words[:1] == ["going"] and bool(
        lexicon().particles.union(_MOVED_TO, ("in", "through")).intersection(words[1:])
    )


def _is_by_hand(words: Sequence[str]) -> bool:
    """Whether a hand that was named does something: takes or puts it, in the imperative."""
    return any(not word.endswith(("ed", "ing")) and bool(_kinds(word) & {"take", "place"}) for word in words[:1])


def _is_done_to(clause: Sequence[str]) -> bool:
    """Whether what may be a verb is a thing that something was done to: "drop detected", not "put washed soap"."""
    words = lexicon()
    if len(clause) < 2 or clause[0].endswith(("ed", "ing")) or not clause[1].endswith("ed") or not is_verb(clause[1]):
        return False
    no_state = clause[1] not in words.leading and not is_state(clause[1])
    return no_state and (len(clause) == 2 or clause[2] in words.prepositions | words.particles)


def _passive(clause: Sequence[str], start: int) -> tuple[str, tuple[str, ...], list[str]] | None:
    """Verb, object and rest where the object comes first: "mug 1 grasped", "alarm off", "at the dock"."""
    words = lexicon()
    for place in range(start + 1, len(clause)):
        word = clause[place]
        if (word.endswith("ed") or word in words.participles) and _kinds(word):
            if clause[place - 1] in words.articles:
                return None
            return word, _subject(clause[start:place]), list(clause[place + 1 :])
    if clause[-1] in ("on", "off") and len(clause) > start + 1:
        return "switch", _subject(clause[start:-1]), [clause[-1]]
    if clause[-1] == "open" and len(clause) > start + 1:
        return "open", _subject(clause[start:-1]), []
    if clause[start] == "at":
        return "arrive", (), list(clause[start:])
    for place in range(start + 1, len(clause) - 1):
        must = clause[place] == "be" and _MUST.intersection(clause[start + 1 : place])
        if (must or clause[place] in _REST or clause[place] == "belongs") and set(
            clause[place + 1 :]
        ) & words.relations:
            return "put", _subject(clause[start:place]), list(clause[place + 1 :])  # "the mug should be in the sink"
    return None


def _subject(words: Sequence[str]) -> tuple[str, ...]:
    """What a passive is about: "the mug on the table was taken" is about a mug."""
    return _object(words) or tuple(filter(is_content, words))


def ruled_out(text: str) -> frozenset[str]:
    """The words that a text names only to say that they are not meant.

    >>> sorted(ruled_out("inspect the pump but do not touch the valve"))
    ['touch', 'valve']
    """
    acts = acts_of(text)
    meant = {word for act in acts if not act.negated for word in (act.verb, *act.about)}
    return frozenset(word for act in acts if act.negated for word in (act.verb, *act.about)) - meant


def done_by(act: Act) -> frozenset[str]:
    """The kinds of act in a log that fulfil an act of a command."""
    table = lexicon().done_by
    return frozenset(kind for wanted in act.kinds for kind in (wanted, *table.get(wanted, ())))


def is_verb(word: str) -> bool:
    """Whether the lexicon knows the word as a verb."""
    return bool(_kinds(word))


@lru_cache(maxsize=4096)
def _kinds(verb: str) -> frozenset[str]:
    table = lexicon().acts
    exact = frozenset(kind for kind, verbs in table.items() if verb in verbs)
    return exact or frozenset(kind for kind, keys in _act_keys().items() if word_key(verb) in keys)


@lru_cache(maxsize=1)
def _act_keys() -> dict[str, frozenset[str]]:
    return {kind: frozenset(map(word_key, verbs)) for kind, verbs in lexicon().acts.items()}


def _object(rest: Sequence[str]) -> tuple[str, ...]:
    """The content words up to the first preposition, past the verb's own particles."""
    words = lexicon()
    start = 0
    while start < len(rest) and rest[start] in words.particles:
        start += 1
    taken: list[str] = []
    for word, after in pairwise((*rest[start:], "")):
        if taken and word in ("off", "up", "out", "down") and taken[-1].endswith("ed") and is_state(taken[-1]):
            continue  # "rinsed off soap"
        if (
            (word in words.prepositions and not (word == "of" and taken))
            or (taken and word in _SIDES and after == "of")
            or (taken and word == "right" and after in words.prepositions)  # "right beside the lake"
        ):
            break  # "the cup left of the mug" is a cup
        taken.append(word)
    return tuple(word for word in taken if is_content(word) and word not in words.generic)


def following(rest: Sequence[str], openings: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """The first of some prepositions that a name follows, and the content words of that name."""
    for start, word in enumerate(rest):
        if word in openings:
            named = _object(rest[start + 2 :] if rest[start + 1 : start + 2] == ["of"] else rest[start + 1 :])
            if named:  # "inside of the box"
                return word, named
    return "", ()


def _in_context(
    kinds: frozenset[str], verb: str, rest: Sequence[str], things: Sequence[str], place: Sequence[str]
) -> frozenset[str]:
    """What the verb stands for here: some verbs go by their particles, some by their object."""
    words = lexicon()
    if not kinds:
        return kinds
    if verb == "set" and len(rest) > 1 and rest[-1] in ("on", "off"):
        return frozenset({"switch"})  # "set device on"
    if "place" in kinds and place and place[-1] in words.body and not _is_in_hand(rest):
        return frozenset({"take"})  # "put it in your gripper"
    last = things[-1] if things else ""
    if "go" in kinds and rest[:1] == ["of"]:
        return frozenset({"place"})  # "letting go of the mug"
    if (
        "get" in kinds
        and not things
        and rest[:1]
        and rest[0] in words.particles | words.prepositions | {"close", "closer"}
    ):
        return frozenset({"go"})  # "get closer to it"
    if "take" in kinds and _NOTHING.intersection(things):
        return frozenset({"place"})  # "holding nothing"
    if kinds == {"carry"} and verb in _CARRYING and things and not _MOVED_TO.intersection(rest):
        return frozenset({"take"})  # "you carry a grey key"
    if words.recordings.intersection(things) and "report" not in kinds:
        return frozenset({"look"})  # "take a picture of the pump"
    if last in words.body:
        # Opening the gripper lets go, closing it takes; moving an arm moves nothing else.
        grips = frozenset({"open": "place", "close": "take"}[kind] for kind in kinds & {"open", "close"})
        return kinds | grips if grips else frozenset({"go"}) | _levels(kinds, rest)
    if last in words.directions or ("take" in kinds and last in words.routes):
        return frozenset({"go"})  # "take a left", "make a turn", "take the stairs"
    for word, kind in (("shut", "close"), ("closed", "close"), ("open", "open")):
        if word in rest and kinds & {"press", "pull"}:
            return frozenset({kind})  # "push the drawer shut"
    moved_to = _MOVED_TO if "from" in rest else _MOVED_TO | _MOVED_BESIDE
    if kinds & _PUSHING and things and place and place[-1] not in words.directions and moved_to.intersection(rest):
        return kinds | PUTTING  # "pushed the star towards the cube"
    if kinds == {"take"} and rest[:1] == ["off"] and not things:
        return frozenset({"raise"})  # "took off"
    if kinds == {"lower"} and things and not any(map(spellings_of, rest)):
        return frozenset({"lower", "place"})  # "lowered the pallet"
    if "make" in kinds or (verb == "water" and not (words.articles | _PLANTS).intersection(rest[:1])):
        return frozenset()
    if "turn" in kinds:
        return frozenset({"switch"}) if _switched(rest) else frozenset({"go"})
    if "leave" in kinds:
        stays = any(word in words.relations | words.beside for word in rest)
        return frozenset({"place"}) if stays else frozenset({"exit"})
    if kinds & {"return", "move"}:
        amount = any(map(spellings_of, rest[1:2]))
        if levels := _levels(kinds, rest):
            return frozenset({"go"}) | levels
        if "return" in kinds and things and things[0] in HOME:
            return frozenset({"go"})  # "return home"
        itself = things[:1] in (("agent",), ("robot",)) or (things and things[0].endswith(("ward", "wards")))
        moved = bool(things) and not (amount or itself or (words.prepositions | words.particles).intersection(rest[:1]))
        return frozenset({"carry", "place"}) if moved else frozenset({"go"})
    if "look" in kinds and rest[:1] == ["for"]:
        return frozenset({"find"})
    if "go" in kinds and any(word in ("into", "inside", "through") for word in rest[:3]):
        return frozenset({"go", "enter"})
    return kinds


def _is_in_hand(rest: Sequence[str]) -> bool:
    """Whether a thing is named as what is held: "put down the object in hand"."""
    return any(one == "in" and other == "hand" for one, other in pairwise(rest))


def _levels(kinds: frozenset[str], rest: Sequence[str]) -> frozenset[str]:
    """Whether a motion goes up or down."""
    for word, kind in (("up", "raise"), ("upward", "raise"), ("down", "lower"), ("downward", "lower")):
        if word in rest and not kinds & {"raise", "lower"}:
            return frozenset({kind})
    return kinds & {"raise", "lower"}


def _switched(rest: Sequence[str]) -> bool:
    if rest[:1] and rest[0] in lexicon().directions | lexicon().particles - {"on", "off"}:
        return False  # "turn around on the spot"
    for place, word in enumerate(rest[:_NEAR]):
        if word in ("on", "off"):
            # "turn on the lamp", but not "turn on the left".
            return not any(after in lexicon().directions for after in rest[place + 1 : place + 3])
    return False
