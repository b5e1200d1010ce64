"""What the node says about itself on /diagnostics."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from flip_edge.decision import Outcome
from flip_edge.monitor import Monitor
from flip_edge.selfcheck import SelfCheck
from flip_edge.verdict import Verdict
from flip_edge.worker import Worker

_RECENT = 100


@dataclass
class Health:
    """What the node knows of itself, gathered as things happen.

    Attributes:
        state: the lifecycle state's name.
        error: why the last transition failed; empty when it did not.
        lost_messages: messages that the middleware lost before they reached the node.
        last: the last verdict.
        recent: seconds that the last checks took, queueing included.
    """

    state: str = "unconfigured"
    error: str = ""
    lost_messages: int = 0
    last: Verdict | None = None
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def record(self, verdict: Verdict) -> None:
        """Take a new verdict into account."""
        self.last = verdict
        if verdict.computed_s:
            self.recent.append(verdict.waited_s + verdict.computed_s)


def to_status(
    name: str, hardware_id: str, health: Health, monitor: Monitor | None, worker: Worker | None, check: SelfCheck | None
) -> DiagnosticStatus:
    """One status: ERROR when it could not start, STALE while it does not check, WARN when it needs a look."""
    status = DiagnosticStatus(name=name, hardware_id=hardware_id)
    status.level, status.message = _level(health, monitor, worker, check)
    values: dict[str, object] = {"state": health.state, "last error": health.error}
    if check:
        values |= {"model": check.model_id, "prompt": check.prompt_id, "rule": check.rule}
        values["calibration"] = check.calibration.id if check.calibration else ""
    if monitor:
        heard = monitor.counters
        values |= {
            "commands received": heard.commands,
            "commands repeated": heard.repeated_commands,
            "descriptions received": heard.descriptions,
            "descriptions dropped": heard.dropped_descriptions,
            "descriptions late": heard.late_descriptions,
            "messages lost": health.lost_messages,
            "runs open": monitor.open_runs,
            "runs ended": heard.runs,
            "alerts raised": heard.alerts,
            **{f"verdicts {name}": count for name, count in heard.verdicts.items()},
        }
    if worker:
        values |= {"queue waiting": worker.waiting, "queue size": worker.queue_size, "queue dropped": worker.dropped}
    if health.recent:
        for label, share in (("median", 50), ("95th percentile", 95), ("maximum", 100)):
            values[f"seconds to verdict, {label}"] = f"{np.percentile(health.recent, share):.3f}"
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return status


def _level(
    health: Health, monitor: Monitor | None, worker: Worker | None, check: SelfCheck | None
) -> tuple[bytes, str]:
    if health.error:
        return DiagnosticStatus.ERROR, health.error
    if monitor is None or worker is None:
        return DiagnosticStatus.STALE, f"not checking: the node is {health.state}"
    if monitor.alert and monitor.alert.raised:
        return DiagnosticStatus.WARN, f"mismatch: {monitor.alert.verdict.reason}"
    if health.last is not None and health.last.outcome is Outcome.UNKNOWN:
        return DiagnosticStatus.WARN, f"last verdict UNKNOWN: {health.last.reason}"
    if worker.dropped or health.lost_messages or monitor.counters.dropped_descriptions:
        return DiagnosticStatus.WARN, "some messages or runs were lost; see the counters"
    if check and check.gpu_offload_missing:
        return DiagnosticStatus.WARN, "n_gpu_layers is set, but this llama.cpp cannot use a GPU: running on the CPU"
    return DiagnosticStatus.OK, "checking"
