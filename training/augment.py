"""Random changes that make rendered heads cover more people, cameras and light than were rendered.

All random numbers are drawn where the given generator lives; pictures, landmarks and generator share one device.

A pair (source, target) gets the same geometry and colours, so that only age still tells them apart: smooth warps make
new face shapes, colour curves and light gradients make new cameras. The source alone is then blurred and made noisy,
as a phone would.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from models.images import brightness


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def random_placement(count: int, strength: float, generator: torch.Generator) -> Tensor:
    """Affine maps (N, 2, 3) from new to old places in [-1, 1]: flip, turn, scale, shift."""
    angle = _uniform((count,), -0.12, 0.12, generator) * strength
    scale = 1 + _uniform((count,), -0.08, 0.08, generator) * strength
    flip = torch.where(_uniform((count,), 0, 1, generator) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    shift = _uniform((count, 2), -0.06, 0.06, generator) * strength
    rows = [torch.stack([cos * flip, -sin, shift[:, 0]], 1), torch.stack([sin * flip, cos, shift[:, 1]], 1)]
    return torch.stack(rows, 1)


def warp_grid(placement: Tensor, size: int, strength: float, generator: torch.Generator) -> Tensor:
    """Sampling grids (N, size, size, 2): the placement and a smooth random displacement."""
    count = len(placement)
    grid = F.affine_grid(placement, [count, 1, size, size], align_corners=False)
    knots = _normal((count, 2, 5, 5), generator) * (0.022 * strength)
    bend = F.interpolate(knots, size=(size, size), mode="bicubic", align_corners=True)
    return grid + bend.permute(0, 2, 3, 1)


def place_landmarks(landmarks: Tensor, placement: Tensor, size: int) -> Tensor:
    """Where the five points (5, 2) in pixels of the old picture lie in the new ones: (N, 5, 2).

    A mirrored picture has its left and right points exchanged. The small bend is left out.
    """
    places = (landmarks + 0.5) / size * 2 - 1
    turn, shift = placement[:, :, :2], placement[:, :, 2]
    moved = torch.linalg.solve(turn, (places.unsqueeze(0) - shift.unsqueeze(1)).transpose(1, 2)).transpose(1, 2)
    mirrored = torch.linalg.det(turn) < 0
    moved = torch.where(mirrored[:, None, None], moved[:, [1, 0, 2, 4, 3]], moved)
    return (moved + 1) / 2 * size - 0.5


def warp(images: Tensor, grid: Tensor) -> Tensor:
    """Sample (N, 3, R, R) at `grid`; beyond the border the picture is mirrored."""
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


class ColourCurve:
    """One random camera for each sample: exposure, gains, gamma, contrast, saturation, hue, a gradient of light."""

    def __init__(self, count: int, strength: float, generator: torch.Generator):
        """strength 1 is the full range of cameras, 0 none but a slightly longer exposure."""

        def one(low: float, high: float) -> Tensor:
            return _uniform((count, 1, 1, 1), low * strength, high * strength, generator)

        tint = torch.exp(_uniform((count, 3, 1, 1), -0.12 * strength, 0.12 * strength, generator))
        self.gains = tint * torch.exp(one(-0.15, 0.3))
        # The renders are darker than most photos.
        self.gamma = torch.exp(one(-0.4, 0.3) - 0.1)
        self.contrast = torch.exp(one(-0.22, 0.22))
        self.saturation = torch.exp(one(-0.8, 0.3))
        self.hue = one(-0.12, 0.12)
        self.light = torch.exp(_normal((count, 1, 3, 3), generator) * (0.16 * strength))

    def __call__(self, images: Tensor) -> Tensor:
        """(N, 3, R, R) in [-1, 1] -> the same range."""
        x = (images.clamp(-1, 1) + 1) / 2
        light = F.interpolate(self.light, size=x.shape[-2:], mode="bicubic", align_corners=True)
        x = (x * self.gains * light).clamp(1e-4, 1) ** self.gamma
        luma = brightness(x)
        chroma = _turn_hue((x - luma) * self.saturation, self.hue)
        x = luma + chroma
        x = (x - 0.5) * self.contrast + 0.5
        return x.clamp(0, 1) * 2 - 1


def _turn_hue(chroma: Tensor, angle: Tensor) -> Tensor:
    """Turn the colour part (N, 3, H, W) about the grey axis (Rodrigues' formula)."""
    cross = torch.stack([chroma[:, 2] - chroma[:, 1], chroma[:, 0] - chroma[:, 2], chroma[:, 1] - chroma[:, 0]], 1)
    along = chroma.mean(1, keepdim=True)
    return chroma * angle.cos() + cross / math.sqrt(3) * angle.sin() + along * (1 - angle.cos())


def degrade(images: Tensor, generator: torch.Generator) -> Tensor:
    """What a phone does to a picture: some are shrunk and enlarged again, most get a little noise."""
    count, _, size, _ = images.shape
    small = int(_uniform((), size * 0.35, size * 0.9, generator).item())
    soft = F.interpolate(images, size=(small, small), mode="bilinear", antialias=True)
    soft = F.interpolate(soft, size=(size, size), mode="bicubic").clamp(-1, 1)
    choose = (_uniform((count, 1, 1, 1), 0, 1, generator) < 0.35).to(images)
    noise = _normal(tuple(images.shape), generator) * _uniform((count, 1, 1, 1), 0, 0.06, generator)
    return (images + choose * (soft - images) + noise).clamp(-1, 1)


def augment_pair(
    source: Tensor, target: Tensor, landmarks: Tensor, strength: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """The same new shape and camera for both, the source degraded afterwards; and the new landmarks (N, 5, 2)."""
    size = source.shape[-1]
    placement = random_placement(len(source), strength, generator)
    grid = warp_grid(placement, size, strength, generator)
    camera = ColourCurve(len(source), strength, generator)
    source, target = camera(warp(source, grid)), camera(warp(target, grid))
    return degrade(source, generator), target, place_landmarks(landmarks, placement, size)
