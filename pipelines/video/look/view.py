"""One frame as the first pass sees it, and small squares around its faces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from models.faces import resample
from models.faces.quad import ffhq_quad

LONGEST = 1920
"""Longest side (pixels) at which faces are looked at; larger frames are reduced to it."""
MEDIUM, LITTLE = 640, 320
# A patch holds this much around a face (sides of its FFHQ square), at this size: enough for every small network.
PATCH_ROOM, PATCH = 1.25, 160
LEAST_SIDE = 12.0
"""Pixels on a side of a face's square below which there is nothing to follow."""


@dataclass(frozen=True, eq=False)
class View:
    """One frame: its number, its time in seconds, and its picture (H, W, 3) uint8 RGB as it is stored, unturned."""

    number: int
    second: float
    picture: np.ndarray
    rotation: int = 0

    @cached_property
    def medium(self) -> np.ndarray:
        """At most 640 pixels long."""
        return _reduced(self.picture, MEDIUM)

    def searched(self, closely: bool) -> tuple[np.ndarray, np.ndarray]:
        """The picture upright, 640 (closely) or 320 pixels long, and the matrix (2, 3) from its positions to ours."""
        small = self.medium if closely else _reduced(self.medium, LITTLE, cv2.INTER_AREA)
        height, width = small.shape[:2]
        across, down = self.picture.shape[1] / width, self.picture.shape[0] / height
        grow = np.array([[across, 0.0, across / 2 - 0.5], [0.0, down, down / 2 - 0.5], [0.0, 0.0, 1.0]])
        turned = np.ascontiguousarray(np.rot90(small, -self.rotation // 90))
        return turned, (grow @ _unturn(self.rotation, width, height))[:2]


def _unturn(rotation: int, width: int, height: int) -> np.ndarray:
    """The matrix (3, 3) from positions of the upright picture to those of the stored one of width x height."""
    right, low = width - 1.0, height - 1.0
    turns = {
        0: (1, 0, 0, 0, 1, 0),
        90: (0, 1, 0, -1, 0, low),
        180: (-1, 0, right, 0, -1, low),
        270: (0, -1, right, 1, 0, 0),
    }
    return np.array([*turns[rotation], 0, 0, 1], dtype=np.float64).reshape(3, 3)


def _reduced(picture: np.ndarray, longest: int, method: int = cv2.INTER_LINEAR) -> np.ndarray:
    scale = longest / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=method))


def tiny(picture: np.ndarray, longest: int) -> np.ndarray:
    """A picture reduced quickly to `longest` pixels: whole pixels are left out first, then areas are averaged."""
    step = max(1, max(picture.shape[:2]) // (4 * longest))
    return _reduced(np.ascontiguousarray(picture[::step, ::step]), longest, cv2.INTER_AREA)


@dataclass(frozen=True, eq=False)
class Patch:
    """A small upright square (160, 160, 3) uint8 around a face; `matrix` takes its positions to the frame's."""

    pixels: np.ndarray
    matrix: np.ndarray

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Points (5, 2) of the frame as points of the patch."""
        return resample.transform(points, resample.invert(self.matrix))

    def outside(self, points: np.ndarray) -> np.ndarray:
        """Points (5, 2) of the patch as points of the frame."""
        return resample.transform(points, self.matrix)


def cut_patch(picture: np.ndarray, points: np.ndarray) -> Patch:
    """The patch around the face whose landmarks (5, 2) lie about there."""
    quad = ffhq_quad(points)
    across = quad[3] - quad[0]
    side = float(np.hypot(*across))
    scale = PATCH_ROOM * side / PATCH
    matrix = resample.turn_about(quad.mean(0), float(np.arctan2(across[1], across[0])), scale, PATCH)
    return Patch(_cut(picture, matrix, scale), matrix)


def _cut(picture: np.ndarray, matrix: np.ndarray, scale: float) -> np.ndarray:
    """Large faces are averaged over whole blocks first, which is far quicker than an exact filter and fine enough."""
    block = max(1, int(scale))
    corners = resample.transform(np.array([[0, 0], [0, PATCH], [PATCH, 0], [PATCH, PATCH]]), matrix)
    limit = np.array(picture.shape[1::-1])
    left, top = np.clip(np.floor(corners.min(0)).astype(int) - 2, 0, np.maximum(limit - block, 0))
    extent = np.clip(np.ceil(corners.max(0)).astype(int) + 3, (left + block, top + block), limit) - (left, top)
    width, height = extent // block * block
    region, own = picture[top : top + height, left : left + width], matrix.copy()
    own[:, 2] -= (left, top)
    if block > 1:
        region = cv2.resize(region, (int(width) // block, int(height) // block), interpolation=cv2.INTER_AREA)
        own /= block
        own[:, 2] += 0.5 / block - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(region, own, (PATCH, PATCH), flags=flags, borderMode=cv2.BORDER_REPLICATE))


def square_side(points: np.ndarray) -> float:
    """Side of the FFHQ square of landmarks (5, 2); 0 where they are no face."""
    try:
        quad = ffhq_quad(points)
    except ValueError:
        return 0.0
    return float(np.hypot(*(quad[3] - quad[0])))


def sane(points: np.ndarray, picture: np.ndarray) -> bool:
    """Whether landmarks could be a face of this picture: neither tiny nor huge, and its middle in the picture."""
    side, middle = square_side(points), points.mean(0)
    within = bool((middle > -0.1 * side).all() and (middle < np.array(picture.shape[1::-1]) + 0.1 * side).all())
    return within and LEAST_SIDE <= side <= 3 * max(picture.shape[:2])
