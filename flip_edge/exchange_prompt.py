"""How an exchange is put before the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

import msgspec

from flip_edge.episode import clean_text
from flip_edge.exchange import THOUGHT, steps_of
from flip_edge.prompts import ChatPrompt, Piece, PromptFormat

_GAP = "\ue001"  # marks where the conversation goes in a rendered chat template; prompts use U+E000


class ExchangePrompt:
    """How a response is put before the model: one prompt format, with a place for a conversation where it has one."""

    def __init__(self, prompt: PromptFormat, chat: Callable[[Sequence[tuple[str, str]]], str]) -> None:
        self._prompt, self._chat = prompt, chat
        self.takes_context = isinstance(prompt, ChatPrompt) and "{context}" in prompt.user
        if isinstance(prompt, ChatPrompt):
            # The template is rendered with a mark in the conversation's place: its text must never be control tokens.
            marked = msgspec.structs.replace(prompt, user=prompt.user.replace("{context}", _GAP))
            self._shown: PromptFormat = marked
            self._lead = f'{{"{prompt.answer_keys[0]}": "'
        else:
            self._shown, self._lead = prompt, ""
        self._before = self._shown.prefix(chat)

    def prefix(self, context: str) -> list[Piece]:
        """What stands before every response of a conversation."""
        return _filled(self._before, context)

    def no_response(self, context: str) -> list[Piece]:
        """What stands in place of a response where there is none."""
        if isinstance(self._shown, ChatPrompt):
            return _filled(self._shown.log([""], self._chat), context)
        return self._shown.without_log()

    def log(self, response: str) -> list[Piece]:
        """The response, and what stands between it and the instruction."""
        steps = [response] if isinstance(self._shown, ChatPrompt) else steps_of(response)
        return _filled(self._shown.log(steps, self._chat), "")

    def answer(self, instruction: str) -> tuple[str, int]:
        """The instruction as it would follow, and how many characters of that are not its own."""
        if not self._lead:
            return self._prompt.answer_text(clean_text(instruction)), 0
        return self._lead + json.dumps(instruction, ensure_ascii=False)[1:], len(self._lead)

    def parse(self, text: str) -> str | None:
        """The instruction in an output, after whatever a reasoning model thought first."""
        return self._prompt.parse(text.rpartition(THOUGHT)[2])


def _filled(pieces: Iterable[Piece], context: str) -> list[Piece]:
    """Rendered pieces with the conversation in its place."""
    filled: list[Piece] = []
    for piece in pieces:
        if not (piece.control and context):
            filled.append(Piece(piece.text.replace(_GAP, "(none)") if piece.control else piece.text, piece.control))
            continue
        first, *others = piece.text.split(_GAP)
        filled.append(Piece(first, control=True))
        for part in others:
            filled += [Piece(context), Piece(part, control=True)]
    return [piece for piece in filled if piece.text]
