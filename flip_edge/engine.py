"""The engine: what a check asks of a model, from one reading of a run's log.

The part of the prompt that never changes is decoded once and kept in a sequence of its own; each check works on
copies of that sequence, which share its memory, and so decodes only what is new. Log-likelihoods come from the raw
logits: the ordinary completion interface is off by one on models without a BOS token.

One engine has one owner: its methods must be called from one thread at a time. Only :meth:`Engine.interrupt` and
:meth:`Engine.resume` may be called from any thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flip_edge.errors import CheckError, ContextOverflowError
from flip_edge.llama import Context, Entry, Row
from flip_edge.prompts import Piece, Query

# Sequences: the fixed prefix, the prefix without a log, the log of a run that goes on, the log of the run that is
# checked, that log with the first answer that was weighed after it, and from there on scratch.
_PREFIX, _BLANK, _AHEAD, _LOG, _ANSWER, _WORK = 0, 1, 2, 3, 4, 5
_PARALLEL = 32  # answers weighed in one batch
_SEQUENCES = _WORK + _PARALLEL
_TOGETHER = _PARALLEL // 2  # logs read in one go: each has a sequence for itself and one for its answer
# Tokens of logs: each attends to the memory of all that are read together (fastest on ALFRED: 300 to 500).
_READ_AT_ONCE = 400
_WEIGHED_AT_ONCE = 8  # tokens of answers, before those that cannot be likely enough are given up
_KEPT_ROWS = 32  # tokens of the answer whose logits are kept

_Beginning = tuple[int, tuple[int, ...]]  # the sequence that an answer continues, and its first tokens


@dataclass(frozen=True)
class Generation:
    """What the model wrote.

    Attributes:
        text: the text before the stop, not stripped.
        tokens: how many tokens were generated.
        finished: False when the token limit cut the text short.
    """

    text: str
    tokens: int
    finished: bool


@dataclass
class _Text:
    """What is being written.

    Attributes:
        stop: what ends it, or None; it is not part of it.
        max_tokens: how long it may become.
        tokens: what it has so far.
    """

    stop: bytes | None
    max_tokens: int
    tokens: list[int] = field(default_factory=list)
    _bytes: bytes = b""
    _finished: bool = False

    def append(self, token: int, piece: bytes | None) -> None:
        """Add a token; one without a piece ends the text."""
        self.tokens.append(token)
        if piece is None:
            self._finished = True
        else:
            self._bytes += piece
            if self.stop and self.stop in self._bytes:
                self._bytes, self._finished = self._bytes[: self._bytes.index(self.stop)], True

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come, be it that it is finished or too long."""
        return self._finished or len(self.tokens) >= self.max_tokens

    def generation(self) -> Generation:
        """The whole of it."""
        return Generation(self._bytes.decode("utf-8", "replace"), len(self.tokens), self._finished)


@dataclass(frozen=True)
class Reading:
    """What was made of one of several logs that were read together.

    Attributes:
        log_likelihoods: natural log-probabilities of the tokens of its answer; None where none was to be weighed.
        generation: how it goes on; None where nothing was to be written.
    """

    log_likelihoods: npt.NDArray[np.float64] | None
    generation: Generation | None


