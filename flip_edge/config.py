"""One typed configuration for the whole of flip_edge, from YAML, the command line or ROS parameters."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta
from msgspec import inspect as schema

from flip_edge.errors import ConfigError

Rule = Literal["f1", "likelihood", "calibrated"]
Infer = Literal["if_needed", "always"]
Commands = Literal["successive", "overlapping"]
LongRuns = Literal["unknown", "summarise", "window"]


# Settings that take effect while a model is loaded; the others need it to be loaded anew.
LIVE = frozenset(
    {
        "rule",
        "f1_threshold",
        "gain_threshold",
        "score_threshold",
        "infer",
        "samples",
        "deadline_s",
        "long_runs",
        "idle_timeout_s",
        "settle_s",
        "max_run_s",
        "commands",
        "confirm_mismatches",
        "drift_check_steps",
        "max_steps",
        "queue_size",
    }
)


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting, its range and its default. The descriptions serve the command line and ROS alike."""

    # The model and how it is asked.
    model: Annotated[
        str,
        Meta(min_length=1, description="Model id of the registry, 'default', or the path of a GGUF file."),
    ] = "default"
    adapter: Annotated[
        str,
        Meta(
            min_length=1,
            description="LoRA adapter: 'auto' for the one that comes with the model, 'none', or a GGUF file's path.",
        ),
    ] = "auto"
    prompt: Annotated[
        str,
        Meta(
            min_length=1,
            description="Prompt format by name, or the path of a YAML file; 'auto': the one that the model, or its "
            "adapter, works best with. With another one, adapter 'auto' is none.",
        ),
    ] = "auto"
    max_new_tokens: Annotated[
        int,
        Meta(ge=1, le=4096, description="Longest inferred instruction, in tokens; chat prompts set their own."),
    ] = 24
    max_alternatives: Annotated[
        int, Meta(ge=0, le=64, description="Other commands that the command is weighed against, for near misses.")
    ] = 8
    n_ctx: Annotated[
        int, Meta(ge=128, le=131072, description="Tokens of context, shared by examples, log and command.")
    ] = 2048
    n_threads: Annotated[
        int,
        Meta(
            ge=0,
            le=512,
            description="Processor threads for the model; 0: one on each of cpus, or half of the processors.",
        ),
    ] = 0
    nice: Annotated[
        int, Meta(ge=0, le=19, description="Nice level at which a monitor computes; 0: that of its process.")
    ] = 0
    cpus: Annotated[
        str,
        Meta(
            pattern=r"^(\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*)?$",
            description="Processors on which a monitor computes, such as '2,3' or '4-7'; empty: all that it may use.",
        ),
    ] = ""
    n_gpu_layers: Annotated[int, Meta(ge=-1, le=1024, description="Model layers on the GPU; 0: none, -1: all.")] = 0

    # From evidence to verdict.
    rule: Annotated[
        Rule,
        Meta(
            description="What decides: 'f1' (word F1 of the inferred instruction), 'likelihood' (how much likelier the "
            "log makes the command) or 'calibrated' (the score, from all evidence)."
        ),
    ] = "calibrated"
    calibration: Annotated[
        str,
        Meta(
            min_length=1,
            description="Rule 'calibrated': a calibration file, or 'auto' for the one that comes with the model; "
            "where there is none, rule 'likelihood' decides instead.",
        ),
    ] = "auto"
    score_threshold: Annotated[
        float,
        Meta(ge=0, le=1, description="Rule 'calibrated': a mismatch is a score below this; 0: the calibration's own."),
    ] = 0.0
    f1_threshold: Annotated[
        float, Meta(ge=0, le=1, description="Rule 'f1': a mismatch is an F1 below this, in [0, 1].")
    ] = 0.3
    gain_threshold: Annotated[
        float,
        Meta(
            ge=-50,
            le=50,
            description="Rule 'likelihood': a mismatch is a gain below this, in nats per token of the command.",
        ),
    ] = 0.5
    infer: Annotated[
        Infer,
        Meta(
            description="When to infer an instruction: 'always', or 'if_needed' by the rule, or to explain what is no "
            "match."
        ),
    ] = "if_needed"
    samples: Annotated[
        int,
        Meta(
            ge=0,
            le=32,
            description="Rule 'f1': instructions to sample beside the likeliest; F1 is their mean. 0: the likeliest "
            "alone decides.",
        ),
    ] = 8
    deadline_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="Seconds a check may compute; past it the verdict is UNKNOWN. 0: no limit.",
        ),
    ] = 0.0

    long_runs: Annotated[
        LongRuns,
        Meta(
            description="A run that overflows the context: 'unknown' says so, 'summarise' has the model read repeated "
            "steps once, 'window' also leaves out steps in the middle, and the verdict says how many."
        ),
    ] = "summarise"

    # Live runs.
    idle_timeout_s: Annotated[
        float, Meta(ge=0.05, le=86400, description="Seconds of silence after which a run is checked.")
    ] = 30.0
    settle_s: Annotated[
        float,
        Meta(ge=0, le=60, description="Seconds that a run ended by the next command waits for late descriptions."),
    ] = 0.2
    max_run_s: Annotated[
        float, Meta(ge=0, le=604800, description="Seconds after which a run ends and is checked; 0: no limit.")
    ] = 0.0
    commands: Annotated[
        Commands,
        Meta(
            description="Whether a command ends the run before it: 'successive', or 'overlapping' where those with ids "
            "leave each other's runs open."
        ),
    ] = "successive"
    confirm_mismatches: Annotated[
        int, Meta(ge=1, le=100, description="Mismatched runs in a row that it takes to raise the alert.")
    ] = 1
    drift_check_steps: Annotated[
        int,
        Meta(
            ge=0,
            le=10000,
            description="Look at a run that goes on each time it has so many further steps, and raise the alert when "
            "the robot does something else; 0: never.",
        ),
    ] = 0
    max_steps: Annotated[
        int,
        Meta(ge=1, le=100000, description="Descriptions kept of one run; a run that loses some is UNKNOWN."),
    ] = 200
    queue_size: Annotated[
        int,
        Meta(
            ge=1,
            le=10000,
            description="Runs that may wait for the model, the oldest dropped beyond it; and as many rankings.",
        ),
    ] = 16
    sources: Annotated[
        str,
        Meta(description="YAML file of topics from which a monitor describes by itself what the robot does; or empty."),
    ] = ""
    black_box: Annotated[
        str, Meta(description="Folder in which a monitor keeps the last runs and their verdicts; empty: nowhere.")
    ] = ""
    black_box_runs: Annotated[
        int, Meta(ge=1, le=1000000, description="Runs that the black box keeps; beyond it the oldest go.")
    ] = 1000

    def replace(self, **changes: Any) -> Config:
        """A validated copy with some settings changed.

        Raises:
            ConfigError: a key is unknown or a value is ill-typed or out of range; the message names it.
        """
        return to_config({**msgspec.to_builtins(self), **changes})


