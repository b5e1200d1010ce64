"""No model at all: how many words the command and the log share."""

from __future__ import annotations

from collections.abc import Sequence

from flip_edge.baselines import Column
from flip_edge.episode import Episode
from flip_edge.similarity import content_words, word_f1


class WordOverlap:
    """Word F1 between command and log, and the share of the command's words that the log has."""

    id = "overlap/1"
    code: tuple[str, ...] = (__name__,)
    columns: tuple[Column, ...] = (Column("overlap: word F1"), Column("overlap: words found"))

    def scores(self, episode: Episode) -> Sequence[float | None]:
        """Both scores, in [0, 1]."""
        log = " ".join(episode.steps)
        words = content_words(episode.command)
        found = set(content_words(log))
        share = sum(word in found for word in words) / len(words) if words else None
        return word_f1(log, episode.command), share
