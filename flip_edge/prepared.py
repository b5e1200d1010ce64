"""Prepared models: a model and its adapter in one file, in the weight type that is fastest on this processor.

They lie in ``CACHE/models/ID/prepared/``, each beside a record of what it was made from and measured with. One is used
as long as model and adapter are the ones it was made from. :mod:`flip_edge.prepare` makes them.
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import yaml

from flip_edge.models import AdapterFile, ModelFile, models_folder, sha256_of

_log = logging.getLogger(__name__)

_RECORD = "prepared.yaml"


class Prepared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The record of a prepared model.

    Attributes:
        id: what verdicts call it, ``MODEL+ADAPTER@TYPE``.
        file: its name, beside the record.
        type: of its weights.
        size, sha256: of the file; the size is in bytes.
        model_sha256, adapter_sha256: of what it was made from; None without an adapter.
        speed: how many times as fast it was as what it was made from, on this machine.
        auroc, auroc_before: of its gain and word F1 on pairs of the contrast set, and of what it was made from.
        made_on: the day.
    """

    id: str
    file: str
    type: str
    size: int
    sha256: str
    model_sha256: str
    adapter_sha256: str | None
    speed: float
    auroc: dict[str, float]
    auroc_before: dict[str, float]
    made_on: str


def find_prepared(model: ModelFile, adapter: AdapterFile | None) -> ModelFile | None:
    """The prepared form of a model with an adapter, if there is one; what is in it remains to be verified.

    A record that cannot be read counts as none, with a warning.
    """
    path = prepared_folder(model) / _RECORD
    if model.sha256 is None or not path.is_file():
        return None
    try:
        record = msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), Prepared)
    except (OSError, ValueError, yaml.YAMLError, msgspec.ValidationError) as error:
        _log.warning("no prepared model is used: cannot read %s: %s; run: flip-edge models prepare", path, error)
        return None
    if (record.model_sha256, record.adapter_sha256) != (model.sha256, adapter_sha256(adapter)):
        return None
    return replace(
        model,
        path=path.with_name(record.file),
        id=record.id,
        prompt=adapter.prompt if adapter else model.prompt,
        size=record.size,
        sha256=record.sha256,
        remedy="run `flip-edge models prepare` again, or `flip-edge models prepare --remove`",
    )


def keep(file: Path, model: ModelFile, record: Prepared) -> None:
    """Move a file to the place of the prepared form of a model, in place of another one, with its record."""
    folder = prepared_folder(model)
    remove_prepared(model)
    folder.mkdir(parents=True)
    with file.open("rb+") as made:
        os.fsync(made.fileno())
    file.replace(folder / record.file)
    # The record comes last and whole: without it no file is used.
    part = folder / f"{_RECORD}.part"
    part.write_text(yaml.safe_dump(msgspec.to_builtins(record), sort_keys=False), encoding="utf-8")
    part.replace(folder / _RECORD)


def remove_prepared(model: ModelFile) -> bool:
    """Remove the prepared form of a model; whether there was one."""
    folder = prepared_folder(model)
    if not folder.is_dir():
        return False
    (folder / _RECORD).unlink(missing_ok=True)  # first, so that nothing half removed is used
    shutil.rmtree(folder)
    return True


def prepared_folder(model: ModelFile) -> Path:
    """Where the prepared form of a registry model lies, or would."""
    return models_folder() / (model.entry.id if model.entry else model.id) / "prepared"


def adapter_sha256(adapter: AdapterFile | None) -> str | None:
    """The SHA-256 of an adapter's file; None without an adapter."""
    return (adapter.sha256 or sha256_of(adapter.path)) if adapter else None


def id_unprepared(model_id: str) -> str:
    """The id of what a prepared model was made from: calibrations fit both.

    >>> id_unprepared("smollm2+robots@q8_0"), id_unprepared("smollm2")
    ('smollm2+robots', 'smollm2')
    """
    return model_id.partition("@")[0]
