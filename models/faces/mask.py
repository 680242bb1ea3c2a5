"""Which part of a crop is face, and how its edge meets the photo. All arrays are float32 in crop space."""

from __future__ import annotations

import cv2
import numpy as np

# The oval of `face_mask` in shares of the side: its middle, its half axes, its exponent (2 is an ellipse), and the
# share of the half axes at which it begins to fade.
MIDDLE = (0.5, 0.535)
HALF_AXES = (0.45, 0.45)
EXPONENT = 2.6
INNER = 0.78
# Colour differences beyond this (levels of 255) are another thing (hair over wall), not a colour cast.
MAX_SHIFT = 24.0


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def face_mask(size: int) -> np.ndarray:
    """A soft oval (size, size) in [0, 1] over face, front hair, jaw and the top of the neck of an FFHQ crop.

    1 inside, falling smoothly to exactly 0 well before the crop's border.
    """
    u = (np.arange(size, dtype=np.float64) + 0.5) / size
    x = np.abs(u[None, :] - MIDDLE[0]) / HALF_AXES[0]
    y = np.abs(u[:, None] - MIDDLE[1]) / HALF_AXES[1]
    radius = (x**EXPONENT + y**EXPONENT) ** (1.0 / EXPONENT)
    return _smoothstep((1.0 - radius) / (1.0 - INNER)).astype(np.float32)


def fade_border(mask: np.ndarray, feather: float) -> np.ndarray:
    """The mask (S, S) fading to exactly 0 at the two outermost pixels over `feather` of the side."""
    size = mask.shape[0]
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]) - 1.0
    ramp = _smoothstep(edge / max(feather * size, 1.0))
    return (mask * np.minimum.outer(ramp, ramp)).astype(np.float32)


def colour_shift(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What to add to `after` (S, S, 3; levels 0..255) so that it meets `before` in the ring where 0 < mask < 1.

    Only slow changes: a wide normalised blur of the difference, seen in the ring alone. It dies out towards the middle
    of the face, whose colours are the result's own.
    """
    ring = 4.0 * mask * (1.0 - mask)
    difference = np.clip(before - after, -MAX_SHIFT, MAX_SHIFT).astype(np.float32)
    sigma = 0.09 * mask.shape[0]
    spread = cv2.GaussianBlur(difference * ring[..., None], (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    weight = cv2.GaussianBlur(ring, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(spread / (weight + 0.08)[..., None], dtype=np.float32)
