"""Which parts of a command its log supports, word by word, and which failures the log itself reports."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flip_edge.acts import acts_of, is_verb, ruled_out
from flip_edge.amounts import amounts_of, comes_to
from flip_edge.lexicon import lexicon
from flip_edge.wording import (
    Mentions,
    failure_phrases,
    is_content,
    parts_of,
    reports_failure,
    untagged,
    word_key,
    word_spans,
    words_of,
)

_LEAST = 0.01  # nats that any word counts for
_WAYS = frozenset({"go", "enter", "exit"})
_OPEN = re.compile(r"""[("][^()"]*$""")  # a remark that has only begun
_WHOLE = frozenset(
    map(
        word_key,
        ("run", "job", "order", "plan", "planning", "navigation", "execution", "operation", "make", "progress"),
    )
)
_ATTEMPT = re.compile(
    r"\b(?:(?:attempt|try|retry|trial) ?#?\d+|(?:first|second|third|last) (?:attempt|try|time)?)", re.IGNORECASE
)
_AGAIN = re.compile(r"\b(?:again|once more|retry|retried|second (?:attempt|try|time))\b", re.IGNORECASE)
_REACHED = re.compile(r"\b(?:reached|arrived|succeeded|completed)\b", re.IGNORECASE)
_REASON = re.compile(r"[:(\"]|,\s*no\b|\bbecause\b")
_RECOVERED = 0.8  # share of a failed step's words that a later step must repeat to count as its success


@dataclass(frozen=True)
class Word:
    """A word of the command.

    Attributes:
        text: as it stands in the command, in lower case.
        surprise: nats it cost the model without the log.
        given_log: nats it cost the model with the log.
        found: whether the log mentions it.
        found_last: whether the last step mentions it.
        asked: whether it names something that the command wants, rather than a function word or what it rules out.
        is_act: whether it is a verb whose act is looked for in the log, by whatever verb the log tells it.
    """

    text: str
    surprise: float
    given_log: float
    found: bool
    found_last: bool
    asked: bool = True
    is_act: bool = False


@dataclass(frozen=True)
class Support:
    """What of a command its log supports.

    Attributes:
        words: the command's words, in order.
        failures: steps that report a failure which no later step made good.
    """

    words: tuple[Word, ...]
    failures: tuple[str, ...]

    @property
    def found(self) -> float:
        """Share of what is asked for that the log mentions, in [0, 1]; 1 where nothing is asked for.

        A word counts by the root of its surprise: more where it tells more, but no one word for all the others. Verbs
        count where the command has nothing else: their acts may be told by other words, and are compared as acts.
        """
        return self._share([word.found for word in self.words])

    @property
    def found_last(self) -> float:
        """The same for the last step alone: what completes a task tends to be the last thing done."""
        return self._share([word.found_last for word in self.words])

    def _share(self, chosen: Sequence[bool]) -> float:
        things = [word.asked and not word.is_act for word in self.words]
        counts = things if any(things) else [word.asked for word in self.words]
        weights = [
            math.sqrt(max(word.surprise, _LEAST)) if count else 0.0
            for word, count in zip(self.words, counts, strict=True)
        ]
        total = sum(weights)
        return sum(weight for weight, yes in zip(weights, chosen, strict=True) if yes) / total if total else 1.0


def support(
    steps: Sequence[str],
    pieces: Sequence[str],
    given_log: npt.NDArray[np.float64],
    without_log: npt.NDArray[np.float64],
) -> Support:
    """Weigh a command's words against its log.

    Args:
        steps: the log.
        pieces: the texts of the command's tokens.
        given_log, without_log: natural log-probabilities of those tokens.
    """
    command = "".join(pieces).lower()
    whole, last = Mentions(steps), Mentions(steps[-1:])
    unwanted = ruled_out(command)
    acts = acts_of(command)
    verbs = {word for act in acts if act.kinds for word in words_of(act.verb)} - {
        word for act in acts for word in act.about
    }
    # "put it in your gripper" asks for no gripper
    unwanted |= {
        word
        for act in acts
        if "take" in act.kinds and lexicon().body.intersection(act.place[-1:])
        for word in act.place
    }
    measured, measured_last = _measured(command, steps), _measured(command, steps[-1:])
    ends = np.cumsum([len(piece) for piece in pieces])
    words = []
    for text, start, end in word_spans(command):
        # A token counts for a word by the share of its letters that lie in the word.
        shares = [
            max(0, min(end, stop) - max(start, stop - len(piece))) / (len(piece.strip()) or 1)
            for piece, stop in zip(pieces, ends, strict=True)
        ]
        weights = np.minimum(shares, 1.0)
        words.append(
            Word(
                text=text,
                surprise=float(-(weights @ without_log)),
                given_log=float(-(weights @ given_log)),
                found=whole.hold(text) or text in measured,
                found_last=last.hold(text) or text in measured_last,
                asked=is_content(text) and text not in unwanted,
                is_act=text in verbs,
            )
        )
    return Support(tuple(words), unrecovered_failures(steps, command))


def _measured(command: str, steps: Sequence[str]) -> set[str]:
    """The numbers of the command's amounts that a log comes close to, in one step or in all of them together."""
    wanted = amounts_of(command)
    done = [amount for step in steps for amount in amounts_of(step)] if wanted else []
    return {amount.number for amount in wanted if comes_to(amount, done)}


def unrecovered_failures(steps: Sequence[str], command: str = "") -> tuple[str, ...]:
    """Parts of steps that say that something failed, and that no later part made good.

    A later part makes a failure good when it says no failure and repeats most of the failed one's words, as a retry
    that worked does. A way that failed and that the command does not ask for, such as the way home, does not count.
    """
    parts = [part for step in steps for part in parts_of(step)]
    told = [word for word in words_of(command) if is_content(word)]
    left = []
    good = [(number, part) for number, part in enumerate(parts) if not reports_failure(part)]
    for number, part in enumerate(parts):
        if not reports_failure(part):
            continue
        tried = _Attempt(part)
        if any(tried.made_good_by(later) for place, later in good if place > number):
            continue
        if told and tried.is_a_way and not any(map(tried.said.hold, told)):
            continue
        left.append(part)
    return tuple(left)


def tried_in_vain(part: str) -> set[str]:
    """What a part of a step says was tried in vain, as the keys of its words."""
    return _Attempt(part).words


def all_in_vain(part: str) -> bool:
    """Whether a part of a step says no more than that it was all in vain: "Goal failed"."""
    return tried_in_vain(part) <= _WHOLE


class _Attempt:
    """What a part of a step says was tried in vain."""

    def __init__(self, part: str) -> None:
        before, *after = failure_phrases().split(_ATTEMPT.sub("", untagged(part)))
        self._is_one_of_several = bool(_ATTEMPT.search(part))
        # The reason comes after what failed.
        text = " ".join((_OPEN.sub("", before).strip(" :"), _REASON.split(" ".join(after))[0]))
        no_name = lexicon().leading | lexicon().generic
        said = [word for word in words_of(text) if is_content(word) and word not in no_name]
        acts = acts_of(text) or tuple(act for word in said for act in acts_of(word))  # "the grasp slipped"
        self.said = Mentions([text])
        self.kinds = {kind for act in acts for kind in act.kinds}
        # Of acts that are known the verb may stand in any tense, and the kind is compared instead.
        named = {word for act in acts for word in (*act.object, *act.place)}
        things = [word for word in said if word in named or not (self.kinds and is_verb(word))]
        self.words = {word_key(word) for word in things or said}
        self.is_a_way = bool(acts) and bool(self.words) and acts[0].kinds <= _WAYS
        self.is_a_search = bool(acts) and acts[0].kinds == {"find"}

    def made_good_by(self, part: str) -> bool:
        if self.words and self.words <= _WHOLE:
            return bool(_REACHED.search(part))  # "failed to make progress", and then "reached the goal"
        # What was sought in vain in one place may be found in another.
        needed = 1 if self.is_a_search else _RECOVERED * len(self.words)
        acts = acts_of(part)
        done = {kind for act in acts for kind in act.kinds}
        if self._is_one_of_several or _AGAIN.search(part):
            again = [act for act in acts if act.kinds & self.kinds]
            if again and not any(act.object for act in again):
                return True  # "tried again and held it"
        if not self.words or len(self.words & Mentions([part]).keys) < needed:
            return False
        return not (self.kinds and done) or bool(self.kinds & done)
