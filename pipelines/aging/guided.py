"""Make a small, slightly misplaced change follow the edges of a large photo.

The guided filter (He, Sun, Tang, "Guided Image Filtering", 2013, section 3.4 for colour guides): in each small window
the change is taken as a linear function of the photo's colours. The functions are found at the change's own size and
applied to the photo's full-size pixels (He and Sun, "Fast Guided Filter", 2015), so that a change of hair ends where
the hair ends, strand by strand. All pictures are (N, C, H, W) float tensors.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def _window(size: int, radius: int, like: Tensor) -> Tensor:
    """The matrix (size, size) that takes a line of pixels to its means over windows, of the pixels inside the line."""
    places = torch.arange(size, device=like.device)
    near = ((places[:, None] - places).abs() <= radius).to(like.dtype)
    return near / near.sum(dim=1, keepdim=True)


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over windows of 2 radius + 1 pixels, of the pixels inside the picture.

    As products of matrices: at the sizes that guides have they take less time than sliding windows.
    """
    height, width = x.shape[-2:]
    return _window(height, radius, x) @ (x @ _window(width, radius, x).t())


def _inverse(variance: Tensor) -> Tensor:
    """The inverse of a symmetric, positive 3x3 matrix at each pixel, by its cofactors: both (N, 6, H, W), the upper
    triangle row by row."""
    a, b, c, d, e, f = variance.unbind(dim=1)
    cofactors = torch.stack(
        [d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b], 1
    )
    determinant = a * cofactors[:, 0] + b * cofactors[:, 1] + c * cofactors[:, 2]
    return cofactors / determinant[:, None]


def _pairs(x: Tensor) -> Tensor:
    """The six products of two of the three channels: (N, 3, H, W) -> (N, 6, H, W)."""
    return torch.cat([x[:, :1] * x, x[:, 1:2] * x[:, 1:], x[:, 2:] * x[:, 2:]], dim=1)


def linear_maps(change: Tensor, guide: Tensor, radius: int, smoothness: float) -> Tensor:
    """(N, C * 4, H, W): for each channel of the change (N, C, H, W) three slopes and an offset per pixel.

    guide: (N, 3, H, W); smoothness: variance of the guide (of its own range, squared) below which a window is flat.
    """
    (count, channels), (height, width) = change.shape[:2], change.shape[-2:]
    mixed = (change[:, :, None] * guide[:, None]).flatten(1, 2)
    means = box_mean(torch.cat([guide, change, _pairs(guide), mixed], dim=1), radius)
    mean_guide, mean_change, squares, products = means.split([3, channels, 6, 3 * channels], dim=1)
    covariance = products.unflatten(1, (channels, 3)) - mean_change[:, :, None] * mean_guide[:, None]
    variance = squares - _pairs(mean_guide)
    variance[:, (0, 3, 5)] += smoothness
    rows = _inverse(variance)[:, (0, 1, 2, 1, 3, 4, 2, 4, 5)].view(count, 1, 3, 3, height, width)
    slopes = (rows * covariance[:, :, None]).sum(dim=3)  # image, change channel, guide channel, y, x
    offsets = mean_change - (slopes * mean_guide[:, None]).sum(dim=2)
    return box_mean(torch.cat([slopes, offsets[:, :, None]], dim=2).flatten(1, 2), radius)


def apply_maps(maps: Tensor, photo: Tensor) -> Tensor:
    """The change (N, C, S, S) that the maps (N, C * 4, H, W) say for a photo (N, 3, S, S) of any size."""
    if maps.shape[-2:] != photo.shape[-2:]:
        maps = F.interpolate(maps, size=photo.shape[-2:], mode="bilinear", align_corners=False)
    red, green, blue, result = maps.unflatten(1, (-1, 4)).unbind(dim=2)
    for slope, channel in zip((red, green, blue), photo.split(1, dim=1), strict=True):
        result = torch.addcmul(result, slope, channel)
    return result
