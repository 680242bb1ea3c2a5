"""What networks predict, as denoised pictures and back.

x = alpha x0 + sigma noise. Noise prediction: x0 = (x - sigma e) / alpha. Velocity (Salimans & Ho 2022):
v = alpha noise - sigma x0, alpha^2 + sigma^2 = 1, x0 = alpha x - sigma v. Flow (Lipman et al. 2023): alpha = 1 - t,
sigma = t, v = noise - x0, x0 = x - t v.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Kind = Literal["epsilon", "v", "flow", "x0"]
SMALL = 1e-4


@dataclass(frozen=True)
class Step:
    """One evaluation of the network: where it stands, and what x is made of there.

    index, total: step of the run, 0..total-1. stage: 0 = first evaluation of the step, 1.. = the later ones of a
    multi-stage solver. alpha, sigma: x = alpha x0 + sigma noise, of the x that the *network* is given.
    next_alpha, next_sigma: the same after the step, where the sampler knows them. grid: (rows, columns) of tokens.
    """

    index: int
    total: int
    alpha: float
    sigma: float
    kind: Kind
    stage: int = 0
    next_alpha: float | None = None
    next_sigma: float | None = None
    grid: tuple[int, int] | None = None

    @property
    def noise_level(self) -> float:
        """sigma / alpha: the sigma of k-diffusion, and t / (1 - t) of flows; infinite for pure noise."""
        return self.sigma / self.alpha if self.alpha > 0 else math.inf

    @property
    def reversible(self) -> bool:
        """Whether a prediction can be told from x0 and the other way round: not at the very ends."""
        if self.kind == "x0":
            return True
        return self.sigma > SMALL and (self.alpha > SMALL or self.kind != "epsilon")


def to_x0(x: Tensor, output: Tensor, step: Step) -> Tensor:
    """The denoised prediction (N, ...) of the network's raw `output` at the noisy `x`."""
    if step.kind == "epsilon":
        return (x - step.sigma * output) / step.alpha
    if step.kind == "v":
        return step.alpha * x - step.sigma * output
    return x - step.sigma * output if step.kind == "flow" else output


def from_x0(x: Tensor, clean: Tensor, step: Step) -> Tensor:
    """The raw output that means the denoised prediction `clean`; the inverse of `to_x0` where it is reversible."""
    if step.kind == "epsilon":
        return (x - step.alpha * clean) / step.sigma
    if step.kind == "v":
        return (step.alpha * x - clean) / step.sigma
    return (x - clean) / step.sigma if step.kind == "flow" else clean


def slope(step: Step) -> float:
    """By how much the denoised prediction moves where the raw output moves by one; see `to_x0`."""
    return {"epsilon": -step.sigma / max(step.alpha, SMALL), "v": -step.sigma, "flow": -step.sigma}.get(step.kind, 1.0)


def to_noise(x: Tensor, output: Tensor, step: Step) -> Tensor:
    """The noise prediction (N, ...) of the raw `output`."""
    if step.kind == "epsilon":
        return output
    return (x - step.alpha * to_x0(x, output, step)) / step.sigma


def from_noise(x: Tensor, noise: Tensor, step: Step) -> Tensor:
    """The raw output that means the noise prediction `noise`."""
    if step.kind == "epsilon":
        return noise
    return from_x0(x, (x - step.sigma * noise) / step.alpha, step)
