"""The demo on the terminal: one row an episode as it ends, and what it all came to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flip_edge_demo.console import Row, tally

_WIDTH_WITHOUT_TERMINAL = 150
_COLUMNS = (
    ("told", 4),
    ("did", 7),
    ("which implies", 4),
    ("F1", 0),
    ("score", 0),
    ("verdict", 0),
    ("why", 6),
    ("true", 0),
)
_FIXED = {"F1": 4, "score": 5, "verdict": 8, "true": 13}


class LiveTable:
    """Prints rows as they come; every row is its own table of the same widths, so nothing is redrawn."""

    def __init__(self) -> None:
        self.console = Console()
        if not self.console.is_terminal:
            self.console = Console(width=_WIDTH_WITHOUT_TERMINAL)
        free = max(self.console.width, 100) - sum(_FIXED.values()) - 3 * len(_COLUMNS) - 1
        shares = sum(share for _, share in _COLUMNS)
        self._widths = {name: _FIXED.get(name, free * share // shares) for name, share in _COLUMNS}
        self._first = True

    def add(self, row: Row) -> None:
        """Print one episode."""
        table = Table(box=box.HORIZONTALS, show_header=self._first, show_edge=self._first)
        for name, _ in _COLUMNS:
            table.add_column(name, width=self._widths[name], overflow="fold")
        table.add_row(
            row.command,
            "; ".join(row.done),
            row.inferred or "-",
            _number(row.f1, ".2f"),
            _number(row.score, ".2f"),
            Text(row.verdict, style=_style(row)),
            row.reason,
            Text(
                f"{row.kind.replace('_', ' ')}\n{'verdict right' if row.right else 'VERDICT WRONG'}", style=_style(row)
            ),
        )
        self.console.print(table)
        if not self._first:
            self.console.rule(style="dim")
        self._first = False

    def summarise(self, rows: Sequence[Row]) -> None:
        """Print what was caught, what was missed, and what was alerted for nothing."""
        table = Table(title="alerts by what was true", box=box.SIMPLE)
        for name in ("kind", "episodes", "alerted", "unknown"):
            table.add_column(name, justify="left" if name == "kind" else "right")
        for kind, count in tally(rows).items():
            table.add_row(kind.replace("_", " "), *(str(number) for number in count.values()))
        self.console.print(table)
        failures, successes = [row for row in rows if not row.reached], [row for row in rows if row.reached]
        caught, cried = sum(row.alerted for row in failures), sum(row.alerted for row in successes)
        self.console.print(
            f"failures caught: {caught} of {len(failures)}{_named(row for row in failures if not row.alerted)}"
        )
        self.console.print(
            f"successes wrongly alerted: {cried} of {len(successes)}{_named(row for row in successes if row.alerted)}"
        )
        times = sorted(row.seconds for row in rows)
        if times:
            middle = times[len(times) // 2]
            self.console.print(f"seconds from a run's end to its verdict: median {middle:.2f}, most {times[-1]:.2f}")


def _named(rows: Iterable[Row]) -> str:
    names = ", ".join(row.id for row in rows)
    return f" (not right: {names})" if names else ""


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _style(row: Row) -> str:
    return "green" if row.right else "bold red"
