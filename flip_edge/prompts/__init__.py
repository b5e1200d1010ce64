"""Prompt formats: how a run is put before the model, as data in the YAML files beside this module.

A format is either ``completion`` (a fixed prefix with examples, then the log, then the command as a line of text) or
``chat`` (messages in the model's own chat template, the answer as JSON).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from flip_edge.episode import clean_text
from flip_edge.errors import ConfigError

DEFAULT_PROMPT = "log-command"
"""The format for a model of which nothing else is known."""

_HERE = Path(__file__).parent
_GAP = "\ue000"  # a private-use character marks where the robot's text goes in a rendered chat template

Chat = Callable[[Sequence[tuple[str, str]]], str]


@dataclass(frozen=True)
class Piece:
    """A text to tokenize by itself; ``control`` only where the text is ours and may hold control tokens."""

    text: str
    control: bool = False


@dataclass(frozen=True)
class Query:
    """An answer to weigh, after the log or, for comparison, where there is no log.

    Attributes:
        text: the answer.
        given_log: which of the two.
        then: what is weighed after it, tokenized by itself; its tokens come last among those of the answer.
    """

    text: str
    given_log: bool = True
    then: str = ""

    @property
    def pieces(self) -> list[Piece]:
        """The whole of it."""
        return [Piece(self.text), Piece(self.then)] if self.then else [Piece(self.text)]


class Example(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run and the command it fulfilled, shown to the model."""

    command: str
    steps: tuple[str, ...]


class Confirmation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What follows a command that the log fulfils, and one that it does not; texts of a token each."""

    yes: str
    no: str

    def __post_init__(self) -> None:
        if not self.yes or not self.no or self.yes == self.no:
            raise ValueError("`confirmation` must have two different texts, `yes` and `no`")


class CompletionPrompt(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="completion"
):
    """Examples of "log -> command", then the run's log; the model writes the command as one line.

    Attributes:
        id, version: together the prompt id that verdicts carry, ``id/version``.
        preamble: text before the examples.
        log_start, step, log_end: the parts of a log; ``step`` holds ``{step}``.
        answer: how the command follows the log; holds ``{command}``, and ends with the stop.
        separator: what stands between two examples.
        no_log: what stands in place of the whole log for the command's likelihood without it.
        confirmation: how the model says after the command whether the log fulfils it; None where it was not taught to.
        examples: runs and their commands.
        max_new_tokens: the longest instruction inferred; the configuration may lower it.
        scripts: the scripts its examples are in, by their Unicode names; empty for any. A command in another script
            would be weighed by its language more than by its meaning, so it cannot be judged.
    """

    id: str
    version: int
    description: str = ""
    preamble: str = ""
    log_start: str
    step: str
    log_end: str
    answer: str
    separator: str
    no_log: str
    confirmation: Confirmation | None = None
    examples: tuple[Example, ...] = ()
    max_new_tokens: int = 32
    scripts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, hole in (("step", "{step}"), ("answer", "{command}")):
            if getattr(self, name).count(hole) != 1:
                raise ValueError(f"`{name}` must hold {hole} once")
        if not self.answer.endswith("\n"):
            raise ValueError("`answer` must end with a line break: it is where generation stops")
        if self.confirmation and self.examples:
            raise ValueError("`confirmation` is for trained models; `examples` would show commands without one")

    @property
    def supports_likelihood(self) -> bool:
        """Whether the command's likelihood under this prompt is defined."""
        return True

    @property
    def stop(self) -> str | None:
        """Where generation ends."""
        return "\n"

    def prefix(self, _chat: Chat) -> list[Piece]:
        """What stands before every log."""
        shown = [
            "".join(piece.text for piece in self.log(example.steps, _chat)) + self.answer_text(example.command)
            for example in self.examples
        ]
        text = self.preamble + "".join(block + self.separator for block in shown)
        return [Piece(text)] if text else []

    def without_log(self) -> list[Piece]:
        """What stands in place of a log where there is none."""
        return [Piece(self.no_log)]

    def log(self, steps: Sequence[str], _chat: Chat) -> list[Piece]:
        """A run's log, one piece a line, so that tokens do not depend on what follows."""
        return [*self.log_so_far(steps), Piece(self.log_end)]

    def log_so_far(self, steps: Sequence[str]) -> list[Piece]:
        """What :meth:`log` begins with, whatever steps follow; empty where that is not known."""
        return [Piece(self.log_start), *(Piece(self.step.replace("{step}", step)) for step in steps)]

    def answer_text(self, command: str) -> str:
        """The command as it would stand after the log."""
        return self.answer.replace("{command}", command)

    def parse(self, text: str) -> str | None:
        """The instruction in what the model wrote, or None when there is none."""
        return clean_text(text) or None


