"""Similarity transforms between landmarks and small chips, differentiable in the picture."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F


def similarity(source: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """The least-squares similarity (turn, scale, shift; no mirror) that takes `source` points to `target` points.

    `source` is (N, P, 2), `target` (P, 2) or (N, P, 2), `weights` (P,) or None for equal ones. Returns (N, 2, 3)
    matrices M with target ~ M @ (x, y, 1). In the plane this is Umeyama's solution (1991) in closed form.
    """
    target = target.to(source).expand_as(source)
    share = source.new_ones(source.shape[1]) if weights is None else weights.to(source)
    share = (share / share.sum())[None, :, None]
    source_mean, target_mean = (source * share).sum(1), (target * share).sum(1)
    p, q = source - source_mean[:, None], target - target_mean[:, None]
    spread = (share * p * p).sum((1, 2)).clamp_min(1e-12)
    cos = (share * p * q).sum((1, 2)) / spread
    sin = (share[..., 0] * (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0])).sum(1) / spread
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    shift = target_mean[:, :, None] - turn @ source_mean[:, :, None]
    return torch.cat([turn, shift], -1)


def warp_to_chip(images: torch.Tensor, matrices: torch.Tensor, size: int) -> torch.Tensor:
    """Chips (N, 3, size, size) cut from `images` (N, 3, H, W); `matrices` (N, 2, 3) take picture pixels to chip pixels.

    Pixel centres lie at whole numbers, as in OpenCV. Outside the picture the edge is repeated. A picture that shrinks
    by two or more is averaged over whole blocks first, so that fine texture does not turn into noise.
    """
    matrices = matrices.to(images)
    scale = matrices[:, :, :2].det().abs().sqrt().clamp_min(1e-6)
    block = int(min(1.0 / cast(float, scale.max().item()), float(min(images.shape[2:]))))
    if block > 1:
        images = F.avg_pool2d(images, block)
    inverse = torch.linalg.inv(matrices[:, :, :2])
    steps = torch.arange(size, device=images.device, dtype=images.dtype)
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).reshape(1, -1, 2)
    points = (grid - matrices[:, None, :, 2]) @ inverse.transpose(1, 2)
    extent = torch.tensor([images.shape[3], images.shape[2]], device=images.device, dtype=images.dtype)
    # grid_sample without align_corners puts -1 and 1 on the outer edges of the border pixels.
    unit = 2.0 * (points + 0.5) / (extent * max(block, 1)) - 1.0
    sampled = unit.reshape(-1, size, size, 2)
    return F.grid_sample(images, sampled, mode="bilinear", padding_mode="border", align_corners=False)
