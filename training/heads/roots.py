"""Roots: fixed places on the skin from which strands grow, the same for everybody; who has which is decided later."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.heads.geometry import Geometry, Surface, vertex_normals
from training.heads.noise import unit
from training.heads.parts import scatter_points


@dataclass(frozen=True)
class Roots:
    """R places on faces of the skin; `neutral` (R, 3) on the base mesh; numbers of 0..1 come from `random`."""

    corners: Tensor
    shares: Tensor
    neutral: Tensor

    def on(self, values: Tensor) -> Tensor:
        """(N, S, C) values of the skin's places at the roots (N, R, C)."""
        return sum((values[:, self.corners[:, k]] * self.shares[:, k : k + 1] for k in range(3)),
                   torch.zeros((), device=values.device))  # fmt: skip

    def random(self, seeds: Tensor, stream: int) -> Tensor:
        """(N, R) numbers in [0, 1) for people of seeds (N,)."""
        index = torch.arange(len(self.corners), device=seeds.device)
        return unit(seeds[:, None] * 92821 + index * 7 + stream * 1_000_003)


def scatter_roots(geometry: Geometry, count: int, share: Tensor) -> Roots:
    """`count` roots spread by area times `share` (S,) of 0..1 on the skin's places; none if that is nowhere above 0."""
    mesh = geometry.assets.skin
    corners = mesh.place[mesh.faces]
    weight = share[corners].mean(1).double()
    if not bool((weight > 0).any()):
        count = 0
    face, shares = scatter_points(geometry.neutral, corners, count, weight)
    at = corners[face]
    neutral = (geometry.neutral[at] * shares[..., None]).sum(1)
    return Roots(at, shares, neutral)


def still_normals(skin: Surface) -> Tensor:
    """(N, S, 3) normals of the unposed skin, along which strands begin."""
    return vertex_normals(skin.still, skin.mesh)
