"""One person's photos as tensors: what the training and the evaluation see of a collection."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from models.errors import InputError
from models.images import to_tensor
from pipelines.aging.compose import enlarge
from pipelines.aging.nets import AgingNets

if TYPE_CHECKING:
    from photos.people import TrainingPhoto

LARGEST = 256  # pixels; larger drawings are averaged down to this before they are looked at
MIRRORED_POINTS = [1, 0, 2, 4, 3]  # left eye and right eye change places, so do the mouth's corners


@dataclass(frozen=True)
class Album:
    """M faces, each as it is and mirrored, so 2 M pictures: M first, then their mirror images.

    crops (2M, 3, S, S) in [-1, 1], S being the generator's size or LARGEST, points (2M, 5, 2) in their pixels, ages
    (2M,) in years.
    ids: the M faces' numbers in the collection. fingerprint: changes with any photo, landmark or age.
    """

    crops: Tensor
    points: Tensor
    ages: Tensor
    ids: tuple[int, ...]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def youngest(self) -> float:
        return float(self.ages.min())

    @property
    def oldest(self) -> float:
        return float(self.ages.max())

    def part(self, faces: Sequence[int]) -> Album:
        """The album of these faces only, given by their places 0 .. M - 1."""
        places = torch.tensor([*faces, *(face + len(self) for face in faces)], device=self.ages.device)
        digest = hashlib.sha256(f"{self.fingerprint} {list(faces)}".encode()).hexdigest()
        ids = tuple(self.ids[face] for face in faces)
        return Album(self.crops[places], self.points[places], self.ages[places], ids, digest)


def read_album(photos: Sequence[TrainingPhoto], nets: AgingNets) -> Album:
    """Read the crops of `photos`. Raises InputError for a crop that can't be read."""
    size = min(nets.resolution, LARGEST)
    crops, points = zip(*(_read(photo, size) for photo in photos), strict=True)
    digest = hashlib.sha256()
    for photo in photos:
        digest.update(f"{photo.sha256} {photo.points.round(2).tolist()} {photo.age:.3f};".encode())
    ages = torch.tensor([photo.age for photo in photos])
    plain, places = torch.cat(crops), torch.cat(points)
    return Album(
        torch.cat([plain, plain.flip(3)]).to(nets.device),
        torch.cat([places, mirror_points(places, size)]).to(nets.device),
        ages.repeat(2).to(nets.device),
        tuple(photo.face_id for photo in photos),
        digest.hexdigest(),
    )


def _read(photo: TrainingPhoto, size: int) -> tuple[Tensor, Tensor]:
    try:
        with Image.open(photo.crop) as image:
            crop = to_tensor(image.convert("RGB"))
    except OSError as error:
        raise InputError(f"A face of the collection can't be read ({photo.crop}); import its photo again.") from error
    points = torch.from_numpy(photo.points)[None].float()
    return enlarge(crop, size), (points + 0.5) * (size / crop.shape[-1]) - 0.5


def mirror_points(points: Tensor, size: int) -> Tensor:
    """Landmarks (N, 5, 2) of the mirror images, in pixels of pictures of `size`."""
    mirrored = points[:, MIRRORED_POINTS].clone()
    mirrored[..., 0] = size - 1 - mirrored[..., 0]
    return mirrored


class Codes:
    """The global prior's w+ of every picture of an album at every fifth year, and between them in a straight line.

    The prior is frozen, so its codes need no second look: training never runs an encoder on the album.
    """

    YEARS = 5

    def __init__(self, album: Album, nets: AgingNets):
        self.table = torch.empty(0)
        self._album, self._nets = album, nets

    def fill(self) -> Iterator[int]:
        """Encode; yields the number of pictures done. The table is (2M, 21, num_ws, w_dim)."""
        ages = torch.arange(0, 101, self.YEARS, dtype=torch.float32, device=self._nets.device)
        rows = []
        for index, crop in enumerate(self._album.crops.split(1)):
            with torch.no_grad():
                origin = self._nets.origin(crop)
                # All ages of a picture in one batch, whatever the album: the same numbers after every start.
                many = None if origin is None else origin.expand(len(ages), -1, -1)
                rows.append(self._nets.encode(crop.expand(len(ages), -1, -1, -1), ages, many))
            yield index + 1
        self.table = torch.stack(rows)

    def at(self, pictures: Tensor, ages: Tensor) -> Tensor:
        """pictures (N,) places in the album, ages (N,) in years 0..100 -> w+ (N, num_ws, w_dim)."""
        place = (ages / self.YEARS).clamp(0, self.table.shape[1] - 1)
        below = place.floor().long().clamp(max=self.table.shape[1] - 2)
        share = (place - below)[:, None, None]
        return self.table[pictures, below].lerp(self.table[pictures, below + 1], share)
