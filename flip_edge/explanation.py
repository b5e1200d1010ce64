"""What does not fit, in words that a person would use, taken from the evidence and from nothing else."""

from __future__ import annotations

from flip_edge.backward import Evidence

_INFORMATION = 2.0  # nats from which a word of the command is worth naming
_RELATED = 0.3  # share of the command's information that the log must mention for an exchange to be one
_SHOWN = 6  # words that a sentence lists at most


def explain(evidence: Evidence) -> tuple[str, ...]:
    """Say what in the run does not fit the command, the weightiest first; empty where nothing was found.

    Two things count as exchanged when the command with the one in the other's place is likelier given the log, and the
    run has to do with the command at all; a word counts as never mentioned when the log lacks it and it carries
    information.
    """
    findings = []
    exchanged = ""
    if evidence.support:
        findings += [f'the run reports: "{step}"' for step in evidence.support.failures[-1:]]
    contrast = evidence.contrast
    # In a run that has little to do with the command, every exchange is likelier, and none says anything.
    related = evidence.support is not None and evidence.support.found >= _RELATED
    if related and contrast and contrast.rival and contrast.margin < 0:
        exchanged = contrast.rival.told
        findings.append(contrast.rival.difference)
    if evidence.support:
        absent = [
            word.text
            for word in evidence.support.words
            if not word.found and word.surprise >= _INFORMATION and word.text != exchanged
        ]
        if absent:
            findings.append(f"the run never mentions {', '.join(dict.fromkeys(absent[:_SHOWN]))}")
    if evidence.inferred:
        findings.append(f'the steps imply "{evidence.inferred}"')
    return tuple(findings)
