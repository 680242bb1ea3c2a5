"""Everyage's own way to train a personal model.

Beside the adapter the generator learns, so that it can draw this very person; the prior's codes come out of a table, so
that no encoder runs; there is one pass, without the cycle; each sample draws for itself what it is for.
`docs/personal.md` has the figure behind each difference from the published training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.aging.personal import (
    adaptive_weight,
    beyond,
    draw_inside,
    draw_outside,
    personal_unlikeness,
    w_norm,
)
from models.images import brightness

from .album import Album, mirror_points
from .method import Batch, Kind, Method, Setting, Terms
from .student import Student

WARM_UP = 0.03  # of the training
LAST_RATE = 0.1
BETAS = (0.9, 0.99)
# A recogniser that always sees the same cut of the same colours is pleased by patterns that no other one sees.
NOISE, SHIFT, GAIN, LIGHT = 15, 0.01, 0.09, 0.1


@dataclass(frozen=True)
class Everyage(Method):
    """keep: how many samples of a batch keep their own age; outside_share: of the others, those outside the album's.

    best: with how many photos of the asked age a drawing is compared. reach: years beyond the album's ages over which
    a likeness to its nearest photos loses two thirds of its weight: an old face should not look like that of 40. Rates
    are Adam's. personal, outside and adaptive weigh equations 5, 6 and 7 of the paper.
    """

    name: str = "everyage"
    steps: int = 300
    batch: int = 4
    tunes_generator: bool = True
    tiny_start: bool = True
    keep: int = 1
    outside_share: float = 0.5
    best: int = 3
    adapter_rate: float = 1e-3
    generator_rate: float = 2e-3
    pixel: float = 16.0
    perceptual: float = 4.0
    personal: float = 4.0
    reach: float = 20.0
    age: float = 5.0
    outside: float = 2.0
    adaptive: float = 2e-3
    colour: float = 20.0

    def optimizer(self, student: Student) -> torch.optim.Optimizer:
        groups: list[dict[str, Any]] = [{"params": list(student.adapter.parameters()), "peak": self.adapter_rate}]
        if self.tunes_generator:
            named = list(student.synthesis.named_parameters())
            # Equalised weights have unit variance and can take longer steps than biases and styles.
            long = [value for name, value in named if name.endswith("weight") and "torgb" not in name]
            short = [value for name, value in named if not name.endswith("weight") or "torgb" in name]
            groups += [{"params": long, "peak": self.generator_rate}]
            groups += [{"params": short, "peak": self.generator_rate / 2}]
        return torch.optim.Adam(groups, self.adapter_rate, betas=BETAS)

    def rate(self, progress: float) -> float:
        """A short linear rise, then half a cosine."""
        rise = min(1.0, (progress + 1e-3) / WARM_UP)
        return rise * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * progress)))

    def draw(self, album: Album, random: torch.Generator) -> Batch:
        places = torch.randint(2 * len(album), (self.batch,), generator=random)
        present = album.ages.cpu()[places]
        inside = draw_inside(self.batch, album.youngest, album.oldest, random)
        outside = draw_outside(self.batch, album.youngest, album.oldest, random)
        leaves = torch.rand(self.batch, generator=random) < self.outside_share
        kinds = torch.where(leaves, Kind.OUTSIDE, Kind.INSIDE)
        kinds[: self.keep] = Kind.KEEP
        target = torch.where(leaves, outside, inside)
        target[: self.keep] = present[: self.keep]
        return Batch(places, present, target, kinds, torch.randn(self.batch, NOISE, generator=random))

    def losses(self, setting: Setting, batch: Batch) -> Iterator[Terms]:
        codes = setting.codes.at(batch.places, batch.target)
        with setting.precision():
            own, images = setting.draw(codes, batch.target)
            terms = self._kept(setting, batch, images) | self._aged(setting, batch, codes, images)
        far = (batch.kinds == Kind.OUTSIDE).float()
        weight = far * adaptive_weight((batch.target - batch.present).abs(), self.adaptive)
        yield terms | {"w norm": weight * w_norm(own.float(), setting.nets.center)}

    def _kept(self, setting: Setting, batch: Batch, images: Tensor) -> Terms:
        """At their own age the drawings are the photos."""
        some = (batch.kinds == Kind.KEEP).nonzero()[:, 0]
        made, wanted = images[some], setting.album.crops[batch.places[some]]
        pixel = self.pixel * (made - wanted).square().mean(dim=(1, 2, 3))
        perceptual = self.perceptual * setting.judges.distance(made, wanted) if len(some) else pixel
        return {"pixel": spread(pixel, some, images), "perceptual": spread(perceptual, some, images)}

    def _aged(self, setting: Setting, batch: Batch, codes: Tensor, images: Tensor) -> Terms:
        """They look like the person's photos of that age; outside, they also stay near the global prior's drawing."""
        album, judges, points = setting.album, setting.judges, setting.album.points[batch.places]
        vectors, album_ages = setting.references
        seen = judges.embed(*varied(images, points, batch.noise)).float()
        unlike = personal_unlikeness(seen, vectors, album_ages, batch.target, self.best)
        far = beyond(batch.target, album.youngest, album.oldest)
        before = setting.draw_global(codes)
        error = ((judges.read_age(images, points).float() - batch.target) / 100).square()
        outside = (batch.kinds == Kind.OUTSIDE) * (images - before).square().mean(dim=(1, 2, 3))
        return {
            "personal": self.personal * torch.exp(-far / self.reach) * unlike,
            "age": self.age * (batch.kinds != Kind.KEEP) * error,
            "outside": self.outside * outside,
            "colour": self.colour * (colour(images) - colour(before)).square().mean(dim=(1, 2, 3)),
        }


def colour(images: Tensor) -> Tensor:
    """What is left of pictures (N, 3, S, S) without their brightness. The judges of age and identity do not see it."""
    return images - brightness(images)


def varied(images: Tensor, points: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, S, S) and landmarks, a little moved, recoloured, and one in two mirrored, by noise (N, NOISE)."""
    size = images.shape[-1]
    points = points + noise[:, :10].reshape(-1, 5, 2) * SHIFT * size
    gain, light = 1 + GAIN * noise[:, 10:13, None, None], LIGHT * noise[:, 13, None, None, None]
    images = (images + 1) * gain - 1 + light
    turned = noise[:, 14] > 0
    images = torch.where(turned[:, None, None, None], images.flip(3), images)
    return images, torch.where(turned[:, None, None], mirror_points(points, size), points)


def spread(values: Tensor, places: Tensor, batch: Tensor) -> Tensor:
    """Losses of some samples as losses of the whole batch, zero for the others."""
    return torch.zeros(len(batch), device=values.device).index_put((places,), values.float())
