"""Put what the generator changed onto the photo's own pixels.

The generator draws the face twice, as it is and as it will be, both small. Their difference, enlarged, is what age
does; the photo's pixels carry everything else: pores, lashes, single hairs. Pictures are (N, 3, H, W) in [-1, 1].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Mean absolute change (of the range 2) from which the photo's own pixels begin to fade, and at which they are gone.
MISFIT_FADE = (0.10, 0.45)
TEXTURE_FADE = (0.45, 1.0)
# Fine skin texture of another age: its gain doubles or halves over this many years.
TEXTURE_YEARS = 60.0
TEXTURE_GAIN = (0.55, 1.6)
# Detail stronger than this is an edge (a lash, a nostril), not skin.
SKIN_TEXTURE = 0.12
# Standard deviation of the smoothing of colour changes, as a share of the side. Hair and skin change colour over
# areas; at edges the two drawings differ by a pixel here and there, which would show as coloured fringes.
COLOUR_BLUR = 1 / 36
LUMA = (0.299, 0.587, 0.114)


def enlarge(x: Tensor, size: int) -> Tensor:
    """Bicubic to `size`, or average down to it."""
    if x.shape[-1] >= size:
        return F.adaptive_avg_pool2d(x, size)
    return F.interpolate(x, size=(size, size), mode="bicubic", align_corners=False)


def blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with mirrored borders; sigma in pixels."""
    radius = max(int(3 * sigma + 0.5), 1)
    places = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-(places**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, -1)
    x = F.conv2d(F.pad(x, (radius, radius, 0, 0), mode="reflect"), kernel.unsqueeze(2), groups=x.shape[1])
    return F.conv2d(F.pad(x, (0, 0, radius, radius), mode="reflect"), kernel.unsqueeze(3), groups=x.shape[1])


def _fade(change: Tensor, limits: tuple[float, float]) -> Tensor:
    """1 where little changes, 0 where much does."""
    low, high = limits
    x = ((change - low) / (high - low)).clamp(0, 1)
    return 1 - x * x * (3 - 2 * x)


def texture_gain(texture: Tensor, years: float) -> Tensor:
    """Skin texture grows with age and softens with youth; edges keep their strength."""
    low, high = TEXTURE_GAIN
    gain = min(max(2.0 ** (years / TEXTURE_YEARS), low), high)
    edge = (texture.abs().mean(dim=1, keepdim=True) / SKIN_TEXTURE).clamp(0, 1)
    return texture * (gain + (1 - gain) * edge)


def believable(change: Tensor) -> Tensor:
    """The change (N, 3, H, W) with its colour part smoothed; brightness keeps its lines."""
    weights = torch.tensor(LUMA, dtype=change.dtype, device=change.device).view(1, 3, 1, 1)
    bright = (change * weights).sum(dim=1, keepdim=True)
    return bright + blur(change - bright, sigma=change.shape[-1] * COLOUR_BLUR)


def compose(crop: Tensor, now: Tensor, then: Tensor, detail: float, years: float, skin: Tensor, free: Tensor) -> Tensor:
    """The aged crop at the crop's own size.

    crop: (1, 3, S, S), the photo; now, then: (1, 3, R, R), the generator's face today and at the target age.
    detail: share of the photo's own detail that stays; years: target minus present age.
    skin: (1, 1, S, S) in [0, 1], where skin texture may be strengthened or softened; free: how much of the change
    each place takes (little in eyes and mouth, whose shape must stay the photo's).
    With now == then and detail 1 the result is the photo, apart from skin texture when years != 0.
    """
    size, small = crop.shape[-1], now.shape[-1]
    then = now + believable(then - now) * enlarge(free, small)
    change = blur((then - now).abs().mean(dim=1, keepdim=True), sigma=small / 64)
    coarse = enlarge(enlarge(crop, min(small, size)), size)
    texture = crop - coarse
    misfit = coarse - enlarge(now, size)
    misfit = misfit * _fade(enlarge(change, size), MISFIT_FADE)
    aged = texture_gain(texture, years)
    texture = (texture + skin * (aged - texture)) * _fade(enlarge(change, size), TEXTURE_FADE)
    return (enlarge(then, size) + detail * (misfit + texture)).clamp(-1, 1)
