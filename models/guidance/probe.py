"""What guidance did at each step, measured without waiting for the device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from models.guidance.spaces import Step


@dataclass(frozen=True)
class StepProbe:
    """One sample at one step; all of it measured on denoised predictions.

    noise_level: sigma / alpha. difference: L2 norm of cond - uncond. push: of guided - cond. parallel: share of the
    difference that lies along cond, 0..1. clip: factor by which the push was shortened, 1 = not. angle: between
    guided and cond, degrees. contrast: standard deviation of guided over that of cond. guided: False where the
    interval left guidance out.
    """

    index: int
    noise_level: float
    difference: float
    push: float
    parallel: float
    clip: float
    angle: float
    contrast: float
    guided: bool = True

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure(cond: Tensor, uncond: Tensor, guided: Tensor, clip: Tensor | None) -> Tensor:
    """(N, 6) on the device: difference, push, parallel, clip, cosine, contrast; see `StepProbe`."""
    base, free, made = cond.flatten(1), uncond.flatten(1), guided.flatten(1)
    tiny = 1e-12
    length = torch.linalg.vector_norm(base, dim=1).clamp_min(tiny)
    difference = torch.linalg.vector_norm(base - free, dim=1)
    parallel = torch.linalg.vecdot(base - free, base).abs() / length / difference.clamp_min(tiny)
    push = torch.linalg.vector_norm(made - base, dim=1)
    reach = torch.linalg.vector_norm(made, dim=1).clamp_min(tiny)
    cosine = torch.linalg.vecdot(made, base) / length / reach
    contrast = made.std(dim=1) / base.std(dim=1).clamp_min(tiny)
    shortened = torch.ones_like(push) if clip is None else clip.flatten()
    return torch.stack([difference, push, parallel, shortened, cosine, contrast], dim=1)


def read(step: Step, figures: Tensor) -> list[StepProbe]:
    """One probe for each row of `measure`; waits for the device."""
    rows = figures.double().cpu()
    angles = torch.rad2deg(torch.arccos(rows[:, 4].clamp(-1, 1)))
    found = []
    for (difference, push, parallel, clip, _, contrast), angle in zip(rows.tolist(), angles.tolist(), strict=True):
        found.append(StepProbe(step.index, step.noise_level, difference, push, parallel, clip, angle, contrast))
    return found


def idle(step: Step, count: int) -> list[StepProbe]:
    """The probes of a step at which guidance did nothing."""
    return [StepProbe(step.index, step.noise_level, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, guided=False)] * count
