"""Every setting written out, from the code that reads it: as a configuration, as ROS parameters, as a page."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from flip_edge.config import LIVE, Setting, settings

_SECTIONS = {
    "model": "The model and how it is asked",
    "rule": "From evidence to verdict",
    "idle_timeout_s": "Live runs",
    "sources": "What is seen and what is kept",
}
_WIDTH = 116

_YAML_HEAD = "Every setting of flip_edge with its default, for --config. Leave out what you do not change."
_ROS_HEAD = (
    "Every parameter of the self-check node, with its default. Copy this file, change what you need, and start with\n"
    "  ros2 launch flip_edge_ros self_check.launch.py params_file:=/path/to/yours.yaml\n"
    'Write reals with a decimal point: 30.0, not 30. What is "live" may change while the node runs; the rest needs\n'
    "deactivate and cleanup first. Made by: flip-edge settings --format ros"
)
_PAGE_HEAD = """\
# Settings

One typed configuration serves the command line (`--config FILE`, and the most used ones as options), Python
(`flip_edge.Config`) and the ROS node (a parameter each). A key or a value that does not fit is refused, with
what would.
*Live* settings act from the next check on while a monitor runs; the others need its model to be loaded anew.

This page is made from the code: `flip-edge settings --format markdown`.
`flip-edge settings` prints a configuration file to begin with."""


def as_yaml() -> str:
    """A configuration file with every setting."""
    return _commented(_YAML_HEAD) + "".join(_entries("")) + "\n"


def as_ros() -> str:
    """A ROS parameter file with every parameter of the node."""
    autostart = _commented(
        "Configure and activate at start; false leaves that to a lifecycle manager. Fixed once the node runs.", "    "
    )
    head = f"{_commented(_ROS_HEAD)}\n/**:\n  ros__parameters:\n{autostart}\n    autostart: true"
    return head + "".join(_entries("    ")) + "\n"


def as_markdown() -> str:
    """A page with a table for each section."""
    lines = [_PAGE_HEAD]
    for setting in settings():
        if title := _SECTIONS.get(setting.name):
            lines += ["", f"## {title}", "", "| setting | default | range | live | |", "|---|---|---|---|---|"]
        live = "yes" if setting.name in LIVE else ""
        lines.append(
            f"| `{setting.name}` | `{_literal(setting)}` | {range_of(setting)} | {live} | {setting.description} |"
        )
    return "\n".join(lines) + "\n"


def range_of(setting: Setting) -> str:
    """What a setting may be, in words; empty for any text."""
    if setting.choices:
        return ", ".join(setting.choices)
    if setting.low is None or setting.high is None:
        return ""
    return f"{setting.low:g} to {setting.high:.10g}"


def _entries(indent: str) -> Iterator[str]:
    for setting in settings():
        if title := _SECTIONS.get(setting.name):
            yield f"\n\n{indent}# --- {title}"
        allowed = range_of(setting)
        told = setting.description + (f" ({allowed})" if allowed else "")
        yield f"\n{_commented(told + (' Live.' if setting.name in LIVE else ''), indent)}"
        yield f"\n{indent}{setting.name}: {_literal(setting)}"


def _literal(setting: Setting) -> str:
    # JSON's texts and numbers are YAML's; a bare word is easier to read than a quoted one.
    value = setting.default
    return value if isinstance(value, str) and value.isidentifier() else json.dumps(value)


def _commented(text: str, indent: str = "") -> str:
    lines = [
        line
        for paragraph in text.split("\n")
        for line in textwrap.wrap(paragraph, _WIDTH - len(indent), drop_whitespace=True, replace_whitespace=False)
    ]
    return "\n".join(f"{indent}# {line}" for line in lines)
