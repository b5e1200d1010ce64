"""The contrast set: pairs that differ in one thing that matters, and synonyms that differ in nothing that does.

The templates are data (``contrasts.yaml``); the pairs are the same every time, and short enough to be read by a person.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from flip_edge.datasets import LabelledEpisode
from flip_edge.episode import Episode
from flip_edge.statistics import Estimate, binomial_interval

SYNONYM = "synonym"
_SLOT = re.compile(r"\{(\w+?)(\d*)\}")


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sentence pattern; ``contrasts.yaml`` says what the fields mean."""

    kind: str
    command: str
    contrast: str
    steps: tuple[str, ...]
    contrast_steps: tuple[str, ...] = ()
    choices: tuple[tuple[str | int | float, ...], ...] = ()
    between: tuple[str, str] | None = None
    words: dict[str, tuple[str | int | float, ...]] = {}
    repeat: int = 1


class Templates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of ``contrasts.yaml``."""

    version: int
    words: dict[str, tuple[str, ...]]
    templates: tuple[Template, ...]


@dataclass(frozen=True)
class ContrastPair:
    """A log with two commands.

    Attributes:
        kind: what they differ in.
        steps: what was done.
        command: fulfilled by it.
        contrast: not fulfilled by it; of the kind ``synonym``, fulfilled as well.
    """

    kind: str
    steps: tuple[str, ...]
    command: str
    contrast: str

    def episodes(self) -> tuple[Episode, Episode]:
        """The log with the true command and with the contrast."""
        return Episode.of(self.command, self.steps), Episode.of(self.contrast, self.steps)


@dataclass(frozen=True)
class KindResult:
    """One method on one kind of pairs.

    Attributes:
        method, kind: which; kind ``all`` for all but synonyms.
        pairs: how many.
        share: pairs whose true command scores above the contrast, ties and missing answers half; of synonyms, pairs
            with both wordings at or above the threshold. With the exact 95 % interval. None without a threshold.
        unanswered: pairs in which a score is missing.
    """

    method: str
    kind: str
    pairs: int
    share: Estimate | None
    unanswered: int


@cache
def contrast_pairs() -> tuple[ContrastPair, ...]:
    """Every pair, in the order of the templates."""
    text = Path(__file__).with_name("contrasts.yaml").read_text(encoding="utf-8")
    data = msgspec.convert(yaml.safe_load(text), Templates)
    pairs: dict[ContrastPair, None] = {}
    for number, template in enumerate(data.templates):
        for values in _fillings(template, data.words, number):
            pairs.update(dict.fromkeys(_both_ways(template, values)))
    return tuple(pairs)


def _fillings(template: Template, words: Mapping[str, Sequence[str]], number: int) -> Iterator[dict[str, str]]:
    """The words of each instance: the lists are walked through from a place that depends on the template."""
    lists: dict[str, Sequence[Any]] = {**words, **template.words}
    names = _slots(template) - {"x", "y", "x_done", "y_done"}
    choices: Sequence[tuple[str | int | float, ...]] = template.choices or ((),)
    instance = number
    for choice in choices:
        for _ in range(template.repeat):
            values = _named(choice)
            if template.between:
                values = dict(zip("xy", _two(lists, template.between, instance), strict=True))
            for order, name in enumerate(sorted(names)):
                kind, _, _ = name.partition("2")
                taken = set(values.values())
                values[name] = _word(lists[kind], instance + 3 * order, taken)
            yield values
            instance += 1


def _slots(template: Template) -> set[str]:
    texts = (template.command, template.contrast, *template.steps, *template.contrast_steps)
    return {"".join(match) for text in texts for match in _SLOT.findall(text)}


def _named(choice: Sequence[str | int | float]) -> dict[str, str]:
    names = ("x", "x_done", "y", "y_done") if len(choice) == 4 else ("x", "y")[: len(choice)]
    return {name: str(value) for name, value in zip(names, choice, strict=True)}


def _two(lists: Mapping[str, Sequence[Any]], between: tuple[str, str], instance: int) -> tuple[str, str]:
    first = _word(lists[between[0]], instance, set())
    # A growing stride, so that the pairs differ and not only their first words.
    return first, _word(lists[between[1]], instance + 1 + instance // len(lists[between[1]]), {first})


def _word(options: Sequence[Any], index: int, taken: set[str]) -> str:
    """The word at a place of a list, or the first after it that is not taken."""
    rotated = [str(options[(index + offset) % len(options)]) for offset in range(len(options))]
    return next(word for word in rotated if word not in taken)


def _both_ways(template: Template, values: Mapping[str, str]) -> Iterator[ContrastPair]:
    def fill(text: str, words: Mapping[str, str]) -> str:
        return _SLOT.sub(lambda slot: words[slot[1] + slot[2]], text)

    def pair(steps: Sequence[str], command: str, contrast: str, words: Mapping[str, str]) -> ContrastPair:
        return ContrastPair(
            template.kind, tuple(fill(step, words) for step in steps), fill(command, words), fill(contrast, words)
        )

    yield pair(template.steps, template.command, template.contrast, values)
    if template.kind == SYNONYM:  # the other way round it is the same pair
        return
    if template.contrast_steps:
        yield pair(template.contrast_steps, template.contrast, template.command, values)
        return
    exchanged = {
        name.translate(str.maketrans("xy", "yx")) if name[0] in "xy" else name: values[name] for name in values
    }
    yield pair(template.steps, template.command, template.contrast, exchanged)


def episodes() -> list[LabelledEpisode]:
    """Both sides of every pair, each once, to be scored with other episodes."""
    rows: dict[tuple[str, tuple[str, ...]], LabelledEpisode] = {}
    for number, pair in enumerate(contrast_pairs()):
        for episode, match in zip(pair.episodes(), (True, pair.kind == SYNONYM), strict=True):
            name = f"contrast {number}"
            row = LabelledEpisode(episode, match, pair.kind, "contrast set", name, name)
            rows.setdefault((episode.command, episode.steps), row)
    return list(rows.values())


# --- measuring


def measure(
    method: str,
    score: Callable[[Episode], float | None],
    threshold: float | None,
    pairs: Sequence[ContrastPair] | None = None,
) -> list[KindResult]:
    """How one method does on each kind of pairs, and on all that are no synonyms.

    Args:
        method: its name.
        score: higher for a better match; None where it has no answer.
        threshold: a match is a score of at least this; only synonyms need it.
        pairs: all of the set, unless given.
    """
    pairs = contrast_pairs() if pairs is None else pairs
    scored: dict[str, list[tuple[float | None, float | None]]] = {}
    for pair in pairs:
        true, contrast = pair.episodes()
        scored.setdefault(pair.kind, []).append((score(true), score(contrast)))
    results = [_result(method, kind, rows, threshold) for kind, rows in scored.items() if kind != SYNONYM]
    everything = [row for kind, rows in scored.items() if kind != SYNONYM for row in rows]
    results.append(_result(method, "all", everything, threshold))
    if SYNONYM in scored:
        results.append(_result(method, SYNONYM, scored[SYNONYM], threshold))
    return results


def _result(
    method: str, kind: str, rows: Sequence[tuple[float | None, float | None]], threshold: float | None
) -> KindResult:
    answered = [(true, other) for true, other in rows if true is not None and other is not None]
    missing = len(rows) - len(answered)
    if not rows or (kind == SYNONYM and threshold is None):
        return KindResult(method, kind, len(rows), None, missing)
    if kind == SYNONYM:
        assert threshold is not None
        wins = float(sum(min(row) >= threshold for row in answered))
    else:
        wins = sum((true > other) + 0.5 * (true == other) for true, other in answered) + missing / 2
    return KindResult(
        method, kind, len(rows), Estimate(wins / len(rows), *binomial_interval(round(wins), len(rows))), missing
    )


def to_text(results: Sequence[KindResult]) -> str:
    """The table for a terminal: kinds down, methods across."""
    methods = list(dict.fromkeys(result.method for result in results))
    kinds = list(dict.fromkeys((result.kind, result.pairs) for result in results))
    shares = {(result.method, result.kind): result.share for result in results}
    width = max([len(method) for method in methods], default=0) + 2
    lines = ["contrast set: share of pairs whose true command scores above its contrast (synonym: both pass)"]
    lines.append(f"  {'':<{width}}" + "".join(f"{kind:>12}" for kind, _ in kinds))
    lines.append(f"  {'pairs':<{width}}" + "".join(f"{pairs:>12}" for _, pairs in kinds))
    for method in methods:
        cells = [shares.get((method, kind)) for kind, _ in kinds]
        lines.append(f"  {method:<{width}}" + "".join(f"{f'{cell.value:.3f}' if cell else '-':>12}" for cell in cells))
    return "\n".join(lines)
