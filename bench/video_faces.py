"""What networks see in the frames of a video: landmarks, who it is, how old. Nothing here made the video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

from models.faces.age import AgeNet, age_chip, load_age_net
from models.faces.detect import Face, FaceDetector, detect_faces, load_detector
from models.faces.identity import IdentityNet, identity_chip, load_identity_net
from models.faces.quad import ffhq_quad
from models.images import to_tensor


@dataclass(frozen=True, eq=False)
class Track:
    """One face through T frames.

    landmarks: (T, 5, 2) pixels; embeddings: (T, 128), unit length; ages: (T,) years. found: (T,) bool; where no face
    was found, the landmarks are those of the frame before.
    """

    landmarks: np.ndarray
    embeddings: np.ndarray
    ages: np.ndarray
    found: np.ndarray

    def quads(self) -> np.ndarray:
        """(T, 4, 2): the face's square in each frame."""
        return np.stack([ffhq_quad(points) for points in self.landmarks])


class FaceReader:
    """The networks, loaded once."""

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.detector: FaceDetector = load_detector(device)
        self.ages: AgeNet = load_age_net(device)
        self.identities: IdentityNet = load_identity_net(device)

    def follow(self, frames: Iterator[np.ndarray]) -> Track:
        """The largest face of the first frame, then in each the one nearest to where it was. Each frame is read by
        itself: nothing is smoothed, so that jitter shows. Raises ValueError if the first frame has no face."""
        rows: list[tuple[np.ndarray, np.ndarray, float, bool]] = []
        for frame in frames:
            picture = Image.fromarray(frame)
            faces = detect_faces(picture, self.detector)
            if not rows and not faces:
                raise ValueError("there is no face in the first frame")
            points = _nearest(faces, rows[-1][0]) if rows else faces[0].landmarks
            rows.append((points, *self._read(picture, points), bool(faces)))
        landmarks, embeddings, ages, found = zip(*rows, strict=True)
        return Track(np.stack(landmarks), np.stack(embeddings), np.array(ages), np.array(found))

    @torch.no_grad()
    def _read(self, picture: Image.Image, points: np.ndarray) -> tuple[np.ndarray, float]:
        image = to_tensor(picture).to(self.device)
        places = torch.from_numpy(points).float()[None].to(self.device)
        who = self.identities(identity_chip(image, places))[0].cpu().numpy()
        return who, float(self.ages(age_chip(image, places)))


def _nearest(faces: list[Face], before: np.ndarray) -> np.ndarray:
    """Landmarks of the face nearest to where it was; where it was if there is none."""
    middle = before.mean(axis=0)
    distance = [float(np.linalg.norm(face.landmarks.mean(axis=0) - middle)) for face in faces]
    return faces[int(np.argmin(distance))].landmarks if faces else before


def frames_of(path: Path, first: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
    """Frames [first, stop) of a video, (H, W, 3) uint8 RGB as stored (not turned)."""
    with av.open(str(path)) as file:
        file.streams.video[0].thread_type = "AUTO"
        for frame in islice(file.decode(video=0), first, stop):
            yield frame.to_ndarray(format="rgb24")
