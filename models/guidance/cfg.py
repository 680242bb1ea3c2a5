"""Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598). Space: any, all give the same."""

from __future__ import annotations

import torch
from torch import Tensor


def cfg(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """uncond + scale (cond - uncond), (N, ...) in float32 or wider. scale: 1 = off."""
    cond, uncond = widened(cond), widened(uncond)
    return uncond + scale * (cond - uncond)


def widened(x: Tensor) -> Tensor:
    """float32 for half-width numbers: the small difference of two large predictions would lose its digits."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
