"""What the adapter costs: ``python benchmarks/adapter.py [RUNS.jsonl]``.

The same runs are checked by the bare model, with the adapter, and by the prepared model where there is one, taking
turns in one process, so that whatever else the machine does slows all of them alike. Trust the ratios, not the
milliseconds.
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import tqdm

from flip_edge import Config, SelfCheck
from flip_edge.episode import Episode
from flip_edge.models import resolve, resolve_adapter
from flip_edge.prepared import find_prepared
from flip_edge.statistics import ratio_estimate

RUNS = Path(__file__).parent.parent / "ros2_ws/src/flip_edge_demo/flip_edge_demo/data/good_runs.jsonl"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="?", default=RUNS, help="rows with command and actions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=20, help="runs to use")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.runs.read_text(encoding="utf-8").splitlines()[: arguments.limit]]
    episodes = [Episode.of(row["command"], row["actions"]) for row in rows]
    model = resolve()
    adapter = resolve_adapter("auto", model)
    assert adapter, "the default model has no adapter here"
    prepared = find_prepared(model, adapter)
    forms = {
        "bare model, the adapter's prompt": (str(model.path), "none", adapter.prompt),
        "with the adapter": (str(model.path), str(adapter.path), adapter.prompt),
        "bare model, its own prompt": (str(model.path), "none", model.prompt),
    }
    if prepared:
        forms[f"prepared ({prepared.id.partition('@')[2]})"] = (str(prepared.path), "none", adapter.prompt)
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    with ExitStack() as stack:
        checks = {
            name: stack.enter_context(
                SelfCheck(
                    Config(model=path, adapter=beside, prompt=prompt, rule="likelihood", n_threads=arguments.threads)
                )
            )
            for name, (path, beside, prompt) in forms.items()
        }
        for check in checks.values():
            check.observe(episodes[0])
        for _ in tqdm(range(arguments.rounds), unit="round"):
            for episode in episodes:
                for name, check in checks.items():
                    started = time.perf_counter()
                    check.observe(episode)
                    seconds[name].append(time.perf_counter() - started)
    bare = next(iter(seconds.values()))
    print(f"{'':36}{'ms a check':>11}{'ratio':>8}   95 % interval")
    for name, found in seconds.items():
        ratio = ratio_estimate(found, bare)  # of the same run in the same round
        print(f"{name:36}{1000 * np.median(found):11.0f}{ratio.value:8.2f}   [{ratio.low:.2f}, {ratio.high:.2f}]")


if __name__ == "__main__":
    main()
