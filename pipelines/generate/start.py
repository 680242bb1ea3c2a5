"""A start picture: cut to size, encoded, and put back where nothing was to change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor

from pipelines.generate.families.base import Family
from pipelines.generate.sampling import Start

SOFT = 0.01
"""Softness of a mask's edge, as a share of the picture's longer side."""


@dataclass(frozen=True)
class Picture:
    """image (1, 3, H, W) in [-1, 1]; mask (1, 1, H, W) in 0..1, 1 where it is made anew, None: everywhere."""

    image: Tensor
    mask: Tensor | None

    def keep(self, made: Tensor) -> Tensor:
        """The made pictures (N, 3, H, W), with the start picture's own pixels outside the mask."""
        if self.mask is None:
            return made
        mask = self.mask.to(made)
        return mask * made + (1 - mask) * self.image.to(made)


def prepare_picture(image: Image.Image, mask: Image.Image | None, size: tuple[int, int]) -> Picture:
    """A picture and its mask at (width, height): covered, the overhang cut off evenly."""
    fitted = ImageOps.fit(image.convert("RGB"), size, Image.Resampling.LANCZOS)
    tensor = torch.from_numpy(np.array(fitted)).permute(2, 0, 1)[None].float() / 127.5 - 1
    if mask is None:
        return Picture(tensor, None)
    grey = ImageOps.fit(mask.convert("L").resize(image.size), size, Image.Resampling.LANCZOS)
    soft = grey.filter(ImageFilter.GaussianBlur(SOFT * max(size)))
    # Softened inwards only: what lies outside the drawn mask stays bit for bit.
    values = np.minimum(np.array(soft), np.array(grey)).astype(np.float32) / 255
    return Picture(tensor, torch.from_numpy(values)[None, None])


def begin(family: Family, picture: Picture | None, strength: float, count: int) -> Start:
    """What the run of `count` pictures starts with."""
    places = int(family.network.config.in_channels)
    inpaints = places == 2 * family.channels + 1
    if picture is None:
        if not inpaints:
            return Start()
        raise_for_inpainting(family)
    assert picture is not None
    clean = family.encode_picture(picture.image).expand(count, -1, -1, -1)
    if picture.mask is None:
        mask = torch.ones(1, 1, *clean.shape[-2:], device=clean.device) if inpaints else None
    else:
        mask = F.interpolate(picture.mask.to(clean), size=clean.shape[-2:], mode="area").expand(count, -1, -1, -1)
    if not inpaints:
        return Start(clean, strength, mask)
    assert mask is not None
    hard = (mask.expand(count, -1, -1, -1) > 0.5).to(clean)
    whole = picture.mask if picture.mask is not None else torch.ones_like(picture.image[:, :1])
    hidden = family.encode_picture(picture.image * (whole < 0.5)).expand(count, -1, -1, -1)
    return Start(clean, strength, hard, torch.cat([hard, hidden], dim=1))


def raise_for_inpainting(family: Family) -> None:
    from models.errors import InputError

    raise InputError("This model only changes pictures; give a start picture and a mask.")
