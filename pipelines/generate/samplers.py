"""Samplers and schedules, from diffusers: which of them fit a kind of model, and how they are made."""

from __future__ import annotations

from typing import Any

import torch

from models.errors import InputError
from pipelines.generate.settings import SAMPLERS

# Name -> (class of diffusers, its further settings).
_NOISE: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
}
_AS_FLOW: dict[str, Any] = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
_FLOW: dict[str, tuple[str, dict[str, Any]]] = {
    "flow_euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow_heun": ("FlowMatchHeunDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", **_AS_FLOW}),
    "unipc": ("UniPCMultistepScheduler", _AS_FLOW),
}
_SCHEDULES = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas"}
FIRST_ORDER = ("DDIMScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler")
"""Classes of first order: CFG++ works with these."""


def samplers_for(flow: bool) -> list[str]:
    """The names of the samplers that fit noise predictors, or flow models."""
    return ["default", *(_FLOW if flow else _NOISE)]


def make_scheduler(original: Any, flow: bool, sampler: str, schedule: str) -> Any:
    """A new scheduler for one run; `original` is the model's own, whose noise levels are kept.

    Raises InputError for a sampler or a schedule that does not fit, naming those that do.
    """
    import diffusers

    kind = type(original)
    more: dict[str, Any] = {}
    if sampler != "default":
        fitting = _FLOW if flow else _NOISE
        if sampler not in fitting:
            raise InputError(
                f"The sampler {sampler} ({SAMPLERS.get(sampler, 'unknown')}) does not fit this model; "
                f"choose one of {', '.join(samplers_for(flow))}."
            )
        name, more = fitting[sampler]
        kind = getattr(diffusers, name)
    config = {**dict(original.config), **more}
    if schedule != "default":
        switch = _SCHEDULES[schedule]
        if switch not in kind._get_init_keys(kind):
            raise InputError(
                f"The schedule {schedule} does not fit the sampler {sampler}; choose default, or the sampler euler, "
                "heun, dpmpp_2m or unipc."
            )
        config = {**config, **dict.fromkeys(_SCHEDULES.values(), False), switch: True}
    return kind.from_config(config)


def set_times(
    scheduler: Any, steps: int, device: torch.device, sigmas: list[float] | None, more: dict[str, Any]
) -> None:
    """Lay out the steps; `sigmas` and `more` only where the scheduler takes them."""
    import inspect

    known = inspect.signature(scheduler.set_timesteps).parameters
    extra = {name: value for name, value in more.items() if name in known}
    if sigmas is not None and "sigmas" in known and not scheduler.config.get("use_flow_sigmas", False):
        scheduler.set_timesteps(sigmas=sigmas, device=device, **extra)
    else:
        scheduler.set_timesteps(steps, device=device, **extra)


def step_options(scheduler: Any, generators: list[torch.Generator]) -> dict[str, Any]:
    """What the scheduler's step takes beside prediction, time and sample."""
    import inspect

    return {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}


def renoised(scheduler: Any, clean: torch.Tensor, noise: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """Clean latents with the noise of `time` (one element): where a run from a start picture begins."""
    method = scheduler.scale_noise if hasattr(scheduler, "scale_noise") else scheduler.add_noise
    if hasattr(scheduler, "scale_noise"):
        made: torch.Tensor = method(clean, time, noise)
    else:
        made = method(clean, noise, time)
    return made
