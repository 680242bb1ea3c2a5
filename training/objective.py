"""What a decoded picture is judged by: pixels, perception, identity, age."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.faces.age import age_chip, load_age_net
from models.faces.identity import identity_chip, load_identity_net
from models.images import without_colour
from models.perceptual import load_perceptual
from models.stylegan2 import pool_to

from .config import PriorConfig
from .networks import place
from .rendered import Batch

WINDOW = 96  # pixels; the perceptual distance is what costs most, so it sees a part of large pictures


class Objective:
    """The supervised terms of the loss, each already times its weight."""

    def __init__(self, config: PriorConfig, device: torch.device, random: torch.Generator):
        self.config, self.device, self.random = config, device, random
        self.perceptual = place(load_perceptual(device), device)
        self.identity = place(load_identity_net(device), device)
        self.age_net = place(load_age_net(device), device)

    def __call__(self, images: Tensor, batch: Batch, codes: Tensor, read: bool) -> dict[str, Tensor]:
        """images: (N, 3, S, S) for `batch`, decoded from codes (N, num_ws, w_dim); `read`: judge identity and age."""
        config, target = self.config, pool_to(batch.target, images.shape[-1])
        terms = {"pixel": config.pixel * F.l1_loss(images, target), "w_norm": config.w_norm * codes.square().mean()}
        if images.shape[-1] >= 64:
            terms["perceptual"] = config.perceptual * self._distance(images, target)
        if read:
            scale = images.shape[-1] / batch.target.shape[-1]
            points = (batch.landmarks + 0.5) * scale - 0.5
            some = max(round(len(images) * config.identity_share), 1)
            terms["identity"] = config.identity * self._unlikeness(images[:some], target[:some], points[:some])
            terms["age"] = config.age * self._age_error(images, target, points, batch.target_age)
        return terms

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.low_precision)

    def _distance(self, images: Tensor, target: Tensor) -> Tensor:
        size = images.shape[-1]
        side = min(size, WINDOW)
        top, left = torch.randint(size - side + 1, (2,), generator=self.random).tolist()
        made, wanted = (x[:, :, top : top + side, left : left + side] for x in (images, target))
        with self.autocast():
            with torch.no_grad():
                features = self.perceptual.features(wanted)
            distance = self.perceptual.distance(self.perceptual.features(made), features)
        return distance.float().mean()

    def _unlikeness(self, images: Tensor, target: Tensor, points: Tensor) -> Tensor:
        """One minus the cosine of the embeddings."""
        with self.autocast():
            with torch.no_grad():
                wanted = self.identity(identity_chip(target, points))
            got = self.identity(identity_chip(images, points))
        return 1 - (got.float() * wanted.float()).sum(dim=1).mean()

    def _age_error(self, images: Tensor, target: Tensor, points: Tensor, ages: Tensor) -> Tensor:
        """Mean squared error, in centuries, to a goal between what the age net reads in the render and the truth.

        Renders show less age than real faces do; the pull towards the truth makes up for part of it.
        """
        with self.autocast():
            with torch.no_grad():
                read = self.age_net(age_chip(without_colour(target), points)).float()
            years = self.age_net(age_chip(without_colour(images), points)).float()
        goal = read.lerp(ages, self.config.age_pull)
        return ((years - goal) / 100).square().mean()
