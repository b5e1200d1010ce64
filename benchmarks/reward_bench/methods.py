"""What scores the answers of a row: backward inference, judges on the same engine, and what needs no model.

One reading of an answer gives both of a method's columns: the verdict that the model writes, which is parsed, and the
one that its logits give, which always is there.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import msgspec
import numpy as np
import yaml

from benchmarks.reward_bench.rows import Row
from flip_edge.baselines.published import find_answer
from flip_edge.config import Config
from flip_edge.engine import Engine
from flip_edge.errors import CheckError, ConfigError
from flip_edge.exchange import Exchange
from flip_edge.prompts import Piece, Query, load_prompt
from flip_edge.reward import FlipReward
from flip_edge.similarity import normalize, word_f1

_HOLE = re.compile("([\ue000-\ue0ff])")  # private-use characters mark the row's texts in a rendered chat template
_RATINGS = range(1, 11)


@dataclass
class Scores:
    """One column of a row, an entry an answer.

    Attributes:
        values: higher for better; None where nothing was measured, or no verdict was found in what the model wrote.
        answered: whether the model's output held what was asked for.
    """

    values: list[float | None] = field(default_factory=list)
    answered: list[bool] = field(default_factory=list)

    def add(self, value: float | None, answered: bool | None = None) -> None:
        """Add an answer's."""
        self.values.append(value)
        self.answered.append(value is not None if answered is None else answered)


class Method(Protocol):
    """Scores answers.

    Attributes:
        name: of the method; its columns' names are its own and theirs.
        main: the column that is always there.
        columns: all of them.
        independent: whether an answer's score does not depend on the others.
    """

    name: str
    main: str
    columns: tuple[str, ...]
    independent: bool

    def score(self, row: Row, answers: Sequence[str], seed: int) -> dict[str, Scores]:
        """Score answers to a row's prompt, by column."""
        ...

    def begin(self, row: Row, beginning: str) -> None:
        """Read the beginning of the answers that come next, once."""
        ...


class Lengths:
    """No model: the shortest answer, and the longest."""

    name, main, independent = "length", "shortest", True
    columns: tuple[str, ...] = ("shortest", "longest")

    def score(self, row: Row, answers: Sequence[str], seed: int) -> dict[str, Scores]:  # noqa: D102
        sizes: list[float | None] = [float(len(answer)) for answer in answers]
        return {
            "shortest": Scores([-size for size in sizes if size is not None], [True] * len(sizes)),
            "longest": Scores(sizes, [True] * len(sizes)),
        }

    def begin(self, row: Row, beginning: str) -> None:  # noqa: D102
        pass


class Words:
    """No model: the words that an answer has of its prompt, normalised as for FLIP's F1."""

    name, main, independent = "words", "coverage", True
    columns: tuple[str, ...] = ("coverage", "word f1")

    def score(self, row: Row, answers: Sequence[str], seed: int) -> dict[str, Scores]:  # noqa: D102
        asked = set(normalize(row.prompt).split())
        coverage, f1s = Scores(), Scores()
        for answer in answers:
            coverage.add(len(asked & set(normalize(answer).split())) / max(1, len(asked)))
            f1s.add(word_f1(answer, row.prompt))
        return {"coverage": coverage, "word f1": f1s}

    def begin(self, row: Row, beginning: str) -> None:  # noqa: D102
        pass


_DEFENCES: Mapping[str, Mapping[str, Any]] = {
    "-stripped": {"strip_copies": True},
    "-halves": {"parts": 2},
    "-thirds": {"parts": 3},
}


class Flip:
    """FLIP: word F1 of the inferred instruction, greedy, and the likelihood of the true one.

    Args:
        name: of a prompt, and after it ``stripped`` for answers less their copies of the prompt, or ``halves`` or
            ``thirds`` for the median of so many parts, of which the likelihood alone is taken.
    """

    main, independent = "likelihood", True

    def __init__(self, engine: Engine, name: str, *, writes: bool = True, max_new_tokens: int = 512) -> None:
        ending = next((ending for ending in _DEFENCES if name.endswith(ending)), "")
        prompt, defence = name.removesuffix(ending), _DEFENCES.get(ending, {})
        self.name = name
        self._engine = engine
        self._whole = "parts" not in defence
        self._writes = writes and self._whole
        self.columns: tuple[str, ...] = ("likelihood", "f1") if self._writes else ("likelihood",)
        form = msgspec.structs.replace(load_prompt(prompt), max_new_tokens=max_new_tokens)
        self._reward = FlipReward(
            Config(), engine=engine, prompt=form, method="likelihood", both=self._writes, **defence
        )

    def score(self, row: Row, answers: Sequence[str], seed: int) -> dict[str, Scores]:  # noqa: D102
        gains, f1s = Scores(), Scores()
        for result in self._reward.score_all([Exchange(row.prompt, answer) for answer in answers]):
            empty = result.reward == 0 and result.gain is None
            gains.add(-np.inf if empty else result.gain)
            if result.f1s:
                f1s.add(float(np.mean(result.f1s)), not result.unparsable)
            else:
                f1s.add(0.0 if empty else None)
        return {"likelihood": gains, **({"f1": f1s} if self._writes else {})}

    def begin(self, row: Row, beginning: str) -> None:
        """Right after a score, when the engine has what stands before the answer."""
        if self._whole:
            self._engine.read_ahead([Piece(beginning)])


class JudgePrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A judge's messages and the JSON key of its verdict."""

    system: str
    user: str
    key: str


@cache
def judge_prompts() -> Mapping[str, JudgePrompt]:
    """The prompts of the judges, by name."""
    text = Path(__file__).with_name("judges.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), dict[str, JudgePrompt])


class _Judge:
    main = "logits"

    def __init__(self, engine: Engine, kind: str, *, writes: bool = True, max_new_tokens: int = 512) -> None:
        self.name = kind
        self.columns: tuple[str, ...] = ("logits", "written") if writes else ("logits",)
        self._prompt = judge_prompts()[kind]
        self._engine = engine
        self._writes = writes
        self._limit = max_new_tokens
        self._primed = False

    def _pieces(self, prompt: str, answers: str) -> list[Piece]:
        """The rendered messages; the row's texts in them are text, whatever control tokens they spell."""
        texts = [prompt, answers]
        user = self._prompt.user.replace("{prompt}", "\ue000").replace("{answers}", "\ue001")
        parts = _HOLE.split(self._engine.chat([("system", self._prompt.system), ("user", user)]))
        if len(parts) != 2 * len(texts) + 1:
            raise ConfigError("the model's chat template drops the user's message; this judge cannot be asked")
        return [
            Piece(texts[ord(part) - 0xE000]) if index % 2 else Piece(part, control=True)
            for index, part in enumerate(parts)
        ]

    def _ask(self, prompt: str, answers: str, verdicts: Sequence[str]) -> tuple[np.ndarray, str | None] | None:
        """The verdicts' probabilities among themselves, and what the model wrote as its own; None after a failure."""
        first, *others = self._pieces(prompt, answers)
        try:
            if not self._primed:
                self._engine.prime([first])
                self._primed = True
            self._engine.read(others)
            lead = f'{{"{self._prompt.key}": "'
            # The closing quote tells "1" from the beginning of "10".
            found = self._engine.log_likelihoods([Query(f'{lead}{verdict}"') for verdict in verdicts])
            sums = np.array([tokens.sum() for tokens in found])
            weights = np.exp(sums - sums.max())
            written = None
            if self._writes:
                written = find_answer(self._engine.generate(self._limit, stop=None).text, self._prompt.key)
        except CheckError as error:
            if type(error) is CheckError:
                self._primed = False
            return None
        return weights / weights.sum(), written


class Pointwise(_Judge):
    """A rating from 1 to 10 of each answer; from the logits, the expected rating."""

    independent = True

    def score(self, row: Row, answers: Sequence[str], seed: int) -> dict[str, Scores]:  # noqa: D102
        logits, written = Scores(), Scores()
        for answer in answers:
            found = self._ask(row.prompt, answer, [str(rating) for rating in _RATINGS])
            logits.add(None if found is None else float(found[0] @ np.array(_RATINGS)))
            written.add(None if found is None else rating_of(found[1]))
        return {"logits": logits, **({"written": written} if self._writes else {})}

    def begin(self, row: Row, beginning: str) -> None:  # noqa: D102
        if self._primed:
            self._engine.read_ahead([*self._pieces(row.prompt, "")[1:3], Piece(beginning)])


def rating_of(verdict: str | None) -> float | None:
    """A rating from 1 to 10, of "8", "8/10" or "7.5"."""
    number = re.match(r"\s*(\d+(?:\.\d+)?)", verdict or "")
    return float(number[1]) if number and 1 <= float(number[1]) <= 10 else None


class Listwise(_Judge):
    """A choice among all answers, in an order that hangs on the seed and the row."""

    independent = False

    def score(self, row: Row, answers: Sequence[str], seed: int) -> dict[str, Scores]:  # noqa: D102
        order = order_of(row, len(answers), seed)
        letters = string.ascii_uppercase[: len(answers)]
        found = self._ask(row.prompt, _listed([answers[place] for place in order]), letters)
        chosen = letter_of(found[1], letters) if found else None
        logits: list[float | None] = [None] * len(answers)
        written: list[float | None] = [None] * len(answers)
        for letter, place in zip(letters, order, strict=True):
            logits[place] = float(found[0][letters.index(letter)]) if found else None
            written[place] = float(letter == chosen) if chosen else None
        columns = {"logits": logits, **({"written": written} if self._writes else {})}
        return {name: Scores(values, [value is not None for value in values]) for name, values in columns.items()}

    def begin(self, row: Row, beginning: str) -> None:
        """Nothing: the answer that changes is not always the last."""


class Pairwise(_Judge):
    """A choice in every pair, each asked in one order, which hangs on the seed and the row; the mean of its pairs.

    A pair without a verdict counts for neither; an answer is unparsable when one of its pairs was.
    """

    independent = False

    def score(self, row: Row, answers: Sequence[str], seed: int) -> dict[str, Scores]:  # noqa: D102
        wins = {"logits": np.zeros(len(answers)), **({"written": np.zeros(len(answers))} if self._writes else {})}
        missed = {name: np.zeros(len(answers), dtype=int) for name in wins}
        for first, second in itertools.combinations(order_of(row, len(answers), seed), 2):
            found = self._ask(row.prompt, _listed([answers[first], answers[second]]), "AB")
            shares: dict[str, Sequence[float] | None] = dict.fromkeys(wins)
            if found:
                shares["logits"] = [float(share) for share in found[0]]
                if chosen := letter_of(found[1], "AB"):
                    shares["written"] = [float(letter == chosen) for letter in "AB"]
            for name, total in wins.items():
                share = shares[name]
                for place, answer in enumerate((first, second)):
                    if share is None:
                        missed[name][answer] += 1
                    else:
                        total[answer] += share[place]
        pairs = len(answers) - 1
        return {
            name: Scores(
                [None if missed[name][i] == pairs else float(total[i]) / pairs for i in range(len(answers))],
                [not missed[name][i] for i in range(len(answers))],
            )
            for name, total in wins.items()
        }

    def begin(self, row: Row, beginning: str) -> None:
        """Nothing: the answer that changes stands in several places."""


def order_of(row: Row, count: int, seed: int) -> list[int]:
    """The order in which a judge is shown a row's answers: random, and the same each time."""
    return [int(place) for place in np.random.default_rng([seed, crc32(str(row.id).encode())]).permutation(count)]


def letter_of(verdict: str | None, letters: str) -> str | None:
    """The letter that a judge chose, of "B", "b" or "Response B"."""
    match = re.fullmatch(r"\W*(?:response|answer|option)?\W*([a-z])\W*", verdict or "", re.IGNORECASE)
    return match[1].upper() if match and match[1].upper() in letters else None


def _listed(answers: Sequence[str]) -> str:
    lettered = zip(string.ascii_uppercase, answers, strict=False)
    return "\n\n".join(f"[Response {letter}]\n{text}" for letter, text in lettered)


METHODS = (
    "length",
    "words",
    "flip-context",
    "flip",
    *(f"flip-context{ending}" for ending in _DEFENCES),
    "pointwise",
    "pairwise",
    "listwise",
)

MODELLESS = ("length", "words")


def open_method(name: str, engine: Engine | None, *, writes: bool = True, max_new_tokens: int = 512) -> Method:
    """A method on an engine.

    Args:
        name: one of :data:`METHODS`.
        engine: a loaded model, which nothing else uses meanwhile; those of :data:`MODELLESS` need none.
        writes: whether the model writes its verdict, too, which takes most of the time with short answers.
        max_new_tokens: the longest verdict.
    """
    if name in MODELLESS:
        return Lengths() if name == "length" else Words()
    assert engine
    if name.startswith("flip"):
        return Flip(engine, name, writes=writes, max_new_tokens=max_new_tokens)
    judges: dict[str, type[Pointwise] | type[Pairwise] | type[Listwise]] = {
        "pointwise": Pointwise,
        "pairwise": Pairwise,
        "listwise": Listwise,
    }
    return judges[name](engine, name, writes=writes, max_new_tokens=max_new_tokens)
