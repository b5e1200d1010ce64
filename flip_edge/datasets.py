"""Labelled runs to measure on: reads recorded runs and makes, from successful ones, runs that do not match.

The recipe for the negatives of one successful run, all seeded by the run itself (:func:`make_episodes`):

=================  ===================================================================================================
``random``         its command with the steps of a run of another task.
``hard``           its command with the steps of the nearest other task: the same type of task with either another
                   object or another receptacle, where the data names them; else the run whose command shares most
                   words (word F1 below 1) with this one.
``cut``            its command with the first half of its steps; runs of two steps or more.
``cut_before_last``  its command with the steps before its last manipulation (a step with a verb of
                   :data:`MANIPULATIONS`).
``shuffled``       its command with its steps in another order.
=================  ===================================================================================================

A made run never has the steps of the run it was made from: two wordings of one task are not a mismatch. Recorded
failures are taken as they are: ``recorded_`` and the ``kind`` that the row names; where it names none,
``recorded_search_only`` where nothing was manipulated, else ``recorded_manipulated``.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from flip_edge.episode import Episode, clean_text
from flip_edge.errors import InputError
from flip_edge.similarity import normalize, word_f1
from flip_edge.verbs import past_tense

MADE = ("random", "hard", "cut", "cut_before_last", "shuffled")
RECORDED = "recorded"
KINDS = (*MADE, RECORDED)

_VERBS = (
    "put place insert close open drop release set pour push pull press pick take grab lift hang throw slice cut wash "
    "clean rinse wipe heat cool chill cook microwave fill empty switch toggle use give hand dock load unload plug "
    "screw mount attach detach"
)
_OPENING_VERBS = ("open", "close")


def _forms(verbs: Iterable[str]) -> frozenset[str]:
    return frozenset(form for verb in verbs for form in (verb, f"{verb}s", f"{verb}es", past_tense([verb])))


MANIPULATIONS = _forms(_VERBS.split())
_OPENING = _forms(_OPENING_VERBS)
# A verb stands at the start of a clause: "go to the microwave" and "on the right hand side" handle nothing.
_CLAUSE = re.compile(r"[,.;:]|\b(?:and|then|but|before|after)\b")
_SUBJECT = re.compile(r"^(?:(?:the|a|i|it|you|robot|agent|arm|gripper|successfully|have|has|also)\s+)+")
# "turn" is a manipulation only of a switch: "turn left" is not.
_TURN_SWITCH = re.compile(r"\bturn(?:s|ed)?\b.*\b(?:on|off)\b(?!\s+(?:the|your)\s+(?:left|right))")
_TURN = re.compile(r"\bturn(?:s|ed)?\s+(?:around|left|right|to|and|back|slightly|toward|towards)\b")
_OBJECT_NUMBER = re.compile(r"(?<=[A-Za-z]) \d+\b")
_TRIAL = re.compile(r"\btrial_\w+")
_NO_EFFECT = "nothing happens"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a file of runs. Only ``command`` and ``actions`` are required; other keys are ignored.

    Attributes:
        outcome: ``success`` or ``failure``; a reference plan counts as a success.
        kind: what is wrong with a failure, in a word.
        trial: the trajectory; several rows may describe one.
        task_type, object, receptacle: what names the task, where the data does.
        observations: what the environment answered to each action. Never given to a check.
    """

    command: str
    actions: tuple[str, ...]
    id: str | int = ""
    source: str = ""
    outcome: str = "success"
    kind: str = ""
    trial: str = ""
    task_type: str = ""
    object: str = ""
    receptacle: str = ""
    observations: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The trajectory or scene that this run shares with others: what a bootstrap resamples, a split keeps whole."""
        named = self.trial or ((match := _TRIAL.search(str(self.id))) and match[0])
        return f"{self.source}:{named or self.id}"

    @property
    def task(self) -> tuple[str, ...]:
        """What was to be done: two runs with the same task are not each other's negatives."""
        if self.task_type:
            return self.task_type, self.object, self.receptacle
        return (normalize(self.command),)

    @property
    def manipulated(self) -> bool:
        """Whether something was manipulated; where observations are known, with an effect."""
        observed = self.observations if len(self.observations) == len(self.actions) else ("",) * len(self.actions)
        return any(
            is_manipulation(action) and not is_opening(action) and _NO_EFFECT not in observation.lower()
            for action, observation in zip(self.actions, observed, strict=True)
        )


