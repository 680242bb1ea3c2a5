"""Light rigs, and how much of them reaches each point: depth maps from many directions, kept as spherical harmonics.

Radiance comes from sky, ground and up to three soft lamps. Each point keeps what it sees of it as nine spherical
harmonics (Ramamoorthi & Hanrahan 2001), so that any normal near it can be lit, and how much it sees of each lamp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.heads.people import View

DIRECTIONS, MAP_SIDE, MAP_REACH = 48, 72, 2.5
LAMPS = 3
# The cosine lobe in spherical harmonics, divided by pi: what a white surface sends back.
_COSINE = (1.0,) + (2 / 3,) * 3 + (0.25,) * 5
# Kind -> ambient, then lamps: azimuth range on the main side, elevation range, sharpness, strength, coolness.
_RIGS: dict[str, tuple[float, tuple[tuple[float, float, float, float, float, float, float], ...]]] = {
    "soft": (0.42, ((15, 50, 15, 45, 9, 2.3, 0), (-80, -30, 0, 20, 5, 0.75, 0.2))),
    "side": (0.24, ((50, 85, 10, 40, 16, 3.2, 0), (-60, -60, 10, 10, 4, 0.35, 0.3))),
    "rim": (0.3, ((10, 40, 20, 40, 10, 1.9, 0), (-160, -125, 15, 40, 20, 3.5, 0.4), (125, 160, 20, 20, 20, 2, -0.2))),
    "back": (0.5, ((110, 150, 20, 50, 14, 3.2, -0.4), (-25, -25, 15, 15, 5, 1.3, 0.2))),
    "outdoor": (0.42, ((20, 75, 35, 65, 30, 4.2, -0.2), (0, 0, 89, 89, 2.5, 0.9, 0.6))),
    "warm": (0.34, ((10, 60, 5, 35, 9, 2.2, -0.8), (-70, -70, 20, 20, 5, 0.6, -0.3))),
}


@dataclass(frozen=True)
class Rig:
    """Light on N heads: `sky`, `ground` (N, 3); lamps' `towards` (N, 3, 3), `sharpness` (N, 3), `colour` (N, 3, 3)."""

    sky: Tensor
    ground: Tensor
    towards: Tensor
    sharpness: Tensor
    colour: Tensor

    def of(self, heads: Tensor) -> Rig:
        """The light on some heads, in that order."""
        return Rig(*(each[heads] for each in (self.sky, self.ground, self.towards, self.sharpness, self.colour)))

    def radiance(self, directions: Tensor) -> Tensor:
        """(N, D, 3): what comes from each of (D, 3) or (N, D, 3) directions."""
        height = directions[..., 1:2] * 0.5 + 0.5
        lobes = torch.exp(self.sharpness[:, None] * (directions @ self.towards.transpose(1, 2) - 1))
        return self.ground[:, None] + (self.sky - self.ground)[:, None] * height + lobes @ self.colour

    def power(self) -> Tensor:
        """(N, 3, 3): each lamp's colour times its solid angle."""
        angle = 2 * math.pi / self.sharpness * (1 - torch.exp(-2 * self.sharpness))
        return self.colour * angle[..., None]


@dataclass(frozen=True)
class Lit:
    """Light at points (N, P): `sh` (N, P, 9, 3) visible radiance, `lamps` (N, P, 3) share seen, `open` (N, P, 1)."""

    sh: Tensor
    lamps: Tensor
    open: Tensor

    def flat(self) -> Tensor:
        """(N, P, 31), for interpolation."""
        return torch.cat([self.sh.flatten(2), self.lamps, self.open], -1)


def draw_rig(views: list[View], device: torch.device) -> Rig:
    """The light of each view, in camera space."""
    rows = [_draw_one(view) for view in views]
    stacked = [torch.from_numpy(np.stack(each).astype(np.float32)).to(device) for each in zip(*rows, strict=True)]
    return Rig(*stacked)


def _draw_one(view: View) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(view.light_seed)
    side, tint = rng.choice([-1, 1]), rng.normal(-0.1, 0.3)
    ambient, lamps = _RIGS[view.light]
    towards, sharpness, colour = np.zeros((LAMPS, 3)), np.ones(LAMPS), np.zeros((LAMPS, 3))
    towards[:, 2] = 1
    for i, (left, right, low, high, sharp, strength, cool) in enumerate(lamps):
        azimuth, elevation = math.radians(side * rng.uniform(left, right)), math.radians(rng.uniform(low, high))
        flat = math.cos(elevation)
        towards[i] = (math.sin(azimuth) * flat, math.sin(elevation), math.cos(azimuth) * flat)
        sharpness[i], colour[i] = sharp, 1.35 * strength * _white(tint + cool)
    return ambient * _white(tint + 0.35), 0.55 * ambient * _white(tint - 0.4), towards, sharpness, colour


def _white(cool: float) -> np.ndarray:
    """White light, warmer below 0 and cooler above."""
    warm = max(-cool, 0.0)
    cold = max(cool, 0.0)
    return np.array([1 - 0.22 * cold + 0.06 * warm, 1 - 0.05 * abs(cool), 1 + 0.18 * cold - 0.42 * warm])


