"""English, as far as robot logs and commands need it: tenses, plurals, articles, numbers."""

from __future__ import annotations

from flip_edge.verbs import past_tense

_PARTICIPLES = {
    "took": "taken",
    "gave": "given",
    "went": "gone",
    "drove": "driven",
    "drew": "drawn",
    "got": "got",
    "hid": "hidden",
    "rose": "risen",
    "saw": "seen",
    "showed": "shown",
    "threw": "thrown",
    "wrote": "written",
    "undid": "undone",
    "did": "done",
    "ran": "run",
    "came": "come",
    "ate": "eaten",
    "drank": "drunk",
    "shook": "shaken",
}
_PAST = {
    "come": "came",
    "eat": "ate",
    "drink": "drank",
    "shake": "shook",
    "plug": "plugged",
    "wear": "wore",
    "lead": "led",
    "show": "showed",
    "lay": "laid",
    "lie": "lay",
}
_IRREGULAR_PLURALS = {
    "knife": "knives",
    "shelf": "shelves",
    "loaf": "loaves",
    "person": "people",
    "scissors": "scissors",
}
_UNCOUNTABLE = frozenset(
    [
        "bread",
        "lettuce",
        "toilet paper",
        "water",
        "coffee",
        "milk",
        "laundry",
        "trash",
        "rice",
        "sugar",
        "paper",
        "chips",
    ]
)
_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def past(phrase: str) -> str:
    """The past tense of a verb phrase.

    >>> past("pick up"), past("come back"), past("switch on")
    ('picked up', 'came back', 'switched on')
    """
    head, *rest = phrase.split()
    return " ".join([_PAST.get(head) or past_tense([head]), *rest])


def participle(phrase: str) -> str:
    """What follows "has".

    >>> participle("take out"), participle("put down")
    ('taken out', 'put down')
    """
    head, *rest = past(phrase).split()
    return " ".join([_PARTICIPLES.get(head, head), *rest])


def third_person(phrase: str) -> str:
    """What follows "the robot".

    >>> third_person("push"), third_person("carry"), third_person("go to")
    ('pushes', 'carries', 'goes to')
    """
    head, *rest = phrase.split()
    if head.endswith(("s", "sh", "ch", "x", "z", "o")):
        head += "es"
    elif head.endswith("y") and head[-2:-1] not in tuple("aeiou"):
        head = head[:-1] + "ies"
    else:
        head += "s"
    return " ".join([head, *rest])


def gerund(phrase: str) -> str:
    """What follows "is".

    >>> gerund("drive to"), gerund("put down"), gerund("lie"), gerund("open")
    ('driving to', 'putting down', 'lying', 'opening')
    """
    head, *rest = phrase.split()
    doubled = past_tense([head]) == head + head[-1] + "ed" or head in (
        "put",
        "get",
        "set",
        "cut",
        "run",
        "spin",
        "sit",
        "shut",
        "let",
    )
    if head.endswith("ie"):
        head = head[:-2] + "y"
    elif head.endswith("e") and not head.endswith("ee"):
        head = head[:-1]
    elif doubled:
        head += head[-1]
    return " ".join([head + "ing", *rest])


def plural(name: str) -> str:
    """Of a noun.

    >>> plural("mug"), plural("kitchen knife"), plural("box"), plural("battery"), plural("bread")
    ('mugs', 'kitchen knives', 'boxes', 'batteries', 'bread')
    """
    if name in _UNCOUNTABLE or name.endswith(("paper", "bread", "lettuce")):
        return name
    *rest, head = name.split()
    if head in _IRREGULAR_PLURALS:
        head = _IRREGULAR_PLURALS[head]
    elif head.endswith("y") and head[-2:-1] not in tuple("aeiou"):
        head = head[:-1] + "ies"
    elif head.endswith(("s", "sh", "ch", "x")) or head in ("potato", "tomato"):
        head += "es"
    else:
        head += "s"
    return " ".join([*rest, head])


def indefinite(words: str) -> str:
    """With "a" or "an"; with "some" where it cannot be counted.

    >>> indefinite("egg"), indefinite("mug"), indefinite("bread")
    ('an egg', 'a mug', 'some bread')
    """
    if words in _UNCOUNTABLE or words.split()[-1] in _UNCOUNTABLE or words.endswith("s"):
        return f"some {words}"
    vowel = words[0].lower() in "aeiou" and not words.startswith(("us", "uni", "one"))
    return f"{'an' if vowel else 'a'} {words}"


def number_word(value: float) -> str:
    """Small whole numbers as words, others as digits.

    >>> number_word(2), number_word(1.5), number_word(40)
    ('two', '1.5', '40')
    """
    return _NUMBERS[int(value)] if value == int(value) and 0 <= value < len(_NUMBERS) else f"{value:g}"
