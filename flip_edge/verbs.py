"""Tenses of English verbs, without a dictionary: the irregular ones are few."""

from __future__ import annotations

_IRREGULAR_VERBS = """
    bend:bent bring:brought build:built catch:caught cut:cut dig:dug do:did draw:drew drive:drove feed:fed
    find:found fly:flew get:got give:gave go:went hang:hung hide:hid hit:hit hold:held keep:kept lead:led leave:left
    let:let put:put read:read ride:rode ring:rang rise:rose run:ran say:said see:saw send:sent set:set shut:shut
    sit:sat speak:spoke spin:spun spread:spread stand:stood stick:stuck sweep:swept swing:swung take:took
    tell:told throw:threw undo:undid unplug:unplugged unzip:unzipped wind:wound write:wrote
"""
_IRREGULAR = {verb: past for verb, _, past in (pair.partition(":") for pair in _IRREGULAR_VERBS.split())}
# Sides, lights, tools and flowers, more often than verbs.
_OTHER_WORDS = frozenset(["left", "led", "saw", "rose", "wound", "spoke"])
_PARTICIPLES = {"gone": "go", "goes": "go", "taken": "take", "given": "give", "thrown": "throw", "driven": "drive"}
_BASE_FORMS = {past: verb for verb, past in _IRREGULAR.items() if past not in _OTHER_WORDS} | _PARTICIPLES
# Verbs that end like nouns; any other word with such an ending is taken for a noun.
_NOUN_LIKE_VERBS = """
    answer cover deliver enter gather hover lower mention monitor position recover transfer water
"""
_NOUN_ENDINGS = ("tion", "sion", "ment", "ness", "ing", "er", "or")
_PARTICLES = frozenset(
    ["around", "at", "away", "back", "by", "down", "in", "into", "off", "on", "out", "over", "through", "up"]
)
_KNOWN_VERBS = frozenset(_IRREGULAR) | frozenset(_NOUN_LIKE_VERBS.split())
_VOWELS = frozenset("aeiou")
_LAST_SYLLABLE_STRESSED = frozenset(
    ["admit", "commit", "compel", "control", "defer", "equip", "patrol", "permit", "refer", "submit", "transfer"]
)


def is_verb_phrase(words: list[str]) -> bool:
    """Whether the words read as a verb with or without particles.

    >>> is_verb_phrase(["turn", "on"]), is_verb_phrase(["arm", "calibration"])
    (True, False)
    """
    if not words or any(word not in _PARTICLES for word in words[1:]):
        return False
    return words[0] in _KNOWN_VERBS or not words[0].endswith(_NOUN_ENDINGS)


def present_tense(word: str) -> str:
    """The verb of an irregular form; any other word as it is.

    >>> present_tense("drove"), present_tense("left"), present_tense("mug")
    ('drive', 'left', 'mug')
    """
    return _BASE_FORMS.get(word, word)


def past_tense(words: list[str]) -> str:
    """The past tense of a verb phrase, of which the first word is inflected.

    >>> past_tense(["turn", "on"]), past_tense(["grab"]), past_tense(["carry"]), past_tense(["patrol"])
    ('turned on', 'grabbed', 'carried', 'patrolled')
    """
    return " ".join([_inflect(words[0]), *words[1:]])


def _inflect(verb: str) -> str:
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb.endswith("e"):
        return verb + "d"
    if len(verb) > 1 and verb.endswith("y") and verb[-2] not in _VOWELS:
        return verb[:-1] + "ied"
    if _doubles_its_last_letter(verb):
        return verb + verb[-1] + "ed"
    return verb + "ed"


def _doubles_its_last_letter(verb: str) -> bool:
    """One vowel and one final consonant: stop, grab, scan; not push, pour, mix, unlock. Or stressed at the end."""
    return verb in _LAST_SYLLABLE_STRESSED or (
        len(verb) > 2
        and verb[-1] not in _VOWELS
        and verb[-1] not in "wxy"
        and verb[-2] in _VOWELS
        and sum(letter in _VOWELS for letter in verb) == 1
    )