def even_directions(count: int, device: torch.device) -> Tensor:
    """(count, 3) directions spread evenly (Fibonacci's lattice)."""
    i = torch.arange(count, device=device) + 0.5
    polar, turn = torch.arccos(1 - 2 * i / count), math.pi * (1 + 5**0.5) * i
    return torch.stack([turn.cos() * polar.sin(), polar.cos(), turn.sin() * polar.sin()], 1)


def harmonics(n: Tensor) -> Tensor:
    """(..., 3) unit vectors to nine real spherical harmonics (..., 9)."""
    x, y, z = n.unbind(-1)
    one = torch.full_like(x, 0.282095)
    return torch.stack([one, 0.488603 * y, 0.488603 * z, 0.488603 * x, 1.092548 * x * y, 1.092548 * y * z,
                        0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y)], -1)  # fmt: skip


def reflected(sh: Tensor, normal: Tensor) -> Tensor:
    """(..., 9, 3) radiance and unit normals (..., 3): what a white matt surface sends back (..., 3)."""
    basis = harmonics(normal) * sh.new_tensor(_COSINE)
    return (basis[..., None] * sh).sum(-2).clamp(min=0)


@dataclass(frozen=True)
class Shadows:
    """Depth maps of N heads' occluders from DIRECTIONS sides, and the light that gets past them."""

    rig: Rig
    centre: Tensor
    directions: Tensor
    axes: Tensor
    """(3, 3 * D): from space to columns and rows of each map, and the height towards each direction."""
    nearest: Tensor

    def of(self, heads: Tensor) -> Shadows:
        """The same for some heads, in that order."""
        return Shadows(self.rig.of(heads), self.centre[heads], self.directions, self.axes, self.nearest[heads])

    def light(self, points: Tensor, normals: Tensor, bias: float = 0.03, soft: float = 0.16) -> Lit:
        """Light at (N, P, 3) points that lie `bias` above what may shade them, fading over `soft` decimetres."""
        index, height = _project(points, self.centre, self.axes)
        nearest = self.nearest.gather(1, index.flatten(1)).view_as(height)
        # What lies only a little behind the nearest is partly lit: edges of shadows are soft, hair lets light through.
        seen = ((height + bias - nearest) / soft + 1).clamp(0.1, 1)
        basis = harmonics(self.directions) * (4 * math.pi / DIRECTIONS)
        arriving = self.rig.radiance(self.directions)[:, :, None] * basis[:, :, None]
        sh = (seen @ arriving.flatten(2)).unflatten(-1, (9, 3))
        lobes = torch.exp(self.rig.sharpness[:, :, None] * (self.rig.towards @ self.directions.T - 1))
        lamps = seen @ (lobes / lobes.sum(-1, keepdim=True)).transpose(1, 2)
        facing = (normals @ self.directions.T).clamp(min=0)
        opened = (seen * facing).sum(-1, keepdim=True) / facing.sum(-1, keepdim=True).clamp(min=1e-4)
        return Lit(sh, lamps, opened)


def cast_shadows(rig: Rig, centre: Tensor, occluders: Tensor) -> Shadows:
    """`centre` (N, 3); `occluders` (N, O, 3) points that lie closely on all that casts shadows."""
    directions = even_directions(DIRECTIONS, centre.device)
    up = directions.new_tensor([0.0, 1.0, 0.02]).expand_as(directions)
    u = F.normalize(torch.linalg.cross(up, directions), dim=-1)
    v = torch.linalg.cross(directions, u)
    scale = 0.5 * MAP_SIDE / MAP_REACH
    axes = torch.cat([u * scale, v * scale, directions]).T.contiguous()
    index, height = _project(occluders, centre, axes)
    nearest = torch.full((len(centre), DIRECTIONS * MAP_SIDE**2), -1e9, device=centre.device)
    nearest.scatter_reduce_(1, index.flatten(1), height.flatten(1), "amax")
    return Shadows(rig, centre, directions, axes, nearest)


def _project(points: Tensor, centre: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Cells of the maps and heights towards each direction, both (N, P, D)."""
    offset = points - centre[:, None]
    column, row = (
        (offset @ each).add_(0.5 * MAP_SIDE).clamp_(0, MAP_SIDE - 1).floor_()
        for each in axes[:, : 2 * DIRECTIONS].split(DIRECTIONS, 1)
    )
    first = torch.arange(DIRECTIONS, device=points.device) * MAP_SIDE**2
    # Whole numbers below 2^24 are exact in single precision: one conversion is enough.
    return row.mul_(MAP_SIDE).add_(column).add_(first).long(), offset @ axes[:, 2 * DIRECTIONS :]


def ggx(normal: Tensor, light: Tensor, eye: Tensor, rough: Tensor | float, f0: float) -> Tensor:
    """Specular reflectance times the cosine, (...,): GGX with Schlick's Fresnel and Smith's shadowing."""
    half = F.normalize(light + eye, dim=-1)
    nl, nv = (normal * light).sum(-1).clamp(min=0), (normal * eye).sum(-1).clamp(min=0.08)
    nh, hv = (normal * half).sum(-1).clamp(min=0), (eye * half).sum(-1).clamp(0, 1)
    squared = rough * rough
    spread = squared / (math.pi * (nh * nh * (squared - 1) + 1).square().clamp(min=1e-6))
    k = rough / 2
    shadow = 1 / ((nl * (1 - k) + k) * (nv * (1 - k) + k)).clamp(min=1e-3)
    return spread * shadow * (f0 + (1 - f0) * (1 - hv) ** 5) * 0.25 * nl
