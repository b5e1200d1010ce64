"""The live state machine: which description belongs to which command, when a run ends, when an alert is raised.

No rclpy and no clock of its own: every call is told the time, in seconds, and returns what is to be done.

A run begins with a command and collects the descriptions that follow. It ends, and is to be checked, when

- a description says it was the final one,
- the next command comes (it ends the active run and descriptions that name no command),
- nothing was heard of it for ``idle_timeout_s``. Such a run stays open: a later description continues it, and it is
  checked again as a whole, so that a slow robot's early verdict is corrected.

A description without an id belongs to the command that is active when it arrives; one with an id, to the command of
that id, also when the command arrives after it. A description for a run that has ended is late: it is counted and
not used. Descriptions without a command are a run too, and end as UNKNOWN.

Messages that were lost on the way may have been of the active run, which is UNKNOWN then.

The same command again while its run is active, by its id or word for word before anything was described, is a
repetition and changes nothing. After its run has ended it begins a new one, also under the same id.

An alert is raised by the first MISMATCH of a run, once a run, and cleared by the next MATCH. UNKNOWN neither raises
nor clears.

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
from dataclasses import dataclass, field

from flip_edge.decision import Outcome
from flip_edge.episode import Episode, clean_text
from flip_edge.verdict import Verdict

MAX_RUN_CHARACTERS = 200_000  # far beyond any context; bounds what a flood of text can take
_MAX_OPEN_RUNS = 64
_ENDED_IDS = 256


@dataclass
class Counters:
    """What the monitor has heard and done since it was made."""

    commands: int = 0
    repeated_commands: int = 0
    descriptions: int = 0
    dropped_descriptions: int = 0
    late_descriptions: int = 0
    runs: int = 0
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


@dataclass
class _Run:
    id: str
    command: str
    heard: float
    steps: list[str] = field(default_factory=list)
    characters: int = 0
    dropped: int = 0
    news: bool = True  # something was heard since the last check

    def so_far(self) -> Episode:
        return Episode(self.command, tuple(self.steps), self.id, self.dropped)


class Monitor:
    """See the module's description for the semantics.

    Args:
        idle_timeout_s: seconds of silence after which a run is checked.
        max_steps: descriptions kept of one run; the ones beyond it are counted, and make the run UNKNOWN.
    """

    def __init__(self, *, idle_timeout_s: float, max_steps: int) -> None:
        self.idle_timeout_s = idle_timeout_s
        self.max_steps = max_steps
        self.counters = Counters()
        self.alert: Alert | None = None
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._ended: deque[str] = deque(maxlen=_ENDED_IDS)
        self._alerted: deque[str] = deque(maxlen=_ENDED_IDS)
        self._active: _Run | None = None
        self._commands_without_id = 0

    def command(self, text: str, *, id: str = "", now: float) -> list[Episode]:
        """A command arrived. Returns the runs that it ends, oldest first."""
        text = clean_text(text)
        active = self._active
        if active and active.command == text and (active.id == id or not (id or active.steps or active.dropped)):
            self.counters.repeated_commands += 1
            return []
        self.counters.commands += 1
        early = self._runs.pop(id, None) if id and not self._commanded(id) else None
        ended = [
            episode
            for run in list(self._runs.values())
            if run is self._active or not run.id
            for episode in self._end(run)
        ]
        if not id:
            self._commands_without_id += 1
            id = f"#{self._commands_without_id}"
        if id in self._alerted:  # an id that is used again is another run
            self._alerted.remove(id)
        run = early or _Run(id, text, now)
        run.command, run.heard, run.news = text, now, True
        self._runs[id] = self._active = run
        return ended

    def action(self, text: str, *, command_id: str = "", final: bool = False, now: float) -> list[Episode]:
        """A description arrived. Returns the run that it ends, when it was the final one."""
        self.counters.descriptions += 1
        if command_id and command_id not in self._runs and command_id in self._ended:
            self.counters.late_descriptions += 1
            return []
        run = self._runs.get(command_id) if command_id else self._active
        ended: list[Episode] = []
        if run is None:
            if command_id not in self._runs and len(self._runs) >= _MAX_OPEN_RUNS:
                ended = self._end(next(run for run in self._runs.values() if run is not self._active))
            run = self._runs.setdefault(command_id, _Run(command_id, "", now))
        self._append(run, clean_text(text))
        run.heard, run.news = now, True
        return ended + (self._end(run) if final else [])

    def lose(self, count: int = 1) -> None:
        """Messages were lost, and nobody knows what they said: the active run cannot be judged."""
        self.counters.dropped_descriptions += count
        if self._active:
            self._active.dropped += count
            self._active.news = True

    def tick(self, now: float) -> list[Episode]:
        """Time passed. Returns the runs that fell silent and have news, oldest first."""
        silent = []
        for run in self._runs.values():
            run.heard = min(run.heard, now)  # simulated time may jump back
            if run.news and now - run.heard >= self.idle_timeout_s:
                silent.append(self._episode(run))
        return silent

    def flush(self) -> list[Episode]:
        """End every open run, for example because the monitor stops. Returns those with news."""
        return self._end_all()

    def conclude(self, verdict: Verdict) -> Alert | None:
        """A check is done. Returns the change of the alert, if it changes."""
        self.counters.verdicts[verdict.outcome.value] += 1
        current = self.alert
        if verdict.outcome is Outcome.MISMATCH:
            if verdict.command_id in self._alerted:
                return None
            self._alerted.append(verdict.command_id)
            self.counters.alerts += 1
            consecutive = current.consecutive + 1 if current else 1
            self.alert = Alert(True, self.counters.alerts, consecutive, verdict)
            return self.alert
        if verdict.outcome is Outcome.MATCH and current and current.raised:
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

    def _commanded(self, id: str) -> bool:
        run = self._runs.get(id)
        return bool(run and run.command)

    def _append(self, run: _Run, text: str) -> None:
        if not text:
            return
        if len(run.steps) >= self.max_steps or run.characters + len(text) > MAX_RUN_CHARACTERS:
            run.dropped += 1
            self.counters.dropped_descriptions += 1
            return
        run.steps.append(text)
        run.characters += len(text)

    def _end_all(self) -> list[Episode]:
        return [episode for run in list(self._runs.values()) for episode in self._end(run)]

    def _end(self, run: _Run) -> list[Episode]:
        del self._runs[run.id]
        if run.id:
            self._ended.append(run.id)
        if run is self._active:
            self._active = None
        return [self._episode(run)] if run.news else []

    def _episode(self, run: _Run) -> Episode:
        run.news = False
        self.counters.runs += 1
        return run.so_far()
