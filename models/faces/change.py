"""Lay a change, not a picture, onto a photo: what stays the same keeps the photo's own pixels."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from models.faces import resample
from models.faces.align import crop_to_photo_matrix, paste_mask


def paste_change(
    photo: Image.Image,
    before: torch.Tensor,
    after: torch.Tensor,
    quad: np.ndarray,
    mask: np.ndarray | None = None,
    feather: float = 0.1,
) -> Image.Image:
    """The photo plus the difference of two crops, laid over the square `quad` (4, 2) in photo pixels.

    before, after: (1, 3, S, S) in [-1, 1]; mask and feather as for `paste_back`. Unlike there no pixel of the photo is
    resampled: where the crops agree, and wherever the mask is 0, the photo stays as it was, to the bit.
    """
    photo = photo.convert("RGB")
    amount = paste_mask(photo.size, quad, mask, feather)
    difference = ((after - before)[0] * 127.5).permute(1, 2, 0).cpu().numpy().astype(np.float32)
    matrix = crop_to_photo_matrix(quad, difference.shape[0])
    box = resample.footprint(matrix, difference.shape[0], photo.size)
    if box is None:
        return photo.copy()
    left, top, right, bottom = box
    pixels = np.array(photo)
    below = pixels[top:bottom, left:right]
    laid = below + amount[top:bottom, left:right, None] * resample.lay(difference, matrix, box)
    pixels[top:bottom, left:right] = np.clip(np.rint(laid), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)
