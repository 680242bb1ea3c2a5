"""The FFHQ square around a face: cut it out of the photo, and lay a changed one back.

The square is the one of FFHQ (Karras et al., CVPR 2019) with the eyes' middle and the mouth's middle taken from five
landmarks. All positions have pixel centres at whole numbers.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from PIL import Image

from models.faces import resample
from models.faces.mask import colour_shift, face_mask, fade_border
from models.faces.quad import canonical_landmarks, crop_to_photo_matrix, ffhq_quad
from models.images import to_pil

__all__ = ["align_crop", "canonical_landmarks", "crop_to_photo_matrix", "ffhq_quad", "paste_back", "paste_mask"]

# Colours are compared at this size (pixels on a side): only slow changes are wanted.
MATCH_SIDE = 64


def _quad_of(landmarks_or_quad: np.ndarray) -> np.ndarray:
    points = np.asarray(landmarks_or_quad, dtype=np.float64)
    return points if points.shape == (4, 2) else ffhq_quad(points)


def align_crop(photo: Image.Image, landmarks_or_quad: np.ndarray, size: int = 256) -> Image.Image:
    """The FFHQ square of a face as a PIL RGB picture of `size` x `size`.

    Takes five landmarks (5, 2) or a quad (4, 2) in photo pixels. Free of aliasing; beyond the photo it is mirrored.
    """
    matrix = crop_to_photo_matrix(_quad_of(landmarks_or_quad), size)
    return Image.fromarray(resample.cut(np.asarray(photo.convert("RGB")), matrix, size))


def _square(crop: Image.Image | torch.Tensor) -> np.ndarray:
    """A crop as a float32 (S, S, 3) array of levels 0..255; ValueError if it is not square."""
    if isinstance(crop, torch.Tensor):
        crop = to_pil(crop)
    levels = np.asarray(crop.convert("RGB"), dtype=np.float32)
    if levels.shape[0] != levels.shape[1]:
        raise ValueError(f"expected a square crop, got {levels.shape[1]} x {levels.shape[0]}")
    return levels


def _weights(mask: np.ndarray | Image.Image | None, size: int, feather: float) -> np.ndarray:
    """The mask of the crop (S, S) float32 in [0, 1], zero at its border."""
    if mask is None:
        weights = face_mask(size)
    elif isinstance(mask, Image.Image):
        weights = np.asarray(mask.convert("L"), dtype=np.float32) / 255.0
    else:
        weights = np.asarray(mask, dtype=np.float32)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
        raise ValueError(f"expected a square mask, got shape {weights.shape}")
    return fade_border(np.clip(weights, 0.0, 1.0), feather)


def paste_mask(
    photo_size: tuple[int, int], quad: np.ndarray, mask: np.ndarray | Image.Image | None = None, feather: float = 0.1
) -> np.ndarray:
    """How much of the crop `paste_back` shows at each pixel of the photo: (H, W) float32 in [0, 1].

    `photo_size` is (width, height); the other arguments are those of `paste_back`. Exactly 0 outside the square.
    """
    width, height = photo_size
    whole = np.zeros((height, width), dtype=np.float32)
    weights = _weights(mask, 256, feather)
    box = resample.footprint(crop_to_photo_matrix(quad, weights.shape[0]), weights.shape[0], photo_size)
    if box is not None:
        whole[box[1] : box[3], box[0] : box[2]] = _mask_in(box, quad, weights)
    return whole


def _mask_in(box: tuple[int, int, int, int], quad: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mask as it lies in the photo's `box`. Bilinear, so that what is 0 stays exactly 0."""
    matrix = crop_to_photo_matrix(quad, weights.shape[0])
    return np.clip(resample.lay(weights, matrix, box, is_mask=True), 0.0, 1.0)


def paste_back(
    photo: Image.Image,
    crop: Image.Image | torch.Tensor,
    quad: np.ndarray,
    mask: np.ndarray | Image.Image | None = None,
    feather: float = 0.1,
    color_match: bool = True,
) -> Image.Image:
    """The photo with the crop laid back over its face, by the exact inverse of `align_crop`.

    `crop` is a square picture or a (3, S, S) tensor in [-1, 1]; `quad` (4, 2) the square it came from (or its five
    landmarks); `mask` (M, M) in [0, 1] in crop space, by default `face_mask`; `feather` the share of the side over
    which the mask fades to exactly 0 at the border. `color_match` moves the crop's colours, slowly varying, so that
    they meet the photo's where the mask is neither 0 nor 1. Same size as the photo; every pixel whose `paste_mask`
    is 0 stays as it was, to the bit. ValueError for a crop or mask that is not square.
    """
    photo = photo.convert("RGB")
    quad, square = _quad_of(quad), _square(crop)
    weights = _weights(mask, 256, feather)
    # The mask's own footprint, as in `paste_mask`; it may have another size than the crop.
    box = resample.footprint(crop_to_photo_matrix(quad, weights.shape[0]), weights.shape[0], photo.size)
    if box is None:
        return photo.copy()
    if color_match:
        square = square + _match(photo, square, quad, weights)
    left, top, right, bottom = box
    pixels = np.array(photo)
    below = pixels[top:bottom, left:right].astype(np.float32)
    above = resample.lay(square, crop_to_photo_matrix(quad, square.shape[0]), box)
    blended = below + _mask_in(box, quad, weights)[..., None] * (above - below)
    pixels[top:bottom, left:right] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def _match(photo: Image.Image, square: np.ndarray, quad: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The slow change of colour (S, S, 3) that brings the crop to the photo where the mask fades."""
    small = (MATCH_SIDE, MATCH_SIDE)
    before = np.asarray(align_crop(photo, quad, MATCH_SIDE), dtype=np.float32)
    after, ring = (cv2.resize(each, small, interpolation=cv2.INTER_AREA) for each in (square, weights))
    shift = colour_shift(before, after, ring)
    return np.asarray(cv2.resize(shift, square.shape[:2], interpolation=cv2.INTER_LINEAR))
