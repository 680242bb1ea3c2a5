"""Aging networks of a few thousand numbers, and an album for them: what personalisation needs, in milliseconds."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.faces.align import canonical_landmarks
from models.perceptual import PerceptualLoss
from models.stylegan2 import Generator
from pipelines.aging.nets import AgingNets
from pipelines.personalize.album import Album, mirror_points
from pipelines.personalize.everyage import Everyage
from pipelines.personalize.judges import Judges
from pipelines.personalize.method import Method, Setting
from pipelines.personalize.student import Student

SIDE = 32


class TinyNets(AgingNets):
    """A generator of 32 px, and codes that depend on a crop's colours and on the age in a straight line."""

    mirrored, tune_steps, younger_pace, fingerprint = True, 2, 1.0, "tiny"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.own = (
            Generator(8, 16, SIDE, channel_base=256, channel_max=16, mapping_layers=2).eval().requires_grad_(False)
        )
        self.colours, self.years = torch.randn(3, 16), torch.randn(16)
        self.perceptual = PerceptualLoss().eval().requires_grad_(False)
        self.encoded = 0

    @property
    def generator(self) -> Generator:
        return self.own

    @property
    def center(self) -> Tensor:
        return self.own.mapping.w_avg

    def encode(self, crop: Tensor, age: float | Tensor, origin: Tensor | None = None) -> Tensor:
        self.encoded += len(crop)
        ages = torch.as_tensor(age, dtype=torch.float32).expand(len(crop))
        w = crop.mean(dim=(2, 3)) @ self.colours + ages[:, None] / 50 * self.years
        return w[:, None].repeat(1, self.own.num_ws, 1)

    def style(self, crop: Tensor, age: float) -> Tensor:
        return self.encode(crop, age)


class TinyRecogniser(nn.Module):
    """Chips (N, 3, S, S) -> unit vectors (N, 27) of their 3 x 3 mean colours."""

    def forward(self, chips: Tensor) -> Tensor:
        return F.normalize(F.adaptive_avg_pool2d(chips, 3).flatten(1) + 0.1, dim=1)


class TinyAge(nn.Module):
    """Chips (N, 3, S, S) -> years (N,) by their brightness."""

    def forward(self, chips: Tensor) -> Tensor:
        return 50 + 40 * chips.mean(dim=(1, 2, 3))


def tiny_album(ages: list[float], seed: int = 1) -> Album:
    """Smooth random pictures of these ages."""
    random = torch.Generator().manual_seed(seed)
    crops = F.interpolate(torch.rand(len(ages), 3, 4, 4, generator=random) * 2 - 1, size=SIDE, mode="bilinear")
    points = torch.as_tensor(canonical_landmarks(SIDE), dtype=torch.float32).expand(len(ages), 5, 2)
    both = torch.cat([points, mirror_points(points, SIDE)])
    return Album(torch.cat([crops, crops.flip(3)]), both, torch.tensor(ages).repeat(2), tuple(range(len(ages))), "tiny")


def tiny_setting(ages: list[float], method: Method | None = None, nets: TinyNets | None = None) -> Setting:
    """Everything that a step needs, prepared."""
    nets, method = nets or TinyNets(), method or Everyage()
    judges = Judges(TinyRecogniser(), TinyAge(), nets.perceptual)  # type: ignore[arg-type]
    student = Student(nets, method.tunes_generator, method.tiny_start, seed=3)
    setting = Setting(student, nets, judges, tiny_album(ages))
    for _ in setting.prepare():
        pass
    return setting
