"""What the networks see in a photo: its faces, each with a crop, an age, a sex and, if allowed, an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from models.faces import resample
from models.faces.age import GENDER_CHIP, AgeNet, GenderNet, age_chip, load_age_net, load_gender_net
from models.faces.align import align_crop, crop_to_photo_matrix, ffhq_quad
from models.faces.detect import Face, FaceDetector, detect_faces, load_detector
from models.faces.identity import IdentityNet, identity_chip, load_identity_net
from models.images import to_tensor

CROP_SIDE = 512
SEARCH_SIDE = 3072  # pixels; the detector itself looks at no more than 2048
MARGIN = 16


@dataclass(frozen=True)
class FaceNets:
    """The networks that an import needs, on one device."""

    detector: FaceDetector
    age: AgeNet
    gender: GenderNet
    identity: IdentityNet

    @property
    def device(self) -> torch.device:
        return next(self.identity.parameters()).device

    @classmethod
    def load(cls, device: str | torch.device = "cpu") -> FaceNets:
        """All of them from the embedded weights."""
        return cls(load_detector(device), load_age_net(device), load_gender_net(device), load_identity_net(device))


@dataclass(frozen=True)
class Read:
    """One face of a photo. crop: PIL RGB, CROP_SIDE square; estimate in years; vector: (128,) float32 or None."""

    face: Face
    crop: Image.Image
    estimate: float
    gender: str
    vector: np.ndarray | None


def read_faces(photo: Image.Image, nets: FaceNets, embed: bool) -> list[Read]:
    """Every face of a photo (PIL RGB, upright), largest first. embed: whether consent for embeddings is there."""
    return [read_face(photo, face, nets, embed) for face in find_faces(photo, nets) if _spans(face)]


def find_faces(photo: Image.Image, nets: FaceNets) -> list[Face]:
    """The faces of a photo, largest first; a huge one is searched in a smaller copy, to save memory."""
    shrink = max(photo.size) / SEARCH_SIDE
    if shrink <= 1:
        return detect_faces(photo, nets.detector)
    size = round(photo.width / shrink), round(photo.height / shrink)
    smaller = photo.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    scale = np.array([photo.width / size[0], photo.height / size[1]])
    return [_scaled(face, scale) for face in detect_faces(smaller, nets.detector)]


@torch.inference_mode()
def read_face(photo: Image.Image, face: Face, nets: FaceNets, embed: bool) -> Read:
    """Cut one face out and read it."""
    crop = cut(photo, face.landmarks)
    picture = to_tensor(crop).to(nets.device)
    points = torch.from_numpy(points_in_crop(face.landmarks))[None].to(nets.device)
    estimate = float(nets.age(age_chip(picture, points)))
    female, male = nets.gender(age_chip(picture, points, GENDER_CHIP))[0].tolist()
    vector = embed_crop(picture, points, nets) if embed else None
    return Read(face, crop, estimate, "female" if female > male else "male", vector)


def cut(photo: Image.Image, landmarks: np.ndarray | Sequence[float]) -> Image.Image:
    """The FFHQ-aligned crop of a face, CROP_SIDE square, by its five landmarks in pixels of the photo."""
    quad = ffhq_quad(np.asarray(landmarks, dtype=np.float64).reshape(5, 2))
    # Only the part that is needed, and no finer than twice the crop: aligning copies what it is given, and a photo may
    # have 64 million pixels.
    corner = np.clip(np.floor(quad.min(0)).astype(int) - MARGIN, 0, np.array(photo.size) - 1)
    end = np.clip(np.ceil(quad.max(0)).astype(int) + MARGIN, corner + 1, photo.size)
    box = int(corner[0]), int(corner[1]), int(end[0]), int(end[1])
    factor = max(int(np.linalg.norm(quad[3] - quad[0]) / (2 * CROP_SIDE)), 1)
    part = photo.crop(box) if factor == 1 else photo.reduce(factor, box)
    return align_crop(part, (quad - corner + 0.5) / factor - 0.5, CROP_SIDE)


@torch.inference_mode()
def embed_crop(picture: torch.Tensor, points: torch.Tensor, nets: FaceNets) -> np.ndarray:
    """SFace's unit vector (128,) float32 of a crop (1, 3, S, S) in [-1, 1] with its landmarks (1, 5, 2) in pixels."""
    vector: np.ndarray = nets.identity(identity_chip(picture, points))[0].float().cpu().numpy()
    return vector


def points_in_crop(landmarks: np.ndarray | Sequence[float], size: int = CROP_SIDE) -> np.ndarray:
    """Five landmarks in pixels of the photo ((5, 2), or ten numbers) as (5, 2) float32 in pixels of its crop."""
    points = np.asarray(landmarks, dtype=np.float64).reshape(5, 2)
    matrix = crop_to_photo_matrix(ffhq_quad(points), size)
    back = resample.invert(matrix)
    return resample.transform(points, back).astype(np.float32)


def _scaled(face: Face, scale: np.ndarray) -> Face:
    """A face of a smaller copy in pixels of the photo, scale (2,) times as large; pixel centres at whole numbers."""
    x, y, width, height = face.box
    box = (x * scale[0], y * scale[1], width * scale[0], height * scale[1])
    points = (face.landmarks.astype(np.float64) + 0.5) * scale - 0.5
    return Face((float(box[0]), float(box[1]), float(box[2]), float(box[3])), points.astype(np.float32), face.score)


def _spans(face: Face) -> bool:
    """Landmarks that fall together (of something that is no face) span no square to cut out."""
    try:
        ffhq_quad(face.landmarks)
    except ValueError:
        return False
    return True
