"""Autoguidance (Karras et al. 2024, arXiv 2406.02507, equation 3). Space: any.

The push comes from a worse version of the same network (smaller, or trained for less time) with the same prompt, in
place of the same network without one.
"""

from __future__ import annotations

from torch import Tensor

from models.guidance.cfg import cfg


def autoguidance(cond: Tensor, weak: Tensor, scale: float) -> Tensor:
    """weak + scale (cond - weak); `weak` is the weak network's prediction for the same prompt."""
    return cfg(cond, weak, scale)
