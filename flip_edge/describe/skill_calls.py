"""Skills as robots report them in one line: `pick(mug_1) -> SUCCESS`, or the same as JSON."""

from __future__ import annotations

import json
import re

from flip_edge.describe.naming import split_words
from flip_edge.describe.skills import SkillResult
from flip_edge.errors import InputError

MAX_LENGTH = 1000
"""Characters of a line; longer ones are no skill calls."""

_CALL = re.compile(r"(?P<action>[^\W\d][\w ./-]{0,80})\((?P<arguments>[^()]*)\)(?P<rest>[^()]*)", re.ASCII)
_RESULT = re.compile(r"\s*(?:->|=>)\s*(?P<status>[A-Za-z_.:]*[A-Za-z_])(?P<message>.*)", re.DOTALL)
_ROLES = {
    role: name
    for name, roles in {
        "object": "object obj item thing what",
        "source": "source from",
        "target": "target to at on in into onto location place destination goal",
    }.items()
    for role in roles.split()
}
_BY_POSITION = ("object", "target", "source")
_ENDED_WELL = frozenset({"OK", "DONE", "TRUE", "COMPLETE", "COMPLETED", "FINISHED"})
_NOT_ENDED = frozenset(
    {"", "IDLE", "PENDING", "WAITING", "ACCEPTED", "START", "STARTED", "STARTING", "ACTIVE", "RUNNING", "EXECUTING"}
    | {"IN_PROGRESS", "PAUSED", "CANCELING", "CANCELLING", "PREEMPTING", "UNKNOWN", "NONE"}
)


def parse_skill_call(line: str) -> SkillResult | None:
    """Reads one report; None where the skill has not ended.

    Arguments are the thing, where it is put or taken from, and a third one where it came from; or named, as
    `object=`, `target=` (`to=`, `at=`) and `source=` (`from=`). Behind the status may follow why.

    Raises:
        InputError: It is no such report.

    >>> parse_skill_call("place(mug_1, to=desk) -> FAILURE: no free place was found").message
    'no free place was found'
    >>> parse_skill_call('{"action": "pick", "object": "mug_1", "status": "SUCCEEDED"}').object
    'mug_1'
    >>> parse_skill_call("pick(mug_1)") is None
    True
    """
    line = line.strip()
    if len(line) > MAX_LENGTH:
        raise InputError(f"a skill call of {len(line)} characters; at most {MAX_LENGTH} are read")
    return _parse_json(line) if line.startswith("{") else _parse_call(line)


def _parse_call(line: str) -> SkillResult | None:
    found = _CALL.match(line)
    if found is None:
        raise InputError(f"{line!r:.80} is no skill call: expected one such as 'pick(mug_1) -> SUCCESS'")
    ended = _RESULT.match(line[found.start("rest") :])
    status = _status(ended["status"]) if ended else ""
    if not status or ended is None:
        return None
    message = ended["message"].strip().lstrip(":;,-").strip()
    if message.startswith("(") and message.endswith(")"):
        message = message[1:-1]
    return SkillResult(found["action"].strip(), status=status, message=message, **_arguments(found["arguments"]))


def _arguments(listed: str) -> dict[str, str]:
    named: dict[str, str] = {}
    unnamed = []
    for argument in listed.split(","):
        key, separator, value = argument.rpartition("=")
        value = value.strip().strip("\"'")
        if not split_words(value):  # numbers, and nothing at all
            continue
        if not separator:
            unnamed.append(value)
        elif role := _ROLES.get(key.strip().lower()):
            named[role] = value
    return {**dict(zip(_BY_POSITION, unnamed, strict=False)), **named}


def _parse_json(line: str) -> SkillResult | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{line!r:.80} is not JSON: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("action"), str):
        raise InputError(f'{line!r:.80} names no skill: expected {{"action": "pick", "status": "SUCCESS"}}')
    reported = data.get("status", "")
    if not isinstance(reported, str):
        raise InputError(f"{line!r:.80}: the status must be text")
    if not (status := _status(reported)):
        return None
    known = {key: data[key] for key in ("object", "source", "target", "message") if data.get(key) is not None}
    return SkillResult(data["action"], status=status, **known)


def _status(name: str) -> str:
    """A status as `SkillOutcome.from_status` reads it; "" for one that is no end."""
    status = re.split(r"[.:]", name.strip())[-1].upper().removeprefix("STATUS_")
    if status in _NOT_ENDED:
        return ""
    return "SUCCESS" if status in _ENDED_WELL else status
