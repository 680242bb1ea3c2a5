"""Put what the generator changed onto the photo's own pixels.

The generator draws the face twice, as it is and as it will be, both small. Their difference, enlarged, is what age
does; the photo's pixels carry everything else: pores, lashes, single hairs. Pictures are (N, 3, H, W) in [-1, 1].
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from models.images import brightness

from .guided import apply_maps, linear_maps

FEWEST_PIXELS = 3  # to a standard deviation that show a blur
SLOW = 1 / 20  # standard deviation of a slow change, as a share of the side
# Hair and skin change colour over wide areas; in small places the generator's colours are not to be trusted.
COLOUR_BLUR, COLOUR_SHARE = 1 / 16, 0.45  # standard deviation as a share of the side; how much is kept
# Window and smoothness of the guided filter, as a share of the side and a variance (of the range -1..1).
WINDOW, SMOOTHNESS = 1 / 14, 0.01
LINES = 1.1  # of what the filter takes away, kept on skin: lines and folds have no edge in the photo yet
# No change is larger than this (of the range -1..1), softly: what would be is a shape drawn in the wrong place.
LARGEST_CHANGE = 0.4
# Change of brightness from which the photo's own fine texture begins to fade, and at which it is gone.
TEXTURE_FADE = (0.5, 1.1)
# Skin relief (pores, lines, blemishes) of another age: how many years double it, and how many take it away.
MORE_RELIEF_YEARS, LESS_RELIEF_YEARS = 60.0, 26.0
RELIEF_GAIN = (0.2, 1.7)
# What counts as relief: the window and smoothness of the filter that takes it off the photo, and the amplitude from
# which on it is an edge (a lash, a nostril) that keeps its strength.
RELIEF_WINDOW, RELIEF_SMOOTHNESS, EDGE = 1 / 20, 0.02, 0.3
# Folds and bags of youth's skin: how many years take them away, at most how much, and what counts as one (wider than
# relief, and again edges such as a nostril's stay).
LESS_FOLDS_YEARS, FOLDS_TAKEN = 15.0, 0.8
FOLDS_WINDOW, FOLDS_SMOOTHNESS, FOLDS_EDGE = 1 / 9, 0.06, 0.35
# Off the skin (hair, beard) contrast goes with brightness; the offset keeps black from growing without bounds.
BLACK, STRAND_GAIN = 0.12, (0.6, 2.6)


def enlarge(x: Tensor, size: int) -> Tensor:
    """Bicubic to `size`, or average down to it."""
    if x.shape[-1] >= size:
        return F.adaptive_avg_pool2d(x, size)
    return F.interpolate(x, size=(size, size), mode="bicubic", align_corners=False)


def blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with mirrored borders; sigma in pixels. A wide one is done on as few pixels as show it."""
    shrink = 2 ** int(math.log2(max(sigma / FEWEST_PIXELS, 1)))
    if shrink > 1:
        # Averaging over blocks and drawing lines between them blur, too.
        own = (shrink**2 - 1) / 12 + shrink**2 / 6
        small = F.adaptive_avg_pool2d(x, (round(x.shape[-2] / shrink), round(x.shape[-1] / shrink)))
        soft = blur(small, math.sqrt(sigma**2 - own) / shrink)
        return F.interpolate(soft, size=x.shape[-2:], mode="bilinear", align_corners=False)
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


def _each(years: float | Tensor, like: Tensor) -> Tensor:
    """Years, the same for all pictures or (N,), so that they go with pictures (N, C, S, S)."""
    return torch.as_tensor(years, dtype=like.dtype, device=like.device).view(-1, 1, 1, 1)


def relief_gain(relief: Tensor, years: float | Tensor) -> Tensor:
    """Skin relief (N, 3, S, S) after `years` more or, if negative, fewer; edges keep their strength."""
    years = _each(years, relief)
    gain = 1 + torch.where(years > 0, years / MORE_RELIEF_YEARS, years / LESS_RELIEF_YEARS)
    gain = gain.clamp(*RELIEF_GAIN)
    edge = (relief.abs().mean(dim=1, keepdim=True) / EDGE).clamp(0, 1)
    return relief * (gain + (1 - gain) * edge)


