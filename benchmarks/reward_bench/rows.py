"""The rows of RewardBench 2, as JSON lines. Source: Malik et al., 2025, arXiv 2506.01937; allenai/reward-bench-2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from flip_edge.errors import InputError


class Row(msgspec.Struct, frozen=True):
    """A prompt with answers, of which the chosen ones are better. The public file's other fields are not read."""

    id: str | int
    subset: str
    prompt: str
    chosen: list[str]
    rejected: list[str]

    @property
    def answers(self) -> list[str]:
        """The chosen one first: methods must not let the order count."""
        return [*self.chosen, *self.rejected]


def read_rows(path: Path, limits: Mapping[str, int] | None = None) -> tuple[list[Row], int]:
    """Rows with one chosen answer, in the file's order, and how many others were left out.

    Those are of the subset Ties: RewardBench 2 scores it by margins between many right answers, not by best of N.

    Args:
        path: one JSON object a line.
        limits: the subsets to read, with how many rows of each; all where None.

    Raises:
        InputError: the file cannot be read, a line is no such row, an id comes twice, or a subset is not there.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    decoder = msgspec.json.Decoder(Row)
    rows: list[Row] = []
    left_out = 0
    taken: Counter[str] = Counter()
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = decoder.decode(line)
        except msgspec.DecodeError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
        if str(row.id) in seen:
            raise InputError(f"{path}, line {number}: the id {row.id!r} comes twice")
        seen.add(str(row.id))
        if len(row.chosen) != 1:
            left_out += 1
            continue
        if not row.rejected:
            raise InputError(f"{path}, line {number}: there is no rejected answer")
        if limits is None or taken[row.subset] < limits.get(row.subset, 0):
            rows.append(row)
            taken[row.subset] += 1
    if missing := [name for name in limits or {} if not taken[name]]:
        raise InputError(f"{path} has no rows of {', '.join(missing)}")
    return rows, left_out
