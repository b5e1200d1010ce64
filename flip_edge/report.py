"""The report of a shift: runs, verdicts and alerts as one HTML file that needs nothing else, no network either."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
import unicodedata
from base64 import b64encode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

from flip_edge import __version__
from flip_edge.blackbox import FILE, DamagedError
from flip_edge.blackbox import read_runs as read_black_box
from flip_edge.config import Config
from flip_edge.decision import Outcome
from flip_edge.errors import InputError

_TEMPLATE = Path(__file__).with_name("report.html")
_SQLITE = b"SQLite format 3"
_OUTCOMES = tuple(outcome.value for outcome in Outcome)
_KEYS = (
    "time", "verdict", "reason", "command", "command_id", "id", "steps", "interim", "inferred", "sampled", "f1",
    "f1_threshold", "precision", "recall", "missing", "unexpected", "gain", "gain_threshold", "explained", "confirmed",
    "score", "score_threshold", "rule", "model_id", "prompt_id", "calibration_id", "waited_s", "computed_s",
    "tokens_reused", "tokens_prefilled", "tokens_generated", "alert",
)  # fmt: skip
_TEXTS = ("reason", "command", "command_id", "inferred", "rule", "model_id", "prompt_id", "calibration_id", "alert")
_NUMBERS = (
    "time", "f1", "f1_threshold", "precision", "recall", "gain", "gain_threshold", "explained", "confirmed", "score",
    "score_threshold", "waited_s", "computed_s", "tokens_reused", "tokens_prefilled", "tokens_generated",
)  # fmt: skip


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The runs of a file of verdicts (of replay, score or check, a JSON object a line), or of a black box.

    Raises:
        DamagedError: a black box is damaged; the error has what can be read.
        InputError: the file cannot be read; the message has the line.
    """
    try:
        if path.is_dir():
            if not (path / FILE).exists():
                raise InputError(f"{path} is a folder without a black box ({FILE}); name a file of verdicts")
            return read_black_box(path)
        with path.open("rb") as file:
            if file.read(len(_SQLITE)) == _SQLITE:
                return read_black_box(path)
            file.seek(0)
            return [_row(line, f"{path}, line {number}") for number, line in enumerate(file, start=1) if line.strip()]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise InputError(f"{where}: not a verdict but {type(row).__name__}")
    if row.get("verdict") not in _OUTCOMES:
        hint = "; runs to check go through flip-edge score first" if "verdict" not in row else ""
        raise InputError(f"{where}: verdict is {row.get('verdict')!r}, expected one of {', '.join(_OUTCOMES)}{hint}")
    for key in ("steps", "sampled", "missing", "unexpected"):
        value = row.get(key) or []
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise InputError(f"{where}: {key} must be a list of texts, not {str(value)[:60]!r}")
    kinds: tuple[tuple[tuple[str, ...], tuple[type, ...], str], ...] = (
        (_TEXTS, (str,), "a text"),
        (_NUMBERS, (int, float), "a number"),
        (("id",), (str, int, float), "a text or a number"),
        (("interim",), (bool,), "true or false"),
    )
    for names, types, told in kinds:
        for name in names:
            if row.get(name) is not None and type(row[name]) not in types:  # a bool is no number here
                raise InputError(f"{where}: {name} must be {told}, not {str(row[name])[:60]!r}")
    return row


def write_report(rows: Iterable[Mapping[str, Any]], path: Path, *, title: str, source: str) -> int:
    """Write the report, whole or not at all. Returns the number of runs.

    Args:
        rows: as :func:`read_rows` returns them, in the order in which the runs ended.
        path: the HTML file; overwritten.
        title: of the page.
        source: where the runs come from, for people.

    Raises:
        InputError: it cannot be written.
    """
    runs = [{key: row[key] for key in _KEYS if row.get(key) is not None} for row in rows]
    page = _page(title, {"title": title, "source": source, "version": __version__, "runs": runs})
    try:
        _replace(path, page)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return len(runs)


def _page(title: str, data: object) -> str:
    template = _TEMPLATE.read_text(encoding="utf-8")
    script = template.partition("<script>")[2].partition("</script>")[0]
    parts = {
        "title": escape(_printable(title)),
        "data": _embedded(data),
        # The browser runs this one script and no other, wherever another might come from.
        "digest": f"sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    }
    # In one go: a title may itself look like a placeholder.
    return re.sub(r"\{\{(title|data|digest)\}\}", lambda found: parts[found[1]], template)


def _printable(text: str) -> str:
    """Text for the title of a window, where nothing else can tell of characters that hide or turn the text around."""
    return "".join("\ufffd" if unicodedata.category(char) in ("Cc", "Cf", "Cs") else char for char in text)


def _embedded(data: object) -> str:
    """JSON that cannot end the element that it stands in, whatever its texts are; figures that are no numbers: null."""
    told = json.dumps(_finite(data), allow_nan=False, separators=(",", ":"))  # ASCII alone
    return told.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


def _replace(path: Path, page: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


# --- the command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``flip-edge report``."""
    parser.add_argument(
        "source", type=Path, metavar="IN", help="verdicts of replay or score as JSON lines, or a black box"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="OUT.html", help="default: beside IN, with suffix .html")
    parser.add_argument("--title", help="default: the name of IN")


def run(config: Config, arguments: argparse.Namespace) -> int:
    """``flip-edge report``: 0, or 2 where only a part could be read.

    Raises:
        InputError: nothing can be read, or the report cannot be written.
    """
    source: Path = arguments.source
    problem = ""
    output: Path = arguments.output or _beside(source)
    if any(output.exists() and kept.exists() and output.samefile(kept) for kept in (source, source / FILE)):
        raise InputError(f"{output} is what the report is made from; name another file with -o")
    try:
        rows = read_rows(source)
    except DamagedError as error:
        rows, problem = error.rows, str(error)
    count = write_report(rows, output, title=arguments.title or source.resolve().name, source=str(source))
    print(f"{count} runs: {output}")
    if problem:
        print(f"flip-edge: {problem}", file=sys.stderr)
    return 2 if problem else 0


def _beside(source: Path) -> Path:
    whole = source.resolve()  # "." has no name of its own
    return source.parent / f"{whole.stem}.html" if whole.is_file() else whole.with_name(f"{whole.name}.html")
