"""What people may call by one name, and their words for a thing exchanged for others."""

from __future__ import annotations

import re

from training.grammar import plural

# What people call by one name, or by each other's: exchanging these is no mismatch in their words.
_ALIKE = tuple(
    frozenset(group.split(", "))
    for group in (
        "cup, mug, glass, glass bottle, vase, bowl, pot",
        "knife, butter knife, fork, spoon, ladle, spatula",
        "desk lamp, floor lamp",
        "pen, pencil",
        "pot, pan, kettle, bowl, plate",
        "cloth, hand towel, dish sponge",
        "soap bar, soap bottle, spray bottle, dish sponge",
        "glass bottle, wine bottle, soap bottle, spray bottle, vase, statue",
        "salt shaker, pepper shaker",
        "watch, alarm clock",
        "book, newspaper, laptop",
        "credit card, cd, keychain, cell phone",
        "box, tissue box",
        "toilet paper, toilet paper hanger, hand towel, tissue box",
        "apple, tomato, potato, egg",
        "bread, lettuce, potato",
        "side table, coffee table, dining table, desk, dresser, shelf, countertop, cabinet, drawer, cart, stove",
        "coffee table, ottoman",
        "armchair, sofa, ottoman, bed",
        "sink, bathtub, countertop, toilet",
        "garbage can, box, cart",
        "microwave, stove, countertop, cabinet",
        "toilet, countertop, cabinet",
    )
)


def confusable(one: str, other: str, *, people: bool) -> bool:
    """Whether two things may go by one name: always where one's words are among the other's.

    >>> confusable("knife", "butter knife", people=False), confusable("cup", "mug", people=False)
    (True, False)
    >>> confusable("cup", "mug", people=True)
    True
    """
    first, second = set(one.split()), set(other.split())
    if first <= second or second <= first:
        return True
    return people and (one.split()[-1] == other.split()[-1] or any(one in group and other in group for group in _ALIKE))


def mention(command: str, name: str) -> re.Match[str] | None:
    """Where people's words name the thing: its whole name, or the last word of it."""
    head = name.split()[-1]
    for text in (name, head) if len(head) > 2 else (name,):
        forms = "|".join(sorted({re.escape(text), re.escape(plural(text))}, key=len, reverse=True))
        if match := re.search(rf"\b({forms})\b", command, re.IGNORECASE):
            return match
    return None


def reworded(command: str, name: str, other: str) -> str | None:
    """People's words with one thing exchanged for another; None where they do not name it.

    >>> reworded("Put two mugs on a shelf", "mug", "apple"), reworded("Put a mug on it", "mug", "apple")
    ('Put two apples on a shelf', 'Put an apple on it')
    """
    match = mention(command, name)
    if not match:
        return None
    # Where it is named twice, both must change.
    many = match[0].lower() in (plural(name), plural(name.split()[-1])) and match[0].lower() != name.split()[-1]
    new = plural(other) if many else other
    article = "an" if new[0] in "aeiou" else "a"
    changed = re.sub(rf"\b(?:a|an) {re.escape(match[0])}\b", f"{article} {new}", command, flags=re.IGNORECASE)
    changed = re.sub(rf"\b{re.escape(match[0])}\b", new, changed, flags=re.IGNORECASE)
    return None if mention(changed, name) else changed
