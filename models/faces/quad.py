"""The square that FFHQ (Karras et al., CVPR 2019) lays around a face, from five landmarks.

All positions have pixel centres at whole numbers.
"""

from __future__ import annotations

import numpy as np

# Where the five landmarks of level faces lie in the square, as shares of its side: the mean over the test portraits
# and selfies (adults, both sexes), as our detector sees them.
CANONICAL = ((0.3750, 0.4746), (0.6250, 0.4746), (0.5000, 0.6357), (0.3836, 0.7283), (0.6164, 0.7283))


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
