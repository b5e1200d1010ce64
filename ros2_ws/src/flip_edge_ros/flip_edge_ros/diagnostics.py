"""What the node says about itself on /diagnostics."""

from __future__ import annotations

import resource
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from flip_edge.blackbox import BlackBox
from flip_edge.decision import Outcome
from flip_edge.monitor import Monitor
from flip_edge.planner import RankState
from flip_edge.selfcheck import SelfCheck
from flip_edge.verdict import Verdict
from flip_edge.worker import Worker
from flip_edge_ros.qos import Hearing

_RECENT = 100


@dataclass
class Health:
    """What the node knows of itself, gathered as things happen.

    Attributes:
        state: the lifecycle state's name.
        error: why the last transition failed; empty when it did not.
        last: the last verdict.
        recent: seconds that the last checks took, queueing included.
        rankings: requests of planners, by what came of them.
    """

    state: str = "unconfigured"
    error: str = ""
    last: Verdict | None = None
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    rankings: Counter[RankState] = field(default_factory=Counter)

    def record(self, verdict: Verdict) -> None:
        """Take a new verdict into account."""
        self.last = verdict
        if verdict.computed_s:
            self.recent.append(verdict.waited_s + verdict.computed_s)


@dataclass(frozen=True)
class Vitals:
    """All that the node's status is made from; None for what is not there in its present state."""

    health: Health
    hearing: Hearing
    monitor: Monitor | None
    worker: Worker | None
    check: SelfCheck | None
    black_box: BlackBox | None


def to_status(name: str, hardware_id: str, vitals: Vitals) -> DiagnosticStatus:
    """One status: ERROR when it could not start, STALE while it does not check, WARN when it needs a look."""
    health, hearing = vitals.health, vitals.hearing
    monitor, worker, check, box = vitals.monitor, vitals.worker, vitals.check, vitals.black_box
    status = DiagnosticStatus(name=name, hardware_id=hardware_id)
    status.level, status.message = _level(vitals)
    values: dict[str, object] = {"state": health.state, "last error": health.error}
    if check:
        values |= {"model": check.model_id, "adapter": check.config.adapter, "prompt": check.prompt_id}
        values["rule"] = check.rule
        values["calibration"] = check.calibration.id if check.calibration else ""
    if monitor:
        heard = monitor.counters
        values |= {
            "commands received": heard.commands,
            "commands repeated": heard.repeated_commands,
            "commands overtaken": heard.overtaken_commands,
            "commands cancelled": heard.cancelled_commands,
            "descriptions received": heard.descriptions,
            "descriptions repeated": heard.repeated_descriptions,
            "descriptions dropped": heard.dropped_descriptions,
            "descriptions late": heard.late_descriptions,
            "sightings without a command": heard.unclaimed_sightings,
            "messages lost": hearing.lost.total(),
            "runs open": monitor.open_runs,
            "runs ended": heard.runs,
            "drifts": heard.drifts,
            "alerts raised": heard.alerts,
            **{f"verdicts {name}": count for name, count in heard.verdicts.items()},
            **{f"rankings {state.name}": health.rankings[state] for state in RankState},
        }
        values |= {f"received on {topic}": hearing.received[topic] for topic in hearing.topics}
        values |= {f"unreadable on {topic}": count for topic, count in hearing.unreadable.items()}
        values |= {f"not heard on {topic}": policy for topic, policy in hearing.unfitting.items()}
    if box:
        values |= {"black box": box.error or "recording", "black box lost": box.lost}
    if worker:
        values |= {"queue waiting": worker.waiting, "queue size": worker.queue_size, "queue dropped": worker.dropped}
        values["rankings open"] = worker.rankings
    if health.recent:
        for label, share in (("median", 50), ("95th percentile", 95), ("maximum", 100)):
            values[f"seconds to verdict, {label}"] = f"{np.percentile(health.recent, share):.3f}"
    values["memory, MB"] = f"{_resident_mb():.0f}"
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return status


def _level(vitals: Vitals) -> tuple[bytes, str]:
    health, hearing, monitor, worker = vitals.health, vitals.hearing, vitals.monitor, vitals.worker
    if health.error:
        return DiagnosticStatus.ERROR, health.error
    if monitor is None or worker is None:
        return DiagnosticStatus.STALE, f"not checking: the node is {health.state}"
    if monitor.alert and monitor.alert.raised:
        return DiagnosticStatus.WARN, f"mismatch: {monitor.alert.verdict.reason}"
    if hearing.unfitting:
        topic, policy = next(iter(hearing.unfitting.items()))
        return DiagnosticStatus.WARN, f"a publisher on {topic} is not heard: its {policy} does not fit"
    if health.last is not None and health.last.outcome is Outcome.UNKNOWN:
        return DiagnosticStatus.WARN, f"last verdict UNKNOWN: {health.last.reason}"
    if worker.dropped or hearing.lost.total() or monitor.counters.dropped_descriptions:
        return DiagnosticStatus.WARN, "some messages or runs were lost; see the counters"
    if vitals.black_box and (vitals.black_box.error or vitals.black_box.lost):
        return DiagnosticStatus.WARN, f"the black box does not keep everything: {vitals.black_box.error or 'too much'}"
    if vitals.check and vitals.check.gpu_offload_missing:
        return DiagnosticStatus.WARN, "n_gpu_layers is set, but this llama.cpp cannot use a GPU: running on the CPU"
    return DiagnosticStatus.OK, "checking"


def _resident_mb() -> float:
    """Memory that the process holds now, or, where that cannot be told, held at most."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 1e6
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