class ChatPrompt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="chat"):
    """Messages in the model's own chat template; the answer is JSON that holds the instruction.

    Attributes:
        system, user: the messages; ``user`` holds ``{response}`` and may hold ``{context}``.
        scripts: as for a completion prompt.
        answer_keys: the JSON keys under which the instruction may stand, in order of preference.
        max_new_tokens: the longest answer, reasoning included.
    """

    id: str
    version: int
    description: str = ""
    system: str = ""
    user: str
    answer_keys: tuple[str, ...]
    max_new_tokens: int = 512
    scripts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.user.count("{response}") != 1:
            raise ValueError("`user` must hold {response} once")

    @property
    def supports_likelihood(self) -> bool:
        """Whether the command's likelihood under this prompt is defined: it is not, inside JSON."""
        return False

    @property
    def confirmation(self) -> Confirmation | None:
        """None: the answer is JSON."""
        return None

    @property
    def stop(self) -> str | None:
        """Where generation ends: at the model's own end of turn."""
        return None

    def _rendered(self, chat: Chat) -> tuple[str, str]:
        user = self.user.replace("{context}", "(none)").replace("{response}", _GAP)
        messages = [("system", self.system)] if self.system else []
        before, gap, after = chat([*messages, ("user", user)]).partition(_GAP)
        if not gap:
            raise ConfigError(f"the model's chat template drops the user's message; prompt {self.id} cannot be used")
        return before, after

    def prefix(self, chat: Chat) -> list[Piece]:
        """What stands before every response."""
        return [Piece(self._rendered(chat)[0], control=True)]

    def without_log(self) -> list[Piece]:
        """Nothing: there is no likelihood to compare."""
        return []

    def log(self, steps: Sequence[str], chat: Chat) -> list[Piece]:
        """The run as the response, one step a line, then the rest of the template."""
        return [Piece("\n".join(steps)), Piece(self._rendered(chat)[1], control=True)]

    def log_so_far(self, steps: Sequence[str]) -> list[Piece]:
        """Nothing: the response is tokenized as a whole."""
        return []

    def answer_text(self, command: str) -> str:
        """Not defined for JSON answers."""
        raise ConfigError(f"prompt {self.id} answers in JSON; the likelihood of a command is not defined under it")

    def parse(self, text: str) -> str | None:
        """The instruction in the model's JSON, or None when the output is not what was asked for."""
        for candidate in _json_objects(text):
            for key in self.answer_keys:
                value = candidate.get(key)
                if isinstance(value, str) and (cleaned := clean_text(value)):
                    return cleaned
        return None


PromptFormat = CompletionPrompt | ChatPrompt


def foreign_script(prompt: PromptFormat, text: str) -> str | None:
    """The script in which most letters of ``text`` are, when it is none of the prompt's; else None."""
    names = Counter(unicodedata.name(char, "UNKNOWN").split()[0] for char in text if char.isalpha())
    if not prompt.scripts or not names:
        return None
    most = names.most_common(1)[0][0]
    return None if most in prompt.scripts else most


def prompt_id(prompt: PromptFormat) -> str:
    """The id that verdicts and calibrations carry: ``id/version``."""
    return f"{prompt.id}/{prompt.version}"


def _json_objects(text: str) -> list[dict[str, object]]:
    """Every JSON object that starts somewhere in ``text``: models wrap their JSON in prose and code fences."""
    decoder = json.JSONDecoder(strict=False)  # small models break lines inside strings
    found = []
    position = text.find("{")
    while position != -1:
        try:
            value, end = decoder.raw_decode(text, position)
        except (json.JSONDecodeError, RecursionError):
            end = position + 1
        else:
            if isinstance(value, dict):
                found.append(value)
        position = text.find("{", end)
    return found


def prompt_names() -> list[str]:
    """The names of the prompt formats that come with flip_edge."""
    return sorted(path.stem for path in _HERE.glob("*.yaml"))


def load_prompt(name: str) -> PromptFormat:
    """Load a prompt format by name, or from a YAML file by its path.

    Raises:
        ConfigError: there is no such format, or the file does not describe one; the message names the field.
    """
    path = Path(name)
    if re.fullmatch(r"[\w.-]+", name) and path.suffix not in (".yaml", ".yml"):
        path = _HERE / f"{name}.yaml"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"no prompt format {name!r}; give the path of a YAML file or one of: {', '.join(prompt_names())}"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the prompt format {path}: {error}") from error
    try:
        prompt: PromptFormat = msgspec.convert(data, PromptFormat)
    except msgspec.ValidationError as error:
        raise ConfigError(f"prompt format {path}: {error}") from error
    return prompt
