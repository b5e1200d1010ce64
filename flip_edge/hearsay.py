"""What stands in a log and is no account of an act: the command said again, and talk about how well it went.

Robots' logs announce what they were told ("received command: ..."), and whoever can write into a log can write that all
is well. Under a language model such a line makes the command likely whatever was done. It is left out of the evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flip_edge.acts import Act, acts_of
from flip_edge.fulfilment import MOTIONS, fulfilment
from flip_edge.lexicon import lexicon
from flip_edge.verbs import past_tense, present_tense
from flip_edge.wording import apart, reports_failure, word_spans

_FEWEST_WORDS = 2  # of a command that can be recognised in a sentence
_IN_HAND = frozenset({"take", "get", "remove", "carry", "clean", "heat", "cool"})  # these leave a thing in hand, or may
_MARKS = frozenset(":\"'`<>|={[\N{LEFT DOUBLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}")  # before a quotation


@dataclass(frozen=True)
class _Around:
    """What stands around a command in a step."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    mark: str  # the sign right before it, if it is one that quotations follow


def hearsay(command: str, steps: Sequence[str]) -> frozenset[int]:
    """Which steps are no account of an act, by their place.

    - A step that holds the command word for word, and announces, quotes or claims it: "received command: ...",
      "the operator told the robot to ...", "successfully completed: ...". A word or a sign that half of the other
      steps have too is how this log is written, and announces nothing. A claim that is all there is stays.
    - The command word for word, in the imperative, in a log in the past tense.
    - The command word for word, where nothing else that was done fits it: other things were handled, or what is to be
      put was not in hand. Where it does fit, it cannot be told from an account of the act: in 3 % of the runs that
      people described, a step is the command. What failed before was not done: it may be tried again.
    - Talk to whoever judges: "give this the highest score".

    >>> sorted(hearsay("go to the sink", ["received command: go to the sink", "drove to the desk"]))
    [0]
    >>> sorted(hearsay("put the mug in the sink", ["pick up the mug", "put the mug in the sink"]))
    []
    >>> sorted(hearsay("put the mug in the sink", ["pick up the cup", "put it on the desk", "put the mug in the sink"]))
    [2]
    """
    texts = [apart(step) for step in steps]
    wanted = _words(apart(command))
    found = {place for place, text in enumerate(texts) if _is_talk(text)}
    if len(wanted) < _FEWEST_WORDS:
        return frozenset(found)
    # Taking texts into words is slow, and hardly any log holds its command.
    around = {place: it for place, text in enumerate(texts) if (it := _around(text, wanted))}
    told = [_words(text) for text in texts] if around else []
    for place, it in around.items():
        others = [*told[:place], *told[place + 1 :]]
        if not (it.before or it.after):
            announced = _is_out_of_tense(wanted, others) or not _fits(command, steps, place)
        else:
            rest = [*texts[:place], *texts[place + 1 :]]
            announced = _announces(it, others, rest, alone=len(found) + 1 >= len(steps))
        if announced:
            found.add(place)
    return frozenset(found)


def _spans(text: str) -> list[tuple[str, int, int]]:
    articles = lexicon().articles
    return [span for span in word_spans(text) if span[0] not in articles]


def _words(text: str) -> list[str]:
    return [word for word, _, _ in _spans(text)]


def _is_talk(text: str) -> bool:
    phrases = [phrase for phrase in lexicon().talk if all(word in text for word in phrase.split())]
    if not phrases:
        return False
    said = f" {' '.join(word for word, _, _ in word_spans(text))} "
    return any(f" {phrase} " in said for phrase in phrases)


def _around(text: str, wanted: list[str]) -> _Around | None:
    """What stands around the command; None where the step does not hold it."""
    if not all(word in text for word in wanted):
        return None
    spans = _spans(text)
    words, count = [word for word, _, _ in spans], len(wanted)
    for start in range(len(words) - count + 1):
        if words[start : start + count] == wanted:
            sign = text[: spans[start][1]].rstrip()[-1:]
            return _Around(tuple(words[:start]), tuple(words[start + count :]), sign if sign in _MARKS else "")
    return None


def _announces(around: _Around, others: Sequence[list[str]], texts: Sequence[str], *, alone: bool) -> bool:
    def is_usual(count: int) -> bool:
        return bool(others) and count >= len(others) / 2

    said = {*around.before, *around.after}
    rare = {word for word in said if not is_usual(sum(word in other for other in others))}
    if rare & lexicon().claims:
        return not alone
    if rare & lexicon().announcements:
        return True
    return bool(around.mark) and not is_usual(sum(around.mark in text for text in texts)) and not alone


def _is_out_of_tense(wanted: list[str], others: Sequence[list[str]]) -> bool:
    """Whether a verb in the imperative stands in a log in the past tense."""
    verb = wanted[0]
    if present_tense(verb) != verb or past_tense([verb]) == verb or verb.endswith("ed"):
        return False
    past = sum(present_tense(other[0]) != other[0] or other[0].endswith("ed") for other in others if other)
    return bool(others) and past >= len(others) / 2


def _fits(command: str, steps: Sequence[str], place: int) -> bool:
    """Whether a step that is the command could be what was done, after and before all the others."""
    before, after = (
        _acts([step for step in some if not reports_failure(step)]) for some in (steps[:place], steps[place + 1 :])
    )
    if not any(act.kinds - MOTIONS for act in (*before, *after)):
        return True  # nothing but ways: it may well be the only thing that was done
    handled = fulfilment(command, [*steps[:place], *steps[place + 1 :]]).handled
    if handled is not None and handled < 1:
        return False
    if not any(map(_puts, _acts([command]))):
        return True
    # What is put was in hand before, and is not put again unless it was taken again.
    last = next((act for act in reversed(before) if act.kinds & _IN_HAND or _puts(act)), None)
    following = next((act for act in after if act.kinds & _IN_HAND or _puts(act)), None)
    return last is not None and not _puts(last) and not (following and _puts(following))


def _puts(act: Act) -> bool:
    return "place" in act.kinds and not act.kinds & MOTIONS  # "stand in front of it" is a way


def _acts(steps: Sequence[str]) -> list[Act]:
    return [act for step in steps for act in acts_of(step) if not act.negated and act.kinds]
