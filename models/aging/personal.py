"""The losses and the sampling of MyTimeMachine: what makes an adapter one person's own.

Source: Qi et al., "MyTimeMachine: Personalized Facial Age Transformation" (2025): equation 5 (personalised aging loss),
6 (extrapolation regularisation), 7 (adaptive w-norm regularisation) and section 3 (which ages are asked for). Ages are
in years everywhere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

OLDEST = 100.0
WINDOW = 3.0
"""Photos of the person within so many years of an age show how they looked at that age."""
FLOOR = 1e-3  # against ages that are off by a rounding


def closeness(years: Tensor) -> Tensor:
    """How much a likeness counts across a gap of `years` (N,): 1 at none, 0.5 at 100 years, as half a cosine."""
    return 0.25 * torch.cos(math.pi * years / 100) + 0.75


def adaptive_weight(years: Tensor, strength: float) -> Tensor:
    """Equation 7's weight of the w-norm across an age gap of `years` (N,): 0 at none, `strength` / 2 at 100 years."""
    return strength * (1 - closeness(years))


def w_norm(codes: Tensor, center: Tensor) -> Tensor:
    """Distance (N,) of w+ (N, num_ws, w_dim) to the mean w+, Frobenius."""
    return (codes - center).flatten(1).norm(dim=1)


def beyond(ages: Tensor, youngest: float, oldest: float) -> Tensor:
    """Years (N,) from each age to the nearer end of what the photos cover; 0 inside."""
    return (youngest - ages).clamp(min=0) + (ages - oldest).clamp(min=0)


def personal_unlikeness(vectors: Tensor, album: Tensor, album_ages: Tensor, ages: Tensor, best: int = 1) -> Tensor:
    """Equation 5: one minus the best cosine (N,) to the person's own photos at about that age.

    vectors (N, D) of pictures that should show `ages` (N,); album (M, D) of the photos, taken at `album_ages` (M,); all
    of unit length. About: within WINDOW years of the age or, where there is no such photo, of the photo nearest in
    age, as the published code has it. best: the mean over so many of the best cosines, where there are as many.
    """
    apart = (ages[:, None] - album_ages).abs()
    nearest = album_ages[apart.argmin(dim=1)]
    center = torch.where(apart.min(dim=1).values <= WINDOW + FLOOR, ages, nearest)
    near = (center[:, None] - album_ages).abs() <= WINDOW + FLOOR
    cosines, places = (vectors @ album.T).masked_fill(~near, -2).topk(min(best, len(album)), dim=1)
    counted = near.gather(1, places)
    return 1 - (cosines * counted).sum(dim=1) / counted.sum(dim=1)


def draw_inside(count: int, youngest: float, oldest: float, random: torch.Generator) -> Tensor:
    """Ages (N,) that the photos cover, uniform."""
    return youngest + (oldest - youngest) * torch.rand(count, generator=random)


def draw_outside(count: int, youngest: float, oldest: float, random: torch.Generator) -> Tensor:
    """Ages (N,) that they do not: a fair coin for younger or older, then uniform.

    Where one side has no year left (photos of a newborn, or of a person of 100), all ages lie on the other.
    """
    older = torch.rand(count, generator=random) < 0.5
    share = torch.rand(count, generator=random)
    if youngest < 1:
        older = torch.ones_like(older)
    elif oldest > OLDEST - 1:
        older = torch.zeros_like(older)
    return torch.where(older, oldest + (OLDEST - oldest) * share, youngest * share)
