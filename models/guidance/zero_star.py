"""CFG-Zero* (Fan et al. 2025, arXiv 2503.18886). Space: the network's raw output (the velocity of flow models)."""

from __future__ import annotations

import torch
from torch import Tensor

from models.guidance.cfg import widened


def zero_star(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """s uncond + scale (cond - s uncond) with s = <cond, uncond> / |uncond|^2, sample by sample.

    The method's other half, a velocity of zero in the first steps, is the run's: it holds for flow models alone.
    """
    cond, uncond = widened(cond), widened(uncond)
    rows, base = cond.flatten(1), uncond.flatten(1)
    share = torch.linalg.vecdot(rows, base) / torch.linalg.vecdot(base, base).clamp_min(1e-12)
    fitted = share.reshape(-1, *[1] * (cond.dim() - 1)) * uncond
    return fitted + scale * (cond - fitted)
