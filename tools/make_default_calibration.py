"""Makes the calibration that comes with the default model.

    python -m training.prepare --data DATA -o rows.jsonl --limit 240 --seed 7
    python tools/make_default_calibration.py rows.jsonl

The rows are runs in many styles, each with mismatches that are known to be some; ``training/README.md`` says how they
are made. Weights are fitted on one half of the groups, the threshold is set on the other half's successful runs.
What is measured is kept, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tqdm import tqdm

from flip_edge import Config, SelfCheck
from flip_edge.calibrate import Sample, calibrate
from flip_edge.calibration import FEATURES, calibrations_dir, save_calibration
from flip_edge.episode import Episode
from flip_edge.evaluate import ScoreCache, default_cache, key_of
from flip_edge.methods import OurScores, code_fingerprint

FALSE_ALARM_RATE = 0.05
# The kinds of mismatch, in three groups that weigh alike: something else, the task unfinished, the task done wrong.
ANOTHER = frozenset({"other_run", "search_only"})
UNFINISHED = frozenset({"cut", "cut_before_last", "last_failed", "skipped", "reordered"})


def episodes(path: Path) -> Iterator[tuple[Episode, str, str]]:
    """Episodes, what they are (``success`` or a kind of mismatch), and their groups."""
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield Episode.of(row["command"], row["actions"]), "success", row["group"]
        for negative in row["negatives"]:
            command, actions = negative.get("command", row["command"]), negative.get("actions", row["actions"])
            yield Episode.of(command, actions), negative["kind"], row["group"]


def group_of(kind: str) -> str:
    """The group that a kind of mismatch weighs in."""
    return "another" if kind in ANOTHER else "unfinished" if kind in UNFINISHED else "wrong"


def main() -> None:
    """Make the calibration and write it to its place."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", type=Path, help="what training.prepare wrote")
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    samples: list[Sample] = []
    with SelfCheck(Config(rule="likelihood", n_threads=arguments.threads)) as check:
        ours = OurScores(check)
        with ScoreCache(default_cache(), f"{ours.id} {code_fingerprint(*ours.code)}") as cache:
            for episode, kind, group in tqdm(list(episodes(arguments.rows)), unit="check"):
                known = cache.recall(key_of(episode.command, [episode]), partial(ours.measure, episode))
                gain, _, *values = known[0]
                found = {name: value for name, value in zip(FEATURES, values, strict=True) if value is not None}
                samples.append(Sample(found or None, gain, kind == "success", group, group_of(kind)))
        good = sum(sample.matches for sample in samples)
        made = calibrate(
            samples,
            id=f"{check.model_id}.{check.prompt_id.replace('/', '-')}",
            model_id=check.model_id,
            prompt_id=check.prompt_id,
            false_alarm_rate=FALSE_ALARM_RATE,
            base=None,
            made_from=f"{good} runs in many styles and {len(samples) - good} mismatches (training.prepare)",
        )
    print(Counter(sample.kind for sample in samples if not sample.matches))
    path = calibrations_dir() / f"{made.id}.yaml"
    path.parent.mkdir(exist_ok=True)
    save_calibration(made, path)
    print(path, made)


if __name__ == "__main__":
    main()
