"""Cutting a square out of a photo and laying it back, without aliasing and without shifting anything.

A matrix here is (2, 3) float64 and takes pixel positions of the square to pixel positions of the photo. Pixel centres
lie at whole numbers in both.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

# The finest grid a square is sampled on before it shrinks (pixels on a side).
FINEST = 4096


def invert(matrix: np.ndarray) -> np.ndarray:
    """The (2, 3) matrix of the way back."""
    return np.asarray(cv2.invertAffineTransform(matrix), dtype=np.float64)


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (..., 2) after a (2, 3) matrix."""
    return np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]


def turn_about(center: np.ndarray, angle: float, scale: float, size: int) -> np.ndarray:
    """The matrix of a square of `size` pixels centred on `center` (x, y), turned by `angle` (radians, clockwise as
    seen) with `scale` photo pixels to one of its own."""
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    linear = np.array([[cos, -sin], [sin, cos]])
    middle = np.full(2, (size - 1) / 2)
    return np.concatenate([linear, (center - linear @ middle)[:, None]], 1)


def finer(matrix: np.ndarray, factor: float) -> np.ndarray:
    """The matrix of the same square with `factor` times as many pixels on a side."""
    shift = (0.5 / factor) - 0.5
    return np.concatenate([matrix[:, :2] / factor, transform(np.full(2, shift), matrix)[:, None]], 1)


def photo_scale(matrix: np.ndarray) -> float:
    """Photo pixels to one pixel of the square."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def _reach(matrix: np.ndarray, size: int, extent: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a photo of `extent` (width, height) that a square sees, mirrored parts included: left, top, right,
    bottom."""
    corners = transform(np.array([[0, 0], [0, size - 1], [size - 1, 0], [size - 1, size - 1]]), matrix)
    low, high = np.floor(corners.min(0)).astype(int) - 3, np.ceil(corners.max(0)).astype(int) + 4
    limit = np.array(extent)
    # What hangs over one edge is mirrored, so as much must be kept on the inner side of that edge.
    high_kept = np.clip(np.maximum(high, -low + 4), 1, limit)
    low_kept = np.clip(np.minimum(low, 2 * limit - high - 4), 0, limit - 1)
    return int(low_kept[0]), int(low_kept[1]), int(high_kept[0]), int(high_kept[1])


def cut(photo: np.ndarray, matrix: np.ndarray, size: int, border: int = cv2.BORDER_REFLECT_101) -> np.ndarray:
    """The square (size, size, 3) uint8 of a photo (H, W, 3) uint8.

    Shrinking samples on a grid at least as fine as the photo and then filters with Lanczos; growing is bicubic.
    `border` is OpenCV's name for what lies beyond the photo.
    """
    factor = int(np.clip(np.ceil(photo_scale(matrix)), 1, max(1, FINEST // size)))
    fine = finer(matrix, factor)
    left, top, right, bottom = _reach(fine, size * factor, (photo.shape[1], photo.shape[0]))
    fine[:, 2] -= (left, top)
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if factor > 1 else cv2.INTER_CUBIC)
    region = np.ascontiguousarray(photo[top:bottom, left:right])
    sampled = cv2.warpAffine(region, fine, (size * factor,) * 2, flags=flags, borderMode=border)
    if factor == 1:
        return np.asarray(sampled)
    return np.asarray(Image.fromarray(sampled).resize((size, size), Image.Resampling.LANCZOS))


def footprint(matrix: np.ndarray, size: int, extent: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The box (left, top, right, bottom) of the photo's pixels that the square touches; None if it is all outside."""
    corners = transform(np.array([[0, 0], [0, size - 1], [size - 1, 0], [size - 1, size - 1]]), matrix)
    low = np.clip(np.floor(corners.min(0)).astype(int), 0, extent)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, extent)
    if (high <= low).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def lay(square: np.ndarray, matrix: np.ndarray, box: tuple[int, int, int, int], is_mask: bool = False) -> np.ndarray:
    """A float square (S, S) or (S, S, C) as it lies in the photo's `box` (left, top, right, bottom).

    Bicubic (it may overshoot), and beyond the square its edge is repeated. A mask is laid bilinearly, its outermost
    pixels count as 0, and so does all beyond. A square with more pixels than it covers is averaged first.
    """
    size, scale = square.shape[0], photo_scale(matrix)
    if scale < 1.0:
        smaller = max(1, round(size * scale))
        square = cv2.resize(square, (smaller, smaller), interpolation=cv2.INTER_AREA)
        matrix = finer(matrix, smaller / size)
    if is_mask:
        square = np.pad(square[1:-1, 1:-1], 1)
    left, top, right, bottom = box
    shifted = matrix.copy()
    shifted[:, 2] -= (left, top)
    flags, border = cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
    if is_mask:
        flags, border = cv2.INTER_LINEAR, cv2.BORDER_CONSTANT
    return np.asarray(cv2.warpAffine(square, shifted, (right - left, bottom - top), flags=flags, borderMode=border))
