"""What does not fit, in words that a person would use, taken from the evidence and from nothing else."""

from __future__ import annotations

from difflib import SequenceMatcher

from flip_edge.backward import Evidence
from flip_edge.similarity import content_words
from flip_edge.support import mentions

_INFORMATION = 2.0  # nats from which a word of the command is worth naming
_SHOWN = 6  # words that a sentence lists at most


def explain(command: str, steps: tuple[str, ...], evidence: Evidence) -> tuple[str, ...]:
    """Say what in the run does not fit the command, the weightiest first; empty where nothing was found.

    A word counts as never mentioned when the log lacks it and it carries information; two words as exchanged when
    the inferred instruction has the one in the other's place and the log mentions it.
    """
    findings = []
    if evidence.support:
        findings += [f'the run reports: "{step}"' for step in evidence.support.failures[-1:]]
    exchanged = _exchanged(command, steps, evidence)
    findings += [f"'{told}' was commanded, '{done}' was done" for told, done in exchanged]
    if evidence.support:
        named = {told for told, _ in exchanged}
        absent = [
            word.text
            for word in evidence.support.words
            if not word.found and word.surprise >= _INFORMATION and word.text not in named
        ]
        if absent:
            findings.append(f"the run never mentions {', '.join(dict.fromkeys(absent[:_SHOWN]))}")
    if evidence.inferred:
        findings.append(f'the steps imply "{evidence.inferred}"')
    return tuple(findings)


def _exchanged(command: str, steps: tuple[str, ...], evidence: Evidence) -> list[tuple[str, str]]:
    if evidence.inferred is None:
        return []
    told, implied = content_words(command), content_words(evidence.inferred)
    pairs = []
    for kind, a, b, c, d in SequenceMatcher(None, told, implied, autojunk=False).get_opcodes():
        if kind != "replace" or (b - a, d - c) != (1, 1):
            continue
        if not mentions(steps, told[a]) and mentions(steps, implied[c]):
            pairs.append((told[a], implied[c]))
    return pairs
