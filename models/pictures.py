"""Figures of pictures that say whether guidance has burnt them. All take (N, 3, H, W) in [-1, 1] and give (N,)."""

from __future__ import annotations

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in brightness (ITU-R BT.601)."""
STEP = 1 / 255


def saturation(images: Tensor) -> Tensor:
    """Mean saturation of HSV, 0..1: (largest - smallest) / largest of red, green and blue."""
    colours = _unit(images)
    high, low = colours.amax(1), colours.amin(1)
    return torch.where(high > 0, (high - low) / high.clamp_min(1e-12), 0.0).mean((1, 2))


def contrast(images: Tensor) -> Tensor:
    """Root mean square contrast: the standard deviation of brightness in 0..1."""
    return _brightness(_unit(images)).flatten(1).std(1, unbiased=False)


def clipped_share(images: Tensor) -> Tensor:
    """Share of pixels of which some colour is at an end of its range: at most 1/255 or at least 254/255."""
    colours = _unit(images)
    return ((colours <= STEP + 1e-6) | (colours >= 1 - STEP - 1e-6)).any(1).float().mean((1, 2))


def colourfulness(images: Tensor) -> Tensor:
    """Hasler & Suesstrunk 2003, equation 16, for colours in 0..1."""
    red, green, blue = _unit(images).flatten(2).unbind(1)
    first, second = red - green, (red + green) / 2 - blue
    spread = (first.var(1, unbiased=False) + second.var(1, unbiased=False)).sqrt()
    return spread + 0.3 * (first.mean(1).square() + second.mean(1).square()).sqrt()


def figures(images: Tensor) -> list[dict[str, float]]:
    """All of the above for each picture, rounded, by name."""
    measured = {
        "saturation": saturation(images),
        "contrast": contrast(images),
        "clipped": clipped_share(images),
        "colourfulness": colourfulness(images),
    }
    return [{name: round(values[i].item(), 4) for name, values in measured.items()} for i in range(len(images))]


def _unit(images: Tensor) -> Tensor:
    return (images.float().clamp(-1, 1) + 1) / 2


def _brightness(colours: Tensor) -> Tensor:
    return (colours * colours.new_tensor(LUMA)[:, None, None]).sum(1)
