"""Blurred backgrounds: gradients, panels, leaves, lights out of focus; linear RGB."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.heads.develop import blur
from training.heads.people import View

_SIDE = 96


def draw_backgrounds(views: list[View], side: int, device: torch.device) -> Tensor:
    """(N, 3, side, side) linear RGB, 0..2."""
    small = torch.from_numpy(np.stack([_draw_one(view) for view in views]).astype(np.float32)).to(device)
    large = F.interpolate(small.permute(0, 3, 1, 2), size=(side, side), mode="bicubic", align_corners=False)
    return large.clamp(0, 2)


def _draw_one(view: View) -> np.ndarray:
    rng = np.random.default_rng(view.background_seed)
    base = math.exp(rng.uniform(-4, -0.3)) * np.exp(rng.normal(0, 0.12, 3))
    other = base * np.exp(rng.normal(0, 0.5)) * np.exp(rng.normal(0, 0.09, 3))
    y, x = (np.mgrid[0:_SIDE, 0:_SIDE] + 0.5) / _SIDE
    turn = rng.uniform(0, 2 * math.pi)
    share = ((x - 0.5) * math.cos(turn) + (y - 0.5) * math.sin(turn) + 0.5).clip(0, 1)[..., None]
    image = base * (1 - share) + other * share
    kind = int(rng.integers(4))
    if kind >= 1:
        _panels(image, x, y, base, rng)
    if kind == 2:
        _leaves(image, rng)
    image = _blurred(image, float(rng.uniform(3, 7)))
    if kind == 3:
        image = image + _lights(x, y, rng)
    dark = 1 - 0.35 * rng.uniform(0, 1.5) * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    return image * dark[..., None]


def _panels(image: np.ndarray, x: np.ndarray, y: np.ndarray, base: np.ndarray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(3, 9))):
        left, wide, top, high = rng.uniform((-0.2, 0.06, -0.2, 0.2), (1, 0.4, 0.8, 1.2))
        inside = (x > left) & (x < left + wide) & (y > top) & (y < top + high)
        image[inside] = base * np.exp(rng.normal(0, 0.7)) * np.exp(rng.normal(0, 0.14, 3))


def _leaves(image: np.ndarray, rng: np.random.Generator) -> None:
    knots = torch.from_numpy(rng.normal(0, 1, (1, 1, 14, 14)))
    noise = F.interpolate(knots, size=(_SIDE, _SIDE), mode="bicubic", align_corners=False)[0, 0, :, :, None].numpy()
    green = np.array([0.75, 1.1, 0.55]) if rng.random() < 0.6 else np.ones(3)
    image *= np.exp(0.5 * noise) * green


def _lights(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Discs of lamps far behind."""
    total = np.zeros((_SIDE, _SIDE, 3))
    for _ in range(int(rng.integers(6, 26))):
        far = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1)) * _SIDE
        disc = 1 / (1 + np.exp((far - rng.uniform(2, 7)) * 2))
        total += disc[..., None] * np.exp(rng.normal(0, 0.3, 3)) * rng.uniform(0.05, 0.5)
    return total


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    channels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    return blur(channels, sigma)[0].permute(1, 2, 0).numpy()
