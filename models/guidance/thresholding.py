"""Dynamic thresholding (Saharia et al. 2022, arXiv 2205.11487, section 2.3). Space: denoised prediction x0.

In pixels the paper clips at max(percentile, 1) and divides by it. A latent has no fixed range: here cond's own
percentile takes the place of 1, so that guidance cannot leave the range of the conditional prediction.
"""

from __future__ import annotations

from torch import Tensor

from models.guidance.cfg import cfg, widened


def thresholded(cond: Tensor, uncond: Tensor, scale: float, percentile: float = 0.995) -> Tensor:
    """`cfg` clipped at its percentile of absolute values and shrunk into cond's range, sample by sample."""
    guided = cfg(cond, uncond, scale)
    limit = _percentile(widened(cond), percentile)
    reach = _percentile(guided, percentile).maximum(limit)
    return guided.maximum(-reach).minimum(reach) * (limit / reach.clamp_min(1e-12))


def _percentile(x: Tensor, share: float) -> Tensor:
    """The value that `share` of |x| stays below, (N, 1, ..., 1); the nearest rank (quantile() has a size limit)."""
    rows = x.flatten(1).abs()
    rank = min(max(round(share * rows.shape[1]), 1), rows.shape[1])
    return rows.kthvalue(rank, dim=1).values.reshape(len(x), *[1] * (x.dim() - 1))
