"""One followed face, and how it is compared with found ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from models.faces.detect import Face

from .readers import Reading
from .view import Patch, square_side

ON_ONE = 0.15
"""Landmarks nearer to each other than this (sides of the square) are one face's."""


@dataclass(eq=False)
class Track:
    """One face in unbroken frames of one shot. points: (5, 2) in frame pixels, from frame `first` on; scores: how
    surely each is a face; samples: frame -> reading; before: the track that this one goes on from, perhaps another
    person; shot: tracks of one shot have the same number."""

    first: int
    points: list[np.ndarray] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    samples: dict[int, Reading] = field(default_factory=dict)
    before: Track | None = None
    shot: int = 0
    # Middle of the detector's box against the landmarks' and its size against the square's, from the last search.
    offset: np.ndarray = field(default_factory=lambda: np.zeros(2))
    share: float = 0.6
    near: bool = False
    waiting: list[tuple[int, Patch]] = field(default_factory=list)

    @property
    def stop(self) -> int:
        """The frame after the last one."""
        return self.first + len(self.points)

    @property
    def mean(self) -> np.ndarray | None:
        """Mean embedding (128,) of the samples so far, unit length; good views count most."""
        return mean_embedding(list(self.samples.values()))

    def add(self, points: np.ndarray, score: float) -> None:
        self.points.append(np.asarray(points, dtype=np.float32))
        self.scores.append(score)

    def expected(self, ahead: int) -> np.ndarray:
        """Landmarks `ahead` frames after the last one, going on as before."""
        last = self.points[-1].astype(np.float64)
        if len(self.points) < 3:
            return last
        return last + (last.mean(0) - self.points[-3].mean(0)) / 2 * min(ahead, 3)


def mean_embedding(readings: Sequence[Reading]) -> np.ndarray | None:
    """Unit length, weighted by quality; None of nothing."""
    if not readings:
        return None
    total = sum(reading.quality * reading.embedding for reading in readings)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-9), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Pointed:
    """A face of one frame with exact landmarks."""

    face: Face
    points: np.ndarray
    score: float
    patch: Patch


def renew(track: Track, at: Pointed) -> None:
    """Remember how the detector's box lies to the landmarks."""
    side = square_side(at.points)
    track.offset = (middle_of(at.face) - at.points.mean(0)) / side
    track.share = at.face.size / side


def middle_of(face: Face) -> np.ndarray:
    x, y, width, height = face.box
    return np.array([x + width / 2, y + height / 2])


def as_detected(track: Track, points: np.ndarray) -> Face:
    """The face as the detector would say it of these landmarks."""
    side = square_side(points)
    size, (x, y) = track.share * side, points.mean(0) + track.offset * side
    return Face((x - size / 2, y - size / 2, size, size), points.astype(np.float32), 0.0)


def distance(track: Track, points: np.ndarray, face: Face) -> float:
    """How far a found face is from where the track is expected, in sizes; a different size counts, too."""
    guess = as_detected(track, points)
    off = float(np.hypot(*(middle_of(face) - middle_of(guess)))) / max(min(face.size, guess.size), 1e-6)
    return off + 0.7 * abs(float(np.log(max(face.size, 1e-6) / max(guess.size, 1e-6))))


def hang(track: Track, points: np.ndarray, face: Face) -> np.ndarray:
    """The track's landmarks moved onto a found face. The detector's own would be those of a level face."""
    if face.score and abs(face.roll - Face(face.box, points.astype(np.float32), 0.0).roll) < 0.15:
        return face.landmarks.astype(np.float64)
    guess = as_detected(track, points)
    growth = float(np.clip(face.size / guess.size, 0.7, 1.4))
    side = square_side(points) * growth
    return (points - points.mean(0)) * growth + middle_of(face) - track.offset * side


def strays(expected: np.ndarray, at: Pointed | None) -> float:
    """How far landmarks are from where they were expected, in sides of the square."""
    return 9.0 if at is None else float(np.abs(at.points - expected).mean()) / max(square_side(expected), 1e-6)


def same_place(a: Pointed, b: Pointed) -> bool:
    """Whether two faces' landmarks are on one face."""
    return float(np.hypot(*(a.points - b.points).T).mean()) < ON_ONE * square_side(a.points)


def moved(track: Track, at: Pointed) -> float:
    """How far the face went since the last frame known, in sides of its square."""
    return float(np.abs(at.points - track.points[-1]).mean()) / max(square_side(track.points[-1]), 1e-6)


def moved_face(face: Face, matrix: np.ndarray) -> Face:
    """A face in the positions that `matrix` (2, 3) leads to."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    middle = matrix[:, :2] @ middle_of(face) + matrix[:, 2]
    width, height = face.box[2] * scale, face.box[3] * scale
    points = face.landmarks.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
    box = (float(middle[0] - width / 2), float(middle[1] - height / 2), width, height)
    return Face(box, points.astype(np.float32), face.score)


def shared(a: Face, b: Face) -> float:
    """What two boxes share, of the smaller one."""
    across = min(a.box[0] + a.box[2], b.box[0] + b.box[2]) - max(a.box[0], b.box[0])
    down = min(a.box[1] + a.box[3], b.box[1] + b.box[3]) - max(a.box[1], b.box[1])
    return max(across, 0.0) * max(down, 0.0) / max(min(a.box[2] * a.box[3], b.box[2] * b.box[3]), 1e-6)
