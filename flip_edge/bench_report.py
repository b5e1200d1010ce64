"""What `flip-edge bench` found, for people: a table and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flip_edge.errors import ConfigError
from flip_edge.evaluation_report import load_matplotlib

if TYPE_CHECKING:
    from flip_edge.bench import Report

_LABELS = {
    "steps": "a check, by steps of the log",
    "alternatives": "a check, by other commands beside the command",
    "examples": "a check of the bare model, by examples in its prompt",
    "threads": "a check, by processor threads",
}


def table(report: Report) -> str:
    """Everything that was measured, as text."""
    lines = [
        f"{report.model_id}, prompt {report.prompt_id}, {report.n_threads} of {report.processors} processors",
        "",
        f"{'run':8}{'how it is checked':36}{'median ms':>10}{'to floor':>10}   95 % interval",
    ]
    for timing in report.timings:
        lines.append(
            f"{timing.run:8}{timing.way:36}{1000 * timing.median_s:10.0f}{timing.ratio:10.2f}"
            f"   [{timing.low:.2f}, {timing.high:.2f}]"
        )
    for by in dict.fromkeys(point.by for point in report.scaling):
        lines += ["", f"{_LABELS[by]}"]
        points = [point for point in report.scaling if point.by == by]
        first = points[0].seconds
        for point in points:
            lines.append(f"{point.value:8}{1000 * point.seconds:10.0f} ms{point.seconds / first:8.2f} x  {point.note}")
    if report.overruns:
        lines += ["", f"{'deadline ms':>12}{'overrun: median':>18}{'99th percentile':>18}{'most':>8}  checks"]
    for some in report.overruns:
        spans = f"{1000 * some.median_s:18.1f}{1000 * some.p99_s:18.1f}{1000 * some.most_s:8.1f}"
        clean = "the next check as on a fresh engine" if some.clean else "THE NEXT CHECK WAS NOT AS ON A FRESH ENGINE"
        lines.append(f"{1000 * some.deadline_s:12.0f}{spans}{some.times:8}  {clean}")
    found = report.footprint
    grown = f"{found.grown_bytes / 1e6:.1f} MB more after {found.checks} checks"
    lines += [
        "",
        f"start {found.start_s:.2f} s, first checks {found.first_s:.2f} s each",
        f"memory at most {found.peak_bytes / 1e6:.0f} MB resident: model files, {found.model_bytes / 1e6:.0f} MB, and "
        f"{(found.peak_bytes - found.model_bytes) / 1e6:.0f} MB; {grown}",
        f"the last verdicts are {'' if found.same else 'NOT '}the first ones, to the bit",
        f"{report.characters_per_token:.1f} characters of description a token",
        "energy: this machine does not tell"
        if report.joules_a_check is None
        else f"energy: {report.joules_a_check:.2f} J a check, of the whole processor",
    ]
    return "\n".join(lines)


def picture(report: Report, target: Path) -> None:
    """Draw the ways side by side, on a logarithmic scale.

    Raises:
        ConfigError: matplotlib is not installed, or cannot write such a file.
    """
    ways = list(dict.fromkeys(timing.way for timing in report.timings))
    runs = list(dict.fromkeys(timing.run for timing in report.timings))
    figure = load_matplotlib(".figure").Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(runs)
    for offset, run in enumerate(runs):
        medians = [timing.median_s for timing in report.timings if timing.run == run]
        axes.barh(np.arange(len(ways)) + offset * height, medians, height, label=run)
    axes.set_yticks(np.arange(len(ways)) + 0.4 - height / 2, ways)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("seconds a check, median")
    axes.set_title(f"{report.model_id}, n_threads {report.n_threads}", fontsize="medium")
    axes.legend(title="run")
    try:
        figure.savefig(target)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot draw {target}: {error}") from error
