"""All faces of a photo: YuNet at a few sizes, then a closer, level look at each face for steady landmarks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image

from models.faces import resample
from models.faces.yunet import FaceDetector, load_detector, pick

__all__ = ["Face", "FaceDetector", "detect_faces", "load_detector"]

# Longest sides (pixels) at which a photo is searched. The larger ones are for photos that need them.
FIRST_SIDES = (320, 640)
MORE_SIDES = (1280, 2048)
# A face smaller than this (pixels, in the picture searched) is worth a look at a larger size.
SMALL = 40.0
# Candidates below the wanted score get a chance: the closer look settles it.
CANDIDATE_SCORE = 0.5
# The closer look: windows of this side with the face at these sizes in it, each also mirrored.
WINDOW = 256
WINDOW_FACES = (112.0, 144.0)
# Turns (degrees) tried when nothing is found upright.
TURNS = (45.0, -45.0, 90.0, -90.0, 180.0)
MIRRORED = [1, 0, 2, 4, 3]


@dataclass(frozen=True, eq=False)
class Face:
    """One face; positions in pixels of the photo, pixel centres at whole numbers."""

    box: tuple[float, float, float, float]
    """x, y, width, height."""
    landmarks: np.ndarray
    """(5, 2) float32: image-left eye, image-right eye, nose tip, image-left and image-right mouth corner."""
    score: float
    """0 to 1."""

    @property
    def size(self) -> float:
        """The longer side of the box."""
        return max(self.box[2:])

    @property
    def roll(self) -> float:
        """Turn of the line between the eyes, in radians, clockwise as seen."""
        x, y = self.landmarks[1] - self.landmarks[0]
        return float(np.arctan2(y, x))


def detect_faces(photo: Image.Image, detector: FaceDetector, min_score: float = 0.7) -> list[Face]:
    """The faces of a photo, largest first; an empty list if there is none.

    `photo` is a PIL picture of any size. Faces may be turned in the picture; when no upright one is found, the photo
    is searched turned, too.
    """
    pixels = np.asarray(photo.convert("RGB"))
    found = _search(pixels, detector) or _search_turned(pixels, detector)
    faces = [_look_closer(pixels, face, detector) for face in found]
    kept = _distinct([face for face in faces if face is not None and face.score >= min_score])
    return sorted(kept, key=lambda face: face.size, reverse=True)


def _run(detector: FaceDetector, pixels: np.ndarray) -> torch.Tensor:
    """Candidates (N, P, 15) on the CPU of uint8 pictures (N, H, W, 3)."""
    device = next(detector.parameters()).device
    images = torch.from_numpy(np.array(pixels, order="C")).to(device).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        return detector(images / 127.5 - 1.0).float().cpu()


def _faces(rows: torch.Tensor, matrix: np.ndarray) -> list[Face]:
    """Rows (P, 15) of a picture as faces of the photo; `matrix` takes picture positions to photo positions."""
    scale = resample.photo_scale(matrix)
    faces = []
    for row in rows.double().numpy():
        middle = resample.transform(row[:2] + row[2:4] / 2, matrix)
        width, height = row[2:4] * scale
        points = resample.transform(row[4:14].reshape(5, 2), matrix).astype(np.float32)
        box = (middle[0] - width / 2, middle[1] - height / 2, width, height)
        faces.append(Face((float(box[0]), float(box[1]), float(width), float(height)), points, float(row[14])))
    return faces


def _distinct(faces: Iterable[Face]) -> list[Face]:
    """Without faces that lie in or on a better one."""
    listed = sorted(faces, key=lambda face: face.score, reverse=True)
    rows = torch.tensor([[*face.box, float(index), 1.0] for index, face in enumerate(listed)])
    return [listed[int(row[4])] for row in pick(rows, 0.0, nested=0.6)] if listed else []


def _search(pixels: np.ndarray, detector: FaceDetector) -> list[Face]:
    """Candidates of a photo over all the sizes it needs."""
    longest = max(pixels.shape[:2])
    found: list[Face] = []
    for side in (*FIRST_SIDES, *MORE_SIDES):
        scale = side / longest
        if side in MORE_SIDES:
            smallest = min((face.size for face in found), default=0.0) * scale
            if scale > 2.0 or (found and smallest > 2 * SMALL):
                break
        # A small photo is searched at no more than twice its size.
        scale = min(scale, 2.0)
        width, height = (max(1, round(length * scale)) for length in pixels.shape[1::-1])
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(pixels, (width, height), interpolation=method)
        across, down = pixels.shape[1] / width, pixels.shape[0] / height
        matrix = np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5]])
        rows = pick(_run(detector, resized[None])[0], CANDIDATE_SCORE)
        found = _distinct([*found, *_faces(rows, matrix)])
    return found


def _search_turned(pixels: np.ndarray, detector: FaceDetector) -> list[Face]:
    """Candidates of the photo turned by the angle that shows the surest ones."""
    height, width = pixels.shape[:2]
    diagonal, side = float(np.hypot(width, height)), FIRST_SIDES[-1]
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    best: list[Face] = []
    for degrees in TURNS:
        matrix = resample.turn_about(center, np.deg2rad(degrees), diagonal / side, side)
        picture = resample.cut(pixels, matrix, side, border=cv2.BORDER_CONSTANT)
        found = _faces(pick(_run(detector, picture[None])[0], CANDIDATE_SCORE), matrix)
        if max((face.score for face in found), default=0.0) > max((face.score for face in best), default=0.0):
            best = found
    return best


def _look_closer(pixels: np.ndarray, face: Face, detector: FaceDetector, rounds: int = 2) -> Face | None:
    """The face with its landmarks averaged over level views of one size; None when those do not show a face.

    YuNet's points wander a little with the size and tilt of a face. Seen always alike, they hold still.
    """
    for _ in range(rounds):
        tilt = face.roll
        seen = _views(pixels, face, detector)
        if not seen:
            return None
        weights = [each.score for each in seen]
        points = np.average([each.landmarks for each in seen], axis=0, weights=weights).astype(np.float32)
        box = np.average([each.box for each in seen], axis=0, weights=weights)
        score = float(np.mean(weights))
        face = Face((float(box[0]), float(box[1]), float(box[2]), float(box[3])), points, score)
        if abs(face.roll - tilt) < np.deg2rad(3.0):
            break
    return face


def _views(pixels: np.ndarray, face: Face, detector: FaceDetector) -> list[Face]:
    """What the detector says of one face in level windows, plain and mirrored; in photo positions."""
    center = face.landmarks.astype(np.float64).mean(0)
    matrices = [resample.turn_about(center, face.roll, face.size / target, WINDOW) for target in WINDOW_FACES]
    windows = [resample.cut(pixels, matrix, WINDOW, border=cv2.BORDER_CONSTANT) for matrix in matrices]
    rows = _run(detector, np.stack([*windows, *(window[:, ::-1] for window in windows)]))
    seen = []
    for index, matrix in enumerate([*matrices, *matrices]):
        best = _central(rows[index])
        if best is None:
            continue
        if index >= len(matrices):
            best = _mirror(best)
        seen += _faces(best[None], matrix)
    return seen


def _central(rows: torch.Tensor) -> torch.Tensor | None:
    """The best candidate (15,) whose box holds the middle of the window and has about the size it should."""
    middle = (WINDOW - 1) / 2
    low, high = rows[:, :2], rows[:, :2] + rows[:, 2:4]
    size = rows[:, 2:4].amax(1)
    fits = (low < middle).all(1) & (high > middle).all(1)
    fits &= (size > 0.5 * WINDOW_FACES[0]) & (size < 1.6 * WINDOW_FACES[-1]) & (rows[:, -1] >= CANDIDATE_SCORE)
    return rows[fits][rows[fits][:, -1].argmax()] if bool(fits.any()) else None


def _mirror(row: torch.Tensor) -> torch.Tensor:
    """A candidate of the mirrored window as one of the plain window."""
    points = row[4:14].reshape(5, 2)[MIRRORED]
    points = torch.stack([WINDOW - 1 - points[:, 0], points[:, 1]], 1).reshape(-1)
    corner = torch.stack([WINDOW - 1 - row[0] - row[2], row[1]])
    return torch.cat([corner, row[2:4], points, row[14:]])
