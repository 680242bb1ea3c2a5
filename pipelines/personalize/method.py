"""The contract of a way to train: which ages a step asks for, what its losses are, which optimizer takes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from models.stylegan2 import pool_to
from pipelines.aging.nets import AgingNets

from .album import LARGEST, Album, Codes
from .judges import Judges
from .student import Student

Terms = dict[str, Tensor]
"""Each loss of each sample (N,), times its weight."""


class Kind(IntEnum):
    """What a sample is for: its own age, an age that the photos cover, or one that they don't."""

    KEEP = 0
    INSIDE = 1
    OUTSIDE = 2


@dataclass(frozen=True)
class Batch:
    """places (N,) of the source pictures in the album, their ages and the ages to show, in years, and their kinds.

    noise: (N, K) standard normal numbers for whatever a method varies at random; K may be 0.
    """

    places: Tensor
    present: Tensor
    target: Tensor
    kinds: Tensor
    noise: Tensor

    def __len__(self) -> int:
        return len(self.places)

    def split(self, parts: int) -> Iterator[Batch]:
        """The same samples in up to `parts` smaller batches."""
        for fields in zip(*(value.chunk(parts) for value in vars(self).values()), strict=True):
            yield Batch(*fields)

    def to(self, device: torch.device) -> Batch:
        return Batch(*(value.to(device) for value in vars(self).values()))


@dataclass
class Setting:
    """All that a step needs; `prepare` comes first. dtype: of the drawing and the judging."""

    student: Student
    nets: AgingNets
    judges: Judges
    album: Album
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        self.codes = Codes(self.album, self.nets)
        self.vectors = torch.empty(0)

    @torch.no_grad()
    def prepare(self) -> Iterator[int]:
        """What stays the same while training: the prior's codes, and the judges' embeddings (2M, D) of the album.

        Yields the number of pictures done, of 2 M.
        """
        parts = zip(self.album.crops.split(8), self.album.points.split(8), strict=True)
        self.vectors = torch.cat([self.judges.embed(crops, points) for crops, points in parts])
        yield from self.codes.fill()

    @property
    def references(self) -> tuple[Tensor, Tensor]:
        """Embeddings (M, D) and ages (M,) of the photos as they are, without mirror images."""
        count = len(self.album)
        return self.vectors[:count], self.album.ages[:count]

    def precision(self) -> AbstractContextManager[None]:
        """Half the width for drawing and judging, where the device is faster with it."""
        device = self.nets.device.type
        return torch.autocast(device, self.dtype, enabled=self.dtype is not torch.float32)

    def draw(self, codes: Tensor, ages: Tensor) -> tuple[Tensor, Tensor]:
        """The person's w+ and their pictures (N, 3, S, S) at the album's size."""
        own, images = self.student(codes, ages)
        return own, small(images)

    @torch.no_grad()
    def draw_global(self, codes: Tensor) -> Tensor:
        """What the global prior draws, (N, 3, S, S)."""
        return small(self.nets.synthesis(codes))


def small(images: Tensor) -> Tensor:
    """Drawings at the size that the judges see."""
    return pool_to(images, LARGEST).float()


class Method(ABC):
    """One way to train. It has no state: what is drawn at random comes from the generator given to `draw`."""

    name: str
    steps: int
    batch: int
    tunes_generator: bool
    tiny_start: bool

    @abstractmethod
    def optimizer(self, student: Student) -> torch.optim.Optimizer:
        """A fresh optimizer of everything that learns; each group's "peak" is its highest rate."""

    @abstractmethod
    def rate(self, progress: float) -> float:
        """What the peak rates are multiplied with at this share (0..1) of the training."""

    @abstractmethod
    def draw(self, album: Album, random: torch.Generator) -> Batch:
        """A batch, on the CPU."""

    @abstractmethod
    def losses(self, setting: Setting, batch: Batch) -> Iterator[Terms]:
        """The terms of each pass over the batch. The gradients of the passes add up."""
