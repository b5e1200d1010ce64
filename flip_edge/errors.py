"""The errors flip_edge raises. Each message says what is wrong, with which value, and what to do."""

from __future__ import annotations


class FlipEdgeError(Exception):
    """Base class of every error that flip_edge raises on purpose."""


class InputError(FlipEdgeError):
    """A command, a step or an input file cannot be used as it was given."""


class ConfigError(FlipEdgeError):
    """A configuration, prompt format or registry entry is unknown, ill-typed or out of range."""


class CalibrationError(ConfigError):
    """A calibration cannot be read, does not fit the model, or cannot be made from the runs that were given."""


class ModelError(FlipEdgeError):
    """A model is unknown, missing, corrupt or cannot be loaded."""


class DownloadError(ModelError):
    """A model could not be fetched: no network, no such file, or not the file that was promised."""


class CheckError(FlipEdgeError):
    """A check could not be completed; the run's verdict is UNKNOWN with this as its reason."""


class ContextOverflowError(CheckError):
    """The run is longer than the model's context."""


class DeadlineError(CheckError):
    """The deadline passed before the check was done."""


class CancelledError(CheckError):
    """The check was interrupted by its owner, for example at shutdown."""
