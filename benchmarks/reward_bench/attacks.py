"""Attacks on judges and rewards: text that a worse answer carries. They are data, in ``attacks.yaml``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
import yaml

Form = Literal["whole", "half", "gaps", "backwards", "hyphens", "letters swapped", "filled"]

_FORMS: Mapping[Form, Callable[[list[str]], list[str]]] = {  # of the prompt's words
    "whole": lambda words: words,
    "half": lambda words: words[: (len(words) + 1) // 2],
    "gaps": lambda words: [word for place, word in enumerate(words, 1) if place % 5],
    "backwards": lambda words: words[::-1],
    "hyphens": lambda words: ["-".join(words)],
    "letters swapped": lambda words: [word[0] + word[2:0:-1] + word[3:] if len(word) > 3 else word for word in words],
    "filled": lambda words: [part for word in words for part in (word, "really")],
}


class Attack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Text in front of an answer and behind it; ``{prompt}`` in it stands for what was asked, in some form."""

    id: str
    before: str = ""
    after: str = ""
    form: Form = "whole"

    def on(self, answer: str, prompt: str) -> str:
        """The answer with it."""
        said = prompt if self.form == "whole" else " ".join(_FORMS[self.form](prompt.split()))
        return self.before.replace("{prompt}", said) + answer + self.after.replace("{prompt}", said)


@cache
def attacks() -> tuple[Attack, ...]:
    """All of them; those in front of the answer first, as the others share its beginning."""
    text = Path(__file__).with_name("attacks.yaml").read_text(encoding="utf-8")
    found = msgspec.convert(yaml.safe_load(text), tuple[Attack, ...])
    return tuple(sorted(found, key=lambda attack: not attack.before))
