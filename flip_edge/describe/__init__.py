"""Describers: a robot's own telemetry as the short sentences that a person watching would write."""

from __future__ import annotations

from flip_edge.describe.actions import ActionGoalDescriber
from flip_edge.describe.gripper import GripperDescriber, GripperSettings
from flip_edge.describe.logs import LogDescriber, LogPattern
from flip_edge.describe.motion import MotionDescriber, MotionSettings
from flip_edge.describe.places import Place, load_places
from flip_edge.describe.skills import SkillDescriber, SkillOutcome, SkillResult, SkillTemplate
from flip_edge.describe.sources import Sources
from flip_edge.describe.trees import TreeDescriber

__all__ = [
    "ActionGoalDescriber",
    "GripperDescriber",
    "GripperSettings",
    "LogDescriber",
    "LogPattern",
    "MotionDescriber",
    "MotionSettings",
    "Place",
    "SkillDescriber",
    "SkillOutcome",
    "SkillResult",
    "SkillTemplate",
    "Sources",
    "TreeDescriber",
    "load_places",
]
