"""What is minimized: the likelihood of the command, and contrasts as the robot decides by them.

With s(c | y) the mean log-likelihood per token of command c after log y, and g(c, y) = s(c | y) - s(c | no log):

- likelihood:              -s(c | y)
- a wrong run y':          -log sigmoid(beta (s(c | y) - s(c | y'))). The command is the same and its own probability
  cancels; this is what teaches that an unfinished run is not a finished one.
- a wrong command c':      -log sigmoid(beta (g(c, y) - g(c', y))), since rule ``likelihood`` decides by the gain.
- a confirmation, where the prompt has one: -log p("yes" | y, c) of what is right and -log p("no" | ...) of what is not,
  each half of it. A likelihood is spread over words of which most are beside the point; this asks for the point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from training.examples import Tokens
from training.model import Scorer
from training.packing import Branching, Item

OBJECTIVES = ("likelihood", "contrast")
PRIORS = ("frozen", "adapted")


@dataclass(frozen=True)
class Objective:
    """What to minimize.

    Attributes:
        beta: how sharp a contrast is, in nats per token.
        likelihood_weight: of the likelihood beside the contrasts, so that the model still writes commands.
        prior: who says s(c | no log): the frozen model, or the one being trained, as at run time.
        without_log: the prompt where there is no log.
        confirmation: the tokens that say after a command that it is right, or wrong; None for none.
        confirmation_weight: of the confirmation beside the contrasts.
    """

    beta: float
    likelihood_weight: float
    prior: str
    without_log: Tokens
    confirmation: tuple[int, int] | None = None
    confirmation_weight: float = 1.0

    def __call__(self, scorer: Scorer, items: Sequence[Item]) -> Loss:
        """The loss of a batch; without mismatches it is the likelihood alone."""
        plan = _Plan.of(items)
        texts = [
            self._branching(log, answers, rights)
            for log, answers, rights in zip(plan.logs, plan.answers, plan.rights, strict=True)
        ]
        blank = [Branching(self.without_log, tuple(plan.blank))] if plan.blank else []
        if blank and self.prior == "adapted":
            scores, confirmations = scorer.with_confirmations([*texts, *blank])
            found, priors = scores[: plan.size], scores[plan.size :]
        else:
            found, confirmations = scorer.with_confirmations(texts)
            priors = scorer.without_adapter(blank) if blank else found[:0]
        # Of the rows' own commands alone: other wordings are to be understood, not to be written.
        nll = -found[torch.tensor(plan.own)].mean()
        if not plan.pairs:
            return Loss(nll, float(nll.detach()))
        margins = torch.stack(
            [
                found[pair.right] - found[pair.wrong]
                - (priors[pair.prior_right] - priors[pair.prior_wrong] if pair.prior_right is not None else 0.0)
                for pair in plan.pairs
            ]
        )  # fmt: skip
        contrast = torch.nn.functional.softplus(-self.beta * margins).mean()
        won: dict[str, list[int]] = {}
        for pair, margin in zip(plan.pairs, margins.tolist(), strict=True):
            tally = won.setdefault(pair.kind, [0, 0])
            tally[0] += margin > 0
            tally[1] += 1
        total = contrast + self.likelihood_weight * nll
        if self.confirmation is None:
            return Loss(total, float(nll.detach()), float(contrast.detach()), won)
        is_right = torch.tensor([right for rights in plan.rights for right in rights])
        confirmation = -(confirmations[is_right].mean() + confirmations[~is_right].mean()) / 2
        total = total + self.confirmation_weight * confirmation
        return Loss(total, float(nll.detach()), float(contrast.detach()), won, float(confirmation.detach()))

    def _branching(self, log: Tokens, answers: Sequence[Tokens], rights: Sequence[bool]) -> Branching:
        """Answers with what is to be said after each, where something is."""
        if self.confirmation is None:
            return Branching(log, tuple(answers))
        yes, no = self.confirmation
        said = (yes if right else no for right in rights)
        return Branching(log, tuple((*answer, token) for answer, token in zip(answers, said, strict=True)), True)


@dataclass(frozen=True)
class Loss:
    """Of one batch.

    Attributes:
        total: what to minimize.
        nll: the mean negative log-likelihood of the rows' own commands, in nats per token.
        contrast: the mean of the contrasts; None where there are none.
        won: for every kind of mismatch, how many came out right and how many there were.
        confirmation: the mean negative log-likelihood of what is said after a command, right and wrong alike; None
            where nothing is.
    """

    total: Any
    nll: float
    contrast: float | None = None
    won: dict[str, list[int]] = field(default_factory=dict)
    confirmation: float | None = None

    @property
    def share_won(self) -> float | None:
        """Of all contrasts."""
        sums = Counter[str]()
        for right, count in self.won.values():
            sums.update(right=right, count=count)
        return sums["right"] / sums["count"] if sums["count"] else None


@dataclass(frozen=True)
class _Pair:
    kind: str
    right: int  # places among the scores
    wrong: int
    prior_right: int | None = None  # places among the scores without a log
    prior_wrong: int | None = None


@dataclass
class _Plan:
    """What is to be scored for a batch, each log once, and which scores are compared."""

    logs: list[Tokens] = field(default_factory=list)
    answers: list[list[Tokens]] = field(default_factory=list)
    rights: list[list[bool]] = field(default_factory=list)  # which of the answers are right
    own: list[int] = field(default_factory=list)  # places of the rows' own commands among the scores
    blank: list[Tokens] = field(default_factory=list)
    pairs: list[_Pair] = field(default_factory=list)
    size: int = 0

    @classmethod
    def of(cls, items: Sequence[Item]) -> _Plan:
        plan = cls()
        for item in items:
            plan._add(item)
        return plan

    def _add(self, item: Item) -> None:
        command = item.example.command
        commands = [wrong for wrong in item.wrong if not wrong.is_log]
        own = self._score(
            item.example.log, [command, *item.also], [*(wrong.tokens for wrong in commands), *item.denied]
        )
        self.own.append(own)
        if commands:
            prior = len(self.blank)
            self.blank += [command, *(wrong.tokens for wrong in commands)]
            self.pairs += [
                _Pair(wrong.kind, own, own + len(item.also) + place, prior, prior + place)
                for place, wrong in enumerate(commands, start=1)
            ]
        for wrong in item.wrong:
            if wrong.is_log:
                self.pairs.append(_Pair(wrong.kind, own, self._score(wrong.tokens, [], list(item.asked))))

    def _score(self, log: Tokens, right: list[Tokens], wrong: list[Tokens]) -> int:
        """Plan to score answers after a log; the place of the first."""
        place = self.size
        self.logs.append(log)
        self.answers.append([*right, *wrong])
        self.rights.append([True] * len(right) + [False] * len(wrong))
        self.size += len(right) + len(wrong)
        return place
