"""The report of an evaluation: one HTML file with the table, the ROC curves and the score histograms in it."""

from __future__ import annotations

import html
import importlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from flip_edge import __version__
from flip_edge.contrast_set import KindResult
from flip_edge.errors import ConfigError
from flip_edge.evaluation_table import MethodScores, Results, Row, legend, split_lines
from flip_edge.statistics import Bools, Estimate, Floats

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #1b1f24; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #d9dee3; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.ours td:first-child { font-weight: 600; }
small { color: #66707a; }
code { background: #f1f3f5; padding: .1rem .3rem; }
svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
p code { overflow-wrap: anywhere; }
"""


def require_matplotlib() -> None:
    """Raise before a long run that its report could not be drawn.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    load_matplotlib()


def load_matplotlib(module: str = "") -> Any:
    """A part of matplotlib, such as ``.figure``.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        return importlib.import_module(f"matplotlib{module}")  # an extra: only a report needs it
    except ImportError:
        raise ConfigError("a report needs matplotlib, which is not installed: pip install 'flip_edge[eval]'") from None


def to_html(results: Results, contrasts: Sequence[KindResult] = ()) -> str:
    """The whole report; it refers to nothing outside itself."""
    require_matplotlib()
    match = np.array([row.match for row in results.labelled], dtype=np.bool_)
    parts = []
    for source, kind, chosen in results.selections():
        rows = [row for row in results.shown if (row.source, row.kind) == (source, kind)]
        if not rows:
            continue
        parts.append(
            f"<h2>{html.escape(source)}: {html.escape(kind)}</h2>"
            f"<p>{rows[0].matches} matches, {rows[0].mismatches} mismatches</p>"
        )
        parts += [_table(rows, results), _pictures(results.scores, match, chosen)]
    notes = [*results.too_few, *(" ".join(split_lines(split)) for split in results.splits)]
    parts += [f"<p>{html.escape(note)}</p>" for note in notes]
    if contrasts:
        parts += ["<h2>Contrast set</h2>", _contrast_table(contrasts)]
    made_by = results.notes.get("command_line", "")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>flip_edge evaluation</title>'
        f"<style>{_STYLE}</style></head><body><h1>flip_edge evaluation</h1>"
        f"<p>flip_edge {__version__}, model <code>{html.escape(str(results.notes.get('model', '')))}</code>, "
        f"seed {results.seed}<br>made by <code>{html.escape(str(made_by))}</code></p>"
        f"<p><small>{html.escape(' '.join(legend(results)))}</small></p>{''.join(parts)}</body></html>\n"
    )


def _table(rows: Sequence[Row], results: Results) -> str:
    heads = ("", "AUROC", "balanced accuracy", "found at 5 % alarms", "alarms", "no answer", "ahead by", "s/check")
    lines = [("", "".join(f"<th>{head}</th>" for head in heads))]
    for row in rows:
        cells = [
            html.escape(row.method),
            _estimate(row.auroc),
            _estimate(row.balanced_accuracy),
            _estimate(row.detection),
            "" if row.false_alarm_rate is None else f"{row.false_alarm_rate:.3f}",
            str(row.unanswered or ""),
            _estimate(row.ahead),
            f"{row.median_s:.3f}",
        ]
        mark = ' class="ours"' if row.method == results.reference else ""
        lines.append((mark, "".join(f"<td>{cell}</td>" for cell in cells)))
    return _html_table(lines)


def _html_table(lines: Sequence[tuple[str, str]]) -> str:
    """A table from the attributes and cells of its lines."""
    rows = "".join(f"<tr{attributes}>{cells}</tr>" for attributes, cells in lines)
    return f'<div class="wide"><table>{rows}</table></div>'


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None or np.isnan(estimate.value):
        return ""
    return f"{estimate.value:.3f} <small>[{estimate.low:.3f}, {estimate.high:.3f}]</small>"


def _contrast_table(contrasts: Sequence[KindResult]) -> str:
    kinds = list(dict.fromkeys((result.kind, result.pairs) for result in contrasts))
    shares = {(result.method, result.kind): result.share for result in contrasts}
    heads = "".join(f"<th>{kind}<br><small>{pairs}</small></th>" for kind, pairs in kinds)
    lines = [("", f"<th></th>{heads}")]
    for method in dict.fromkeys(result.method for result in contrasts):
        cells = "".join(f"<td>{_estimate(shares.get((method, kind)))}</td>" for kind, _ in kinds)
        lines.append(("", f"<td>{html.escape(method)}</td>{cells}"))
    return (
        "<p>The share of pairs whose true command scores above its contrast, ties half; of synonyms, the share of "
        "pairs with both wordings at or above the method's own threshold.</p>" + _html_table(lines)
    )


# --- pictures


def roc(scores: Floats, match: Bools) -> tuple[Floats, Floats]:
    """False-alarm rates and detection rates at every threshold, both ascending; unanswered episodes left out."""
    answered = ~np.isnan(scores)
    scores, match = scores[answered], match[answered]
    thresholds = np.unique(scores)
    alarms = np.searchsorted(np.sort(scores[match]), thresholds) / max(1, int(match.sum()))
    found = np.searchsorted(np.sort(scores[~match]), thresholds) / max(1, int((~match).sum()))
    return np.append(alarms, 1.0), np.append(found, 1.0)


def _pictures(methods: Sequence[MethodScores], match: Bools, chosen: Bools) -> str:
    drawn = [method for method in methods if not method.ranks and not np.isnan(method.scores[chosen]).all()]
    return "".join(_svg(figure) for figure in (_curves(drawn, match, chosen), _histograms(drawn, match, chosen)))


def _curves(methods: Sequence[MethodScores], match: Bools, chosen: Bools) -> Any:
    figure = load_matplotlib(".figure").Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for number, method in enumerate(methods):
        alarms, found = roc(method.scores[chosen], match[chosen])
        style = "-" if number < 10 else "--"
        axes.plot(alarms, found, style, drawstyle="steps-post", linewidth=1.4, label=method.column.name)
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    axes.set(xlabel="false-alarm rate", ylabel="detection rate", xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    return figure


def _histograms(methods: Sequence[MethodScores], match: Bools, chosen: Bools) -> Any:
    across = 4
    down = max(1, -(-len(methods) // across))
    figure = load_matplotlib(".figure").Figure(figsize=(11, 1.9 * down), layout="constrained")
    for number, method in enumerate(methods):
        axes = figure.add_subplot(down, across, number + 1)
        known = chosen & ~np.isnan(method.scores)
        bins = np.histogram_bin_edges(method.scores[known], bins=24)
        axes.hist(method.scores[known & match], bins=bins, alpha=0.6, color="#2a7f62", label="match")
        axes.hist(method.scores[known & ~match], bins=bins, alpha=0.6, color="#c44536", label="mismatch")
        if method.column.threshold is not None:
            axes.axvline(method.column.threshold, color="0.2", linewidth=1, linestyle=":")
        axes.set_title(method.column.name, fontsize=7)
        axes.tick_params(labelsize=6)
        if number == 0:
            axes.legend(fontsize=6, frameon=False)
    return figure


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    with load_matplotlib().rc_context({"svg.hashsalt": "flip_edge", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return f"<div>{text[text.index('<svg') :]}</div>"
