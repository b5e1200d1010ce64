"""Batches: which rows go together, and how their texts lie in one rectangle of tokens.

A log is decoded once for all the commands that are weighed after it: the commands branch off its end, each with the
positions it would have alone, and see the log and themselves. Short texts share a line of the rectangle. A mask keeps
what shares a line apart, so every score is that of the text alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.examples import Example, Tokens, Wrong, draw_wrong
from training.plan import seeded

_LINE = 512  # the longest line that short texts share
_STEP = 16  # from one width that is tried to the next
_LINEAR = 700  # tokens of a line at which attending to it costs as much as all that grows with a text alone
_POOL = 32  # batches made from rows that are sorted together

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Item:
    """A row with what was drawn for it.

    Attributes:
        example: the row.
        wrong: mismatches to contrast it with.
        also: other wordings of its command; the first of them is asked about wrong runs, too.
        denied: wrong commands of which only the confirmation is asked: they cost no more than their own tokens.
    """

    example: Example
    wrong: tuple[Wrong, ...]
    also: tuple[Tokens, ...] = ()
    denied: tuple[Tokens, ...] = ()

    @property
    def asked(self) -> tuple[Tokens, ...]:
        """The answers to weigh after wrong runs."""
        return (self.example.command, *self.also[:1])

    @property
    def tokens(self) -> int:
        """What it costs."""
        answers = sum(map(len, (self.example.command, *self.also, *self.denied)))
        return len(self.example.log) + answers + sum(map(self._cost, self.wrong))

    def _cost(self, wrong: Wrong) -> int:
        return len(wrong.tokens) + (sum(map(len, self.asked)) if wrong.is_log else 0)


@dataclass(frozen=True)
class Draws:
    """How much of each row is drawn in an epoch.

    Attributes:
        negatives: mismatches to contrast it with, drawn evenly over kinds; 0 for nothing but rows.
        commands: further wrong commands, of which only the confirmation is asked.
        wordings: other wordings of its command.
    """

    negatives: int
    commands: int = 0
    wordings: int = 0

    def item(self, example: Example, kinds: Mapping[str, int], draw: random.Random) -> Item:
        """Draw for a row."""
        if not self.negatives:
            return Item(example, ())
        drawn = draw_wrong(example, len(example.wrong), kinds, draw)
        more = [wrong.tokens for wrong in drawn[self.negatives :] if not wrong.is_log]
        also = draw.sample(example.also, min(self.wordings, len(example.also)))
        return Item(example, drawn[: self.negatives], tuple(also), tuple(more[: self.commands]))


def epoch_batches(
    examples: Sequence[Example], draws: Draws, kinds: Mapping[str, int], budget: int, seed: int, epoch: int
) -> list[list[Item]]:
    """All rows once, in batches of like length, in a random order.

    Args:
        examples: the rows.
        draws: what is drawn for each.
        kinds: as for :func:`training.examples.draw_wrong`.
        budget: tokens of a batch; one row may have more.
        seed, epoch: together they decide everything.
    """
    items = [draws.item(example, kinds, seeded(seed, "wrong", epoch, example.id)) for example in examples]
    draw = seeded(seed, "batches", epoch)
    draw.shuffle(items)
    mean = sum(item.tokens for item in items) / len(items)
    pool = max(1, round(_POOL * budget / mean))
    batches = [
        batch
        for start in range(0, len(items), pool)
        for batch in _batches(sorted(items[start : start + pool], key=lambda item: item.tokens), budget)
    ]
    draw.shuffle(batches)
    return batches


def _batches(items: Sequence[Item], budget: int) -> Iterator[list[Item]]:
    batch: list[Item] = []
    used = 0
    for item in items:
        if batch and used + item.tokens > budget:
            yield batch
            batch, used = [], 0
        batch.append(item)
        used += item.tokens
    if batch:
        yield batch


def all_batches(
    examples: Sequence[Example], draws: Draws, kinds: Mapping[str, int], budget: int, seed: int
) -> Iterator[list[Item]]:
    """The batches of every epoch, without end."""
    epoch = 0
    while True:
        yield from epoch_batches(examples, draws, kinds, budget, seed, epoch)
        epoch += 1


@dataclass(frozen=True)
class Branching:
    """A log and the answers to weigh after it.

    Attributes:
        log: what stands before each of them.
        answers: what is weighed.
        has_confirmation: whether the last token of an answer says if it is right, and is no part of it.
    """

    log: Tokens
    answers: tuple[Tokens, ...]
    has_confirmation: bool = False

    def __len__(self) -> int:
        return len(self.log) + sum(map(len, self.answers))


@dataclass(frozen=True)
class Packed:
    """Texts in a rectangle of ``lines`` x ``width`` tokens.

    Attributes:
        tokens, positions: [lines, width].
        mask: [lines, 1, width, width]; which token sees which.
        sources: flat indices of the tokens after which an answer's token comes.
        targets: those tokens.
        owners: the answer each belongs to; answers are numbered in the order they were given.
        confirmations: which of the targets say whether an answer is right.
        lengths: of the answers, in tokens, without those.
    """

    tokens: Ints
    positions: Ints
    mask: npt.NDArray[np.bool_]
    sources: Ints
    targets: Ints
    owners: Ints
    confirmations: npt.NDArray[np.bool_]
    lengths: Ints


def pack(texts: Sequence[Branching]) -> Packed:
    """Lay texts out, several short ones to a line."""
    lines = _lines(texts)
    width = _width(texts, lines)
    shape = (len(lines), width)
    tokens, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    # Padding is a text of its own that nothing else sees; without any key its attention would not be a number.
    text, branch = np.full(shape, -1), np.zeros(shape, np.int64)
    first_answer = np.cumsum([0, *(len(item.answers) for item in texts)])
    sources: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    confirmations: list[bool] = []

    def lay(line: int, start: int, part: Tokens, position: int, of_text: int, of_branch: int) -> int:
        end = start + len(part)
        tokens[line, start:end] = part
        positions[line, start:end] = np.arange(position, position + len(part))
        text[line, start:end], branch[line, start:end] = of_text, of_branch
        return end

    for line, members in enumerate(lines):
        end = 0
        for index in members:
            item = texts[index]
            log_end = end = lay(line, end, item.log, 0, index, 0)
            for number, answer in enumerate(item.answers):
                # The last token of an answer predicts nothing that is asked for, but keeping it costs next to nothing.
                start, end = end, lay(line, end, answer, len(item.log), index, number + 1)
                before = [log_end - 1, *range(start, end - 1)]
                sources += [line * width + place for place in before]
                targets += answer
                owners += [int(first_answer[index]) + number] * len(answer)
                confirmations += [False] * (len(answer) - 1) + [item.has_confirmation]
    same_text = text[:, :, None] == text[:, None, :]
    same_branch = (branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :])
    mask = same_text & same_branch & np.tri(width, dtype=np.bool_)
    lengths = [len(answer) - item.has_confirmation for item in texts for answer in item.answers]
    return Packed(
        tokens,
        positions,
        mask[:, None],
        np.array(sources, np.int64),
        np.array(targets, np.int64),
        np.array(owners, np.int64),
        np.array(confirmations, np.bool_),
        np.array(lengths, np.int64),
    )


def _lines(texts: Sequence[Branching]) -> list[list[int]]:
    """Which texts share a line, in the width that costs least: padding is computed, and a line attends to itself."""

    def cost(lines: list[list[int]]) -> int:
        width = _width(texts, lines)
        return len(lines) * width * (width + _LINEAR)

    longest = max(map(len, texts))
    return min((_first_fit(texts, width) for width in range(longest, max(longest, _LINE) + 1, _STEP)), key=cost)


def _width(texts: Sequence[Branching], lines: Sequence[Sequence[int]]) -> int:
    return max(sum(len(texts[index]) for index in line) for line in lines)


def _first_fit(texts: Sequence[Branching], width: int) -> list[list[int]]:
    """Texts in lines of a width: longest first, each where it first fits."""
    lines: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(texts)), key=lambda index: -len(texts[index])):
        size = len(texts[index])
        line = next((number for number, left in enumerate(room) if left >= size), None)
        if line is None:
            line = len(lines)
            lines.append([])
            room.append(width)
        lines[line].append(index)
        room[line] -= size
    return lines
