"""One face of one photo, made ready: its crops, what the networks read in it, where it may change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from models.faces.age import GENDER_CHIP, AgeNet, GenderNet, age_chip
from models.faces.align import align_crop, ffhq_quad
from models.faces.detect import Face
from models.faces.identity import IdentityNet, identity_chip
from models.faces.mask import face_mask
from models.faces.person import PersonNet, person_mask
from models.images import to_tensor

from .compose import enlarge
from .guided import apply_maps, linear_maps

LARGEST_CROP, SMALLEST_CROP = 1024, 256
LEAST_LIKENESS = 0.52  # cosine; the network's own limit for one person is 0.363
LIKENESS_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
# The edge between person and background follows the photo's own: size, window and smoothness of the guided filter.
GUIDE_SIDE, GUIDE_RADIUS, GUIDE_SMOOTHNESS = 256, 6, 1e-3
SEEN_SHARE = 0.5  # of the face's skin that must be person, or the mask is not believed
FEATURES_KEPT = 0.8  # of eyes, nose and mouth, against what the generator draws there


class Readers(nn.Module):
    """The networks that read a face: age, sex, identity, and where the person ends."""

    def __init__(self, age: AgeNet, gender: GenderNet, identity: IdentityNet, person: PersonNet):
        super().__init__()
        self.age, self.gender, self.identity, self.person = age, gender, identity, person

    @property
    def device(self) -> torch.device:
        return next(self.identity.parameters()).device

    def read_age(self, crop: Tensor, points: Tensor) -> float:
        """Years, from a crop (1, 3, S, S) and its landmarks (1, 5, 2) in crop pixels."""
        return float(self.age(age_chip(crop, points)))

    def read_gender(self, crop: Tensor, points: Tensor) -> str:
        probabilities = self.gender(age_chip(crop, points, GENDER_CHIP))[0]
        return "female" if probabilities[0] > probabilities[1] else "male"

    def embed(self, crop: Tensor, points: Tensor) -> Tensor:
        """Unit vector (1, 128)."""
        vector: Tensor = self.identity(identity_chip(crop, points))
        return vector

    def find_person(self, crop: Tensor) -> Tensor:
        """Share of person, hair by hair, in crops (N, 3, S, S): (N, 1, S, S) in [0, 1]."""
        guide = enlarge(crop, GUIDE_SIDE)
        coarse = person_mask(self.person, guide)
        maps = linear_maps(coarse, guide, GUIDE_RADIUS, GUIDE_SMOOTHNESS)
        return apply_maps(maps, crop).clamp(0, 1)


@dataclass(frozen=True)
class Subject:
    """A face with everything that does not depend on the target age.

    quad: (4, 2) in photo pixels; crop: (1, 3, S, S) in [-1, 1] at about the photo's own size; points: (1, 5, 2)
    landmarks in crop pixels; age in years; embedding (1, 128); skin, person, features: (1, 1, S, S) in [0, 1], for
    `compose`.
    """

    photo: Image.Image
    face: Face
    quad: np.ndarray
    crop: Tensor
    points: Tensor
    age: float
    gender: str
    embedding: Tensor
    skin: Tensor
    person: Tensor
    features: Tensor


def prepare(photo: Image.Image, face: Face, readers: Readers) -> Subject:
    """Cut the face out of the photo (PIL RGB) and read it."""
    quad = ffhq_quad(face.landmarks)
    side = float(np.linalg.norm(quad[3] - quad[0]))
    size = int(np.clip(round(side), SMALLEST_CROP, LARGEST_CROP))
    crop = to_tensor(align_crop(photo, quad, size)).to(readers.device)
    points = landmarks_in_crop(face.landmarks, quad, size).to(readers.device)
    with torch.no_grad():
        age, gender = readers.read_age(crop, points), readers.read_gender(crop, points)
        embedding = readers.embed(crop, points)
        person = readers.find_person(crop)
    skin = skin_mask(points, size)
    # Behind the person nothing ages. Where the network does not see a person (a painting, a statue), everything may.
    seen = float((person * skin).sum() / skin.sum())
    person = person if seen > SEEN_SHARE else torch.ones_like(person)
    features = FEATURES_KEPT * features_mask(points, size)
    return Subject(photo, face, quad, crop, points, age, gender, embedding, skin, person, features)


def keep_likeness(subject: Subject, aged: Tensor, readers: Readers) -> tuple[Tensor, float]:
    """The aged crop, or as much of the way to it as leaves the person recognisable; and its cosine to the photo.

    It still must be that person: below LEAST_LIKENESS the change is weakened by tenths, down to two fifths.
    """
    crop, identity = aged, 0.0
    for share in LIKENESS_SHARES:
        crop = aged if share == 1.0 else torch.lerp(subject.crop, aged, share)
        identity = float((readers.embed(crop, subject.points) * subject.embedding).sum())
        if identity >= LEAST_LIKENESS:
            break
    return crop, identity


def landmarks_in_crop(landmarks: np.ndarray, quad: np.ndarray, size: int) -> Tensor:
    """Five points (5, 2) in photo pixels as (1, 5, 2) in pixels of a crop of the square `quad`."""
    across, down = (quad[3] - quad[0]) / size, (quad[1] - quad[0]) / size
    linear = np.stack([across, down], axis=1)
    places = np.linalg.solve(linear, (np.asarray(landmarks, dtype=np.float64) - quad[0]).T).T - 0.5
    return torch.from_numpy(places.astype(np.float32)).unsqueeze(0)


def features_mask(points: Tensor, size: int) -> Tensor:
    """Where eyes, nose and mouth are, soft: (N, 1, S, S) in [0, 1]. `points` (N, 5, 2) in pixels of the crops."""
    y, x = _grid(points, size)
    mouth = points[:, 3:].mean(dim=1)
    nose = points[:, 2].lerp(mouth, 0.2)  # the nostrils lie below the tip
    mask = torch.zeros((len(points), 1, size, size), device=points.device)
    for place, width, height in (
        (points[:, 0], 0.085, 0.045),
        (points[:, 1], 0.085, 0.045),
        (nose, 0.085, 0.05),
        (mouth, 0.14, 0.055),
    ):
        across, down = place.view(-1, 2, 1, 1, 1).unbind(dim=1)
        radius = ((x - across) / (width * size)) ** 2 + ((y - down) / (height * size)) ** 2
        mask = torch.maximum(mask, torch.exp(-(radius**2)))
    return mask


def skin_mask(points: Tensor, size: int) -> Tensor:
    """A soft oval over the skin of the face, with eyes, nose and mouth left out: (N, 1, S, S) in [0, 1]."""
    oval = torch.from_numpy(face_mask(size)).to(points.device)
    y, x = _grid(points, size)
    across, down = points.mean(dim=1).view(-1, 2, 1, 1, 1).unbind(dim=1)
    radius = ((x - across) / (0.31 * size)) ** 2 + ((y - down + 0.03 * size) / (0.36 * size)) ** 2
    return oval * torch.sigmoid((1 - radius) * 6) * (1 - features_mask(points, size))


def _grid(points: Tensor, size: int) -> tuple[Tensor, ...]:
    """Row and column of each pixel, both (S, S)."""
    return torch.meshgrid(*(torch.arange(size, device=points.device, dtype=torch.float32),) * 2, indexing="ij")
