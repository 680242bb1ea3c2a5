"""One run of guidance: from a network's two raw predictions to the one that the sampler goes on with."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from models.errors import InputError
from models.guidance import probe
from models.guidance.apg import MomentumBuffer, coefficients
from models.guidance.autoguidance import autoguidance
from models.guidance.cfg import cfg, widened
from models.guidance.cfgpp import cfgpp, strength
from models.guidance.fdg import fdg
from models.guidance.probe import StepProbe
from models.guidance.rescale import rescaled
from models.guidance.settings import GuidanceSettings
from models.guidance.spaces import SMALL, Step, from_noise, from_x0, slope, to_noise, to_x0
from models.guidance.thresholding import thresholded
from models.guidance.zero_star import zero_star

SDXL_NUMBERS = 4 * 128 * 128
"""Numbers in the latent of a 1024 px picture of SDXL, for which the paper's thresholds are best known."""

FIRST_ORDER = ("cfgpp",)
"""Methods that hold for samplers of first order alone (DDIM, Euler)."""

WEAK = ("autoguidance",)
"""Methods that take a weaker network's prediction in place of the one without a prompt."""


class Guidance:
    """The state of one run: make a new one for each. Samples do not see each other, whatever the batch.

    `probes[i]` lists what happened to sample i of the batch, step by step.
    """

    def __init__(self, settings: GuidanceSettings, measured: bool = True) -> None:
        """measured: keep probes. Raises InputError if the threshold still is "auto": measure it first."""
        if settings.norm_threshold == "auto":
            if settings.method == "apg":
                raise InputError("The norm limit is auto and was not measured; give a number, or 0 for no limit.")
            settings = replace(settings, norm_threshold=0.0)
        self.settings = settings
        self._momentum = MomentumBuffer(settings.momentum) if settings.momentum else None
        self._measured = measured
        self._taken: list[tuple[Step, Tensor | int]] = []

    def needs_uncond(self, step: Step) -> bool:
        """Whether the second prediction is used at this step; without it a step costs half."""
        low, high = self.settings.interval
        return self.settings.scale != 1 and (low == 0 or low < step.noise_level) and step.noise_level <= high

    def __call__(self, x: Tensor, cond: Tensor, uncond: Tensor | None, step: Step) -> Tensor:
        """The guided raw output, (N, ...) float32.

        x: the noisy input that the network was given. cond, uncond: its raw outputs of kind `step.kind`; uncond may be
        None where `needs_uncond` says no.
        """
        if uncond is None or not self.needs_uncond(step):
            if step.stage == 0:
                self._taken.append((step, len(cond)))
            return widened(cond)
        x, cond, uncond = widened(x), widened(cond), widened(uncond)
        guided, clip = self._guided(x, cond, uncond, step)
        if self._measured and step.stage == 0:
            seen = [to_x0(x, o, step) if step.reversible else o for o in (cond, uncond, guided)]
            self._taken.append((step, probe.measure(seen[0], seen[1], seen[2], clip)))
        return guided

    def _guided(self, x: Tensor, cond: Tensor, uncond: Tensor, step: Step) -> tuple[Tensor, Tensor | None]:
        chosen, scale = self.settings, self.settings.scale
        # At the very ends no x0 can be told from the output, or no output from x0: plain guidance there.
        if chosen.neutral or not step.reversible:
            return cfg(cond, uncond, scale), None
        if chosen.method == "rescale":
            return rescaled(cond, uncond, scale, chosen.rescale), None
        if chosen.method == "zero_star":
            idle = step.kind == "flow" and step.index < chosen.zero_steps
            return torch.zeros_like(cond) if idle else zero_star(cond, uncond, scale), None
        if chosen.method == "autoguidance":
            return autoguidance(cond, uncond, scale), None
        if chosen.method == "cfgpp":
            # Where x is noise alone there is no other noise to add: what is left of the method is its weaker mix.
            pure = step.alpha <= SMALL
            return (cfg(cond, uncond, strength(scale)) if pure else self._cfgpp(x, cond, uncond, step)), None
        if chosen.method == "apg":
            return self._apg(x, cond, uncond, step)
        told, free = to_x0(x, cond, step), to_x0(x, uncond, step)
        if chosen.method == "threshold":
            return from_x0(x, thresholded(told, free, scale, chosen.percentile), step), None
        return from_x0(x, self._fdg(told, free, step), step), None

    def _apg(self, x: Tensor, cond: Tensor, uncond: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """APG on x0, its result written as a change of the raw output: x0 itself is made once, not three times."""
        chosen, told = self.settings, to_x0(x, cond, step)
        factor = slope(step)
        push = (cond - uncond) * factor
        if self._momentum is not None:
            push = self._momentum.update(push, step.stage)
        a, b, clip = coefficients(push, told, chosen.scale, chosen.eta, self.limit(told[0].numel()))
        return torch.addcmul(torch.addcmul(cond, a / factor, push), b / factor, told), clip

    def limit(self, numbers: int) -> float:
        """The norm threshold for samples of so many numbers: the norm of a push grows with their square root."""
        threshold = float(self.settings.norm_threshold)
        return threshold * math.sqrt(numbers / SDXL_NUMBERS) if self.settings.norm_units == "sdxl" else threshold

    def _cfgpp(self, x: Tensor, cond: Tensor, uncond: Tensor, step: Step) -> Tensor:
        if step.next_alpha is None or step.next_sigma is None:
            raise InputError("CFG++ needs a sampler of first order; choose ddim or euler.")
        noises = to_noise(x, cond, step), to_noise(x, uncond, step)
        later = (step.next_alpha, step.next_sigma)
        return from_noise(x, cfgpp(*noises, self.settings.scale, (step.alpha, step.sigma), later), step)

    def _fdg(self, told: Tensor, free: Tensor, step: Step) -> Tensor:
        if told.dim() >= 4:
            return fdg(told, free, self.settings.scale, self.settings.low_scale)
        if step.grid is None:
            raise InputError("Frequency-decoupled guidance needs a picture's rows and columns; choose apg here.")
        rows, columns = step.grid  # tokens (N, rows * columns, C) as a picture of C channels, and back
        told, free = (tokens.unflatten(1, (rows, columns)).movedim(-1, 1) for tokens in (told, free))
        guided = fdg(told, free, self.settings.scale, self.settings.low_scale)
        return guided.movedim(1, -1).flatten(1, 2)

    @property
    def probes(self) -> list[list[StepProbe]]:
        """For each sample its steps in order. Reading it waits for the device."""
        rows = [
            probe.idle(step, taken) if isinstance(taken, int) else probe.read(step, taken)
            for step, taken in self._taken
        ]
        return [list(sample) for sample in zip(*rows, strict=True)]


def auto_threshold(probes: list[list[StepProbe]], numbers: int) -> float:
    """The norm limit in "sdxl" units from a run under plain guidance: the median push of its guided steps.

    numbers: how many a sample has. The authors advise a limit that cuts the peaks; half of the steps lie above it.
    """
    norms = sorted(step.difference for sample in probes for step in sample if step.guided)
    if not norms:
        return 0.0
    return round(norms[len(norms) // 2] / math.sqrt(numbers / SDXL_NUMBERS), 3)
