"""Model files: find one by its name, verify it, fetch it, list what there is.

    model = resolve("default")   # or a registry id, or the path of a .gguf file
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
from dataclasses import dataclass
from pathlib import Path

from flip_edge.downloads import Progress, exclusive, fetch, reporting
from flip_edge.errors import DownloadError, ModelError
from flip_edge.gguf import check_gguf
from flip_edge.registry import (
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


@dataclass(frozen=True)
class ModelFile:
    """A model on disk, or where it would be.

    Attributes:
        path: the GGUF file.
        id: its registry id, or the file's name without ``.gguf``.
        sha256: what its SHA-256 must be; None where that is not known.
        prompt: the prompt format it works best with; for a file given by its path, that of the default model.
        entry: its registry entry; None for a file given by its path.
    """

    path: Path
    id: str
    sha256: str | None
    prompt: str
    entry: ModelEntry | None


@dataclass(frozen=True)
class ModelRow:
    """One line of the list of models.

    Attributes:
        id, description, licence, size, default: as in the registry; the size is in bytes.
        installed: whether a file of the right size is there; :func:`verify` tells whether it is the file.
        path: where it is, or would be.
    """

    id: str
    description: str
    licence: str
    size: int
    default: bool
    installed: bool
    path: Path


def list_models(*, registry: str | Path | None = None) -> list[ModelRow]:
    """Every model of the registry, in its order.

    Args:
        registry: a registry file of the user's own; None for the one named by ``FLIP_EDGE_REGISTRY``, if any.

    Raises:
        ConfigError: a registry file cannot be used.
    """
    rows = []
    for entry in load_registry(registry).values():
        path = _path(entry)
        rows.append(
            ModelRow(
                id=entry.id,
                description=entry.description,
                licence=entry.licence,
                size=entry.size,
                default=entry.default,
                installed=_trouble(path) is None and path.stat().st_size == entry.size,
                path=path,
            )
        )
    return rows


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
            raise ModelError(f"model {entry.id!r} is not installed: {found.path}: {trouble}; {_remedy(entry)}")
        return found
    if not _looks_like_path(model):
        raise ModelError(_unknown(model, entries))
    path = expand(model).absolute()
    if trouble := _trouble(path):
        known = ", ".join(entries)
        raise ModelError(f"no model file {path}: {trouble}; check the path, or give a registry id: {known}")
    prompt = next(entry.prompt for entry in entries.values() if entry.default)
    return ModelFile(path, path.stem, None, prompt, None)


def verify(model: ModelFile, *, progress: Progress | None = None) -> None:
    """Check that a model file is whole and is the one it should be.

    A registry model is held against its size and SHA-256. Of a file given by its path neither is known: it is
    checked to be GGUF, of a version that can be read, and not cut short.

    Args:
        model: the file, from :func:`resolve`.
        progress: told of the bytes read; None for a bar on stderr where that is a terminal.

    Raises:
        ModelError: it is not; the message names the file, what is wrong and what to do.
    """
    if model.entry is None:
        check_gguf(model.path)
    elif defect := _defect(model.path, model.entry, progress):
        raise ModelError(f"{model.path} is not {model.id!r}: {defect}; {_remedy(model.entry)}")


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
        if not force and _defect(target.path, entry, report) is None:
            return target
        models = cache_dir() / "models"
        with _storage_errors(entry, models):
            models.mkdir(parents=True, exist_ok=True)
            with exclusive(models):
                _remove_leftovers(models)
                if force or not _present(target.path, entry, report):
                    _install(entry, source, target.path, report)
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
    return cache_dir() / "models" / entry.id / entry.file


def _model_file(entry: ModelEntry) -> ModelFile:
    return ModelFile(_path(entry), entry.id, entry.sha256, entry.prompt, entry)


def _remedy(entry: ModelEntry) -> str:
    if isinstance(entry.source, PathSource):
        return "put the file there, or correct its entry in your registry file"
    return f"run `flip-edge models pull {entry.id}`, or copy {entry.file} there from another machine"


def _trouble(path: Path) -> str | None:
    """Why there is no file under a path; None where there is one."""
    try:
        return None if stat.S_ISREG(path.stat().st_mode) else "it is not a file"
    except OSError as error:
        return error.strerror
    except ValueError as error:  # a NUL in the path
        return str(error)


def _defect(path: Path, entry: ModelEntry, progress: Progress | None) -> str | None:
    """What is wrong with a file of the registry; None when it is the right one."""
    try:
        size = path.stat().st_size
        if size != entry.size:
            return f"it has {size:,} bytes instead of {entry.size:,}"
        with reporting(progress) as report:
            found = _sha256(path, report)
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    return None if found == entry.sha256 else f"its SHA-256 is {found} instead of {entry.sha256}"


def _sha256(path: Path, progress: Progress) -> str:
    # The whole file, at every load: 0.1 s for the default model's 98 MB. To remember the result by size and
    # time stamp would save that and miss what it is for: a flash card that loses bits of files nobody writes.
    digest = hashlib.sha256()
    total = path.stat().st_size
    buffer = memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            progress(f"verifying {path.name}", file.tell(), total)
    return digest.hexdigest()


def _present(path: Path, entry: ModelEntry, progress: Progress) -> bool:
    if _trouble(path):
        return False
    if defect := _defect(path, entry, progress):
        _log.warning("%s is not %r: %s; fetching it again", path, entry.id, defect)
        return False
    return True


def _install(entry: ModelEntry, source: PackageSource | HubSource, path: Path, progress: Progress) -> None:
    models = path.parent.parent
    needed = 2 * entry.size  # what is fetched, and what is made from it
    if (free := shutil.disk_usage(models).free) < needed:
        told = f"{free / 1e6:,.0f} MB are free and about {needed / 1e6:,.0f} MB are needed"
        raise OSError(errno.ENOSPC, told)
    with tempfile.TemporaryDirectory(prefix=_WORK_PREFIX, dir=models, ignore_cleanup_errors=True) as work:
        fetched = fetch(entry, source, Path(work), progress)
        if defect := _defect(fetched, entry, progress):
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


def _remove_leftovers(models: Path) -> None:
    """Remove what killed pulls left; only under the lock, where no other pull is at work."""
    for folder in models.glob(f"{_WORK_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


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
