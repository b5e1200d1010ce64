"""The live state machine: which description belongs to which command, when a run ends, when an alert is raised.

No rclpy and no clock of its own: every call is told the time, in seconds, and returns what is to be done.

**A run** begins with a command and collects the descriptions that follow. It ends, and is to be checked, when

- a description says it was the final one,
- the next command comes. It ends the active run and descriptions that name no command. Where commands may overlap,
  those with ids leave each other's runs open,
- its command is cancelled: UNKNOWN, as nobody knows what it would have come to,
- it lasted ``max_run_s``,
- nothing was heard of it for ``idle_timeout_s``. Such a run stays open: a later description continues it, and it is
  checked again as a whole, so that a slow robot's early verdict is corrected.

Topics do not keep each other's order. A run that the next command ended therefore waits ``settle_s`` for descriptions
that were under way.

**A description** with an id belongs to the command of that id, also when the command arrives after it. One without
belongs to the command that was active at its stamp, or, where it or the command has no stamp, when it arrives. Stamps
are compared with stamps alone, never with the time of arrival, which may be of another clock. Within a run,
descriptions are in the order of their stamps; those without one stay where they arrived. A description for a run that
was checked and closed is late: it is counted and not used. The same text of the same stamp again is a duplicate.
Descriptions without a command are a run too, and end as UNKNOWN. What a describer saw (:meth:`Monitor.saw`) names no
command; it belongs to the active one, and without one it is nobody's and is not used.

**A command** again while its run is active, by its id or word for word before anything was described, is a repetition
and changes nothing, as is one of the same id, text and stamp at any time. Otherwise it begins a new run, also under an
id that was used before. A command with an older stamp than the active one's was overtaken by it: it gets the
descriptions from its stamp on, and ends.

**Messages that were lost** on the way may have been of the active run, which is UNKNOWN then.

**An alert** is raised when ``confirm_mismatches`` runs in a row were a MISMATCH, and again, counted on, by each further
one, once a run. The next MATCH clears it. UNKNOWN neither raises nor clears, nor does it interrupt a row.

>>> monitor = Monitor(idle_timeout_s=30, max_steps=200)
>>> monitor.command("go to the dock", now=0.0)
[]
>>> monitor.action("drove to the kitchen", now=1.0)
[]
>>> [episode.steps for episode in monitor.command("go to the kitchen", now=5.0)]
[('drove to the kitchen',)]
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from flip_edge.config import Config
from flip_edge.decision import Outcome
from flip_edge.episode import Episode, clean_text
from flip_edge.verdict import Verdict

MAX_RUN_CHARACTERS = 200_000  # far beyond any context; bounds what a flood of text can take
_MAX_OPEN_RUNS = 64
_REMEMBERED = 256


class Journal(Protocol):
    """Who writes down what the monitor hears as it hears it; a black box, for example."""

    def command(self, run: str, text: str, time: float) -> None: ...  # noqa: D102
    def step(self, run: str, text: str, time: float) -> None: ...  # noqa: D102

    def moved(self, source: str, target: str, text: str, time: float) -> None:
        """A step belongs to another run than was thought."""


@dataclass
class Counters:
    """What the monitor has heard and done since it was made."""

    commands: int = 0
    repeated_commands: int = 0
    overtaken_commands: int = 0
    cancelled_commands: int = 0
    descriptions: int = 0
    repeated_descriptions: int = 0
    dropped_descriptions: int = 0
    late_descriptions: int = 0
    unclaimed_sightings: int = 0
    runs: int = 0
    drifts: int = 0
    alerts: int = 0
    verdicts: dict[str, int] = field(default_factory=lambda: {outcome.value: 0 for outcome in Outcome})


@dataclass(frozen=True)
class Alert:
    """A change of the alert: raised by a mismatch, or cleared by a match.

    Attributes:
        raised: False when it was cleared.
        id: counts raised alerts from 1; a cleared alert has the id of the one it clears.
        consecutive: mismatched runs in a row; 0 when cleared.
        verdict: what raised or cleared it.
    """

    raised: bool
    id: int
    consecutive: int
    verdict: Verdict


@dataclass(frozen=True)
class _Step:
    text: str
    stamp: float | None
    named: bool  # it said which command it belongs to


@dataclass
class _Run:
    id: str
    command: str
    began: float
    heard: float
    stamp: float | None = None
    steps: list[_Step] = field(default_factory=list)
    stamped: set[tuple[float, str]] = field(default_factory=set)
    characters: int = 0
    dropped: int = 0
    news: bool = True  # something was heard since the last check
    watched: int = 0  # steps of the last look on the way
    settled: float | None = None  # when a run that has ended is to be checked
    named: bool = True  # its command had an id

    def so_far(self, *, finished: bool = False, cancelled: bool = False) -> Episode:
        steps = tuple(step.text for step in self.steps)
        return Episode(self.command, steps, self.id, self.dropped, finished=finished, cancelled=cancelled)

    def add(self, step: _Step) -> None:
        """Put a step where its stamp says, after those without one that arrived before it."""
        place = len(self.steps)
        if step.stamp is not None:
            self.stamped.add((step.stamp, step.text))
            while place and (before := self.steps[place - 1].stamp) is not None and before > step.stamp:
                place -= 1
        self.steps.insert(place, step)
        self.characters += len(step.text)

    def give_away(self, stamp: float) -> list[_Step]:
        """Take out the steps from ``stamp`` on that named no command."""
        given = [step for step in self.steps if not step.named and step.stamp is not None and step.stamp >= stamp]
        for step in given:
            self.steps.remove(step)
            self.characters -= len(step.text)
        return given


class Monitor:
    """See the module's description for the semantics.

    Args:
        idle_timeout_s: seconds of silence after which a run is checked.
        max_steps: descriptions kept of one run; the ones beyond it are counted, and make the run UNKNOWN.
        settle_s: seconds that a run which the next command ended waits for descriptions under way.
        max_run_s: seconds after which a run ends; 0 for no limit.
        overlapping: whether commands with ids leave each other's runs open.
        confirm_mismatches: how many runs in a row must be a MISMATCH for an alert.
        drift_check_steps: a look on the way after so many further descriptions; 0 for none.
        journal: who writes down what is heard.
        witness: asked when the active run ends for what describers still have under way.
        alert: the alert as another monitor left it.
    """

    def __init__(
        self,
        *,
        idle_timeout_s: float,
        max_steps: int,
        settle_s: float = 0.0,
        max_run_s: float = 0.0,
        overlapping: bool = False,
        confirm_mismatches: int = 1,
        drift_check_steps: int = 0,
        journal: Journal | None = None,
        witness: Callable[[], Iterable[str]] = tuple,
        alert: Alert | None = None,
    ) -> None:
        self.idle_timeout_s = idle_timeout_s
        self.max_steps = max_steps
        self.settle_s = settle_s
        self.max_run_s = max_run_s
        self.overlapping = overlapping
        self.confirm_mismatches = confirm_mismatches
        self.drift_check_steps = drift_check_steps
        self.counters = Counters(alerts=alert.id if alert else 0)
        self.alert = alert
        self._journal = journal
        self._witness = witness
        self._mismatches = alert.consecutive if alert else 0
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._ended: deque[str] = deque(maxlen=_REMEMBERED)
        self._given: deque[tuple[str, str, float]] = deque(maxlen=_REMEMBERED)
        self._counted: deque[str] = deque(maxlen=_REMEMBERED)  # runs that count as mismatched
        self._active: _Run | None = None
        self._commands_without_id = 0

    @classmethod
    def of(
        cls,
        config: Config,
        *,
        journal: Journal | None = None,
        witness: Callable[[], Iterable[str]] = tuple,
        alert: Alert | None = None,
    ) -> Monitor:
        """A monitor with the settings of a configuration."""
        monitor = cls(
            idle_timeout_s=config.idle_timeout_s,
            max_steps=config.max_steps,
            journal=journal,
            witness=witness,
            alert=alert,
        )
        monitor.reconfigure(config)
        return monitor

    def reconfigure(self, config: Config) -> None:
        """Take over the settings of a configuration, from now on."""
        self.idle_timeout_s = config.idle_timeout_s
        self.max_steps = config.max_steps
        self.settle_s = config.settle_s
        self.max_run_s = config.max_run_s
        self.overlapping = config.commands == "overlapping"
        self.confirm_mismatches = config.confirm_mismatches
        self.drift_check_steps = config.drift_check_steps

    # --- what is heard

    def command(self, text: str, *, id: str = "", now: float, stamp: float | None = None) -> list[Episode]:
        """A command arrived, given at ``stamp``. Returns the runs that it ends, oldest first."""
        text = clean_text(text)
        if self._is_repeated(text, id, stamp):
            self.counters.repeated_commands += 1
            return []
        self.counters.commands += 1
        if stamp is not None:
            self._given.append((id, text, stamp))
        if self._active is None:
            self._witness()  # what began before the command is no part of its run
        overtaken = bool(self._active and _before(stamp, self._active.stamp))
        early = self._runs.pop(id, None) if id and not self._commanded(id) else None
        ended = self._end(self._runs[id]) if id and id in self._runs else []
        name = id or self._next_id()
        if name in self._counted:  # an id that is used again is another run
            self._counted.remove(name)
        run = early or _Run(name, text, now, now, named=bool(id))
        run.command, run.stamp, run.began, run.heard, run.news = text, stamp, now, now, True
        if self._journal:
            self._journal.command(name, text, now)
        self._claim(run, now)
        if overtaken:
            self.counters.overtaken_commands += 1
            self._runs[name] = run
            ended += self._end(run, settle_from=now)
        else:
            ended += [
                episode
                for other in list(self._runs.values())
                if self._gives_way(other, id)
                for episode in self._end(other, settle_from=now)
            ]
            self._runs[name] = self._active = run
        return ended

    def action(
        self, text: str, *, command_id: str = "", final: bool = False, now: float, stamp: float | None = None
    ) -> list[Episode]:
        """A description arrived, of what ended at ``stamp``. Returns the runs that it ends."""
        self.counters.descriptions += 1
        if command_id and command_id not in self._runs and command_id in self._ended:
            self.counters.late_descriptions += 1
            return []
        run = self._runs.get(command_id) if command_id else self._active_at(stamp)
        ended: list[Episode] = []
        if run is None:
            if not command_id and self._active:
                self.counters.late_descriptions += 1
                return []
            if command_id not in self._runs and len(self._runs) >= _MAX_OPEN_RUNS:
                ended = self._end(next(run for run in self._runs.values() if run is not self._active))
            run = self._runs.setdefault(command_id, _Run(command_id, "", now, now))
        self._append(run, _Step(clean_text(text), stamp, bool(command_id)), now)
        if final:
            # Verdicts, and so the alert, follow the order in which runs ended.
            settling = [other for other in self._runs.values() if other.settled is not None and other is not run]
            ended += [episode for other in settling for episode in self._end(other)] + self._end(run)
        return ended

    def saw(self, text: str, *, now: float) -> None:
        """A describer saw something by itself."""
        if self._active and self._active.command:
            self._append(self._active, _Step(clean_text(text), None, named=False), now)
        else:
            self.counters.unclaimed_sightings += 1

    def stir(self, *, now: float) -> None:
        """A describer has something under way: the active run is not silent."""
        if self._active:
            self._active.heard = now

    def cancel(self, *, id: str = "", now: float) -> list[Episode]:
        """A command was withdrawn: that of the id, or the active one. Returns its run."""
        run = self._runs.get(id) if id else self._active
        if run is None or not run.command or run.settled is not None:
            return []
        self.counters.cancelled_commands += 1
        run.heard, run.news = now, True
        return self._end(run, cancelled=True)

    def lose(self, count: int = 1) -> None:
        """Messages were lost, and nobody knows what they said: runs that they may have been of cannot be judged."""
        self.counters.dropped_descriptions += count
        for run in self._runs.values():
            if run is self._active or run.settled is not None:
                run.dropped += count
                run.news = True

    # --- what follows from time

    def tick(self, now: float) -> list[Episode]:
        """Time passed. Returns the runs that are to be checked now, oldest first."""
        due = []
        for run in list(self._runs.values()):
            run.heard, run.began = min(run.heard, now), min(run.began, now)  # simulated time may jump back
            if run.settled is not None:
                run.settled = min(run.settled, now + self.settle_s)
            if (run.settled is not None and now >= run.settled) or (self.max_run_s and self._is_overlong(run, now)):
                due += self._end(run)
            elif run.news and now - run.heard >= self.idle_timeout_s:
                due.append(self._episode(run))
        return due

    def flush(self) -> list[Episode]:
        """End every open run, for example because the monitor stops. Returns those with news."""
        return [episode for run in list(self._runs.values()) for episode in self._end(run)]

    def drift(self) -> Episode | None:
        """The active run as far as it has come, when it is time to look on the way."""
        run = self._active
        if not (self.drift_check_steps and run and run.command):
            return None
        if len(run.steps) - run.watched < self.drift_check_steps:
            return None
        run.watched = len(run.steps)
        return run.so_far()

    # --- what was found

    def conclude(self, verdict: Verdict) -> Alert | None:
        """A check is done. Returns the change of the alert, if it changes."""
        if verdict.interim:
            self.counters.drifts += verdict.outcome is Outcome.MISMATCH
        else:
            self.counters.verdicts[verdict.outcome.value] += 1
        current = self.alert
        if verdict.outcome is Outcome.MISMATCH:
            if verdict.command_id in self._counted:
                return None
            self._counted.append(verdict.command_id)
            self._mismatches += 1
            if self._mismatches < self.confirm_mismatches:
                return None
            self.counters.alerts += 1
            self.alert = Alert(True, self.counters.alerts, self._mismatches, verdict)
            return self.alert
        if verdict.outcome is not Outcome.MATCH:
            return None
        self._mismatches = 0
        if verdict.command_id in self._counted:  # it may go wrong again later
            self._counted.remove(verdict.command_id)
        if current and current.raised:
            self.alert = Alert(False, current.id, 0, verdict)
            return self.alert
        return None

    @property
    def open_runs(self) -> int:
        """Runs that still collect descriptions."""
        return len(self._runs)

    def so_far(self) -> Episode | None:
        """The active run as far as it has come; None where there is none, or nothing was described."""
        run = self._active
        return run.so_far() if run and run.steps else None

    # --- commands

    def _is_repeated(self, text: str, id: str, stamp: float | None) -> bool:
        if stamp is not None and (id, text, stamp) in self._given:
            return True
        active = self._active
        if active is None or active.command != text:
            return False
        return active.id == id or not (id or active.steps or active.dropped)

    def _next_id(self) -> str:
        self._commands_without_id += 1
        return f"#{self._commands_without_id}"

    def _commanded(self, id: str) -> bool:
        run = self._runs.get(id)
        return bool(run and run.command)

    def _gives_way(self, run: _Run, id: str) -> bool:
        """Whether a run ends because a command of this id came."""
        if run.settled is not None:
            return False
        if run is self._active:
            return not (self.overlapping and id and run.named)
        return not run.id

    def _claim(self, run: _Run, now: float) -> None:
        """Descriptions that came before their command, but were stamped after it, are its own."""
        if run.stamp is None:
            return
        earlier = [
            other
            for other in self._runs.values()
            if other is not run and (not other.id or (other.stamp is not None and other.stamp <= run.stamp))
        ]
        later = [other.stamp for other in self._runs.values() if _before(run.stamp, other.stamp) and other.stamp]
        for other in earlier:
            for step in other.give_away(run.stamp):
                if later and step.stamp is not None and step.stamp >= min(later):
                    other.add(step)
                else:
                    run.add(step)
                    if self._journal:
                        self._journal.moved(other.id, run.id, step.text, now)
            if not (other.id or other.steps or other.dropped):
                other.news = False

    def _active_at(self, stamp: float | None) -> _Run | None:
        """The run that a description without an id belongs to; None where it is not open."""
        active = self._active
        if active is None or stamp is None or not _before(stamp, active.stamp):
            return active
        told = [run for run in self._runs.values() if run.stamp is not None and run.stamp <= stamp]
        if not told and not any(given <= stamp for _, _, given in self._given):
            return active  # older than every command: of a clock that is behind, rather than of nobody
        return max(told, key=lambda run: run.stamp or 0.0, default=None)

    # --- runs

    def _is_overlong(self, run: _Run, now: float) -> bool:
        return run.settled is None and now - run.began >= self.max_run_s

    def _append(self, run: _Run, step: _Step, now: float) -> None:
        run.heard, run.news = now, True
        if not step.text:
            return
        if step.stamp is not None and (step.stamp, step.text) in run.stamped:
            self.counters.repeated_descriptions += 1
            return
        if len(run.steps) >= self.max_steps or run.characters + len(step.text) > MAX_RUN_CHARACTERS:
            run.dropped += 1
            self.counters.dropped_descriptions += 1
            return
        run.add(step)
        if self._journal:
            self._journal.step(run.id, step.text, now)

    def _end(self, run: _Run, *, settle_from: float | None = None, cancelled: bool = False) -> list[Episode]:
        """End a run, now or when it has settled. Returns its episode, unless it has no news or has to settle."""
        if run is self._active:
            for text in self._witness() if run.command else ():
                self._append(run, _Step(clean_text(text), None, named=False), run.heard)
            self._active = None
        if settle_from is not None and self.settle_s and run.news and len(self._runs) <= _MAX_OPEN_RUNS:
            run.settled = settle_from + self.settle_s
            return []
        del self._runs[run.id]
        if run.id:
            self._ended.append(run.id)
        return [self._episode(run, cancelled=cancelled)] if run.news else []

    def _episode(self, run: _Run, *, cancelled: bool = False) -> Episode:
        run.news = False
        self.counters.runs += 1
        return run.so_far(finished=True, cancelled=cancelled)


def _before(stamp: float | None, other: float | None) -> bool:
    """Whether one stamp is older than another; unknown stamps are not."""
    return stamp is not None and other is not None and stamp < other
