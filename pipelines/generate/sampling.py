"""The denoising loop: one for all kinds of models, all samplers and all guidance.

It is written as a generator: it yields after each step, so that page, command line and tests see the same run, and it
stops between any two steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.errors import EveryageError, InputError
from models.guidance import FIRST_ORDER as FIRST_ORDER_METHODS
from models.guidance import Guidance, GuidanceSettings, Step, StepProbe, auto_threshold
from models.guidance.spaces import to_x0
from pipelines.generate import samplers
from pipelines.generate.families.base import Family, Texts
from pipelines.generate.samplers import Levels

PROBING_STEPS = 8
"""Steps of the short plain run that measures an "auto" norm limit."""


@dataclass(frozen=True)
class Start:
    """What a run begins with beside noise.

    clean: latents of the start picture (N, C, h, w), None: from noise alone. strength: how much is made anew, 0..1.
    mask: (N, 1, h, w), 1 where the picture is made anew; None: everywhere. extra: (N, M, h, w) inputs of networks
    that were trained to inpaint (mask and masked picture).
    """

    clean: Tensor | None = None
    strength: float = 1.0
    mask: Tensor | None = None
    extra: Tensor | None = None


@dataclass(frozen=True)
class Sampled:
    """The state after a step. clean: what the picture would be, as latent maps (N, C, h, w)."""

    done: int
    total: int
    clean: Tensor
    probes: tuple[list[StepProbe], ...] = ()


@dataclass
class Run:
    """What stays the same over the steps of one run. weak: a weaker version of the model, told the same."""

    family: Family
    told: Texts
    free: Texts
    noise: Tensor
    generators: list[torch.Generator]
    steps: int
    start: Start
    split: bool = False
    weak: tuple[Family, Texts] | None = None


def draw_noise(seeds: Sequence[int], shape: tuple[int, ...], family: Family) -> tuple[Tensor, list[torch.Generator]]:
    """Noise (N, *shape) for each picture from its own seed: the same on every device, number type and batch.

    float32, as all latents of a run: only what the network is given is narrowed.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    parts = [torch.randn((1, *shape), generator=g) for g in generators]
    return torch.cat(parts).to(family.device), generators


def check_guidance(family: Family, settings: GuidanceSettings) -> None:
    """Raises InputError where guidance and sampler do not go together."""
    name = type(family.scheduler).__name__
    if settings.method in FIRST_ORDER_METHODS and name not in samplers.FIRST_ORDER:
        raise InputError("CFG++ needs a sampler of first order; choose ddim or euler (flow_euler for flow models).")


def measured_limit(run: Run, settings: GuidanceSettings, scheduler: object) -> GuidanceSettings:
    """Settings with a number for an "auto" norm limit, measured in a short plain run on the first picture."""
    if settings.method != "apg" or settings.norm_threshold != "auto":
        return settings
    one = slice(0, 1)
    family = type(run.family)(run.family.pipe, scheduler)
    family.__dict__.update({k: v for k, v in run.family.__dict__.items() if k not in ("pipe", "scheduler")})
    short = replace(
        run,
        family=family,
        told={k: v[one] for k, v in run.told.items()},
        free={k: v[one] for k, v in run.free.items()},
        noise=run.noise[one],
        generators=[torch.Generator().manual_seed(0)],
        steps=min(run.steps, PROBING_STEPS),
        start=replace(run.start, clean=None, strength=1.0, mask=None,
                      extra=None if run.start.extra is None else run.start.extra[one]),
    )  # fmt: skip
    probing = Guidance(replace(settings, method="cfg", norm_threshold=0.0, interval=(0.0, math.inf)))
    for _ in denoise(short, probing):
        pass
    found = auto_threshold(probing.probes, run.noise[0].numel())
    return replace(settings, norm_threshold=found, norm_units="sdxl")


