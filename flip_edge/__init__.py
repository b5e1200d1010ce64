"""flip_edge: did the robot do what it was told?

>>> from flip_edge import SelfCheck
>>> with SelfCheck() as check:  # doctest: +SKIP
...     verdict = check("bring the mug to the sink", ["picked up the mug", "put it in the sink"])
"""

from flip_edge.config import Config, load_config
from flip_edge.decision import Outcome
from flip_edge.episode import Episode
from flip_edge.errors import (
    CheckError,
    ConfigError,
    DownloadError,
    FlipEdgeError,
    InputError,
    ModelError,
)
from flip_edge.reward import FlipReward, RewardResult
from flip_edge.selfcheck import SelfCheck
from flip_edge.verdict import Verdict

__version__ = "0.1.0"

__all__ = [
    "CheckError",
    "Config",
    "ConfigError",
    "DownloadError",
    "Episode",
    "FlipEdgeError",
    "FlipReward",
    "InputError",
    "ModelError",
    "Outcome",
    "RewardResult",
    "SelfCheck",
    "Verdict",
    "load_config",
]
