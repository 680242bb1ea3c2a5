"""Frequency-decoupled guidance (Sadat et al. 2025, arXiv 2506.19713). Space: denoised prediction x0.

Low frequencies carry colour and layout and burn first, high ones carry detail: each band has its own scale.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.guidance.cfg import widened


def fdg(cond: Tensor, uncond: Tensor, scale: float, low_scale: float | None = None) -> Tensor:
    """cond + (scale - 1) high(cond - uncond) + (low_scale - 1) low(cond - uncond), (N, C, H, W) or (N, C, T, H, W).

    low_scale: None = half of scale, but not below 1. The bands are those of a two-level Laplacian pyramid.
    """
    cond, uncond = widened(cond), widened(uncond)
    push = cond - uncond
    low = low_band(push)
    weak = max(scale / 2, 1.0) if low_scale is None else low_scale
    return cond + (scale - 1) * (push - low) + (weak - 1) * low


def low_band(x: Tensor) -> Tensor:
    """x blurred by [1, 4, 6, 4, 1] / 16 both ways, every second pixel, and enlarged again; same shape."""
    frames = x.reshape(-1, 1, *x.shape[-2:])
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=x.dtype, device=x.device) / 16
    kernel = torch.outer(line, line)[None, None]
    small = F.conv2d(F.pad(frames, (2, 2, 2, 2), mode="replicate"), kernel, stride=2)
    return F.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False).reshape(x.shape)
