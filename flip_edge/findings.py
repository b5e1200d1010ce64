"""What was found wrong, or well: findings, how they are told, and how they are made where a process may end by it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import msgspec

from flip_edge.config import Config
from flip_edge.errors import FlipEdgeError

State = Literal["ok", "warning", "error"]

_DEFECT = "this is a defect of flip_edge or of the installation: report it with this line"
REBUILD = "build it here: pip install --force-reinstall --no-cache-dir --no-binary llama-cpp-python llama-cpp-python"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what it is, in a word or two.
        state: ``ok``; ``warning`` for what may be meant so; ``error`` for what keeps a check from working.
        text: what was found.
        remedy: what to do about it, or for something that is well what could make it better; may be empty.
    """

    name: str
    state: State
    text: str
    remedy: str = ""


def told(finding: Finding) -> str:
    """A finding as a person reads it; a remedy has a line of its own."""
    line = f"{finding.state:8} {finding.name:14} {finding.text}"
    return f"{line}\n{'':24}-> {finding.remedy}" if finding.remedy else line


def summed_up(findings: Sequence[Finding]) -> str:
    """The last line: how many there are of each."""
    errors, warnings = count(findings, "error"), count(findings, "warning")
    if not errors and not warnings:
        return f"all is well: {len(findings)} things looked at"
    return f"{len(findings)} things looked at: {number(errors, 'error')}, {number(warnings, 'warning')}"


def count(findings: Iterable[Finding], state: State) -> int:
    """How many are in a state."""
    return sum(finding.state == state for finding in findings)


def number(count: int, what: str) -> str:
    """A number of things in words: "1 error", "2 errors"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def guarded(name: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What a function finds; what it raises is a finding too."""
    try:
        yield from look()
    except FlipEdgeError as error:
        yield failed(name, error)
    except Exception as error:
        yield Finding(name, "error", f"could not be looked at: {type(error).__name__}: {error}", _DEFECT)


def failed(name: str, error: FlipEdgeError, remedy: str = "") -> Finding:
    """An error as a finding: behind its last semicolon an error says what to do, unless ``remedy`` is given."""
    if remedy:
        return Finding(name, "error", str(error), remedy)
    text, _, remedy = str(error).rpartition("; ")
    return Finding(name, "error", text, remedy) if text else Finding(name, "error", remedy)


def in_a_process(
    name: str, command: Sequence[str], given: Config, seconds: float, remedy: str = _DEFECT
) -> Iterator[Finding]:
    """The findings that a command prints as JSON in its last line; what keeps it from that is a finding.

    Args:
        name: of a finding about the command itself.
        command: the program and its arguments.
        given: goes to its standard input, as JSON.
        seconds: how long it may take; then it is ended.
        remedy: what to do when it fails.
    """
    data = json.dumps(msgspec.to_builtins(given)).encode()
    try:
        ran = subprocess.run(command, input=data, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        yield Finding(name, "error", f"gave no answer within {seconds:g} s", "is the machine overloaded or stuck?")
        return
    if ran.returncode < 0:
        yield _ended(name, -ran.returncode)
        return
    try:
        yield from msgspec.convert(json.loads(ran.stdout.strip().rpartition(b"\n")[2]), list[Finding])
    except ValueError:
        said = re.sub(r"\x1b\[[\d;]*m", "", ran.stderr.decode("utf-8", "replace")).strip().rpartition("\n")[2]
        yield Finding(name, "error", f"ended with code {ran.returncode}: {said or 'it gave no reason'}", remedy)


def _ended(name: str, number: int) -> Finding:
    remedies = {
        signal.SIGILL: f"llama.cpp was built for another processor; {REBUILD}",
        signal.SIGKILL: "the system ends processes when memory runs out: free some, or use a smaller model or n_ctx",
    }
    text = f"its process was ended by {signal.Signals(number).name} ({signal.strsignal(number)})"
    return Finding(name, "error", text, remedies.get(signal.Signals(number), _DEFECT))


def answer(findings: Iterable[Finding]) -> None:
    """Print findings as :func:`in_a_process` reads them."""
    print(f"\n{json.dumps([asdict(finding) for finding in findings])}")
