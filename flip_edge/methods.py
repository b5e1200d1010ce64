"""Every method that an evaluation can measure, by name."""

from __future__ import annotations

import hashlib
import re
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
from flip_edge.calibration import FEATURES, features
from flip_edge.config import Config
from flip_edge.decision import undecided
from flip_edge.episode import Episode
from flip_edge.errors import InputError
from flip_edge.models import resolve, verify
from flip_edge.selfcheck import SelfCheck

OURS = "flip-edge"
QUICK = (OURS, "overlap", "yes-no", "yes-no-few-shot", "pointwise", "pairwise", "listwise")
SLOW = ("embeddings", "pointwise-published", "pairwise-published", "listwise-published", "flip-published")

_SCORES = 3  # what OurScores measures first
_MEASURED = _SCORES + 1  # what stands before the features in it


class OurScores:
    """flip_edge itself: several scores of one check. The check belongs to the caller."""

    # What turns measurements into verdicts may change without them.
    code: tuple[str, ...] = (
        "flip_edge.backward",
        "flip_edge.calibration",
        "flip_edge.engine",
        "flip_edge.hearsay",
        "flip_edge.llama",
    )

    def __init__(self, check: SelfCheck) -> None:
        config = check.config
        self._check = check
        self._calibration = check.calibration
        columns: tuple[Column, ...] = (
            Column("flip-edge: gain", config.gain_threshold),
            Column("flip-edge: F1", config.f1_threshold),
            Column("flip-edge: explained"),
        )
        if check.calibration:
            columns = (Column("flip-edge: score", check.calibration.threshold), *columns)
        self.columns = columns
        # Neither thresholds nor the calibration change what is measured.
        fixed = msgspec.structs.replace(config, calibration="auto", score_threshold=0, f1_threshold=0, gain_threshold=0)
        settings = hashlib.sha256(msgspec.json.encode(fixed)).hexdigest()[:12]
        self.id = f"flip-edge {check.model_id} {check.prompt_id} {settings}"

    def measure(self, episode: Episode) -> Sequence[float | None]:
        """Gain, F1 as rule ``f1`` takes it, share explained; 1 where no score decides, else 0; and the features.

        Nothing where evidence is missing.
        """
        evidence = self._check.observe(episode, sampled=True)
        found = None if evidence.failure and not evidence.unparsable else features(evidence)
        if found is None:
            return (None,) * (_MEASURED + len(FEATURES))
        return (evidence.gain, evidence.f1 or 0.0, evidence.explained, float(undecided(evidence)), *found.values())

    def scores_from(self, measured: Sequence[float | None]) -> Sequence[float | None]:
        """Score, gain, F1 and share explained."""
        scores, found = measured[:_SCORES], self.features_from(measured)
        if not self._calibration:
            return scores
        return (self._calibration.score_of(found) if found else None, *scores)

    @staticmethod
    def is_undecided(measured: Sequence[float | None]) -> bool:
        """Whether the verdict is UNKNOWN whatever the score."""
        return bool(measured[_SCORES])

    @staticmethod
    def features_from(measured: Sequence[float | None]) -> dict[str, float]:
        """The features of the calibrated score by name; empty where evidence is missing."""
        values = zip(FEATURES, measured[_MEASURED:], strict=True)
        return {name: value for name, value in values if value is not None}


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


_IMPORT = re.compile(r"^from (flip_edge[\w.]*) import (.+)$", re.MULTILINE)
_DATA = {
    "flip_edge.prompts": "prompts/*.yaml",
    "flip_edge.lexicon": "lexicon.yaml",
    "flip_edge.baselines.judges": "baselines/*.yaml",
}


def code_fingerprint(*modules: str) -> str:
    """A digest of modules, of all that they import from flip_edge, and of its data: no score outlives a change of them.

    Imports inside functions and for type checking alone do not count; name such modules, where scores depend on them.
    """
    package = Path(__file__).parent
    seen: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = package.parent.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name not in seen and path.is_file():
            seen[name] = path
            for parent, names in _IMPORT.findall(path.read_text(encoding="utf-8")):
                waiting += [parent, *(f"{parent}.{imported.strip()}" for imported in names.split(","))]
    data = [path for name, pattern in _DATA.items() if name in seen for path in package.glob(pattern)]
    digest = hashlib.sha256()
    for path in sorted([*seen.values(), *data]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
