"""Furrows of the skin as a few curves on the face, seen from the front of the base mesh."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.heads.noise import smooth
from training.heads.people import STYLES, Person

LEFT, BOTTOM, WIDTH, HEIGHT = -0.85, 5.5, 1.7, 2.6
_PER_UNIT = 256
# Curves from (x, y) over a control point to (x, y), then width and depth in decimetres. All have a twin at -x.
_Curve = tuple[tuple[float, float], tuple[float, float], tuple[float, float], float, float]
_CURVES: dict[str, tuple[_Curve, ...]] = {
    "forehead": (
        ((-0.02, 7.575), (0.2, 7.62), (0.38, 7.555), 0.013, 0.006),
        ((0.0, 7.655), (0.22, 7.69), (0.43, 7.62), 0.014, 0.007),
        ((-0.03, 7.735), (0.2, 7.775), (0.42, 7.7), 0.014, 0.0075),
        ((0.02, 7.82), (0.22, 7.855), (0.4, 7.78), 0.014, 0.006),
        ((-0.02, 7.9), (0.15, 7.925), (0.32, 7.88), 0.013, 0.004),
    ),
    "frown": (
        ((0.055, 7.35), (0.045, 7.43), (0.075, 7.54), 0.012, 0.009),
        ((0.0, 7.235), (0.05, 7.237), (0.1, 7.27), 0.012, 0.005),
        ((0.02, 7.4), (0.018, 7.45), (0.03, 7.52), 0.01, 0.004),
    ),
    "crow": (
        ((0.475, 7.29), (0.55, 7.32), (0.63, 7.39), 0.009, 0.005),
        ((0.48, 7.275), (0.57, 7.28), (0.66, 7.31), 0.009, 0.006),
        ((0.48, 7.26), (0.57, 7.235), (0.65, 7.225), 0.009, 0.006),
        ((0.47, 7.245), (0.55, 7.19), (0.61, 7.13), 0.009, 0.005),
        ((0.46, 7.225), (0.52, 7.15), (0.55, 7.07), 0.008, 0.004),
    ),
    "eye": (
        ((0.16, 7.215), (0.29, 7.12), (0.45, 7.205), 0.01, 0.005),
        ((0.14, 7.19), (0.3, 7.03), (0.46, 7.14), 0.014, 0.008),
        ((0.12, 7.19), (0.19, 7.05), (0.35, 6.99), 0.016, 0.007),
        ((0.2, 7.385), (0.33, 7.425), (0.46, 7.34), 0.01, 0.005),
    ),
    "laugh": (
        ((0.165, 6.985), (0.285, 6.88), (0.345, 6.61), 0.019, 0.013),
        ((0.24, 6.94), (0.33, 6.84), (0.38, 6.68), 0.014, 0.004),
    ),
    "mouth": (
        ((0.265, 6.5), (0.3, 6.41), (0.275, 6.26), 0.016, 0.009),
        ((0.0, 6.405), (0.07, 6.4), (0.15, 6.365), 0.02, 0.006),
        ((0.36, 6.42), (0.37, 6.32), (0.33, 6.22), 0.016, 0.006),
    ),
    "cheek": (
        ((0.46, 6.9), (0.51, 6.72), (0.44, 6.48), 0.015, 0.005),
        ((0.55, 6.82), (0.57, 6.64), (0.5, 6.42), 0.014, 0.004),
        ((0.4, 6.98), (0.52, 6.95), (0.6, 6.87), 0.012, 0.003),
        ((0.62, 7.02), (0.66, 6.85), (0.6, 6.62), 0.014, 0.004),
    ),
    "lips": (
        *(((0.022 + 0.036 * i, 6.60 - 0.004 * i), (0.024 + 0.038 * i, 6.64), (0.024 + 0.039 * i, 6.69), 0.007, 0.004)
          for i in range(5)),
        *(((0.03 + 0.042 * i, 6.44), (0.03 + 0.042 * i, 6.42), (0.03 + 0.04 * i, 6.395), 0.007, 0.003)
          for i in range(3)),
    ),
    "neck": (
        ((0.0, 5.98), (0.2, 5.99), (0.42, 6.06), 0.02, 0.008),
        ((0.0, 5.8), (0.2, 5.81), (0.44, 5.88), 0.02, 0.008),
        ((0.07, 6.12), (0.1, 5.95), (0.09, 5.72), 0.022, 0.009),
    ),
}  # fmt: skip
GROUPS = tuple(_CURVES)
# Group -> age at which it begins, age at which it is complete.
_ONSET = {"forehead": (22, 66), "frown": (25, 66), "crow": (24, 62), "eye": (25, 68), "laugh": (22, 62),
          "mouth": (32, 72), "cheek": (42, 80), "lips": (44, 80), "neck": (34, 72)}  # fmt: skip


def furrow_gains(person: Person, age: float) -> list[float]:
    """How deep each of GROUPS is: 1 is complete; it goes on slowly after that."""
    gains = []
    for number, group in enumerate(GROUPS):
        begins, ends = _ONSET[group]
        own = max(0.3, 1 + 0.3 * person.ageing_style[(3 * number + 1) % STYLES]) * person.ageing_rate
        gains.append(1.2 * own * (smooth(begins, ends, age) + 0.6 * smooth(ends, 100, age)))
    return gains


def furrow_maps(device: torch.device) -> Tensor:
    """(G, H, W, 3): depth in decimetres and its slopes along x and y, of each of GROUPS; row 0 is the bottom."""
    rows, columns = round(HEIGHT * _PER_UNIT), round(WIDTH * _PER_UNIT)
    y = BOTTOM + (torch.arange(rows, device=device) + 0.5) / _PER_UNIT
    x = LEFT + (torch.arange(columns, device=device) + 0.5) / _PER_UNIT
    depth = torch.zeros(len(GROUPS), rows, columns, device=device)
    for number, group in enumerate(GROUPS):
        for curve in _CURVES[group]:
            _carve(depth[number], x, y, curve)
    depth = torch.maximum(depth, depth.flip(2))
    slope_x = F.pad(depth[:, :, 2:] - depth[:, :, :-2], (1, 1)) * (_PER_UNIT / 2)
    slope_y = F.pad((depth[:, 2:] - depth[:, :-2]).transpose(1, 2), (1, 1)).transpose(1, 2) * (_PER_UNIT / 2)
    return torch.stack([depth, slope_x, slope_y], -1)


def _carve(depth: Tensor, x: Tensor, y: Tensor, curve: _Curve) -> None:
    """Make `depth` (H, W) at least that of one curve, which fades towards its ends."""
    *points, width, deep = curve
    corners = torch.tensor(points, device=x.device)
    t = torch.linspace(0, 1, 24, device=x.device)[:, None]
    path = (1 - t) ** 2 * corners[0] + 2 * t * (1 - t) * corners[1] + t**2 * corners[2]
    near_x = (x > path[:, 0].min() - 4 * width) & (x < path[:, 0].max() + 4 * width)
    near_y = (y > path[:, 1].min() - 4 * width) & (y < path[:, 1].max() + 4 * width)
    columns, rows = near_x.nonzero()[:, 0], near_y.nonzero()[:, 0]
    fade = (torch.minimum(t, 1 - t)[:, 0] / 0.2).clamp(0.05, 1).sqrt()
    far = (x[columns][None, :, None] - path[:, 0]) ** 2 + (y[rows][:, None, None] - path[:, 1]) ** 2
    carved = (deep * fade * torch.exp(-far / width**2)).amax(-1)
    depth[rows[:, None], columns] = torch.maximum(depth[rows[:, None], columns], carved)


def furrow_places(neutral: Tensor) -> Tensor:
    """(P, 2) pixels of the maps for neutral places (P, 3)."""
    return torch.stack([(neutral[:, 0] - LEFT), (neutral[:, 1] - BOTTOM)], 1) * _PER_UNIT