@dataclass(frozen=True)
class LabelledEpisode:
    """A run to check, and whether it matches its command.

    Attributes:
        episode: the command and the steps.
        match: the label.
        kind: ``success``, or how the mismatch came about.
        source: the data it comes from.
        group: the trajectory of the run whose command this is.
        command_of: id of that run, shared by a run and the negatives made from it.
    """

    episode: Episode
    match: bool
    kind: str
    source: str
    group: str
    command_of: str


def read_runs(path: Path, *, keep_numbers: bool = False) -> list[Run]:
    """Read a JSONL file of runs, ``{"command", "actions", ...}`` a line.

    The object numbers of ALFWorld's commands ("go to shelf 8") are left out unless ``keep_numbers``: a description of
    what was done would not have them.

    Raises:
        InputError: the file cannot be read or a line is not a run; the message has its number.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    runs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            run = msgspec.json.decode(line, type=Run)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}:{number}: not a run: {error}") from None
        if run.outcome not in ("success", "failure"):
            raise InputError(f"{path}:{number}: outcome is {run.outcome!r}; it is 'success' or 'failure'")
        runs.append(_named(run, path, number, keep_numbers))
    return runs


def _named(run: Run, path: Path, number: int, keep_numbers: bool) -> Run:
    actions = run.actions
    if run.source.startswith("alfworld") and not keep_numbers:
        actions = tuple(_OBJECT_NUMBER.sub("", action) for action in actions)
    name = run.id if run.id != "" else f"line {number}"
    return msgspec.structs.replace(run, id=str(name), source=run.source or path.stem, actions=actions)


def make_episodes(
    runs: Sequence[Run], *, kinds: Iterable[str] = KINDS, limit: int | None = None, seed: int = 0
) -> list[LabelledEpisode]:
    """Label ``runs`` and make negatives from the successful ones, by the recipe above.

    Of several successful rows of one ``trial``, one is used. Every choice depends on ``seed`` and the run alone, so
    that a ``limit`` takes a part of the whole and changes nothing else.

    Args:
        runs: of one or more sources; negatives are made within a source.
        kinds: which negatives to make or take.
        limit: at most so many successful runs of each source, and as many recorded failures.
        seed: for every choice.
    """
    wanted = frozenset(kinds)
    if unknown := wanted - frozenset(KINDS):
        raise InputError(f"unknown kind of negative {', '.join(sorted(unknown))}; known: {', '.join(KINDS)}")
    by_source: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if clean_text(run.command) and any(clean_text(action) for action in run.actions):
            by_source[run.source].append(run)
    return [row for source_runs in by_source.values() for row in _episodes_of_source(source_runs, wanted, limit, seed)]


def _episodes_of_source(
    runs: Sequence[Run], wanted: frozenset[str], limit: int | None, seed: int
) -> list[LabelledEpisode]:
    successes = _one_per_trial([run for run in runs if run.outcome == "success"], seed)
    failures = [run for run in runs if run.outcome == "failure"] if RECORDED in wanted else []
    pool = _Pool(successes)
    rows: list[LabelledEpisode] = []
    for run in _shuffled(successes, seed)[:limit]:
        rows.append(_label(run, "success", run.actions, match=True))
        for kind in MADE:
            if kind in wanted and (steps := _negative(kind, run, pool, seed)):
                rows.append(_label(run, kind, steps, match=False))
    for run in _shuffled(failures, seed)[:limit]:
        kind = f"{RECORDED}_{run.kind or ('manipulated' if run.manipulated else 'search_only')}"
        rows.append(_label(run, kind, run.actions, match=False))
    return rows


def _label(run: Run, kind: str, steps: Sequence[str], *, match: bool) -> LabelledEpisode:
    name = str(run.id) if match or kind.startswith(RECORDED) else f"{run.id}#{kind}"
    return LabelledEpisode(Episode.of(run.command, steps, id=name), match, kind, run.source, run.group, str(run.id))


def _random(seed: int, *names: object) -> random.Random:
    """A generator of its own for every choice, the same on every machine."""
    digest = hashlib.sha256(repr((seed, *names)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def _shuffled(runs: Sequence[Run], seed: int) -> list[Run]:
    return sorted(runs, key=lambda run: _random(seed, "order", run.source, run.id).random())


def _one_per_trial(runs: Sequence[Run], seed: int) -> list[Run]:
    trials: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        trials[run.trial or f"row {run.id}"].append(run)
    return [_random(seed, "trial", trial).choice(rows) for trial, rows in trials.items()]


# --- negatives


class _Pool:
    """The runs that negatives are taken from, by what they are looked up by."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = runs
        self.by_type: dict[str, list[Run]] = defaultdict(list)
        self.by_command: dict[str, list[Run]] = defaultdict(list)
        for run in runs:
            self.by_type[run.task_type].append(run)
            self.by_command[normalize(run.command)].append(run)


