"""Where hair grows on the head: the hairline, its recession, and the thinning crown, on the base mesh's places."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from training.heads.looks import Looks
from training.heads.noise import smoothstep
from training.heads.people import Person

CENTRE = (7.45, 0.55)
"""Height and depth of the skull's middle: angles over the top of the head are measured around it."""


@dataclass(frozen=True)
class Hairline:
    """Numbers of N heads, each (N,): `height` of the hairline in decimetres above the usual, `peak`, `bald`, ..."""

    height: Tensor
    peak: Tensor
    bald: Tensor
    crown: Tensor
    thin: Tensor
    male: Tensor

    def of(self, head: Tensor) -> Hairline:
        """The numbers for samples of heads (P,)."""
        return Hairline(*(value[head] for value in self._all()))

    def column(self) -> Hairline:
        """The same as (N, 1), to go with roots (N, R)."""
        return Hairline(*(value[:, None] for value in self._all()))

    def whole(self) -> Hairline:
        """As if no hair had been lost, and a little beyond the hairline: where the photographs show stubble."""
        return Hairline(self.height - 0.08, self.peak, 0 * self.bald, self.crown, 0 * self.thin, self.male)

    def _all(self) -> tuple[Tensor, ...]:
        return self.height, self.peak, self.bald, self.crown, self.thin, self.male


def hairlines(people: list[Person], looks: list[Looks], device: torch.device) -> Hairline:
    """The hairlines of people who look like that now."""
    rows = [(0.03 * p.hair.hairline, p.hair.peak, at.bald, p.hair.bald_crown, at.thin, float(not p.female))
            for p, at in zip(people, looks, strict=True)]  # fmt: skip
    return Hairline(*torch.tensor(rows, device=device).unbind(1))


def hair_density(neutral: Tensor, line: Hairline) -> Tensor:
    """Share (...,) of 0..1 of the roots that bear hair at neutral places (..., 3); `line` must broadcast to (...,)."""
    x, y, z = neutral[..., 0].abs(), neutral[..., 1], neutral[..., 2]
    angle = torch.atan2(y - CENTRE[0], z - CENTRE[1])
    # Over the forehead, in decimetres along the skull; men's corners lie deeper.
    corner = (0.05 + 0.08 * line.male) * smoothstep(0.15, 0.5, x) - 0.30 * smoothstep(0.48, 0.72, x)
    front = (angle - 0.545) * 0.98 - line.height - corner + line.peak * 0.12 * torch.exp(-((x / 0.13) ** 2))
    recession = line.bald * (0.55 + 0.5 * smoothstep(0.1, 0.45, x)) * 1.5
    front = front - recession * smoothstep(0.74, 0.56, x)
    # Temples and sideburns: the border runs down and back from the corner of the forehead.
    side = 0.98 - 0.32 * smoothstep(7.85, 7.2, y) - z
    above = torch.maximum(front, torch.where(x > 0.5, side, side.new_tensor(-9.0)))
    ear = smoothstep(0.60, 0.54, z) * smoothstep(-0.02, 0.06, z)
    nape = 6.72 + 0.35 * smoothstep(0.0, 0.15, z) + 0.42 * ear * smoothstep(0.6, 0.7, x)
    # Where hair is lost, its border is wide and thin.
    border = (above + 0.02) / (0.12 + 0.4 * line.bald)
    inside = smoothstep(0.0, 1.0, border) * smoothstep(-0.05, 0.10, y - nape)
    spread = torch.exp(-((x / 0.5) ** 2 + ((angle - math.radians(118)) / 0.55) ** 2))
    lost = (line.bald * (0.3 + 1.5 * line.crown) * spread * 1.6).clamp(0, 1)
    top = smoothstep(7.6, 8.1, y)
    return inside * (1 - lost) * (1 - line.thin * (0.35 + 0.65 * top))
