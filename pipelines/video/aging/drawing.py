"""From codes to the change of a batch of frames: draw today and then, compose, and say where it is laid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.stylegan2 import pool_to
from pipelines.aging.compose import SLOW, blur, compose, enlarge
from pipelines.aging.work import LAID_SIDE
from pipelines.video.options import VideoOptions

from .masks import at_edges, of_points
from .tuned import Tuned

GUIDE_SIDE = 64
"""Side at which edges are looked for: half of what a photo gets, at a quarter of the cost."""


@dataclass(frozen=True, eq=False)
class Crops:
    """A batch of one person's frames: pictures (N, 3, S, S) in [-1, 1], points (N, 5, 2) in their pixels, looked
    (N, 2, M, M) of `Masks.look`."""

    pictures: Tensor
    points: Tensor
    looked: Tensor


def drawings(tuned: Tuned, codes: Tensor, ages: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """The generator's faces today and at `ages` (N,), both (N, 3, R, R), from codes (N, num_ws, w_dim)."""
    moves, _ = tuned.at(ages)
    now, then = (tuned.synthesis(each).float() for each in (codes, codes + strength * moves))
    return pool_to(now, LAID_SIDE), pool_to(then, LAID_SIDE)


def draw_aged(
    tuned: Tuned, crops: Crops, now: Tensor, then: Tensor, ages: Tensor, options: VideoOptions
) -> tuple[Tensor, Tensor]:
    """The aged crops (N, 3, S, S), and where there is somebody in them (N, 1, S, S)."""
    pictures = crops.pictures
    skin, features = of_points(crops.points, pictures.shape[-1])
    person = at_edges(crops.looked[:, :1], pictures) if tuned.bounded else torch.ones_like(skin)
    if options.detail < 1:
        # What shows of the drawing itself takes the frame's colours.
        then = then + blur(enlarge(pictures, then.shape[-1]) - now, sigma=then.shape[-1] * SLOW)
    years = (ages - tuned.present) * options.strength
    aged = compose(pictures, now, then, options.detail, years, skin, person, features, GUIDE_SIDE)
    return aged, person
