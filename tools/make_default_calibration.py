"""Makes the calibrations that come with the default model: with its adapter, and without.

    python -m training.prepare --data DATA -o rows.jsonl --limit 240 --seed 7
    python tools/make_default_calibration.py rows.jsonl --adapter none

The rows are runs in many styles, each with mismatches that are known to be some; ``training/README.md`` says how they
are made. Weights are fitted on all of them, the threshold is set on the successful runs, each scored with weights that
were fitted on other groups.

An adapter says too much of rows like those that it was trained on, and what it says would weigh too much for other
robots. So most of its rows are of systems that it has not seen, the test part of the corpus::

    python -m training.field --part test -o field.jsonl      # what ships: docs/evidence.md
    python -m training.prepare --data DATA -o more.jsonl --limit 200 --seed 41 --part test
    head -110 more.jsonl > rows.jsonl
    python tools/make_default_calibration.py field.jsonl rows.jsonl

Rows can also be measured with other adapters, each file with its own, such as those of training.leave_out::

    python tools/make_default_calibration.py a.jsonl b.jsonl --measured-with without-a.gguf without-b.gguf

What is measured is kept, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from flip_edge.calibrate import calibrate
from flip_edge.calibration import calibrations_dir, save_calibration
from flip_edge.evaluate import default_cache
from flip_edge.models import joined_id, resolve, resolve_adapter
from flip_edge.prompts import load_prompt, prompt_id
from training.evidence import observed

FALSE_ALARM_RATE = 0.05


def main() -> None:
    """Make the calibration and write it to its place."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", type=Path, nargs="+", help="what training.prepare wrote")
    parser.add_argument("--adapter", default="auto", help="what the calibration is for, as in the configuration")
    parser.add_argument("--measured-with", nargs="+", metavar="ADAPTER", help="for each file (default: the adapter)")
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    adapters = arguments.measured_with or [arguments.adapter] * len(arguments.rows)
    samples = [
        run.sample
        for path, adapter in zip(arguments.rows, adapters, strict=True)
        for run in observed(path, adapter, default_cache(), n_threads=arguments.threads)
    ]
    model = resolve()
    adapter = resolve_adapter(arguments.adapter, model)
    prompt = prompt_id(load_prompt(adapter.prompt if adapter else model.prompt))
    good = sum(sample.matches for sample in samples)
    files = ", ".join(path.name for path in arguments.rows)
    made = calibrate(
        samples,
        id=f"{joined_id(model, adapter)}.{prompt.replace('/', '-')}",
        model_id=joined_id(model, adapter),
        prompt_id=prompt,
        false_alarm_rate=FALSE_ALARM_RATE,
        base=None,
        made_from=f"{good} runs and {len(samples) - good} mismatches of {files}",
    )
    print(Counter(sample.kind for sample in samples if not sample.matches))
    path = calibrations_dir() / f"{made.id}.yaml"
    path.parent.mkdir(exist_ok=True)
    save_calibration(made, path)
    print(path, made)


if __name__ == "__main__":
    main()
