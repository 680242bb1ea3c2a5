"""All faces of a photo: YuNet finds them at a few sizes, MTCNN's last network then places their landmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from models.faces import resample
from models.faces.points import WINDOW, PointNet, load_point_net
from models.faces.quad import ffhq_quad
from models.faces.yunet import FaceFinder, load_finder, pick

# Longest sides (pixels) at which a photo is searched. The larger ones are for photos that need them.
FIRST_SIDES = (320, 640)
MORE_SIDES = (1280, 2048)
# A face smaller than this (pixels, in the picture searched) is worth a look at a larger size.
SMALL = 40.0
# Candidates below the wanted score get a chance: the closer look settles it.
CANDIDATE_SCORE = 0.5
# Which way is up: small windows with the face at this size (pixels), turned in even steps around the circle.
TURN_WINDOW, TURN_FACE = 160, 72.0
ALL_AROUND = tuple(step * np.pi / 4 for step in range(8))
# What the upright guess has ahead of the others; scores of one face wander by this much.
UPRIGHT_BONUS = 0.01
# The landmarks' windows: their sides as shares of the face's FFHQ square, and how far below its middle they hang.
POINT_SIDES = (0.44, 0.52, 0.60, 0.68)
POINT_DROP = 0.05
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


class FaceDetector(nn.Module):
    """The two networks that `detect_faces` needs, on one device."""

    def __init__(self) -> None:
        super().__init__()
        self.finder, self.pointer = FaceFinder(), PointNet()


def load_detector(device: str | torch.device = "cpu") -> FaceDetector:
    """The detector with its weights, frozen, in eval mode."""
    detector = FaceDetector()
    detector.finder, detector.pointer = load_finder(device), load_point_net(device)
    return detector.eval()


def detect_faces(photo: Image.Image, detector: FaceDetector, min_score: float = 0.7) -> list[Face]:
    """The faces of a photo, largest first; an empty list if there is none.

    `photo` is a PIL picture of any size. Faces may be turned in the picture; when no upright one is found, the photo
    is searched turned, too.
    """
    pixels = np.asarray(photo.convert("RGB"))
    found = _search(pixels, detector) or search_turned(pixels, detector)
    upright = [_upright(pixels, face, detector) for face in found]
    sure = _distinct([face for face in upright if face is not None and face.score >= min_score])
    return sorted((_point(pixels, face, detector) for face in sure), key=lambda face: face.size, reverse=True)


def _run(detector: FaceDetector, pixels: np.ndarray) -> torch.Tensor:
    """Candidates (N, P, 15) on the CPU of uint8 pictures (N, H, W, 3)."""
    with torch.inference_mode():
        return detector.finder(_batch(pixels, detector)).float().cpu()


def _batch(pixels: np.ndarray, detector: FaceDetector) -> torch.Tensor:
    """uint8 pictures (N, H, W, 3) as the networks want them, (N, 3, H, W) in [-1, 1]."""
    images = torch.from_numpy(np.array(pixels, order="C")).to(next(detector.parameters()).device)
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1.0


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


def search_turned(pixels: np.ndarray, detector: FaceDetector, side: int = FIRST_SIDES[-1]) -> list[Face]:
    """Candidates of a picture (H, W, 3) uint8 turned by the angle that shows the surest ones, seen at `side` pixels."""
    height, width = pixels.shape[:2]
    diagonal = float(np.hypot(width, height))
    center = np.array([(width - 1) / 2, (height - 1) / 2])
    best: list[Face] = []
    for degrees in TURNS:
        matrix = resample.turn_about(center, np.deg2rad(degrees), diagonal / side, side)
        picture = resample.cut(pixels, matrix, side, border=cv2.BORDER_CONSTANT)
        found = _faces(pick(_run(detector, picture[None])[0], CANDIDATE_SCORE), matrix)
        if max((face.score for face in found), default=0.0) > max((face.score for face in best), default=0.0):
            best = found
    return best


def _upright(pixels: np.ndarray, face: Face, detector: FaceDetector) -> Face | None:
    """The face as the surest of windows turned all around shows it; None when none shows it."""
    return look_closer([pixels], [face], detector, ALL_AROUND)[0]


def _central(rows: torch.Tensor) -> torch.Tensor | None:
    """The best candidate (15,) whose box holds the middle of a turned window and has about the size it should."""
    middle = (TURN_WINDOW - 1) / 2
    low, high = rows[:, :2], rows[:, :2] + rows[:, 2:4]
    size = rows[:, 2:4].amax(1) / TURN_FACE
    fits = (low < middle).all(1) & (high > middle).all(1)
    fits &= (size > 0.5) & (size < 1.7) & (rows[:, -1] >= CANDIDATE_SCORE)
    return rows[fits][rows[fits][:, -1].argmax()] if bool(fits.any()) else None


def _point(pixels: np.ndarray, face: Face, detector: FaceDetector, rounds: int = 3) -> Face:
    """The face with exact landmarks, in rounds: each round's windows hang on the points of the round before, the first
    one's on YuNet's."""
    points = face.landmarks
    for _ in range(rounds):
        points = point_faces([pixels], points[None], detector)[0][0]
    return replace(face, landmarks=points.astype(np.float32))


def point_faces(
    pictures: Sequence[np.ndarray],
    points: np.ndarray,
    detector: FaceDetector,
    sides: Sequence[float] = POINT_SIDES,
) -> tuple[np.ndarray, np.ndarray]:
    """Exact landmarks (N, 5, 2) float64 of one face in each of N pictures, and how surely each is a face (N,), 0 to 1.

    pictures: (H, W, 3) uint8; points: (N, 5, 2), about where the landmarks are. The answer is the mean over windows of
    a few sizes (`sides`, shares of the face's FFHQ square), each seen plain and mirrored, all in one batch.
    """
    hung = [_point_matrices(np.asarray(each, dtype=np.float64), sides) for each in points]
    windows = [
        resample.cut(picture, matrix, WINDOW, border=cv2.BORDER_REPLICATE)
        for picture, matrices in zip(pictures, hung, strict=True)
        for matrix in matrices
    ]
    stack = np.stack([*windows, *(window[:, ::-1] for window in windows)])
    with torch.inference_mode():
        places, scores = (each.double().cpu().numpy() for each in detector.pointer(_batch(stack, detector)))
    plain, mirrored = places.reshape(2, -1, 5, 2)
    seen = (plain + mirrored[:, MIRRORED] * [-1, 1] + [WINDOW - 1, 0]) / 2
    placed = [resample.transform(a, m) for a, m in zip(seen, (m for each in hung for m in each), strict=True)]
    return np.reshape(placed, (len(hung), -1, 5, 2)).mean(1), scores.reshape(2, len(hung), -1).mean((0, 2))


def _point_matrices(points: np.ndarray, sides: Sequence[float]) -> list[np.ndarray]:
    """Where the windows of one face hang."""
    quad = ffhq_quad(points)
    across = (quad[3] - quad[0]) / 2
    center = quad.mean(0) + POINT_DROP * (quad[1] - quad[0])
    roll, side = float(np.arctan2(across[1], across[0])), float(np.hypot(*across)) * 2
    return [resample.turn_about(center, roll, share * side / WINDOW, WINDOW) for share in sides]


def search_faces(
    picture: np.ndarray, detector: FaceDetector, matrix: np.ndarray, min_score: float = CANDIDATE_SCORE
) -> list[Face]:
    """Upright faces of a picture (H, W, 3) uint8 from one look at its own size, surest first.

    `matrix` (2, 3) takes positions in this picture to those in which the answer is wanted, in a larger one for
    example. Much quicker than `detect_faces`: landmarks are rough, a tilted face is taken for a level one, and a face
    of less than about 10 pixels is missed.
    """
    return _distinct(_faces(pick(_run(detector, picture[None])[0], min_score), matrix))


def look_closer(
    pictures: Sequence[np.ndarray], faces: Sequence[Face], detector: FaceDetector, angles: Sequence[float] = (0.0,)
) -> list[Face | None]:
    """Each face as seen in the turned window that shows it surest, or None where none shows it; all in one batch.

    pictures: (H, W, 3) uint8, one for each face; faces: about where they are; angles: turns to try (radians), beside
    the turn of the face's own landmarks. YuNet says of a tilted face that it is level, but is less sure of it.
    """
    matrices = [_turned_matrix(face, angle) for face in faces for angle in angles]
    if not matrices:
        return []
    shown = [picture for picture in pictures for _ in angles]
    windows = [
        resample.cut(picture, matrix, TURN_WINDOW, border=cv2.BORDER_CONSTANT)
        for picture, matrix in zip(shown, matrices, strict=True)
    ]
    best = [_central(rows) for rows in _run(detector, np.stack(windows))]
    turned = [None if row is None else _faces(row[None], matrix)[0] for row, matrix in zip(best, matrices, strict=True)]
    steps = len(angles)
    return [_surest(turned[start : start + steps]) for start in range(0, len(turned), steps)]


def _turned_matrix(face: Face, angle: float) -> np.ndarray:
    center = face.landmarks.astype(np.float64).mean(0)
    return resample.turn_about(center, face.roll + angle, face.size / TURN_FACE, TURN_WINDOW)


def _surest(turned: Sequence[Face | None]) -> Face | None:
    """The face with the best score; the first of them is ahead by a little."""
    found = [
        (face.score + (UPRIGHT_BONUS if index == 0 else 0.0), face)
        for index, face in enumerate(turned)
        if face is not None
    ]
    return max(found, key=lambda each: each[0])[1] if found else None
