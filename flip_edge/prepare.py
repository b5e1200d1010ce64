"""Make prepared models: merge the adapter, requantize, measure here, and keep what pays.

Nothing is fetched. Of the model with its adapter one file is made for each weight type; all of them check the same runs
by turns. The fastest is kept if it is faster than before and tells right from wrong as well; else the next one, if so.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from flip_edge.backward import BackwardInference
from flip_edge.calibration import today
from flip_edge.config import Config
from flip_edge.contrast_set import SYNONYM, ContrastPair, contrast_pairs
from flip_edge.downloads import exclusive
from flip_edge.errors import ConfigError, ModelError
from flip_edge.models import (
    AdapterFile,
    ModelFile,
    joined_id,
    models_folder,
    remove_leftovers,
    resolve,
    resolve_adapter,
    sha256_of,
    verify,
)
from flip_edge.prepared import Prepared, adapter_sha256, keep, prepared_folder, remove_prepared
from flip_edge.prompts import PromptFormat, load_prompt
from flip_edge.registry import WeightType
from flip_edge.statistics import auroc

TYPES: tuple[WeightType, ...] = get_args(WeightType)
"""The weight types that are known."""

LARGEST_LOSS = {"gain": 0.01, "f1": 0.03}
"""A form whose AUROC of one of these is lower by more than this is not kept. F1 hangs on single words: on so few pairs
its AUROC moves by 0.02 by itself."""

_EVERY = 7  # of the contrast set's pairs: enough to see a loss, few enough to take a minute
_FIRST = 6  # pairs, of two runs each, that show how fast a form is
_WORK_PREFIX = ".prepare-"
_N_CTX = 1024  # tokens; enough for the examples of a prompt and a log of the contrast set
_FILES_PER_MODEL = 10  # the merged file in half precision and every type, at the very most, in sizes of the model


@dataclass(frozen=True)
class Trial:
    """One form of a model, measured.

    Attributes:
        type: of the weights; None for the model as it is.
        seconds: of a check, the median.
        auroc: of the gain and of word F1; empty for a form that would not have been kept anyway.
    """

    type: str | None
    seconds: float
    auroc: Mapping[str, float]

    def pays(self, before: Trial) -> bool:
        """Whether it is faster than the model as it is, and as good."""
        if not self.auroc or self.seconds >= before.seconds:
            return False
        return all(self.auroc[name] >= before.auroc[name] - loss for name, loss in LARGEST_LOSS.items())


def prepare(
    model: str = "default",
    adapter: str = "auto",
    *,
    types: Sequence[str] | None = None,
    n_threads: int = 0,
    progress: bool = True,
) -> tuple[Prepared | None, list[Trial]]:
    """Make prepared forms of a model, measure them beside it, and keep the fastest that pays.

    Args:
        model: a registry id or ``default``.
        adapter: as in the configuration.
        types: the weight types to try, of :data:`TYPES`; None for those that the registry names for the model.
        n_threads: processor threads to measure with; 0 for half of the processors.
        progress: bars on stderr, where that is a terminal.

    Returns:
        What was kept, None where nothing pays; and everything that was measured, the model as it is first.

    Raises:
        ModelError: a file is missing, not the right one, or none that can be merged and requantized; or there is no
            room on the disk.
        ConfigError: a type is unknown, or the model is none of the registry.
    """
    if unknown := [name for name in types or () if name not in TYPES]:
        raise ConfigError(f"unknown weight type {', '.join(unknown)}; known: {', '.join(TYPES)}")
    source = resolve(model)
    if source.entry is None or source.size is None:
        raise ConfigError(f"{source.path} is not in the registry: add an entry for it first, see models/README.md")
    beside = resolve_adapter(adapter, source)
    verify(source)
    if beside:
        verify(beside)
    prompt = load_prompt(beside.prompt if beside else source.prompt)
    folder = prepared_folder(source).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(folder).free) < (needed := _FILES_PER_MODEL * source.size):
            raise OSError(errno.ENOSPC, f"{free / 1e6:,.0f} MB are free and up to {needed / 1e6:,.0f} MB are needed")
        with exclusive(models_folder()), _work_folder(folder) as work:
            made = _made(source, beside, types or source.entry.prepare, work, n_threads)
            before, *trials = _measured(source, beside, made, prompt, n_threads, progress)
            best = min((trial for trial in trials if trial.pays(before)), key=lambda trial: trial.seconds, default=None)
            if best is None or best.type is None:
                remove_prepared(source)
                return None, [before, *trials]
            record = _record(made[best.type], source, beside, best, before)
            keep(made[best.type], source, record)
            return record, [before, *trials]
    except OSError as error:
        raise ModelError(
            f"cannot prepare {source.id} in {folder}: {error.strerror or error}; make room, or name another folder in "
            "FLIP_EDGE_CACHE"
        ) from error


@contextmanager
def _work_folder(folder: Path) -> Iterator[Path]:
    """A folder of its own in ``folder``; what a killed run left there goes with it. Only under the lock."""
    remove_leftovers(folder, _WORK_PREFIX)
    with tempfile.TemporaryDirectory(prefix=_WORK_PREFIX, dir=folder, ignore_cleanup_errors=True) as work:
        yield Path(work)


def _made(
    model: ModelFile, adapter: AdapterFile | None, types: Sequence[str], work: Path, n_threads: int
) -> dict[str, Path]:
    from flip_edge.llama import requantize  # here, so that llama.cpp is loaded only where a model is

    base = model.path
    if adapter:
        base = work / "merged.gguf"
        merge(model.path, adapter.path, base)
    made = {}
    for kind in types:
        made[kind] = work / f"{joined_id(model, adapter)}.{kind}.gguf"
        requantize(base, made[kind], kind, n_threads=n_threads)
    return made


def _measured(
    model: ModelFile,
    adapter: AdapterFile | None,
    made: Mapping[str, Path],
    prompt: PromptFormat,
    n_threads: int,
    progress: bool,
) -> list[Trial]:
    """The model as it is, first, and its forms, on the same pairs by turns: a busy machine slows all of them alike.

    A few pairs show which are faster. The rest is for those alone, the fastest first, until one pays.
    """
    from flip_edge.engine import Engine

    config = Config()
    pairs = [pair for pair in contrast_pairs() if pair.kind != SYNONYM][::_EVERY]
    with ExitStack() as stack:
        forms: list[_Form] = []
        for kind, path in ((None, model.path), *made.items()):
            beside = adapter.path if adapter and kind is None else None
            engine = stack.enter_context(Engine(path, adapter=beside, n_ctx=_N_CTX, n_threads=n_threads))
            inference = BackwardInference(engine, prompt, config.max_new_tokens, config.max_alternatives)
            forms.append(_Form(kind, inference))

        def measure(some: Sequence[_Form], pairs: Sequence[ContrastPair], what: str) -> None:
            for pair in tqdm(pairs, desc=what, unit="pair", disable=None if progress else True):
                for form in some:
                    form.measure(pair)

        measure(forms, pairs[:_FIRST], "speed")
        before, *others = forms
        faster = [form for form in others if form.trial().seconds < before.trial().seconds]
        for form in sorted(faster, key=lambda form: form.trial().seconds):
            measure((before, form), pairs[_FIRST:], f"{form.kind}: accuracy")
            if form.trial(whole=True).pays(before.trial(whole=True)):
                break
        return [form.trial(whole=form.measured == len(pairs)) for form in forms]


class _Form:
    """A form of the model while it is measured.

    Args:
        kind: the type of its weights; None for the model as it is.
        inference: reads runs with it.
    """

    def __init__(self, kind: str | None, inference: BackwardInference) -> None:
        self.kind = kind
        self._inference = inference
        self._seconds: list[float] = []
        self._scores: dict[ContrastPair, list[tuple[float, float]]] = {}  # gain and F1, of the run that matches first

    @property
    def measured(self) -> int:
        """On how many pairs."""
        return len(self._scores)

    def measure(self, pair: ContrastPair) -> None:
        """Check both runs of a pair."""
        found = []
        for episode in pair.episodes():
            started = time.perf_counter()
            evidence = self._inference.observe(episode)
            self._seconds.append(time.perf_counter() - started)
            gain = np.nan if evidence.gain is None else evidence.gain
            found.append((gain, evidence.overlap.f1 if evidence.overlap else 0.0))
        self._scores[pair] = found

    def trial(self, *, whole: bool = False) -> Trial:
        """What was measured; ``whole`` if that were all pairs, so that its AUROC counts."""
        figures = {}
        if whole:
            gains, f1s = np.array(list(self._scores.values())).reshape(-1, 2).T
            match = np.tile([True, False], self.measured)
            figures = {"gain": auroc(gains, match), "f1": auroc(f1s, match)}
        return Trial(self.kind, float(np.median(self._seconds)), figures)


def _record(file: Path, model: ModelFile, adapter: AdapterFile | None, best: Trial, before: Trial) -> Prepared:
    return Prepared(
        id=f"{joined_id(model, adapter)}@{best.type}",
        file=file.name,
        type=str(best.type),
        size=file.stat().st_size,
        sha256=sha256_of(file),
        model_sha256=str(model.sha256),
        adapter_sha256=adapter_sha256(adapter),
        speed=round(before.seconds / best.seconds, 2),
        auroc={name: round(value, 4) for name, value in best.auroc.items()},
        auroc_before={name: round(value, 4) for name, value in before.auroc.items()},
        made_on=today(),
    )


def merge(model: Path, adapter: Path, target: Path) -> None:
    """Write a model with its adapter merged into its weights, matrices in float16.

    Args:
        model: a GGUF file of any weight type.
        adapter: a LoRA adapter for it, as GGUF.
        target: the file to write.

    Raises:
        ModelError: the extra ``prepare`` is not installed, or the adapter does not fit.
    """
    try:
        import gguf
    except ImportError:
        raise ModelError("merging an adapter needs the extra `prepare`: pip install 'flip_edge[prepare]'") from None

    source, added = gguf.GGUFReader(model), gguf.GGUFReader(adapter)
    deltas = _deltas(added, gguf)
    architecture = _value(source, gguf.Keys.General.ARCHITECTURE)
    writer = gguf.GGUFWriter(target, architecture)
    for field in source.fields.values():
        # GGUF.* is the header itself, and the writer has the architecture already.
        if field.name.startswith("GGUF.") or field.name == gguf.Keys.General.ARCHITECTURE:
            continue
        if field.name == gguf.Keys.General.FILE_TYPE:
            writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    for tensor in source.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if delta := deltas.pop(tensor.name, None):
            first, second, scale = delta
            if values.shape != (second.shape[0], first.shape[1]):
                raise ModelError(f"adapter {adapter} does not fit {model}: {tensor.name} has the shape {values.shape}")
            values = values + scale * (second @ first)
        writer.add_tensor(tensor.name, values.astype(np.float16 if values.ndim > 1 else np.float32))
    if deltas:
        raise ModelError(f"adapter {adapter} does not fit {model}: it has no {', '.join(sorted(deltas)[:3])}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


_Floats = npt.NDArray[np.float32]


def _deltas(adapter: Any, gguf: Any) -> dict[str, tuple[_Floats, _Floats, float]]:
    """By the matrix that they change: A, B and the scale of an adapter."""
    alpha = float(_value(adapter, gguf.Keys.Adapter.LORA_ALPHA))
    tensors = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in adapter.tensors}
    found = {}
    for name, first in tensors.items():
        if name.endswith(".lora_a"):
            own = name.removesuffix(".lora_a")
            found[own] = (first, tensors[f"{own}.lora_b"], alpha / first.shape[0])
    return found


def _value(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    if field is None:
        raise ModelError(f"a GGUF file does not say its {key}; it cannot be merged")
    return field.contents()
