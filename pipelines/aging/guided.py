"""Make a small, slightly misplaced change follow the edges of a large photo.

The guided filter (He, Sun, Tang, "Guided Image Filtering", 2013, section 3.4 for colour guides): in each small window
the change is taken as a linear function of the photo's colours. The functions are found at the change's own size and
applied to the photo's full-size pixels (He and Sun, "Fast Guided Filter", 2015), so that a change of hair ends where
the hair ends, strand by strand. All pictures are (1, C, H, W) float tensors.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over windows of 2 radius + 1 pixels, of the pixels inside the picture."""
    side = 2 * radius + 1
    down = F.avg_pool2d(x, (side, 1), 1, (radius, 0), count_include_pad=False)
    return F.avg_pool2d(down, (1, side), 1, (0, radius), count_include_pad=False)


def linear_maps(change: Tensor, guide: Tensor, radius: int, smoothness: float) -> Tensor:
    """(1, 3 * 4, H, W): for each channel of the change (1, 3, H, W) three slopes and an offset per pixel.

    guide: (1, 3, H, W); smoothness: variance of the guide (of its own range, squared) below which a window is flat.
    """
    mean_guide, mean_change = box_mean(guide, radius), box_mean(change, radius)
    pairs = (guide[:, :, None] * guide[:, None]).flatten(1, 2)
    variance = box_mean(pairs, radius) - (mean_guide[:, :, None] * mean_guide[:, None]).flatten(1, 2)
    mixed = (change[:, :, None] * guide[:, None]).flatten(1, 2)
    covariance = box_mean(mixed, radius) - (mean_change[:, :, None] * mean_guide[:, None]).flatten(1, 2)
    height, width = change.shape[-2:]
    matrix = variance.view(3, 3, height, width).permute(2, 3, 0, 1) + smoothness * torch.eye(3, device=change.device)
    wanted = covariance.view(3, 3, height, width).permute(2, 3, 1, 0)
    slopes = torch.linalg.solve(matrix, wanted).permute(3, 2, 0, 1)  # change channel, guide channel, y, x
    offsets = mean_change[0] - (slopes * mean_guide).sum(dim=1)
    return box_mean(torch.cat([slopes, offsets[:, None]], dim=1).flatten(0, 1)[None], radius)


def apply_maps(maps: Tensor, photo: Tensor) -> Tensor:
    """The change (1, 3, S, S) that the maps (1, 12, H, W) say for a photo (1, 3, S, S) of any size."""
    if maps.shape[-2:] != photo.shape[-2:]:
        maps = F.interpolate(maps, size=photo.shape[-2:], mode="bilinear", align_corners=False)
    table = maps.view(3, 4, *photo.shape[-2:])
    return ((table[:, :3] * photo).sum(dim=1) + table[:, 3])[None]
