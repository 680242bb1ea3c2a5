"""Guidance: how a prompt pulls on a picture. APG and its rivals, one file each, and the run that applies them.

The functions take predictions and give one back; `Guidance` holds a run's settings and state, and knows in which space
each method works, whatever the network predicts.
"""

from models.guidance.apg import MomentumBuffer, apg
from models.guidance.cfg import cfg
from models.guidance.presets import paper_says, preset
from models.guidance.probe import StepProbe
from models.guidance.run import FIRST_ORDER, WEAK, Guidance, auto_threshold
from models.guidance.settings import EXPLAIN, METHODS, GuidanceSettings
from models.guidance.spaces import Step

__all__ = [
    "EXPLAIN",
    "FIRST_ORDER",
    "METHODS",
    "WEAK",
    "Guidance",
    "GuidanceSettings",
    "MomentumBuffer",
    "Step",
    "StepProbe",
    "apg",
    "auto_threshold",
    "cfg",
    "paper_says",
    "preset",
]
