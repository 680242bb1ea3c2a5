"""Visible samples of a mesh, and values of its places carried over to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.heads.geometry import Surface
from training.heads.light import LAMPS, Lit


@dataclass(frozen=True)
class Samples:
    """P samples: `at` in the flat pictures, `head` in the batch, `row` in the surface, `face`, corners' `shares`."""

    at: Tensor
    head: Tensor
    row: Tensor
    face: Tensor
    shares: Tensor


@dataclass(frozen=True)
class Lighting:
    """At P samples: unit `normal` (P, 3), place (P, 3), radiance `sh` (P, 9, 3), `lamps` (P, 3), `open` (P, 1)."""

    normal: Tensor
    point: Tensor
    sh: Tensor
    lamps: Tensor
    open: Tensor


def carry(values: Tensor, places: Tensor, samples: Samples) -> Tensor:
    """Values (M, S, C) of a surface, or (S, C) of all, to samples (P, C); `places` (F, 3) are the faces' corners."""
    corners = places[samples.face]
    total = torch.zeros(len(corners), values.shape[-1], device=values.device)
    for k in range(3):
        found = values[corners[:, k]] if values.ndim == 2 else values[samples.row, corners[:, k]]
        total = total + found * samples.shares[:, k : k + 1]
    return total


def carry_light(surface: Surface, lit: Lit, samples: Samples) -> Lighting:
    """Place, normal and light at samples."""
    places = surface.mesh.place[surface.mesh.faces]
    packed = carry(torch.cat([surface.normals, surface.points, lit.flat()], -1), places, samples)
    normal, point, sh, lamps, opened = packed.split([3, 3, 27, LAMPS, 1], 1)
    return Lighting(F.normalize(normal, dim=1), point, sh.unflatten(1, (9, 3)), lamps.clamp(0, 1), opened)
