"""The published training of MyTimeMachine, as its released code behaves, without that code's defects.

Source: Qi et al., "MyTimeMachine" (2025), and the released code where the two differ; the weights are SAM's. Left out
is what changes no gradient: decodes that no loss reads, encoder runs on pictures whose codes are known. Put right: ages
are compared as years and not as rounded fractions, the references are not mirrored at random, batch normalisation keeps
its statistics, albums with a newborn or of a single age work, and the training ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.aging.personal import (
    adaptive_weight,
    beyond,
    closeness,
    draw_inside,
    draw_outside,
    personal_unlikeness,
    w_norm,
)

from .album import Album
from .method import Batch, Kind, Method, Setting, Terms
from .ranger import Ranger
from .student import Student

# The part of a picture that is all face: rows 35 to 223 and columns 32 to 220 of 256.
TOP, BOTTOM, LEFT, RIGHT = 35 / 256, 223 / 256, 32 / 256, 220 / 256


@dataclass(frozen=True)
class Official(Method):
    """The weights of SAM's losses and of the adaptive w-norm."""

    name: str = "official"
    steps: int = 10_000
    batch: int = 4
    tunes_generator: bool = False
    tiny_start: bool = False
    learning_rate: float = 1e-4
    pixel: float = 0.25
    perceptual: float = 0.1
    center_pixel: float = 1.0
    center_perceptual: float = 0.6
    likeness: float = 0.1
    age: float = 5.0
    personal: float = 1.0
    w_norm: float = 0.005
    adaptive: float = 7.0

    def optimizer(self, student: Student) -> torch.optim.Optimizer:
        return Ranger([{"params": list(student.adapter.parameters()), "peak": self.learning_rate}], self.learning_rate)

    def rate(self, progress: float) -> float:
        return 1.0

    def draw(self, album: Album, random: torch.Generator) -> Batch:
        """One draw decides what the whole batch is for, a third each. Ages are whole years but for the photos' own."""
        places = torch.randint(2 * len(album), (self.batch,), generator=random)
        present = album.ages.cpu()[places]
        kind = Kind(int(torch.randint(3, (), generator=random)))
        target = present
        if kind is not Kind.KEEP:
            draw = draw_inside if kind is Kind.INSIDE else draw_outside
            target = draw(self.batch, album.youngest, album.oldest, random).round()
        return Batch(places, present, target, torch.full((self.batch,), int(kind)), torch.empty(self.batch, 0))

    def losses(self, setting: Setting, batch: Batch) -> Iterator[Terms]:
        codes = setting.codes.at(batch.places, batch.target)
        with setting.precision():
            own, images = setting.draw(codes, batch.target)
            yield self._terms(setting, batch, codes, own, images)
        # The way back: from the drawing, whose gradient ends here, to the age that the photo has.
        images = images.detach()
        back = replace(batch, present=batch.target, target=batch.present)
        with torch.no_grad():
            codes = setting.nets.encode(images, back.target, setting.nets.origin(images))
        with setting.precision():
            own, images = setting.draw(codes, back.target)
            yield self._terms(setting, back, codes, own, images)

    def _terms(self, setting: Setting, batch: Batch, codes: Tensor, own: Tensor, images: Tensor) -> Terms:
        """SAM's losses to the photo; outside the album's ages to what the global prior draws."""
        outside = int(batch.kinds[0]) == Kind.OUTSIDE
        album, judges, points = setting.album, setting.judges, setting.album.points[batch.places]
        wanted = setting.draw_global(codes) if outside else album.crops[batch.places]
        gap = (batch.target - batch.present).abs()
        vectors = judges.embed(images, points).float()
        unlike = 1 - (vectors * setting.vectors[batch.places]).sum(dim=1)
        far = beyond(batch.target, album.youngest, album.oldest) if outside else gap
        error = ((judges.read_age(images, points).float() - batch.target) / 100).square()
        # Where it extrapolates, the released code counts the age twice and sums the w-norm over the batch.
        weight = self.batch * adaptive_weight(gap, self.adaptive) if outside else 1.0
        terms = self._distances(setting, images, wanted) | {
            "likeness": self.likeness * closeness(far) * unlike,
            "age": (2 if outside else 1) * self.age * error,
            "w norm": self.w_norm * weight * w_norm(own.float(), setting.nets.center),
        }
        if int(batch.kinds[0]) == Kind.INSIDE:
            terms["personal"] = self.personal * personal_unlikeness(vectors, *setting.references, batch.target)
        return terms

    def _distances(self, setting: Setting, images: Tensor, wanted: Tensor) -> Terms:
        """Pixels and perception, of the whole picture and of the face in it."""
        judges, face, goal = setting.judges, middle(images), middle(wanted)
        return {
            "pixel": self.pixel * (images - wanted).square().mean(dim=(1, 2, 3)),
            "perceptual": self.perceptual * judges.distance(images, wanted).float(),
            "face pixel": self.center_pixel * (face - goal).square().mean(dim=(1, 2, 3)),
            "face perceptual": self.center_perceptual * judges.distance(face, goal).float(),
        }


def middle(images: Tensor) -> Tensor:
    """The part of pictures (N, 3, S, S) that is all face."""
    side = images.shape[-1]
    return images[..., round(TOP * side) : round(BOTTOM * side), round(LEFT * side) : round(RIGHT * side)]