@dataclass(frozen=True)
class Setting:
    """One key of the configuration, for whoever declares it elsewhere: ROS parameters, documentation.

    Attributes:
        name, default, description: as in :class:`Config`.
        low, high: the inclusive range of a number, else None.
        choices: the allowed texts, else empty.
    """

    name: str
    default: str | int | float
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


def settings() -> list[Setting]:
    """Every key of the configuration, in its order."""
    struct = schema.type_info(Config)
    assert isinstance(struct, schema.StructType)
    rows = []
    for field in struct.fields:
        annotated = field.type
        assert isinstance(annotated, schema.Metadata)
        kind = annotated.type
        number = kind if isinstance(kind, schema.IntType | schema.FloatType) else None
        rows.append(
            Setting(
                field.name,
                field.default,
                (annotated.extra_json_schema or {})["description"],
                number.ge if number else None,
                number.le if number else None,
                tuple(str(value) for value in kind.values) if isinstance(kind, schema.LiteralType) else (),
            )
        )
    return rows


def to_config(data: object, source: str = "configuration") -> Config:
    """Build a configuration from plain data, checking every key and value.

    Raises:
        ConfigError: naming ``source``, the key and what is wrong with it.
    """
    if data is None:
        return Config()
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected keys and values, got {type(data).__name__}")
    for key in data:
        if key not in Config.__struct_fields__:
            near = difflib.get_close_matches(str(key), Config.__struct_fields__, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(Config.__struct_fields__)}"
            raise ConfigError(f"{source}: unknown key {key!r}{hint}")
    try:
        return msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        key = str(error).rpartition("$.")[2].rstrip("`")
        raise ConfigError(f"{source}: {error}; {key} is {data.get(key)!r}") from error


def load_config(path: Path) -> Config:
    """Read a configuration from a YAML file; keys that it leaves out keep their defaults.

    Raises:
        ConfigError: the file cannot be read, or a key or value in it is wrong.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    return to_config(data, source=str(path))
