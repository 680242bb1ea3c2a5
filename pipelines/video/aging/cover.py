"""Where somebody else's face lies over a person's square: what is drawn of one must not show on the other."""

from __future__ import annotations

import cv2
import numpy as np

from models.faces.quad import crop_to_photo_matrix, ffhq_quad
from pipelines.video.seen import Look

SIDE = 64
# A face in its square, in shares of the side: middle, half axes, and how far beyond these it fades out.
MIDDLE, HALF_AXES, FADE = (0.5, 0.52), (0.29, 0.4), 0.25
BEHIND = 0.75
"""Whose square is smaller than this beside another's is behind it. Of nearly equal ones nobody knows: both give way."""


def open_share(look: Look, who: int, number: int, quad: np.ndarray, size: int) -> np.ndarray | None:
    """How much of each pixel in the square `quad` (4, 2) of person `who` no other face of frame `number` covers.

    (size, size) float32 in [0, 1], or None where no other face is near.
    """
    side, share = _side(quad), None
    for other in look.people:
        marks = other.landmarks[number]
        if other.who == who or not np.isfinite(marks).all():
            continue
        theirs = ffhq_quad(marks)
        apart = float(np.linalg.norm(theirs.mean(0) - quad.mean(0)))
        if _side(theirs) < BEHIND * side or apart > (side + _side(theirs)) * 0.6:
            continue
        covered = _oval_in(quad, theirs, size)
        share = 1 - covered if share is None else np.minimum(share, 1 - covered)
    return share


def _oval_in(quad: np.ndarray, theirs: np.ndarray, size: int) -> np.ndarray:
    """The face of the square `theirs` as it lies in a crop (size, size) of `quad`."""
    own, other = (np.vstack([crop_to_photo_matrix(*each), [0, 0, 1]]) for each in ((quad, size), (theirs, SIDE)))
    there = (np.linalg.inv(other) @ own)[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(_oval(), there, (size, size), flags=flags, borderValue=0.0), np.float32)


def _oval() -> np.ndarray:
    u = (np.arange(SIDE) + 0.5) / SIDE
    radius = np.hypot((u[None] - MIDDLE[0]) / HALF_AXES[0], (u[:, None] - MIDDLE[1]) / HALF_AXES[1])
    return np.clip((1 + FADE - radius) / FADE, 0, 1).astype(np.float32)


def _side(quad: np.ndarray) -> float:
    return float(np.linalg.norm(quad[3] - quad[0]))
