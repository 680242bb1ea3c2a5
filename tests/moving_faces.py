"""Clips of real faces that move as we say, over made-up backgrounds: where each landmark is, is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from models.faces import FaceDetector, detect_faces, ffhq_quad, resample
from models.faces.quad import crop_to_photo_matrix

HEAD = 256


@dataclass(frozen=True, eq=False)
class Head:
    """A head cut out along an oval: pixels (S, S, 3) and share (S, S) float32, landmarks (5, 2) in its pixels."""

    pixels: np.ndarray
    share: np.ndarray
    points: np.ndarray


def head_of(path: Path, detector: FaceDetector) -> Head:
    """The head of a portrait, its FFHQ square with a little room around."""
    photo = Image.open(path).convert("RGB")
    photo.thumbnail((640, 640))
    quad = ffhq_quad(detect_faces(photo, detector)[0].landmarks)
    middle = quad.mean(0)
    matrix = crop_to_photo_matrix(middle + (quad - middle) * 1.1, HEAD)
    pixels = resample.cut(np.asarray(photo), matrix, HEAD).astype(np.float32)
    points = resample.transform(detect_faces(photo, detector)[0].landmarks, resample.invert(matrix))
    y, x = np.mgrid[:HEAD, :HEAD] - (HEAD - 1) / 2
    share = np.clip((1 - np.hypot(x / (0.46 * HEAD), y / (0.49 * HEAD))) * 12, 0, 1)
    return Head(pixels, share.astype(np.float32), points)


def background(width: int, height: int, seed: int) -> np.ndarray:
    """Soft coloured shapes with some grain, (height, width, 3) float32."""
    rng = np.random.default_rng(seed)
    cells = rng.uniform(0, 255, (max(2, height // 40), max(2, width // 40), 3)).astype(np.float32)
    soft = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = cv2.resize(rng.normal(0, 12, (height // 4, width // 4, 3)).astype(np.float32), (width, height))
    return np.clip(soft * 0.6 + 50 + grain, 0, 255)


def put(frame: np.ndarray, head: Head, middle: tuple[float, float], side: float, roll: float = 0.0) -> np.ndarray:
    """Lay the head into `frame` (H, W, 3) float32, in place; returns where its landmarks (5, 2) are now.

    middle: of the head; side: of what was cut out, pixels; roll: radians, clockwise as seen.
    """
    size = min(HEAD, max(16, round(side)))
    pixels, share = (cv2.resize(each, (size, size), interpolation=cv2.INTER_AREA) for each in (head.pixels, head.share))
    points = (head.points + 0.5) * (size / HEAD) - 0.5
    turn = resample.turn_about(np.array(middle), roll, side / size, size)
    corners = resample.transform(np.array([[0, 0], [0, size], [size, 0], [size, size]]), turn)
    left, top = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, frame.shape[1::-1])
    right, bottom = np.clip(np.ceil(corners.max(0)).astype(int) + 2, 0, frame.shape[1::-1])
    if right > left and bottom > top:
        shifted = turn.copy()
        shifted[:, 2] -= (left, top)
        extent = (int(right - left), int(bottom - top))
        above = cv2.warpAffine(pixels, shifted, extent, borderMode=cv2.BORDER_REPLICATE)
        weight = cv2.warpAffine(share, shifted, extent)[..., None]
        below = frame[top:bottom, left:right]
        frame[top:bottom, left:right] = below + weight * (above - below)
    return resample.transform(points, turn)


def grained(frame: np.ndarray, rng: np.random.Generator, strength: float = 3.0) -> np.ndarray:
    """The frame as a camera would give it, uint8."""
    return np.clip(frame + rng.normal(0, strength, frame.shape), 0, 255).astype(np.uint8)
