"""Makes the calibration that comes with the default model, from recorded household runs that people described.

    python tools/make_default_calibration.py ALFRED_TRAIN.jsonl [--runs 200]

Runs that fulfil their command are taken as they are. Runs that do not are made from them, by the recipe of
flip_edge.datasets (another run, the nearest other task, half of the run) and by two more that a robot's own describer
would produce: the last step failed, and another object or place was used throughout. All are seeded.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from flip_edge import Config, SelfCheck
from flip_edge.calibrate import Sample, calibrate
from flip_edge.calibration import calibrations_dir, save_calibration
from flip_edge.datasets import LabelledEpisode, Run, make_episodes, read_runs
from flip_edge.episode import Episode

KINDS = ("random", "hard", "cut")
FALSE_ALARM_RATE = 0.05


def failed(labelled: LabelledEpisode) -> Episode:
    """The same run with its last step failed."""
    *before, last = labelled.episode.steps
    said = f"failed to {last[0].lower()}{last[1:]}"
    return Episode.of(labelled.episode.command, [*before, said])


def exchanged(labelled: LabelledEpisode, names: Sequence[str], generator: random.Random) -> Episode | None:
    """The same run with a thing that the command names exchanged in every step; None where it names none."""
    command = labelled.episode.command.lower()
    text = "\n".join(labelled.episode.steps)
    told = [name for name in names if re.search(rf"\b{name}\b", command) and re.search(rf"\b{name}\b", text.lower())]
    others = [name for name in names if name not in command]
    if not told:
        return None
    other = generator.choice(others)
    changed = re.sub(rf"\b{generator.choice(told)}\b", other, text, flags=re.IGNORECASE)
    return Episode.of(labelled.episode.command, changed.split("\n"))


def things(runs: Sequence[Run]) -> list[str]:
    """The objects and receptacles of the data, as people write them."""
    names = {name for run in runs for name in (run.object, run.receptacle) if name}
    return sorted({re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower() for name in names})


def labelled_runs(path: Path, limit: int) -> Iterator[tuple[Episode, bool, str]]:
    """Episodes, whether each fulfils its command, and the run it came from."""
    runs = read_runs(path)
    generator = random.Random(20260213)
    names = things(runs)
    for labelled in make_episodes(runs, kinds=KINDS, limit=limit, seed=0):
        yield labelled.episode, labelled.match, labelled.group
        if labelled.match:
            yield failed(labelled), False, labelled.group
            if other := exchanged(labelled, names, generator):
                yield other, False, labelled.group


def main() -> None:
    """Make the calibration and write it to its place."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, help="alfred_train.jsonl")
    parser.add_argument("--limit", type=int, default=200, help="successful runs to use")
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    episodes = list(labelled_runs(arguments.runs, arguments.limit))
    samples = []
    with SelfCheck(Config(rule="likelihood", n_threads=arguments.threads)) as check:
        for episode, match, group in tqdm(episodes, unit="check"):
            samples.append(Sample(check.observe(episode), match, group))
        made = calibrate(
            samples,
            id=f"{check.model_id}.{check.prompt_id.replace('/', '-')}",
            model_id=check.model_id,
            prompt_id=check.prompt_id,
            false_alarm_rate=FALSE_ALARM_RATE,
            base=None,
            made_from=f"{arguments.limit} runs of {arguments.runs.name} (ALFRED, MIT), people's wordings",
        )
    path = calibrations_dir() / f"{made.id}.yaml"
    path.parent.mkdir(exist_ok=True)
    save_calibration(made, path)
    print(path, made)


if __name__ == "__main__":
    main()
