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
from models.images import to_pil

# Where the five landmarks of level faces lie in the square, as shares of its side: the mean over the test portraits
# and selfies (adults, both sexes), as our detector sees them.
CANONICAL = ((0.3750, 0.4755), (0.6250, 0.4755), (0.5000, 0.6190), (0.3910, 0.7215), (0.6090, 0.7215))

# Colours are compared at this size (pixels on a side): only slow changes are wanted.
MATCH_SIDE = 64


def ffhq_quad(landmarks: np.ndarray) -> np.ndarray:
    """The corners (4, 2) float64 of the square: top-left, bottom-left, bottom-right, top-right, in photo pixels.

    `landmarks` is (5, 2): image-left eye, image-right eye, nose, image-left and image-right mouth corner. The corners
    of the square are the outer corners of the crop's corner pixels. ValueError for another shape, for numbers that are
    not finite, and for points that are all one.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise ValueError(f"expected five finite landmarks (5, 2), got {points.tolist()}")
    eyes, mouth = points[:2].mean(0), points[3:5].mean(0)
    across, down = points[1] - points[0], mouth - eyes
    x = across - np.array([-down[1], down[0]])
    if np.hypot(*x) < 1e-6:
        raise ValueError(f"the landmarks do not span a face: {points.tolist()}")
    x *= max(np.hypot(*across) * 2.0, np.hypot(*down) * 1.8) / np.hypot(*x)
    y = np.array([-x[1], x[0]])
    center = eyes + down * 0.1
    return np.stack([center - x - y, center - x + y, center + x + y, center + x - y])


def canonical_landmarks(size: int) -> np.ndarray:
    """Where the five points of an average level face land in a crop of `size` pixels: (5, 2) float32."""
    return (np.array(CANONICAL) * size - 0.5).astype(np.float32)


def crop_to_photo_matrix(quad: np.ndarray, size: int) -> np.ndarray:
    """The (2, 3) float64 matrix from pixel positions of a crop of `size` pixels to pixel positions of the photo."""
    top_left, bottom_left, _, top_right = np.asarray(quad, dtype=np.float64)
    linear = np.stack([(top_right - top_left) / size, (bottom_left - top_left) / size], 1)
    return np.concatenate([linear, (top_left + linear @ np.full(2, 0.5))[:, None]], 1)


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
    return np.clip(resample.lay(weights, matrix, box, smooth=False), 0.0, 1.0)


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