def strand_gain(before: Tensor, after: Tensor) -> Tensor:
    """How much stronger the contrast of hair gets when it grows lighter: grey hair is no black hair under a veil."""
    low, high = STRAND_GAIN
    dark, light = ((brightness(x) + 1) / 2 + BLACK for x in (before, after))
    return (light.clamp(min=BLACK) / dark.clamp(min=BLACK)).clamp(low, high)


def relief_of(crop: Tensor, small: int, window: float = RELIEF_WINDOW, smoothness: float = RELIEF_SMOOTHNESS) -> Tensor:
    """What an edge-preserving filter at `small` pixels takes off the photo (N, 3, S, S)."""
    guide = enlarge(crop, small)
    maps = linear_maps(guide, guide, max(round(small * window), 1), smoothness)
    return crop - apply_maps(maps, crop)


def soften_folds(crop: Tensor, small: int, years: float | Tensor, skin: Tensor) -> Tensor:
    """The photo (N, 3, S, S) with the folds of its skin filled as `years` < 0 are taken away; else the photo itself.

    The generator can't take away what it never drew: a photo's own folds are finer than its pictures.
    """
    taken = (-_each(years, crop) / LESS_FOLDS_YEARS).clamp(0, FOLDS_TAKEN)
    if not taken.any():
        return crop
    folds = relief_of(crop, small, FOLDS_WINDOW, FOLDS_SMOOTHNESS)
    edge = (folds.abs().mean(dim=1, keepdim=True) / FOLDS_EDGE).clamp(0, 1)
    return crop - taken * skin * folds * (1 - edge)


def follow_photo(change: Tensor, crop: Tensor, skin: Tensor, guide_side: int | None = None) -> Tensor:
    """The change (N, 3, R, R) at the size of the crop (N, 3, S, S), with the crop's edges instead of its own.

    Colour changes slowly over the face. On skin (N, 1, S, S) lines of brightness that the photo does not have yet stay.
    guide_side: pixels on a side on which the edges are looked for, the change's own if None; fewer cost less.
    """
    small, size = change.shape[-1], crop.shape[-1]
    bright = brightness(change)
    change = bright + COLOUR_SHARE * blur(change - bright, sigma=small * COLOUR_BLUR)
    guide = enlarge(crop, small)
    side = min(guide_side or small, small)
    maps = linear_maps(enlarge(change, side), enlarge(crop, side), max(round(side * WINDOW), 1), SMOOTHNESS)
    lines = bright - brightness(apply_maps(maps, guide))
    laid = apply_maps(maps, crop) + LINES * skin * enlarge(lines, size)
    return LARGEST_CHANGE * torch.tanh(laid / LARGEST_CHANGE)


def compose(
    crop: Tensor,
    now: Tensor,
    then: Tensor,
    detail: float,
    years: float | Tensor,
    skin: Tensor,
    person: Tensor,
    features: Tensor,
    guide_side: int | None = None,
) -> Tensor:
    """The aged crops at the crops' own size.

    crop: (N, 3, S, S), the photo; now, then: (N, 3, R, R), the generator's face today and at the target age.
    detail: 1 lays the change over the photo, 0 shows the generator's own drawing; years: target minus present age, one
    for all or (N,).
    skin: (N, 1, S, S) in [0, 1], where lines are drawn and relief is strengthened or softened; person: where anything
    may change; features: how far only slow changes come through (eyes, nose and mouth, whose shape must stay the
    photo's while the light and colour of the skin around them change).
    guide_side: as for `follow_photo`, and for what counts as relief.
    With now == then, detail 1 and years 0 the result is the photo.
    """
    size, small = crop.shape[-1], min(guide_side or now.shape[-1], now.shape[-1])
    crop = soften_folds(crop, small, years, skin)
    change = follow_photo(then - now, crop, skin, guide_side)
    change = person * torch.lerp(change, blur(change, sigma=size * SLOW), features)
    relief = relief_of(crop, small)
    smooth = crop - relief
    strands = relief * strand_gain(smooth, smooth + change)
    aged = strands + skin * (relief_gain(relief, years) - strands)
    kept = _fade(blur(change.abs().mean(dim=1, keepdim=True), sigma=size / 64), TEXTURE_FADE)
    laid = smooth + aged * kept + change
    return (laid if detail == 1 else torch.lerp(enlarge(then, size), laid, detail)).clamp(-1, 1)
