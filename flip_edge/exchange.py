"""Exchanges: an instruction and a response, from plain texts or as trainers hand them over."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from flip_edge.episode import clean_text
from flip_edge.errors import InputError
from flip_edge.similarity import content_words, is_unspaced, normalize

THOUGHT = "</think>"
"""What ends the thoughts of a reasoning model."""

_GAP = "\n"  # between words; in none of them
_FEWEST_COPIED = 3  # words of an instruction that can be recognised in a response
_FEWEST_NEARLY = 5  # and of one that can be where it was changed
_NEARLY = 0.75  # of its words
_RUN = 6  # words of it one after the other are no coincidence
_ALONE = r"(?:^|(?<=[\"'.!?:\u201c]))[ \t#*]*{}[*]*(?=[\"'.!?:\u201d]|$)"
_CHUNK = re.compile(r"\S+")
_SPACE = re.compile(r"\s")
_FAR = 40  # characters to look for a place between words in
_WORD = re.compile(r"[^\W_]+(?:['\N{RIGHT SINGLE QUOTATION MARK}][^\W_]+)*")  # as _CHUNK, but hyphens part words, too
_BULLET = re.compile(r"^\s*(?:[-*\N{BULLET}]|\d{1,3}[.)])\s+")


@dataclass(frozen=True)
class Exchange:
    """An instruction and a response to it.

    Attributes:
        instruction: what was asked; the reward is about this text alone.
        response: what was answered; under a completion prompt, such as ``log-command``, one step a line.
        context: the conversation before the instruction, one ``role: text`` a line. It is shown, not inferred.
    """

    instruction: str
    response: str
    context: str = ""


# --- texts


def steps_of(text: str) -> list[str]:
    """A plan's steps, one a line, without bullets and numbers before them.

    >>> steps_of("1. go to the table\\n2. pick up the cup")
    ['go to the table', 'pick up the cup']
    """
    return [step for line in text.splitlines() if (step := clean_text(_BULLET.sub("", line)))]


def copies(instruction: str, text: str) -> list[tuple[int, int]]:
    """Where a text repeats a whole instruction word for word, as (start, end) places that do not overlap.

    Words are those of FLIP's F1, so case, punctuation and articles do not matter; in a script without spaces it is the
    text itself that is looked for. Instructions of fewer than three words are not looked for.
    """
    if is_unspaced(instruction):
        wanted_text = instruction.strip()
        if len(content_words(instruction)) < _FEWEST_COPIED:
            return []
        return [match.span() for match in re.finditer(re.escape(wanted_text), text)]
    wanted = normalize(instruction).split()
    if len(wanted) < _FEWEST_COPIED:
        return []
    words = _placed_words(text)
    # Looked for as one string, as comparing word by word takes minutes where both repeat themselves.
    joined, sought = "".join(f"{_GAP}{word}" for word, *_ in words) + _GAP, f"{_GAP}{_GAP.join(wanted)}{_GAP}"
    begins = list(accumulate((len(word) + 1 for word, *_ in words), initial=0))
    found, at = [], joined.find(sought)
    while at >= 0:
        first = bisect_left(begins, at)
        last = first + len(wanted) - 1
        found.append((words[first][1], words[last][2]))
        at = joined.find(sought, begins[last + 1])
    return found


def near_copies(instruction: str, text: str) -> list[tuple[int, int]]:
    """Where a free text repeats an instruction, be it in part or with changes, as (start, end) places apart, in order.

    Beside :func:`copies`: six words of it one after the other; and as many words as it has, three quarters of them its
    own, in whatever order, and whatever parts them. One of one or two words, where it is all of a line, a sentence or a
    quotation. A step of a plan may be all that and no copy, so this is for free texts alone.

    >>> [text[a:b] for text in ["Asked for: three rivers of France, name. Seine."] for a, b in
    ...  near_copies("Name three long rivers of France.", text)]
    ['three rivers of France, name']
    """
    spans = copies(instruction, text)
    wanted = [word for word, _, _ in _placed_words(instruction, _WORD)]
    if is_unspaced(instruction) or not wanted:
        return spans
    if len(wanted) < _FEWEST_COPIED:
        short = r"\W+".join(map(re.escape, wanted))
        return [match.span() for match in re.finditer(_ALONE.replace("{}", short), text, re.IGNORECASE | re.MULTILINE)]
    if len(wanted) < _FEWEST_NEARLY:
        return spans
    words = _placed_words(text, _WORD)
    told = [word for word, _, _ in words]
    runs = {tuple(wanted[place : place + _RUN]) for place in range(len(wanted) - _RUN + 1)}
    starts = [place for place in range(len(told) - _RUN + 1) if tuple(told[place : place + _RUN]) in runs]
    found = [(place, place + _RUN) for place in starts]
    own = set(wanted)
    for start, end in _alike(wanted, told):
        inside = [place for place in range(start, end) if told[place] in own]
        found.append((inside[0], inside[-1] + 1))
    return _merged([*spans, *[(words[start][1], words[end - 1][2]) for start, end in found]])


def _placed_words(text: str, word: re.Pattern[str] = _CHUNK) -> list[tuple[str, int, int]]:
    """The normalised words of a text, with where they start and end."""
    chunks = [(normalize(match.group()), *match.span()) for match in word.finditer(text)]
    return [chunk for chunk in chunks if chunk[0]]


def _alike(wanted: Sequence[str], told: Sequence[str]) -> list[tuple[int, int]]:
    """The stretches of as many words as are wanted that have most of them: the best, and others apart from those."""
    size = len(wanted)
    lacking, shared, hits = Counter(wanted), 0, []
    for place, word in enumerate(told):
        shared += lacking[word] > 0
        lacking[word] -= 1
        if place >= size:
            left = told[place - size]
            lacking[left] += 1
            shared -= lacking[left] > 0
        if shared >= _NEARLY * size:
            hits.append((-shared, max(0, place - size + 1), place + 1))
    taken = [False] * len(told)
    found = []
    for _, start, end in sorted(hits):
        if not (taken[start] or taken[end - 1]):  # the taken ones are no shorter
            taken[start:end] = [True] * (end - start)
            found.append((start, end))
    return found


def _merged(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that touch as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def without_spans(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """A text less some of its (start, end) places, in order."""
    for start, end in reversed(spans):
        text = text[:start] + text[end:]
    return text


def parts_of(text: str, count: int) -> list[str]:
    """A text in parts of about equal length, cut between words where it has some; fewer where there is too little.

    >>> parts_of("The Seine, the Loire and the Rhone.", 2)
    ['The Seine, the Loire', 'and the Rhone.']
    """
    cuts = [0]
    for cut in range(1, count):
        at = len(text) * cut // count
        space = _SPACE.search(text, at, at + _FAR)
        cuts.append(max(cuts[-1], space.start() if space else at))
    return [part for begin, end in pairwise([*cuts, len(text)]) if (part := text[begin:end].strip())]


# --- what trainers hand over


def exchange_of(prompt: object, completion: object) -> Exchange:
    """An exchange from a prompt and a completion as TRL has them: plain texts, or lists of messages.

    The last user turn is the instruction, and empty where there is none; what stands before it the context. The last
    answer is the response, less what was thought before it; an answer that the prompt begins is part of it.

    Raises:
        InputError: something is neither.
    """
    context = begun = ""
    if isinstance(prompt, str):
        instruction = prompt
    else:
        turns = messages_of(prompt, "prompt")
        last = max((place for place, (role, _) in enumerate(turns) if role == "user"), default=-1)
        instruction = turns[last][1] if last >= 0 else ""
        context = conversation_of(turns[: max(last, 0)])
        begun = "".join(text for role, text in turns[last + 1 :] if role == "assistant") if last >= 0 else ""
    if isinstance(completion, str):
        response = completion
    else:
        answers = [text for role, text in messages_of(completion, "completion") if role == "assistant" and text]
        response = answers[-1] if answers else ""
    return Exchange(instruction, (begun + response).rpartition(THOUGHT)[2].strip(), context)


def messages_of(turns: object, name: str) -> list[tuple[str, str]]:
    """Messages as (role, text); of a content in blocks, the texts.

    Raises:
        InputError: these are no messages; ``name`` says of what.
    """
    if not isinstance(turns, Sequence) or isinstance(turns, bytes):
        raise InputError(f"a {name} must be text or a list of messages, not {type(turns).__name__}: {turns!r:.80}")
    found = []
    for turn in turns:
        if not isinstance(turn, Mapping) or not isinstance(turn.get("role"), str):
            raise InputError(f'a message of a {name} must be {{"role": ..., "content": ...}}, not {turn!r:.80}')
        content = turn.get("content") or ""
        if isinstance(content, Sequence) and not isinstance(
            content, str | bytes
        ):  # blocks, of which images say nothing
            content = "".join(str(block.get("text") or "") for block in content if isinstance(block, Mapping))
        if not isinstance(content, str):
            raise InputError(f"the content of a message must be text, not {content!r:.80}")
        found.append((turn["role"], content))
    return found


def conversation_of(turns: Sequence[tuple[str, str]]) -> str:
    """Turns as the published code writes them."""
    return "\n".join(f"{role}: {text}" for role, text in turns)
