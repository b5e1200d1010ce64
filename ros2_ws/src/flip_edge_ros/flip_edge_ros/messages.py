"""From the core's data to ROS messages."""

from __future__ import annotations

import math

from builtin_interfaces.msg import Time
from flip_edge_msgs.msg import MismatchAlert, RankedCandidate
from flip_edge_msgs.msg import Verdict as VerdictMessage
from flip_edge_msgs.srv import Rank

from flip_edge.interfaces import alert_fields, verdict_fields
from flip_edge.monitor import Alert
from flip_edge.planner import RankAnswer, ranking_of
from flip_edge.rank import Ranked, Ranking
from flip_edge.verdict import Verdict


def to_verdict_message(verdict: Verdict, stamp: Time) -> VerdictMessage:
    """A verdict as a message; figures that are not known are NaN, texts that are not known are empty."""
    message = VerdictMessage(**verdict_fields(verdict))
    message.header.stamp = stamp
    return message


def to_alert_message(alert: Alert, stamp: Time) -> MismatchAlert:
    """An alert as a message, with the verdict that raised or cleared it."""
    message = MismatchAlert(**alert_fields(alert), verdict=to_verdict_message(alert.verdict, stamp))
    message.header.stamp = stamp
    return message


def to_ranking(request: Rank.Request) -> Ranking:
    """The ranking that a request asks for.

    Raises:
        InputError: it cannot be ranked.
    """
    candidates = [
        # What has neither is an empty text, which is the least of plans and no mistake.
        {
            "id": candidate.id or None,
            "steps": list(candidate.steps) or None,
            "text": candidate.text or (None if candidate.steps else ""),
        }
        for candidate in request.candidates
    ]
    return ranking_of(request.command, candidates, method=request.method, infer=request.infer)


def to_rank_response(answer: RankAnswer, ids: list[str], model_id: str) -> Rank.Response:
    """An answer as a message; ``ids`` are those of the candidates, in the order of the request."""
    index = {id: place for place, id in enumerate(ids)}
    return Rank.Response(
        state=answer.state.value,
        reason=answer.reason,
        ranking=[_to_ranked_message(one, index[one.id]) for one in answer.ranking],
        why=answer.why,
        model_id=model_id if answer.ranking else "",
    )


def _to_ranked_message(one: Ranked, index: int) -> RankedCandidate:
    return RankedCandidate(
        place=one.place,
        index=index,
        id=one.id,
        reward=_figure(one.reward),
        tied=one.tied,
        inferred_instruction=one.inferred or "",
        f1=_figure(one.f1),
        gain=_figure(one.gain),
        copied=one.copied,
        failure=one.failure or "",
    )


def _figure(value: float | None) -> float:
    return math.nan if value is None else float(value)
