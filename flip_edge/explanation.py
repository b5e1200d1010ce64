"""What does not fit, in words that a person would use, taken from the evidence and from nothing else."""

from __future__ import annotations

from flip_edge.acts import is_verb
from flip_edge.backward import Evidence
from flip_edge.fulfilment import Demand

_INFORMATION = 2.0  # nats from which a word of the command is worth naming
_RELATED = 0.3  # share of the command's information that the log must mention for an exchange to be one
DENIED = 0.2
"""The probability below which the model's own "no" counts."""

_SHOWN = 6  # words that a sentence lists at most


def explain(evidence: Evidence) -> tuple[str, ...]:
    """Say what in the run does not fit the command, the weightiest first; empty where nothing was found.

    Two things count as exchanged when the command with the one in the other's place is likelier given the log, and the
    run has to do with the command at all; a word counts as never mentioned when the log lacks it and it carries
    information; an act counts as not done when the log has no verb for it; a clear "no" of the model counts, too.
    """
    findings = []
    exchanged = ""
    if evidence.support:
        findings += [f'the run reports: "{step}"' for step in evidence.support.failures[-1:]]
    acts = evidence.fulfilment
    if acts:
        findings += acts.contradictions
    contrast = evidence.contrast
    # In a run that has little to do with the command, every exchange is likelier, and none says anything.
    related = evidence.support is not None and evidence.support.found >= _RELATED
    if related and contrast and contrast.rival and contrast.margin < 0:
        exchanged = contrast.rival.told
        if not any(exchanged in contradiction for contradiction in (acts.contradictions if acts else ())):
            findings.append(contrast.rival.difference)
    if acts:
        findings += [_unmet(demand) for demand in acts.demands if demand.done < 1]
    if evidence.support:
        absent = [
            word.text
            for word in evidence.support.words
            if word.asked
            and not word.found
            and word.surprise >= _INFORMATION
            and word.text != exchanged
            # An act may be told by another verb; those that were not done are named above.
            and not (acts and acts.demands and is_verb(word.text))
        ]
        if absent:
            findings.append(f"the run never mentions {', '.join(dict.fromkeys(absent[:_SHOWN]))}")
    if evidence.confirmed is not None and evidence.confirmed < DENIED:
        findings.append(f"the model gives {evidence.confirmed:.0%} that the log fulfils the command")
    if evidence.inferred:
        findings.append(f'the steps imply "{evidence.inferred}"')
    return tuple(findings)


def _unmet(demand: Demand) -> str:
    if demand.done and demand.times > 1:
        return f'"{demand.verb}" was commanded {demand.times} times, and done {round(demand.done * demand.times)}'
    return f'"{demand.verb}" was commanded, and is not seen done'
