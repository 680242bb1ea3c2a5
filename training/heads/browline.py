"""Where brows grow: an arch above each eye on the base mesh's places, and how it changes with age."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.heads.noise import smooth, smoothstep
from training.heads.people import Person


@dataclass(frozen=True)
class BrowLine:
    """Numbers of N heads: `thick`, `density`, `arch` 0..1, `height` in decimetres, `long` 1 for the usual length."""

    thick: Tensor
    density: Tensor
    arch: Tensor
    height: Tensor
    long: Tensor

    def of(self, head: Tensor) -> BrowLine:
        """The numbers for samples of heads (P,)."""
        return BrowLine(*(value[head] for value in self._all()))

    def column(self) -> BrowLine:
        """The same as (N, 1), to go with roots (N, R)."""
        return BrowLine(*(value[:, None] for value in self._all()))

    def _all(self) -> tuple[Tensor, ...]:
        return self.thick, self.density, self.arch, self.height, self.long


def brow_lines(people: list[Person], ages: list[float], device: torch.device) -> BrowLine:
    """The brows of these people at these ages (years)."""
    rows = [_numbers(person, age) for person, age in zip(people, ages, strict=True)]
    return BrowLine(*torch.tensor(rows, device=device).unbind(1))


def _numbers(person: Person, age: float) -> tuple[float, ...]:
    brows, child, old = person.brows, 1 - smooth(9, 19, age), smooth(50, 88, age)
    thick = brows.thickness * (1 - 0.25 * child) * (1 - 0.35 * old * person.female)
    density = (0.5 + 0.5 * brows.density) * (1 - 0.5 * child) * (1 - 0.45 * old)
    return thick, density, brows.arch, brows.height - 0.012 * old, 1 + (0.15 if person.female else 0.8) * old


def along_brow(neutral: Tensor) -> Tensor:
    """(...,) 0 at a brow's inner end, 1 at its outer end."""
    return ((neutral[..., 0].abs() - 0.085) / 0.50).clamp(0, 1)


def above_brow(neutral: Tensor, line: BrowLine) -> Tensor:
    """(...,) how far neutral places (..., 3) lie above the brow's middle, in its half thickness there."""
    along = along_brow(neutral)
    middle = 7.384 + line.height - 0.004 * along + (0.015 + 0.05 * line.arch) * torch.sin(along * 3.4)
    half = (0.022 + 0.028 * line.thick) * (0.35 + 0.65 * smoothstep(1.05, 0.45, along))
    return (neutral[..., 1] - middle) / half


def brow_density(neutral: Tensor, line: BrowLine) -> Tensor:
    """Share (...,) of 0..1 of the skin that brows cover; `line` must broadcast to (...,)."""
    x = neutral[..., 0].abs()
    ends = smoothstep(0.07, 0.16, x) * smoothstep(0.57, 0.45, x) * (neutral[..., 2] > 1.0)
    return torch.exp(-(above_brow(neutral, line).abs() ** 3)) * ends * line.density
