"""What a network is asked for while it learns: pictures at random noise levels, and what it should say of them.

Noise and velocity predictors (Ho et al. 2020; Salimans & Ho 2022, section 4) on the scheduler's own levels, weighted by
min-SNR (Hang et al. 2023, equation 5 and its form for velocities); flows (Lipman et al. 2023) at logit-normal times,
shifted for large pictures (Esser et al. 2024, sections 3.1 and 5.3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.guidance.spaces import Kind


@dataclass(frozen=True)
class Objective:
    """kind: what the network predicts. signal: (T,) alpha squared by time, None for flows. shift: of a flow's times.

    min_snr: limit of the weight by signal to noise, None weighs all times alike. offset: strength of the noise that a
    whole channel shares, which teaches dark and bright pictures (0.05 to 0.1 where it is wanted).
    """

    kind: Kind
    signal: Tensor | None
    steps: int
    shift: float = 1.0
    min_snr: float | None = 5.0
    offset: float = 0.0

    @classmethod
    def of(cls, scheduler: Any, kind: Kind, min_snr: float | None = 5.0, offset: float = 0.0) -> Objective:
        """As the model's own scheduler was set up."""
        steps = int(scheduler.config.num_train_timesteps)
        if kind == "flow":
            return cls(kind, None, steps, float(scheduler.config.get("shift") or 1.0), None, offset)
        return cls(kind, scheduler.alphas_cumprod.float(), steps, 1.0, min_snr, offset)

    def draw_times(self, count: int, generator: torch.Generator) -> Tensor:
        """(N,) times for the network: whole numbers as float32, for flows any from 0 to `steps`."""
        if self.signal is not None:
            return torch.randint(len(self.signal), (count,), generator=generator).float()
        middle = torch.sigmoid(torch.randn(count, generator=generator))
        return self.steps * self.shift * middle / (1 + (self.shift - 1) * middle)

    def draw_noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard normal numbers (N, C, ...), with the shared part where it is asked for."""
        noise = torch.randn(shape, generator=generator)
        if self.offset:
            shared = torch.randn(*shape[:2], *(1,) * (len(shape) - 2), generator=generator)
            noise = noise + self.offset * shared
        return noise

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """The latents (N, ...) at these times."""
        alpha, sigma = self._levels(times, clean)
        return alpha * clean + sigma * noise

    def goal(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the network should predict."""
        if self.kind == "epsilon":
            return noise
        if self.kind == "flow":
            return noise - clean
        if self.kind == "v":
            alpha, sigma = self._levels(times, clean)
            return alpha * noise - sigma * clean
        return clean

    def weights(self, times: Tensor) -> Tensor:
        """(N,) what each sample's error counts."""
        if self.signal is None or self.min_snr is None:
            return torch.ones_like(times)
        squared = self.signal.to(times.device)[times.long()]
        snr = squared / (1 - squared)
        limited = snr.clamp(max=self.min_snr)
        # The error of x0 counts min(SNR, limit); noise is x0's error times SNR, a velocity's times SNR + 1.
        return {"epsilon": limited / snr, "v": limited / (snr + 1)}.get(self.kind, limited)

    def loss(self, said: Tensor, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """(N,) weighted mean squared errors, float32."""
        errors = (said.float() - self.goal(clean, noise, times).float()).square().flatten(1).mean(1)
        return errors * self.weights(times)

    def _levels(self, times: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, *(1,) * (like.dim() - 1))
        if self.signal is None:
            sigma = (times / self.steps).view(shape).to(like)
            return 1 - sigma, sigma
        squared = self.signal.to(times.device)[times.long()].view(shape).to(like)
        return squared.sqrt(), (1 - squared).sqrt()
