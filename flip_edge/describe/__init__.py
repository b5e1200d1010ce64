"""Describers: a robot's own telemetry as the short sentences that a person watching would write."""

from __future__ import annotations

from flip_edge.describe.skills import SkillDescriber, SkillOutcome, SkillResult, SkillTemplate

__all__ = ["SkillDescriber", "SkillOutcome", "SkillResult", "SkillTemplate"]
