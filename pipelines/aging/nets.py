"""The networks that age a face: the embedded heads, or a published SAM or MyTimeMachine checkpoint. One contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.aging import AgeEncoder, Sam, with_age
from models.perceptual import PerceptualLoss
from models.stylegan2 import Generator, SynthesisNetwork, pool_to


class AgingNets(ABC):
    """A generator and what finds w+ in it for (crop, age), on one device.

    mirrored: whether a crop and its mirror image are decoded and averaged; tune_steps: how much pivotal tuning suits
    the networks where they run; younger_pace: times the movement in w+ towards youth; fingerprint: changes with the
    weights.
    """

    perceptual: PerceptualLoss
    fingerprint: str
    mirrored: bool
    tune_steps: int
    younger_pace: float

    @property
    @abstractmethod
    def generator(self) -> Generator:
        """Mapping and synthesis."""

    def origin(self, crop: Tensor) -> Tensor | None:
        """What `encode` finds in crops whatever the age, if anything; give it to `encode` to spare that work."""
        return None

    @abstractmethod
    def encode(self, crop: Tensor, age: float | Tensor, origin: Tensor | None = None) -> Tensor:
        """Crops (N, 3, R, R) in [-1, 1] and the ages to show, in years, one or (N,) -> w+ (N, num_ws, w_dim)."""

    @abstractmethod
    def style(self, crop: Tensor, age: float) -> Tensor:
        """w+ of crops as they are, to mix styles from; `age` in years is the age that they show."""

    @property
    @abstractmethod
    def center(self) -> Tensor:
        """The mean w+ (num_ws, w_dim), or the mean w (w_dim) that stands for it."""

    @property
    def synthesis(self) -> SynthesisNetwork:
        return self.generator.synthesis

    @property
    def resolution(self) -> int:
        """Side of what the generator draws, in pixels."""
        return self.generator.resolution

    @property
    def device(self) -> torch.device:
        return self.generator.mapping.w_avg.device


@dataclass(frozen=True)
class HeadsNets(AgingNets):
    """The embedded networks.

    reading: (asked, read), two rising lists of years: what the age network reads in pictures that were asked for at
    an age. It comes from the encoder's card; empty lists mean that both are the same.
    """

    heads: Generator
    encoder: AgeEncoder
    perceptual: PerceptualLoss
    fingerprint: str
    reading: tuple[list[float], list[float]] = ([], [])
    # What the generator does to one side of the face only is halved when both are averaged.
    mirrored: bool = True
    tune_steps: int = 120
    # The prior takes too little age away; likeness leaves room for more.
    younger_pace: float = 1.35

    @property
    def generator(self) -> Generator:
        return self.heads

    def asked(self, age: float) -> float:
        """The age to ask the encoder for, so that the picture shows `age`.

        Rendered heads show less age than photos. Half-way between the age itself and the one whose pictures read like
        it: the present age of a photo and its target go through the same rising function, so that they stay in order.
        """
        asked, read = self.reading
        if not asked:
            return age
        return (age + float(np.interp(age, read, asked))) / 2

    @property
    def center(self) -> Tensor:
        return self.heads.mapping.w_avg

    def encode(self, crop: Tensor, age: float | Tensor, origin: Tensor | None = None) -> Tensor:
        years = age.tolist() if isinstance(age, Tensor) else [age] * len(crop)
        ages = torch.tensor([self.asked(each) for each in years], device=crop.device)
        codes: Tensor = self.encoder(with_age(pool_to(crop, self.encoder.resolution), ages))
        return codes + self.heads.mapping.w_avg

    def style(self, crop: Tensor, age: float) -> Tensor:
        return self.encode(crop, age)


@dataclass(frozen=True)
class SamNets(AgingNets):
    """A SAM checkpoint, with a person's MyTimeMachine adapter if it has one."""

    sam: Sam
    perceptual: PerceptualLoss
    fingerprint: str
    # A step of tuning at 1024 px takes a CPU half a minute; the photo's own pixels make up for what is not tuned.
    tune_steps: int
    mirrored: bool = False
    younger_pace: float = 1.0

    @property
    def generator(self) -> Generator:
        return self.sam.decoder

    def origin(self, crop: Tensor) -> Tensor:
        return self.sam.invert(self._small(crop))

    @property
    def center(self) -> Tensor:
        return self.sam.latent_avg

    def encode(self, crop: Tensor, age: float | Tensor, origin: Tensor | None = None) -> Tensor:
        ages = torch.as_tensor(age, dtype=crop.dtype, device=crop.device).expand(len(crop))
        return self.sam.codes(self._small(crop), ages, origin=origin)

    def style(self, crop: Tensor, age: float) -> Tensor:
        return self.origin(crop)

    def _small(self, crop: Tensor) -> Tensor:
        return pool_to(crop, self.sam.encoder.resolution)


def reading_of(card: dict[str, Any]) -> tuple[list[float], list[float]]:
    """The table `HeadsNets.reading` out of the encoder's card."""
    table = card.get("quality", {}).get("reading", {"asked": [], "read": []})
    return table["asked"], table["read"]
