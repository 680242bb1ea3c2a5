"""What the small networks read in patches: exact landmarks, whose face it is, how old, how good a view it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from models.faces.age import AgeNet, age_chip, load_age_net
from models.faces.checks import MAX_TURN, MIN_SHARPNESS, SIDE, SOFT_FACE, SOME_TURN, sharpness, turn
from models.faces.detect import Face, FaceDetector, load_detector, point_faces
from models.faces.identity import IdentityNet, identity_chip, load_identity_net
from models.faces.quad import crop_to_photo_matrix, ffhq_quad
from pipelines.runtime import Runtime

from .view import PATCH, PATCH_ROOM, Patch, View, cut_patch, square_side

# Of the four window sizes of a photo's landmarks one will do: time smooths what the others would even out.
POINT_SIDES = (0.54,)
# Landmarks this far (of the square's side) from where they were looked for are looked for once more.
FAR = 0.05
BATCH = 32
INSIDE = PATCH / PATCH_ROOM
"""The side of a face's square in its patch, pixels."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One view of a face, looked at closely. embedding: (128,) unit length; age: years; quality: 0 useless to 1."""

    embedding: np.ndarray
    age: float
    quality: float


class Readers:
    """The networks of the first pass, from the runtime's pool under the names that other parts use."""

    def __init__(self, runtime: Runtime) -> None:
        pool, self.device = runtime.pool, runtime.device
        self.detector: FaceDetector = pool.get("faces/yunet", lambda: load_detector(self.device))
        self.identity: IdentityNet = pool.get("faces/identity", lambda: load_identity_net(self.device))
        self.age: AgeNet = pool.get("faces/age", lambda: load_age_net(self.device))

    def point(
        self, views: Sequence[View], guesses: Sequence[np.ndarray], rounds: int = 1
    ) -> list[tuple[np.ndarray, float, Patch]]:
        """Landmarks (5, 2) in frame pixels, how surely it is a face, and the patch, for one face in each of the views.

        guesses: where the landmarks (5, 2) are, about. Those that turn out to be far off are looked for again.
        """
        patches = [cut_patch(view.picture, guess) for view, guess in zip(views, guesses, strict=True)]
        places = [patch.inside(guess) for patch, guess in zip(patches, guesses, strict=True)]
        scores, todo = [0.0] * len(patches), list(range(len(patches)))
        for look in range(rounds + 1):
            if not todo:
                break
            far = []
            for i, (points, score) in zip(todo, self._look([(patches[i], places[i]) for i in todo]), strict=True):
                off = float(np.abs(points - places[i]).mean()) / INSIDE
                places[i], scores[i] = points, score
                if _pointable(points) and (look + 1 < rounds or off > FAR):
                    far.append(i)
            todo = far
        return [
            (patch.outside(place), score, patch) for patch, place, score in zip(patches, places, scores, strict=True)
        ]

    def _look(self, hung: list[tuple[Patch, np.ndarray]]) -> list[tuple[np.ndarray, float]]:
        """Landmarks and scores of patches in which landmarks (5, 2) are about there; all in patch pixels."""
        found: list[tuple[np.ndarray, float]] = []
        for at in range(0, len(hung), BATCH):
            part = hung[at : at + BATCH]
            guesses = np.array([place for _, place in part])
            points, scores = point_faces([patch.pixels for patch, _ in part], guesses, self.detector, POINT_SIDES)
            found += [(each, float(score)) for each, score in zip(points, scores, strict=True)]
        return found

    def read(self, seen: Sequence[tuple[Patch, np.ndarray, float]]) -> list[Reading]:
        """Readings of patches with landmarks (5, 2) in frame pixels and scores of how surely they are faces."""
        readings: list[Reading] = []
        for at in range(0, len(seen), BATCH):
            readings += self._read(seen[at : at + BATCH])
        return readings

    @torch.inference_mode()
    def _read(self, seen: Sequence[tuple[Patch, np.ndarray, float]]) -> list[Reading]:
        inside = [patch.inside(points) for patch, points, _ in seen]
        pixels = torch.from_numpy(np.stack([patch.pixels for patch, _, _ in seen])).to(self.device)
        images = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        points = torch.from_numpy(np.stack(inside).astype(np.float32)).to(self.device)
        embeddings = self.identity(identity_chip(images, points)).float().cpu().numpy()
        ages = self.age(age_chip(images, points)).float().cpu().numpy()
        return [
            Reading(embedding, float(age), _quality(patch, place, points, score))
            for embedding, age, place, (patch, points, score) in zip(embeddings, ages, inside, seen, strict=True)
        ]


def _pointable(points: np.ndarray) -> bool:
    """Whether a further look at these points of a patch makes sense."""
    return 0.3 * INSIDE < square_side(points) < 2.0 * INSIDE


def turn_of(points: np.ndarray) -> float:
    """How far the head is turned aside, see `models.faces.checks.turn`."""
    return turn(Face((0.0, 0.0, 0.0, 0.0), np.asarray(points, dtype=np.float32), 0.0))


def _quality(patch: Patch, inside: np.ndarray, points: np.ndarray, score: float) -> float:
    """0 (useless) to 1: large, sharp, from the front, surely a face."""
    square = crop_to_photo_matrix(ffhq_quad(inside), SIDE)
    grey = cv2.cvtColor(patch.pixels, cv2.COLOR_RGB2GRAY)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(grey, square, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    sharp = sharpness(np.asarray(crop, dtype=np.float64) / 255.0)
    size, aside = square_side(points), abs(turn_of(points))
    shares = (
        size / (2 * SOFT_FACE),
        sharp / MIN_SHARPNESS,
        (MAX_TURN + 0.2 - aside) / (MAX_TURN + 0.2 - SOME_TURN / 2),
        score,
    )
    return float(np.prod([np.clip(share, 0.05, 1.0) for share in shares]))