def _alike(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two texts begin alike with."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _decoded(shares: npt.NDArray[np.float64], point: float) -> tuple[int, float]:
    """The token at a point in [0, 1] of what may come, and where in that token's own share the point is.

    ``shares`` are the cumulated weights of the tokens.
    """
    at = point * float(shares[-1])
    token = min(int(np.searchsorted(shares, at, side="right")), len(shares) - 1)
    low = float(shares[token - 1]) if token else 0.0
    width = float(shares[token]) - low
    return token, min(1.0, max(0.0, (at - low) / width)) if width > 0 else 0.5


class Engine(Context):
    """A loaded model with a shared prefix.

    Args:
        path: a GGUF file.
        n_ctx: tokens of context, shared by the prefix, the log and what is generated.
        n_threads: processor threads; 0 for half of the processors.
        n_gpu_layers: layers to offload; -1 for all, 0 for none.
        check_tensors: look for invalid weights while loading; for files whose checksum is not known.
        adapter: a LoRA adapter as GGUF, made for this very model; None for the bare model.

    Raises:
        ModelError: a file is missing or corrupt, the model is none that llama.cpp can load, or the adapter does not
            fit it.
        ConfigError: the context is larger than the model was trained for.
    """

    def __init__(
        self,
        path: Path,
        *,
        n_ctx: int = 2048,
        n_threads: int = 0,
        n_gpu_layers: int = 0,
        check_tensors: bool = False,
        adapter: Path | None = None,
    ) -> None:
        super().__init__(
            path,
            sequences=_SEQUENCES,
            sharers=_PARALLEL,
            n_ctx=n_ctx,
            n_threads=n_threads,
            n_gpu_layers=n_gpu_layers,
            check_tensors=check_tensors,
            adapter=adapter,
        )
        self._ahead: list[int] = []  # tokens of the log that were decoded ahead
        self._weighed_ahead: tuple[list[int], list[float]] | None = None  # an answer, and its values without a log
        self._read_ahead = 0  # how many of them the log that was read began with
        self._used_ahead = 0  # tokens of the answer weighed ahead that were asked for
        self._answer: list[int] = []  # tokens of the answer that were decoded after the log, and the logits after each
        self._answer_rows: list[Row] = []
        self._greedy: list[int] = []  # how the log goes on most likely, as far as weighing has shown

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the way of one check: prime once, then read, generate and weigh for every run

    def prime(self, prefix: Sequence[Piece], no_log: Sequence[Piece] = ()) -> None:
        """Decode what never changes: ``prefix``, and ``no_log`` after it as the context without a log."""
        self._clear()
        self._forget_log()
        self._forget_ahead()
        self._extend(_PREFIX, self.tokenize(prefix, start=True))
        self._fork(_PREFIX, _BLANK)
        if no_log:
            self._extend(_BLANK, self.tokenize(no_log))

    def read_ahead(self, log: Sequence[Piece], answer: str = "") -> int:
        """Decode the beginning of a log whose end is not known yet, so that :meth:`read` need not.

        One log is kept like that, until another is read; one that goes on costs what is new. An ``answer`` that is to
        be weighed is weighed without a log already. Returns the number of tokens decoded.
        """
        self._forget_log()
        self._refuse_flood(log)
        tokens = self.tokenize(log)
        if not self._ahead or tokens[: len(self._ahead)] != self._ahead:
            self._forget_ahead()
            self._fork(_PREFIX, _AHEAD)
        new = tokens[len(self._ahead) :]
        self._require(len(new))  # first, so that a log that has become too long costs no more
        try:
            weighed = self._weigh_ahead(self.tokenize([Piece(answer)])) if answer else 0
            self._extend(_AHEAD, new, keep_row=False)
        except CheckError:
            self._forget_ahead()
            raise
        self._ahead = tokens
        return weighed + len(new)

    def _weigh_ahead(self, answer: list[int]) -> int:
        if self._weighed_ahead and self._weighed_ahead[0] == answer:
            return 0
        self._weighed_ahead = (answer, self._weigh([answer], [_BLANK])[0])
        return len(answer) - 1

    def read(self, log: Sequence[Piece]) -> int:
        """Decode a run's log after the prefix, in place of the log before it. Returns the number of tokens decoded."""
        self._forget_log()
        self._refuse_flood(log)
        tokens = self.tokenize(log)
        if len(self._ahead) < len(tokens) and tokens[: len(self._ahead)] == self._ahead:
            self._read_ahead = len(self._ahead)
        else:
            # It would stand where this log belongs, and llama.cpp rounds by the place in memory.
            self._forget_ahead()
        self._fork(_AHEAD if self._read_ahead else _PREFIX, _LOG)
        self._extend(_LOG, tokens[self._read_ahead :])
        return len(tokens) - self._read_ahead

    @property
    def reused_tokens(self) -> int:
        """Tokens that the last log and its answers did not need decoded: the shared prefix, and what came ahead."""
        return self._length[_PREFIX] + self._read_ahead + self._used_ahead

    def generate(self, max_tokens: int, *, stop: str | None = "\n") -> Generation:
        """Continue the log greedily up to ``stop``, the model's end of text, or ``max_tokens``.

        As far as answers that were weighed after this log go the same way, nothing is decoded again.
        """
        row = self._row(_LOG)
        self._require(max_tokens)
        decoded = self._fork_answer(self._greedy, _WORK)
        text = self._new_text(stop, max_tokens)
        try:
            while not text.ended:
                if len(text.tokens) < len(self._greedy):
                    token = self._greedy[len(text.tokens)]
                else:
                    if len(text.tokens) > decoded:
                        self._extend(_WORK, text.tokens[decoded:])
                        row, decoded = self._row(_WORK), len(text.tokens)
                    token = int(np.argmax(row.logits))
                self._write(text, token)
        finally:
            self._drop(_WORK)
        return text.generation()

    def _new_text(self, stop: str | None, max_tokens: int) -> _Text:
        return _Text(stop.encode() if stop else None, max_tokens)

    def _write(self, text: _Text, token: int) -> None:
        text.append(token, None if self._ends(token) else self._piece(token))

    def sample(
        self,
        count: int,
        max_tokens: int,
        *,
        temperature: float = 1.0,
        offset: float = 0.5,
        stop: str | None = "\n",
    ) -> list[Generation]:
        """Continue the log ``count`` times, drawn at a temperature and decoded together.

        The draws are spread evenly over all that the model may write: draw k stands at (k + offset) / count of it, and
        reads that number as an arithmetic code. So they are the same each time, and their mean is nearer to the
        expected value than that of as many independent ones. Source: Vilnis et al., "Arithmetic Sampling", 2023, arXiv
        2210.15458.

        Args:
            count: how many; as many at a time as the context holds.
            max_tokens: of each.
            temperature: above 0; what the logits are divided by.
            offset: in [0, 1]; another one gives other draws.
            stop: as in :meth:`generate`.
        """
        points = [(draw + offset) / count for draw in range(count)]
        return self.draw(points, max_tokens, temperature=temperature, stop=stop)

    def draw(
        self, points: Sequence[float], max_tokens: int, *, temperature: float = 1.0, stop: str | None = "\n"
    ) -> list[Generation]:
        """Continue the log once for each point, decoded together; for independent draws, give random points.

        Args:
            points: in [0, 1): which share of all that the model may write comes before the draw.
            max_tokens, temperature, stop: as in :meth:`sample`.
        """
        room = (self.n_ctx - sum(self._own)) // max_tokens
        self._require(max_tokens)
        at_once = min(room, _PARALLEL)
        drawn: list[Generation] = []
        for start in range(0, len(points), at_once):
            drawn += self._draw(list(points[start : start + at_once]), max_tokens, temperature, stop)
        return drawn

    def _draw(self, points: list[float], max_tokens: int, temperature: float, stop: str | None) -> list[Generation]:
        draws = range(len(points))
        texts = [self._new_text(stop, max_tokens) for _ in draws]
        known = {tuple(self._answer[:length]): row for length, row in enumerate(self._answer_rows, 1)}
        pending: dict[tuple[int, ...], list[int]] = {}  # draws by what they wrote: alike so far, they share its tokens

        def go_on(row: Row, some: Sequence[int]) -> None:
            shares = np.cumsum(np.exp((row.logits - row.logits.max()) / temperature, dtype=np.float64))
            for draw in some:
                token, points[draw] = _decoded(shares, points[draw])
                self._write(texts[draw], token)
                if not texts[draw].ended:
                    pending.setdefault(tuple(texts[draw].tokens), []).append(draw)

        try:
            go_on(self._row(_LOG), draws)
            while pending:
                new = [(begun, some) for begun, some in pending.items() if begun not in known]
                old = [(known[begun], some) for begun, some in pending.items() if begun in known]
                pending.clear()
                for row, some in old:
                    go_on(row, some)
                for start in range(0, len(new), self._wanted_at_once):
                    chunk = new[start : start + self._wanted_at_once]
                    self._decode([self._next_of(begun, some) for begun, some in chunk])
                    for index, (_, some) in enumerate(chunk):
                        go_on(self._logits(index), some)
        finally:
            for draw in draws:
                self._drop(_WORK + draw)
        return [text.generation() for text in texts]

    def _next_of(self, begun: tuple[int, ...], draws: Sequence[int]) -> Entry:
        """The last token of what some draws have begun alike with, to decode."""
        sequences = [_WORK + draw for draw in draws]
        for sequence in sequences:
            if not self._length[sequence]:
                self._fork_answer(begun, sequence)
        return Entry(begun[-1], self._length[_LOG] + len(begun) - 1, sequences, True)

    def log_likelihoods(
        self, queries: Sequence[Query], *, at_least: float = -math.inf
    ) -> list[npt.NDArray[np.float64]]:
        """Natural log-probabilities of each answer's tokens, all answers decoded together after the log they share.

        An answer after the log whose whole log-probability is seen to be below ``at_least`` is given up: its later
        tokens are left out, and the sum of the others, being below it too, is the most that it can come to.
        """
        answers: list[list[int]] = []
        for query in queries:
            answers.append(self.tokenize(query.pieces))
            if not answers[-1]:
                raise CheckError(f"an answer to weigh has no tokens: {query.text[:60]!r}")
        results: list[list[float]] = []
        for start in range(0, len(queries), _PARALLEL):
            part = slice(start, start + _PARALLEL)
            bases = [_LOG if query.given_log else _BLANK for query in queries[part]]
            results += self._weigh(answers[part], bases, at_least)
        return [np.array(result) for result in results]

    def _weigh(
        self, answers: Sequence[list[int]], bases: Sequence[int], at_least: float = -math.inf
    ) -> list[list[float]]:
        if (longest := max(map(len, answers))) > self.n_ctx:
            self._require(longest)  # before its beginnings are gathered, which takes the square of its length
        columns = range(len(answers))
        results: list[list[float]] = [[] for _ in columns]
        # Answers that begin alike share their beginning: a token is decoded once, for all sequences it belongs to, and
        # none that the answer kept from before begins with.
        sharers: dict[_Beginning, list[int]] = {}
        depths: dict[_Beginning, int] = {}  # how far it leads away from what is known
        for column in columns:
            base, answer = bases[column], answers[column]
            if base == _BLANK and self._weighed_ahead and self._weighed_ahead[0] == answer:
                results[column] = list(self._weighed_ahead[1])
                self._used_ahead = len(answer) - 1
                continue
            known = _alike(self._answer, answer) if base == _LOG else 0
            for end in range(known + 1, len(answer)):
                beginning = (base, tuple(answer[:end]))
                sharers.setdefault(beginning, []).append(column)
                depths[beginning] = min(end - known, depths.get(beginning, end))
        self._require(len(sharers))
        rows: dict[_Beginning, Row] = {(base, ()): self._row(base) for base in set(bases)}
        rows |= {(_LOG, tuple(self._answer[:end])): row for end, row in enumerate(self._answer_rows, 1)}
        first = bases.index(_LOG) if _LOG in bases and not self._answer else None
        kept: list[Row] = []

        def take() -> None:
            """Read what the rows say, as long as they are there: most are llama.cpp's, until the next batch."""
            while (row := rows.get((_LOG, tuple(self._greedy)))) is not None:
                self._greedy.append(int(np.argmax(row.logits)))
            for column in columns:
                answer, values = answers[column], results[column]
                while len(values) < len(answer) and (row := rows.get((bases[column], tuple(answer[: len(values)])))):
                    values.append(self._log_probability(row, answer[len(values)]))

        def hopeless(column: int) -> bool:
            return bases[column] == _LOG and sum(results[column]) < at_least

        take()
        # Breadth first and in small parts, so that an answer that is given up costs little.
        pending = sorted(sharers, key=depths.__getitem__)
        size = self._wanted_at_once if at_least == -math.inf else min(_WEIGHED_AT_ONCE, self._wanted_at_once)
        try:
            for column in columns:
                if bases[column] == _LOG:
                    self._fork_answer(answers[column], _WORK + column)
                else:
                    self._fork(bases[column], _WORK + column)
            while pending := [some for some in pending if not all(hopeless(column) for column in sharers[some])]:
                chunk, pending = pending[:size], pending[size:]
                self._decode(
                    [
                        Entry(
                            begun[-1],
                            self._length[base] + len(begun) - 1,
                            [_WORK + column for column in sharers[base, begun]],
                            True,
                        )
                        for base, begun in chunk
                    ]
                )
                rows = {}
                for index, (base, begun) in enumerate(chunk):
                    keep = (
                        first is not None
                        and base == _LOG
                        and len(begun) <= _KEPT_ROWS
                        and first in sharers[base, begun]
                    )
                    rows[base, begun] = self._logits(index, copy=keep)
                    if keep:
                        kept.append(rows[base, begun])
                take()
            if first is not None and kept:
                self._keep_answer(_WORK + first, answers[first][: len(kept)], kept)
        finally:
            for column in columns:
                self._drop(_WORK + column)
        return results

    def _keep_answer(self, source: int, tokens: list[int], rows: list[Row]) -> None:
        """Keep the first answer after a log: others begin like it, and the instruction may."""
        self._answer, self._answer_rows = tokens, rows
        end = self._length[_LOG] + len(tokens)
        self._share(source, _ANSWER, 0, end)
        self._own[_ANSWER] = len(tokens)

    def _fork_answer(self, answer: Sequence[int], target: int) -> int:
        """Fork the log with what the kept answer has in common with this one. Returns how many tokens that is."""
        known = _alike(self._answer, answer)
        self._fork(_LOG, target)
        if known:
            start = self._length[_LOG]
            self._share(_ANSWER, target, start, start + known)
        return known

    def text_of(self, answer: str) -> list[str]:
        """The texts of an answer's tokens, in order; joined they are the answer, but for characters cut in two."""
        return [self._piece(token).decode("utf-8", "replace") for token in self.tokenize([Piece(answer)])]

    # --- several logs at once

    def read_each(
        self,
        logs: Sequence[Sequence[Piece]],
        answers: Sequence[str] | None = None,
        max_tokens: int = 0,
        *,
        stop: str | None = "\n",
        at_once: int = _TOGETHER,
    ) -> Iterator[tuple[int, Reading | ContextOverflowError]]:
        """Read several logs together, each after the prefix; what they begin alike with is decoded once.

        Each is weighed and continued as :meth:`log_likelihoods` and :meth:`generate` do it for one, but for roundings:
        llama.cpp's depend on the place in memory. The log that was read before is dropped.

        Args:
            logs: in any order; the result for each does not depend on it.
            answers: the one to weigh after each; None to weigh nothing.
            max_tokens: to write after each; 0 to write nothing.
            stop: as in :meth:`generate`.
            at_once: the most logs at a time; fewer where the context has no room for as many.

        Yields:
            The place of a log among ``logs`` and what was made of it, in some order, as soon as it is known; for one
            that does not fit into the context, the error.
        """
        self._forget_log()
        self._forget_ahead()
        at_once = max(1, min(at_once, _TOGETHER))
        tokens: list[list[int]] = []
        for place, log in enumerate(logs):
            tokens.append([])
            try:
                self._refuse_flood(log)
                tokens[place] = self.tokenize(log)
                if not tokens[place]:
                    raise CheckError("a log to read has no tokens")
            except ContextOverflowError as error:
                yield place, error
        weighed = [self.tokenize([Piece(answer)]) for answer in answers] if answers is not None else [[]] * len(logs)
        left = [place for place in range(len(logs)) if tokens[place]]
        left.sort(key=lambda place: (tokens[place], weighed[place]))
        while left:
            after = [(tokens[place], len(weighed[place]) + max_tokens) for place in left[:at_once]]
            group = self._fitting(after)
            if not group:
                place = left.pop(0)
                try:
                    self._require(len(tokens[place]) + len(weighed[place]) + max_tokens)
                except ContextOverflowError as error:
                    yield place, error
                continue
            some, left = left[:group], left[group:]
            found = self._read_together(
                [tokens[place] for place in some], [weighed[place] for place in some], max_tokens, stop
            )
            yield from zip(some, found, strict=True)

    def _fitting(self, wanted: Sequence[tuple[list[int], int]]) -> int:
        """How many of some sorted logs, each with how many tokens come after it, to read together."""
        room = self.n_ctx - sum(self._own)
        before: list[int] = []
        read = 0
        for count, (log, after) in enumerate(wanted):
            new = len(log) - _alike(before, log)
            room -= new + after
            read += new
            if room < 0 or (count and read > _READ_AT_ONCE):
                return count
            before = log
        return len(wanted)

    def _read_together(
        self, logs: Sequence[list[int]], answers: Sequence[list[int]], max_tokens: int, stop: str | None
    ) -> list[Reading]:
        """Read logs that fit together, in sorted order."""
        try:
            for column in range(len(logs)):
                self._fork(_PREFIX, _WORK + column)
            rows = self._read_tree(logs)
            values, greedy = self._weigh_after_each(rows, answers)
            written = self._write_after_each(greedy, max_tokens, stop) if max_tokens else [None] * len(logs)
        finally:
            for sequence in range(_WORK, _SEQUENCES):
                self._drop(sequence)
        return [
            Reading(np.array(found) if found else None, generation)
            for found, generation in zip(values, written, strict=True)
        ]

    def _read_tree(self, logs: Sequence[list[int]]) -> list[Row]:
        """Decode sorted logs, each token that several begin alike with once. Returns the logits after each log."""
        start = self._length[_PREFIX]
        shared = [_alike(before, log) for before, log in zip([[], *logs], logs, strict=False)]  # with the one before

        def sharers(column: int, depth: int) -> list[int]:
            return [column, *takewhile(lambda other: shared[other] > depth, range(column + 1, len(logs)))]

        entries: list[tuple[Entry, list[int]]] = []  # and the logs that end with it
        for column, log in enumerate(logs):
            for depth in range(shared[column], len(log)):
                some = sharers(column, depth)
                ending = [other for other in some if len(logs[other]) == depth + 1]
                sequences = [_WORK + other for other in some]
                entries.append((Entry(log[depth], start + depth, sequences, bool(ending)), ending))
            self._length[_WORK + column] = start + len(log)
            self._own[_WORK + column] = len(log) - shared[column]
        rows: dict[int, Row] = {}
        for begin in range(0, len(entries), self._capacity):
            chunk = entries[begin : begin + self._capacity]
            self._decode([entry for entry, _ in chunk])
            for index, (_, ending) in enumerate(chunk):
                if ending:
                    rows |= dict.fromkeys(ending, self._logits(index, copy=True))
        return [rows[column] for column in range(len(logs))]

    def _weigh_after_each(
        self, rows: Sequence[Row], answers: Sequence[list[int]]
    ) -> tuple[list[list[float]], list[list[int]]]:
        """Weigh an answer after each log, in a sequence of its own.

        Args:
            rows: the logits after each log.
            answers: to weigh; an empty one is none.

        Returns:
            The log-probabilities of each answer's tokens, and how each log goes on most likely: as far as that is its
            answer, and one token more.
        """
        values: list[list[float]] = [[] for _ in rows]
        greedy = [[int(np.argmax(row.logits))] for row in rows]
        entries: list[tuple[int, int, Entry]] = []
        for column, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            if not answer:
                continue
            log, own = _WORK + column, _WORK + _TOGETHER + column
            self._fork(log, own)
            values[column].append(self._log_probability(row, answer[0]))
            for end in range(1, len(answer)):
                entries.append((column, end, Entry(answer[end - 1], self._length[log] + end - 1, (own,), True)))
        for start in range(0, len(entries), self._wanted_at_once):
            chunk = entries[start : start + self._wanted_at_once]
            self._decode([entry for _, _, entry in chunk])
            for index, (column, end, _) in enumerate(chunk):
                row = self._logits(index)
                values[column].append(self._log_probability(row, answers[column][end]))
                if greedy[column] == answers[column][:end]:
                    greedy[column].append(int(np.argmax(row.logits)))
        return values, greedy

    def _write_after_each(self, greedy: Sequence[list[int]], max_tokens: int, stop: str | None) -> list[Generation]:
        """Continue the logs that were read together, a token of each at a time.

        Args:
            greedy: how each goes on; all but the last token of it was decoded as the beginning of its answer.
            max_tokens, stop: as in :meth:`generate`.
        """
        texts = [self._new_text(stop, max_tokens) for _ in greedy]
        for column, tokens in enumerate(greedy):
            if known := len(tokens) - 1:
                log = _WORK + column
                begin = self._length[log]
                self._share(log + _TOGETHER, log, begin, begin + known)
            for token in tokens:
                if not texts[column].ended:
                    self._write(texts[column], token)
            self._drop(_WORK + _TOGETHER + column)
        while some := [column for column, text in enumerate(texts) if not text.ended]:
            self._decode(
                [
                    Entry(texts[column].tokens[-1], self._length[_WORK + column], (_WORK + column,), True)
                    for column in some
                ]
            )
            for index, column in enumerate(some):
                self._length[_WORK + column] += 1
                self._write(texts[column], int(np.argmax(self._logits(index).logits)))
        return [text.generation() for text in texts]

    # --- what is kept of a run

    def _forget_log(self) -> None:
        self._drop(_ANSWER)
        self._drop(_LOG)
        self._read_ahead = self._used_ahead = 0
        self._greedy, self._answer, self._answer_rows = [], [], []

    def _forget_ahead(self) -> None:
        self._drop(_AHEAD)
        self._ahead, self._weighed_ahead = [], None

    # --- measuring

    def seconds_of(self, batches: Sequence[tuple[int, int]]) -> float:
        """What llama.cpp itself takes for batches of so many tokens, and so many logits wanted, after the prefix.

        The log that was read is dropped, and what was read ahead.
        """
        self._forget_log()
        self._forget_ahead()
        self._fork(_PREFIX, _WORK)
        position = self._length[_WORK]
        seconds = 0.0
        for tokens, wanted in batches:
            end = position + tokens
            seconds += self._timed(
                [Entry(at % self._n_vocab, at, (_WORK,), at >= end - wanted) for at in range(position, end)]
            )
            position = end
        self._drop(_WORK)
        return seconds
