"""Attacks on judges and rewards: text that a worse answer carries. They are data, in ``attacks.yaml``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
import yaml


class Attack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Text in front of an answer and behind it; ``{prompt}`` in it stands for what was asked."""

    id: str
    before: str = ""
    after: str = ""

    def on(self, answer: str, prompt: str) -> str:
        """The answer with it."""
        return self.before.replace("{prompt}", prompt) + answer + self.after.replace("{prompt}", prompt)


@cache
def attacks() -> tuple[Attack, ...]:
    """All of them; those in front of the answer first, as the others share its beginning."""
    text = Path(__file__).with_name("attacks.yaml").read_text(encoding="utf-8")
    found = msgspec.convert(yaml.safe_load(text), tuple[Attack, ...])
    return tuple(sorted(found, key=lambda attack: not attack.before))
