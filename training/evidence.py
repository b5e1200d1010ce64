"""What a model finds in rows of training.prepare: evidence to fit a score on, and to see what the score is worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from flip_edge import Config, SelfCheck
from flip_edge.baselines.overlap import WordOverlap
from flip_edge.calibrate import Sample
from flip_edge.evaluate import ScoreCache, key_of
from flip_edge.methods import OurScores, code_fingerprint
from training.examples import read_lines
from training.measure import episodes_of, group_of


@dataclass(frozen=True)
class Observed:
    """One run of a row, right or wrong, and what was found in it.

    Attributes:
        source, style: of the row.
        sample: the features of the score, and what is known of the run.
        words: the share of the command's words that the log has.
    """

    source: str
    style: str
    sample: Sample
    words: float


def observed(path: Path, adapter: str, scores: Path, *, n_threads: int = 0) -> Iterator[Observed]:
    """Every run of a file of rows, under the default model; what is known already is not computed again.

    Args:
        path: what training.prepare wrote.
        adapter: as in the configuration.
        scores: the folder where they are kept.
        n_threads: processor threads; 0 for half of the processors.

    Raises:
        FlipEdgeError: the file, the adapter or the model cannot be used.
    """
    rows = [row for _, row in read_lines(path)]
    overlap = WordOverlap()
    with SelfCheck(Config(rule="likelihood", adapter=adapter, samples=0, n_threads=n_threads)) as check:
        ours = OurScores(check)
        with ScoreCache(scores, f"{ours.id} {code_fingerprint(*ours.code)}") as cache:
            for row in tqdm(rows, desc=path.name, unit="row", disable=None):
                for episode, kind in episodes_of(row):
                    known = cache.recall(key_of(episode.command, [episode]), partial(ours.measure, episode))
                    measured = known[0]
                    found = ours.features_from(measured)
                    sample = Sample(
                        found or None,
                        measured[0],
                        kind is None,
                        row["group"],
                        group_of(kind or ""),
                        ours.is_undecided(measured),
                    )
                    yield Observed(row["source"], row["style"], sample, overlap.scores(episode)[1] or 0.0)
