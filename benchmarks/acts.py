"""What the rules about acts find, without a model: ``python -m benchmarks.acts FILE.jsonl ...``.

Of rows of ``training.prepare`` (runs with mismatches that are known to be some) and of any dataset that ``flip-edge
evaluate`` reads: in how many the acts of the log contradict the command or have failed, leave some of it undone, or
are done to something else. What they find in runs that match are their false alarms.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from flip_edge.datasets import read_runs
from flip_edge.fulfilment import Fulfilment, fulfilment
from training.examples import read_lines

MATCH = "match"


def compared(path: Path) -> Iterator[tuple[str, Fulfilment]]:
    """What kind of run each is, with what its acts fulfil."""
    if not any("negatives" in row for _, row in islice(read_lines(path), 1)):
        for run in tqdm(read_runs(path), desc=path.name, unit="run", disable=None):
            kind = MATCH if run.outcome != "failure" else "recorded failure"
            yield kind, fulfilment(run.command, run.actions)
        return
    for _, row in tqdm(read_lines(path), desc=path.name, unit="row", disable=None):
        yield MATCH, fulfilment(row["command"], row["actions"])
        for other in row["negatives"]:
            yield other["kind"], fulfilment(other.get("command", row["command"]), other.get("actions", row["actions"]))


def main() -> None:
    """Compare and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.acts", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.jsonl")
    arguments = parser.parse_args()
    found: dict[str, list[Fulfilment]] = defaultdict(list)
    for path in arguments.files:
        for kind, fulfilled in compared(path):
            found[kind].append(fulfilled)
    print("| | runs | contradicted | not all done | not to what was named |\n|---|---|---|---|---|")
    for kind, runs in sorted(found.items(), key=lambda item: (item[0] != MATCH, item[0])):
        shares = (
            sum(bool(run.contradictions or run.failed) for run in runs),
            sum(run.completed < 1 for run in runs),
            sum(run.handled is not None and run.handled < 1 for run in runs),
        )
        print(f"| {kind} | {len(runs)} | " + " | ".join(f"{count / len(runs):.1%}" for count in shares) + " |")


if __name__ == "__main__":
    main()
