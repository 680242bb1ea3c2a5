"""Rescaled guidance (Lin et al. 2023, arXiv 2305.08891, equations 15 and 16). Space: the network's raw output."""

from __future__ import annotations

from torch import Tensor

from models.guidance.cfg import cfg, widened


def rescaled(cond: Tensor, uncond: Tensor, scale: float, rescale: float = 0.7) -> Tensor:
    """`cfg` brought back to the standard deviation of cond, mixed with plain `cfg`: rescale = 0 is plain."""
    guided, cond = cfg(cond, uncond, scale), widened(cond)
    dims = tuple(range(1, cond.dim()))
    matched = guided * (cond.std(dim=dims, keepdim=True) / guided.std(dim=dims, keepdim=True).clamp_min(1e-12))
    return rescale * matched + (1 - rescale) * guided
