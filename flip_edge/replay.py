"""A recorded bag through the monitor and the self-check, on recorded time: the verdicts that a robot would have got."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from flip_edge.config import Config
from flip_edge.decision import Outcome
from flip_edge.describe.sources import Sources
from flip_edge.episode import Episode
from flip_edge.errors import InputError
from flip_edge.interfaces import Heard, Sensed
from flip_edge.monitor import Alert, Monitor
from flip_edge.selfcheck import SelfCheck
from flip_edge.verdict import Verdict

IDLE_PERIOD_NS = 100_000_000  # as the node looks for runs that fell silent
INTERRUPTED = 130


@dataclass(frozen=True)
class Said:
    """What the monitor said at a time.

    Attributes:
        time_ns: recorded time, in nanoseconds, at which the run ended.
        verdict: of that run.
        alert: the change of the alert, if it changed.
    """

    time_ns: int
    verdict: Verdict
    alert: Alert | None


class Replay:
    """The monitor on recorded time.

    Each run is checked as soon as it ends, as by a monitor whose model is never late: no queue, so none overflows.

    Args:
        check: what checks the runs.
        sources: what describes the robot's telemetry, if anything does.
    """

    def __init__(self, check: SelfCheck, sources: Sources | None = None) -> None:
        self._check = check
        self._sources = sources
        self.monitor = Monitor.of(check.config, witness=sources.finish if sources else tuple)
        self._clock: int | None = None

    def hear(self, heard: Heard | Sensed) -> Iterator[Said]:
        """A message was recorded. Yields what the monitor says until then and of it."""
        yield from self.wait(heard.time_ns)
        now = heard.time_ns / 1e9
        if isinstance(heard, Sensed):
            self._sense(heard, now)
        elif heard.lost:
            self.monitor.lose()
        else:
            yield from self._conclude(self._tell(heard, now), heard.time_ns)
        if episode := self.monitor.drift():
            yield from self._look(episode, heard.time_ns)

    def _tell(self, heard: Heard, now: float) -> list[Episode]:
        if heard.cancel:
            return self.monitor.cancel(id=heard.command_id, now=now)
        if heard.input.startswith("command"):
            return self.monitor.command(heard.text, id=heard.command_id, stamp=heard.stamp, now=now)
        return self.monitor.action(
            heard.text, command_id=heard.command_id, final=heard.final, stamp=heard.stamp, now=now
        )

    def _sense(self, sensed: Sensed, now: float) -> None:
        if self._sources and sensed.message is not None:
            for text in self._sources.observe(sensed.source, sensed.message, now):
                self.monitor.saw(text, now=now)
            if self._sources.is_busy:
                self.monitor.stir(now=now)

    def _look(self, episode: Episode, time_ns: int) -> Iterator[Said]:
        verdict = self._check.check(episode)
        if verdict.outcome is Outcome.MISMATCH:
            yield Said(time_ns, verdict, self.monitor.conclude(verdict))

    def wait(self, until_ns: int) -> Iterator[Said]:
        """Time passed. Yields what the monitor says of runs that fell silent."""
        if self._clock is None:
            self._clock = until_ns
        while self._clock + IDLE_PERIOD_NS <= until_ns:
            if not self.monitor.open_runs:
                self._clock = until_ns
                break
            self._clock += IDLE_PERIOD_NS
            yield from self._conclude(self.monitor.tick(self._clock / 1e9), self._clock)

    def end(self, end_ns: int) -> Iterator[Said]:
        """The recording ended; silence follows. Yields the verdicts of the runs that were open."""
        yield from self.wait(end_ns)
        now = end_ns / 1e9 + max(self.monitor.idle_timeout_s, self.monitor.settle_s)
        yield from self._conclude(self.monitor.tick(now), end_ns)

    def break_off(self, time_ns: int, reason: str) -> Iterator[Said]:
        """Nothing more can be heard. Yields UNKNOWN for the runs that were open, whose end is not known."""
        for episode in self.monitor.flush():
            verdict = self._check.unknown(episode, reason)
            yield Said(time_ns, verdict, self.monitor.conclude(verdict))

    def _conclude(self, episodes: Iterable[Episode], time_ns: int) -> Iterator[Said]:
        for episode in episodes:
            verdict = self._check.check(episode)
            yield Said(time_ns, verdict, self.monitor.conclude(verdict))


# --- the command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``flip-edge replay``."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="a bag's folder, or its .mcap or .db3 file")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT.jsonl", help="write the verdicts here, one a line")
    parser.add_argument(
        "--bag", dest="target", type=Path, metavar="OUT", help="write a new bag with what was heard and the verdicts"
    )
    parser.add_argument("--namespace", metavar="NS", help="the robot, where several were recorded")
    parser.add_argument("--sources", metavar="FILE", help="YAML file of topics to describe the robot's doings from")
    parser.add_argument(
        "--remap",
        action="append",
        default=[],
        metavar="NAME:=TOPIC",
        help="a topic by another name, such as command:=/operator/told; can be repeated",
    )


def run(config: Config, arguments: argparse.Namespace) -> int:
    """``flip-edge replay``: 0 without a mismatch, 1 with one, 2 where the bag could not be read whole.

    Raises:
        InputError: the bag cannot be read, or the output cannot be written.
    """
    from flip_edge.bags import BagReader, BagWriter  # here: it is an extra

    sources = Sources.load(config.sources) if config.sources else None
    counts: Counter[str] = Counter()
    code, problem, heard_ns = 0, "", 0
    with ExitStack() as stack:
        reader = stack.enter_context(
            BagReader(
                arguments.bag,
                namespace=arguments.namespace,
                remap=_remapped(arguments.remap),
                sources=sources.topics if sources else None,
            )
        )
        if reader.missing:
            print(f"flip-edge: the bag has no topic {', '.join(reader.missing)}", file=sys.stderr)
        lines = stack.enter_context(_opened(arguments.output)) if arguments.output else None
        check = stack.enter_context(SelfCheck(config))
        writer = stack.enter_context(BagWriter(arguments.target, reader)) if arguments.target else None
        replay = Replay(check, sources)
        bar = stack.enter_context(tqdm(total=reader.messages or None, unit="message", disable=None))

        def told(some: Iterable[Said]) -> None:
            for said in some:
                counts[said.verdict.outcome.value] += 1
                counts["alerts"] += bool(said.alert and said.alert.raised)
                if writer:
                    writer.verdict(said.verdict, said.time_ns)
                    if said.alert:
                        writer.alert(said.alert, said.time_ns)
                bar.clear()
                _tell(said, lines)

        try:
            for heard, data in reader.heard():
                heard_ns = heard.time_ns
                told(replay.wait(heard.time_ns))
                if writer and isinstance(heard, Heard):
                    writer.copy(heard, data)
                told(replay.hear(heard))
                bar.update()
            told(replay.end(reader.end_ns))
        except KeyboardInterrupt:
            code, problem = INTERRUPTED, "interrupted; the verdicts until here are kept"
        except InputError as error:  # what was said before stands
            code, problem = 2, str(error)
            told(replay.break_off(heard_ns, "the recording is damaged: how this run went on is not known"))
        if reader.unreadable:
            code = code or 2
            problem = problem or f"{reader.unreadable} messages could not be read"
    if problem:
        print(f"flip-edge: {problem}", file=sys.stderr)
    outcomes = ", ".join(f"{counts[outcome.value]} {outcome.value}" for outcome in Outcome)
    runs = sum(counts[outcome.value] for outcome in Outcome)
    print(f"flip-edge: {runs} runs: {outcomes}; {counts['alerts']} alerts raised", file=sys.stderr)
    return code or (1 if counts[Outcome.MISMATCH.value] else 0)


def _remapped(rules: list[str]) -> dict[str, str]:
    found = {}
    for rule in rules:
        name, separator, topic = rule.partition(":=")
        if not separator or not topic:
            raise InputError(f"--remap {rule}: expected NAME:=TOPIC, such as command:=/operator/told")
        found[name.lstrip("/")] = topic
    return found


def _opened(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _tell(said: Said, lines: TextIO | None) -> None:
    change = "" if said.alert is None else "raised" if said.alert.raised else "cleared"
    if lines:
        row = {"time": said.time_ns / 1e9, **said.verdict.to_dict(), "alert": change or None}
        print(json.dumps(row, ensure_ascii=False), file=lines, flush=True)
    verdict = said.verdict
    mark = f"  [alert {change}]" if change else ""
    print(f"{said.time_ns / 1e9:.1f}  {verdict.outcome.value:8}  {verdict.command}: {verdict.reason}{mark}", flush=True)
