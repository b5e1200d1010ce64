"""Every method that an evaluation can measure, by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from flip_edge.backward import InferenceEngine
from flip_edge.baselines import AnyMethod, Column
from flip_edge.baselines.embeddings import EmbeddingCosine
from flip_edge.baselines.judges import ChoiceJudge, PointwiseJudge, YesNoJudge
from flip_edge.baselines.overlap import WordOverlap
from flip_edge.baselines.published import PublishedFlip
from flip_edge.config import Config
from flip_edge.episode import Episode
from flip_edge.errors import InputError
from flip_edge.models import resolve, verify
from flip_edge.selfcheck import SelfCheck
from flip_edge.verdict import Verdict

OURS = "flip-edge"
QUICK = (OURS, "overlap", "yes-no", "yes-no-few-shot", "pointwise", "pairwise", "listwise")
SLOW = ("embeddings", "pointwise-published", "pairwise-published", "listwise-published", "flip-published")


class OurScores:
    """flip_edge itself: several scores of one check. The check belongs to the caller."""

    def __init__(self, check: SelfCheck) -> None:
        config = check.config
        self._check = check
        columns = {
            "score": Column("flip-edge: score", check.calibration.threshold if check.calibration else None),
            "gain": Column("flip-edge: gain", config.gain_threshold),
            "f1": Column("flip-edge: F1", config.f1_threshold),
            "explained": Column("flip-edge: explained"),
        }
        if not check.calibration:
            del columns["score"]
        if "explained" not in Verdict.__dataclass_fields__:
            del columns["explained"]
        self._fields = tuple(columns)
        self.columns: tuple[Column, ...] = tuple(columns.values())
        settings = hashlib.sha256(msgspec.json.encode(config)).hexdigest()[:12]
        weights = hashlib.sha256(msgspec.json.encode(check.calibration)).hexdigest()[:12]
        self.id = f"flip-edge {check.model_id} {check.prompt_id} {settings} {weights}"

    def scores(self, episode: Episode) -> Sequence[float | None]:
        """Score, gain, F1 and share explained of one check."""
        verdict = self._check.check(episode)
        return tuple(getattr(verdict, name, None) for name in self._fields)


def open_methods(names: Iterable[str], config: Config) -> Iterator[AnyMethod]:
    """Open methods by name, one after the other, each closed when the next is asked for.

    Raises:
        InputError: a name is unknown.
        ModelError, ConfigError: a model cannot be used.
    """
    wanted = list(dict.fromkeys(names))
    if unknown := [name for name in wanted if name not in QUICK + SLOW]:
        raise InputError(f"unknown method {', '.join(unknown)}; known: all, {', '.join(QUICK + SLOW)}")
    # First of all, because its extra may be missing, and that should not come out after hours.
    embeddings = EmbeddingCosine() if "embeddings" in wanted else None
    if OURS in wanted:
        with SelfCheck(config) as check:
            yield OurScores(check)
    if "overlap" in wanted:
        yield WordOverlap()
    if embeddings:
        yield embeddings
    if judges := [name for name in wanted if name in _JUDGES]:
        from flip_edge.engine import Engine  # here, so that llama.cpp is loaded only where a model is

        model = resolve(config.model)
        verify(model)
        with Engine(
            model.path, n_ctx=config.n_ctx, n_threads=config.n_threads, n_gpu_layers=config.n_gpu_layers
        ) as engine:
            for name in judges:
                yield _JUDGES[name](engine, model.id)


_JUDGES: dict[str, Callable[[InferenceEngine, str], AnyMethod]] = {
    "yes-no": YesNoJudge,
    "yes-no-few-shot": partial(YesNoJudge, few_shot=True),
    "pointwise": PointwiseJudge,
    "pointwise-published": partial(PointwiseJudge, constrained=False),
    "pairwise": ChoiceJudge,
    "pairwise-published": partial(ChoiceJudge, constrained=False),
    "listwise": partial(ChoiceJudge, at_once=6),
    "listwise-published": partial(ChoiceJudge, at_once=6, constrained=False),
    "flip-published": PublishedFlip,
}


def code_fingerprint() -> str:
    """A digest of the code and data that scores depend on, so that no score outlives a change of them."""
    package = Path(__file__).parent
    tables = ("evaluate", "evaluation_table", "evaluation_report", "statistics", "datasets", "contrast_set")
    apart = {*tables, "contrasts", "calibrate", "cli", "methods"}  # read scores, or make what is scored
    digest = hashlib.sha256()
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.yaml")]):
        if path.stem not in apart:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
