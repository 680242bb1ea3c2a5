"""What networks see in the frames of a video: landmarks, who it is, how old. Nothing here made the video."""

from __future__ import annotations

import hashlib
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

READING = 2  # rises when faces are read in another way, so that what is remembered is read anew


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

    def of_file(self, path: Path, cache: Path, first: int = 0, stop: int | None = None) -> Track:
        """`follow` frames [first, stop) of a video; remembered in the folder `cache` while the file stays the same."""
        state = path.stat()
        named = f"{path.resolve()} {state.st_size} {state.st_mtime_ns} {first} {stop} {READING}"
        kept = cache / f"{hashlib.sha256(named.encode()).hexdigest()[:16]}.npz"
        if kept.is_file():
            with np.load(kept) as found:
                return Track(**found)
        track = self.follow(frames_of(path, first, stop))
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **vars(track))
        return track

    @torch.no_grad()
    def _read(self, picture: Image.Image, points: np.ndarray) -> tuple[np.ndarray, float]:
        image = to_tensor(picture).to(self.device)
        places = torch.from_numpy(points).float()[None].to(self.device)
        who = self.identities(identity_chip(image, places))[0].cpu().numpy()
        around = torch.from_numpy(shaken(points)).to(self.device)
        chips = age_chip(image.expand(len(around), -1, -1, -1), around)
        return who, float(self.ages(torch.cat([chips, chips.flip(3)])).mean())


def shaken(points: np.ndarray, times: int = 8, amount: float = 0.05) -> np.ndarray:
    """Landmarks (5, 2) as they are, and turned, scaled and moved a little: (times, 5, 2) float32.

    The age network answers to the last pixel of its chip: one chip a frame shows its own noise. The mean over these
    (always the same ones) and their mirror images shows what it sees.
    """
    rng, middle = np.random.default_rng(0), points.mean(axis=0)
    eyes = float(np.linalg.norm(points[1] - points[0]))
    made = [points]
    for angle, scale, across, down in rng.normal(0, amount, (times - 1, 4)):
        turn = np.exp(scale) * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        made.append((points - middle) @ turn.T + middle + eyes * np.array([across, down]))
    return np.stack(made).astype(np.float32)


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
