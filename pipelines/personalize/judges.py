"""What looks at a drawn face while the adapter learns: who is it, how old, how far from another picture.

Identity is judged by dlib's recogniser, so that SFace, which the evaluation uses, has never been trained against.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.faces.age import AgeNet, age_chip, load_age_net
from models.faces.recognition import load_recognition_net, recognition_chip
from models.perceptual import PerceptualLoss
from pipelines.aging.nets import AgingNets
from pipelines.runtime import Runtime


@dataclass(frozen=True)
class Judges:
    """Frozen networks; gradients flow through them into the pictures."""

    recogniser: nn.Module
    age: AgeNet
    perceptual: PerceptualLoss

    def embed(self, images: Tensor, points: Tensor) -> Tensor:
        """Unit vectors (N, D); `points` (N, 5, 2) in pixels of the pictures (N, 3, R, R)."""
        vectors: Tensor = self.recogniser(recognition_chip(images, points))
        return vectors

    def read_age(self, images: Tensor, points: Tensor) -> Tensor:
        """Years (N,)."""
        years: Tensor = self.age(age_chip(images, points))
        return years

    def distance(self, images: Tensor, wanted: Tensor) -> Tensor:
        """Perceptual distance (N,)."""
        with torch.no_grad():
            goal = self.perceptual.features(wanted)
        return self.perceptual.distance(self.perceptual.features(images), goal)


def make_judges(runtime: Runtime, nets: AgingNets) -> Judges:
    """The judges, from the pool of the runtime."""
    device, pool = runtime.device, runtime.pool
    return Judges(
        pool.get("faces/recognition", lambda: load_recognition_net(device)),
        pool.get("faces/age", lambda: load_age_net(device)),
        nets.perceptual,
    )