def _negative(kind: str, run: Run, pool: _Pool, seed: int) -> tuple[str, ...]:
    """The steps of one made negative; none where the run does not allow it."""
    generator = _random(seed, kind, run.source, run.id)
    if kind == "cut":
        return run.actions[: len(run.actions) // 2]
    if kind == "cut_before_last":
        return before_last_manipulation(run.actions)
    if kind == "shuffled":
        return _reordered(run.actions, generator)
    other = _other_task(run, pool.runs, generator) if kind == "random" else _nearest_task(run, pool, generator)
    return other.actions if other else ()


def _differs(run: Run, other: Run) -> bool:
    """Whether the other run's steps are a mismatch for this run's command."""
    return (
        other.task != run.task
        and normalize(other.command) != normalize(run.command)
        and [normalize(step) for step in other.actions] != [normalize(step) for step in run.actions]
    )


def _other_task(run: Run, runs: Sequence[Run], generator: random.Random) -> Run | None:
    for _ in range(20):  # nearly always the first; the search below is for data with few tasks
        other = generator.choice(runs)
        if _differs(run, other):
            return other
    others = [other for other in runs if _differs(run, other)]
    return generator.choice(others) if others else None


def _nearest_task(run: Run, pool: _Pool, generator: random.Random) -> Run | None:
    if run.task_type:
        near = [
            other
            for other in pool.by_type[run.task_type]
            if (other.object != run.object) != (other.receptacle != run.receptacle) and _differs(run, other)
        ]
        if near:
            return generator.choice(near)
    own = normalize(run.command)
    likeness = {text: word_f1(text, own) for text in pool.by_command if text != own}
    for text in sorted(likeness, key=lambda text: (-likeness[text], text)):
        others = [other for other in pool.by_command[text] if _differs(run, other)]
        if likeness[text] < 1 and others:  # 1: the same words in another order
            return generator.choice(others)
    return None


def is_manipulation(step: str) -> bool:
    """Whether a step describes handling something, by its verbs: not going, searching or looking.

    >>> is_manipulation("Turn around and put the cup down"), is_manipulation("go to the microwave")
    (True, False)
    """
    text = step.lower()
    return not MANIPULATIONS.isdisjoint(_verbs(text)) or (bool(_TURN_SWITCH.search(text)) and not _TURN.search(text))


def is_opening(step: str) -> bool:
    """Whether a step opens or closes something and does no more, as a search does."""
    handled = _verbs(step.lower()) & MANIPULATIONS
    return bool(handled) and handled <= _OPENING


def _verbs(text: str) -> set[str]:
    """The first word of every clause."""
    clauses = (_SUBJECT.sub("", clause.strip()) for clause in _CLAUSE.split(text))
    return {clause.split()[0] for clause in clauses if clause}


def before_last_manipulation(steps: Sequence[str]) -> tuple[str, ...]:
    """The steps before the last one that handles something; none where that is the first, or there is none."""
    for index in range(len(steps) - 1, 0, -1):
        if is_manipulation(steps[index]):
            return tuple(steps[:index])
    return ()


def _reordered(steps: Sequence[str], generator: random.Random) -> tuple[str, ...]:
    if len(set(steps)) < 2:
        return ()
    mixed = list(steps)
    while tuple(mixed) == tuple(steps):
        generator.shuffle(mixed)
    return tuple(mixed)