@torch.no_grad()
def denoise(run: Run, guidance: Guidance) -> Iterator[Sampled]:
    """From noise to clean latents; the last `Sampled` holds the result and the probes.

    Raises EveryageError where the network's numbers run over.
    """
    family, scheduler = run.family, run.family.scheduler
    rows, columns = run.noise.shape[-2:]
    more, first = family.shift(rows * columns), first_evaluation(scheduler, run.steps, run.start)
    levels = samplers.lay_out(scheduler, run.steps, family.device, family.sigmas(run.steps), more, first)
    x = beginning(run, levels)
    options = samplers.step_options(scheduler, run.generators)
    with family.parts.using("network"), run.weak[0].parts.using("network") if run.weak else nullcontext():
        for i, time in enumerate(levels.times):
            given = scheduler.scale_model_input(x, time) if hasattr(scheduler, "scale_model_input") else x
            step = step_at(run, levels, i)
            told, free = predictions(run, given, time, guidance.needs_uncond(step))
            guided = guidance(given, told, free, step)
            x = scheduler.step(guided, time, x, return_dict=False, **options)[0]
            last = i == len(levels.times) - 1
            x = x if last else keep_outside(run, x, levels, i + 1)
            if last or i % levels.order == levels.order - 1:
                clean = family.unpack(x if last else to_x0(given, guided, step), rows, columns)
                if last:
                    check_finite(clean, family)
                probes = tuple(guidance.probes) if last else ()
                yield Sampled(i // levels.order + 1, levels.total, keep_clean(run, clean), probes)


def check_finite(clean: Tensor, family: Family) -> None:
    """Raises EveryageError for latents that are no numbers: they would be a black picture."""
    if not bool(torch.isfinite(clean).all()):
        narrow = "" if family.dtype == torch.float32 else ", or run with --dtype float32"
        raise EveryageError(f"The model's numbers ran over and no picture came out; lower the guidance{narrow}.")


def first_evaluation(scheduler: object, steps: int, start: Start) -> int:
    """The place in the schedule at which a run with this strength begins."""
    if start.clean is None or start.strength >= 1:
        return 0
    skipped = steps - min(max(int(steps * start.strength), 1), steps)
    return skipped * int(getattr(scheduler, "order", 1))


def beginning(run: Run, levels: Levels) -> Tensor:
    """What the first step is given."""
    family, start = run.family, run.start
    if start.clean is None or start.strength >= 1:
        return family.pack(run.noise) * getattr(family.scheduler, "init_noise_sigma", 1.0)
    return family.pack(samplers.renoised(family.scheduler, start.clean, run.noise, levels.times[:1], levels.at[0]))


def step_at(run: Run, levels: Levels, i: int) -> Step:
    """Where evaluation i of the run stands. Multi-stage solvers evaluate a step `order` times."""
    alpha, sigma = levels.at[i]
    later = levels.later[i] or (None, None)
    rows, columns = run.noise.shape[-2:]
    return Step(
        index=i // levels.order,
        total=levels.total,
        alpha=alpha,
        sigma=sigma,
        kind=run.family.kind(),
        stage=i % levels.order,
        next_alpha=later[0],
        next_sigma=later[1],
        grid=(rows // 2, columns // 2),
    )


def predictions(run: Run, x: Tensor, time: Tensor, both: bool) -> tuple[Tensor, Tensor | None]:
    """The network's outputs with and without the prompt: one pass over both where memory allows, or two."""
    family = run.family
    if run.start.extra is not None:
        x = torch.cat([x, run.start.extra], dim=1)
    x = x.to(family.dtype)
    if not both:
        return family.predict(x, time, run.told), None
    if run.weak is not None:
        weak, texts = run.weak
        return family.predict(x, time, run.told), weak.predict(x.to(weak.dtype), time, texts)
    if run.split:
        return family.predict(x, time, run.told), family.predict(x, time, run.free)
    joined = {name: torch.cat([run.free[name], run.told[name]]) for name in run.told}
    free, told = family.predict(torch.cat([x, x]), time, joined).chunk(2)
    return told, free


def keep_outside(run: Run, x: Tensor, levels: Levels, i: int) -> Tensor:
    """Outside the mask the start picture again, with the noise of evaluation i, which comes next."""
    start, family = run.start, run.family
    if start.mask is None or start.clean is None or start.extra is not None:
        return x
    rows, columns = run.noise.shape[-2:]
    known = samplers.renoised(family.scheduler, start.clean, run.noise, levels.times[i], levels.at[i])
    maps = family.unpack(x, rows, columns)
    return family.pack(start.mask * maps + (1 - start.mask) * known)


def keep_clean(run: Run, clean: Tensor) -> Tensor:
    start = run.start
    if start.mask is None or start.clean is None or start.extra is not None:
        return clean
    return start.mask * clean + (1 - start.mask) * start.clean.to(clean)
