"""From light to picture: blur under the skin, exposure and white balance on the face, film curve, grain."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from training.heads.noise import unit

# How far red, green and blue light spreads under skin, in shares of the picture's side: FFHQ frames all faces alike.
_SPREAD = (0.016, 0.009, 0.006)
_WEIGHTS = (0.3, 0.6, 0.1)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (N, C, H, W), borders repeated."""
    if sigma < 0.3:
        return images
    reach = math.ceil(2.5 * sigma)
    t = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-t * t / (2 * sigma * sigma))
    kernel = kernel / kernel.sum()
    count, channels, height, width = images.shape
    flat = F.pad(images, (reach,) * 4, mode="replicate").reshape(count * channels, 1, height + 2 * reach, -1)
    flat = F.conv2d(F.conv2d(flat, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    return flat.view(count, channels, height, width)


def under_skin(light: Tensor, at: Tensor, count: int, side: int) -> Tensor:
    """Light (P, 3) on skin samples `at` (P,) of `count` pictures, spread among neighbours of the same skin."""
    canvas = torch.zeros(count * side * side, 4, device=light.device)
    canvas[at] = F.pad(light, (0, 1), value=1.0)
    images = canvas.view(count, side, side, 4).permute(0, 3, 1, 2)
    spread = []
    for channel, share in enumerate(_SPREAD):
        soft = blur(images[:, [channel, 3]], share * side)
        spread.append((soft[:, 0] / soft[:, 1].clamp(min=1e-3)).reshape(-1)[at])
    return 0.35 * light + 0.65 * torch.stack(spread, 1)


def mean_by_head(values: Tensor, weight: Tensor, head: Tensor, count: int) -> Tensor:
    """Weighted means (N, C) of values (P, C) with weights (P,) over the samples of each head."""
    total = torch.zeros(count, values.shape[1] + 1, device=values.device)
    total.index_add_(0, head, torch.cat([values * weight[:, None], weight[:, None]], 1))
    return total[:, :-1] / total[:, -1:].clamp(min=1e-6)


def exposed(images: Tensor, level: Tensor, white: Tensor, tone: Tensor, exposure: Tensor) -> Tensor:
    """(N, 3, S, S) radiance to 0..1 sRGB; the face's mean level (N,), its light (N, 3), its tone (N,), stops (N,)."""
    weights = images.new_tensor(_WEIGHTS)
    white = white / (white @ weights).clamp(min=1e-4)[:, None]
    # Darker skin is photographed darker, but less so than it is.
    target = 0.25 * (tone / 0.35) ** 0.56 * exposure.exp()
    images = images * (target / level.clamp(min=1e-4))[:, None, None, None] / white[:, :, None, None] ** 0.72
    images = images.clamp(min=0) ** 1.08
    film = 1 - torch.exp(-1.2 * images * (1 + 0.6 * images))
    grey = film.mean(1, keepdim=True)
    film = (grey + (film - grey) * 1.07).clamp(0, 1)
    return torch.where(film <= 0.0031308, film * 12.92, 1.055 * film.clamp(min=1e-6) ** (1 / 2.4) - 0.055)


def brightness_of(colours: Tensor) -> Tensor:
    """(P, 3) to (P, 1)."""
    return (colours * colours.new_tensor(_WEIGHTS)).sum(1, keepdim=True)


def printed(images: Tensor, supersample: int, seeds: Tensor) -> Tensor:
    """(N, 3, S, S) in 0..1 to uint8 (N, size, size, 3): shrunk, a little soft, with grain by seeds (N,)."""
    small = F.avg_pool2d(images, supersample)
    size = small.shape[-1]
    small = blur(small, 0.45 * size / 256)
    index = torch.arange(3 * size * size, device=images.device)
    grain = unit(seeds[:, None] * 65537 + index) + unit(seeds[:, None] * 65539 + index + 17) - 1
    small = small + 0.017 * grain.view(len(seeds), 3, size, size)
    return (small.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1)
