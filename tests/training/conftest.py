"""Rows to train a tiny model on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.prepare import Options, rows

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    made = rows(Options(data=DATA, limit=16, sources=("synthetic",)))
    file.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return file
