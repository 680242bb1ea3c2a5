"""Samplers and schedules, from diffusers: which of them fit a kind of model, how they are made and laid out."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.errors import InputError
from pipelines.generate.settings import SAMPLERS

_SDE = {"algorithm_type": "sde-dpmsolver++"}
# Name -> (class of diffusers, its further settings).
_NOISE: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", _SDE),
    "dpmpp_sde": ("DPMSolverSinglestepScheduler", _SDE),
    "unipc": ("UniPCMultistepScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "lcm": ("LCMScheduler", {}),
}
_AS_FLOW: dict[str, Any] = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
_FLOW: dict[str, tuple[str, dict[str, Any]]] = {
    "flow_euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow_heun": ("FlowMatchHeunDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", **_AS_FLOW}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {**_SDE, **_AS_FLOW}),
    "unipc": ("UniPCMultistepScheduler", _AS_FLOW),
    "deis": ("DEISMultistepScheduler", _AS_FLOW),
}
# Name -> the setting that asks for it, and its value.
_SCHEDULES: dict[str, tuple[str, Any]] = {
    "karras": ("use_karras_sigmas", True),
    "exponential": ("use_exponential_sigmas", True),
    "beta": ("use_beta_sigmas", True),
    "sgm_uniform": ("timestep_spacing", "trailing"),
}
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

    kind: Any = type(original)
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
    if more.get("use_flow_sigmas") and "shift" in config:
        config["flow_shift"] = config["shift"]  # the same setting under another name
    return kind.from_config({**config, **_of_schedule(kind, flow, sampler, schedule)})


def _of_schedule(kind: Any, flow: bool, sampler: str, schedule: str) -> dict[str, Any]:
    if schedule == "default":
        return {}
    setting, value = _SCHEDULES[schedule]
    if not _takes(kind, setting):
        classes = {name: _class(name, flow) for name in samplers_for(flow)[1:]}
        fit = [name for name, other in classes.items() if _takes(other, setting)]
        choice = f", or one of the samplers {', '.join(fit)}" if fit else ""
        raise InputError(
            f"The schedule {schedule} does not fit the sampler {sampler} with this model; choose default{choice}."
        )
    switches = [name for name, on in _SCHEDULES.values() if on is True]
    return {**dict.fromkeys(switches, False), setting: value}


def _class(name: str, flow: bool) -> Any:
    import diffusers

    return getattr(diffusers, (_FLOW if flow else _NOISE)[name][0])


def _takes(kind: Any, setting: str) -> bool:
    return setting in inspect.signature(kind.__init__).parameters


@dataclass(frozen=True)
class Levels:
    """A schedule laid out. times: (T,) for the network. at[i]: (alpha, sigma) of its input at evaluation i, with
    x = alpha x0 + sigma noise; later[i]: after the step of evaluation i, for samplers of first order only.
    order: evaluations a step.
    """

    times: Tensor
    at: tuple[tuple[float, float], ...]
    later: tuple[tuple[float, float] | None, ...]
    order: int

    @property
    def total(self) -> int:
        """Steps."""
        return math.ceil(len(self.times) / self.order)


def lay_out(
    scheduler: Any, steps: int, device: torch.device, sigmas: list[float] | None, more: dict[str, Any], first: int = 0
) -> Levels:
    """Set the scheduler's steps, and read all levels at once: one look at the device, not one a step.

    sigmas and more are handed over where the scheduler takes them. first: the evaluation with which the run begins.
    Raises InputError for a number of steps that the sampler can't do.
    """
    known = inspect.signature(scheduler.set_timesteps).parameters
    extra = {name: value for name, value in more.items() if name in known}
    if "mu" in more and "mu" not in known and "shift" in scheduler.config:
        # A class with a fixed shift alone: exp(mu) is the same shift, by its other name.
        scheduler.register_to_config(shift=math.exp(more["mu"]))
    try:
        if sigmas is not None and "sigmas" in known and not scheduler.config.get("use_flow_sigmas", False):
            scheduler.set_timesteps(sigmas=sigmas, device=device, **extra)
        else:
            scheduler.set_timesteps(steps, device=device, **extra)
    except (ValueError, AssertionError, IndexError) as error:
        raise InputError(f"This sampler can't do {steps} steps so ({str(error)[:120]}); choose another.") from error
    times = scheduler.timesteps[first:]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    at, later = _levels(scheduler, first, [float(t) for t in times.tolist()])
    if type(scheduler).__name__ not in FIRST_ORDER:
        later = [None] * len(at)
    return Levels(times, tuple(at), tuple(later), int(getattr(scheduler, "order", 1)))


def _levels(
    scheduler: Any, first: int, times: list[float]
) -> tuple[list[tuple[float, float]], list[tuple[float, float] | None]]:
    """Read by place, not by time, where there are sigmas: on a Karras schedule several places share a rounded time."""
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is not None:
        flow = is_flow(scheduler)
        found = [_from_sigma(s, flow) for s in sigmas.float().tolist()]
        return found[first : first + len(times)], list(found[first + 1 : first + 1 + len(times)])
    cumulated = scheduler.alphas_cumprod.tolist()
    step = scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    last = float(getattr(scheduler, "final_alpha_cumprod", cumulated[0]))
    before = [int(t) - step for t in times]
    return (
        [_from_cumulated(cumulated[int(t)]) for t in times],
        [_from_cumulated(cumulated[t] if t >= 0 else last) for t in before],
    )


def _from_sigma(sigma: float, flow: bool) -> tuple[float, float]:
    if flow:
        return 1 - sigma, sigma
    alpha = 1 / math.sqrt(1 + sigma * sigma)
    return alpha, sigma * alpha


def _from_cumulated(cumulated: float) -> tuple[float, float]:
    return math.sqrt(cumulated), math.sqrt(1 - cumulated)


def is_flow(scheduler: Any) -> bool:
    """Whether its sigmas are times of a flow, 0..1."""
    return type(scheduler).__name__.startswith("FlowMatch") or bool(scheduler.config.get("use_flow_sigmas", False))


def step_options(scheduler: Any, generators: list[torch.Generator]) -> dict[str, Any]:
    """What the scheduler's step takes beside prediction, time and sample."""
    return {"generator": generators} if "generator" in inspect.signature(scheduler.step).parameters else {}


def renoised(scheduler: Any, clean: Tensor, noise: Tensor, time: Tensor, level: tuple[float, float]) -> Tensor:
    """Clean latents with the noise of `time` (one element), whose (alpha, sigma) is `level`: the sampler's own x."""
    if is_flow(scheduler):
        return level[0] * clean + level[1] * noise
    # Asked of the scheduler: some keep x / alpha.
    made: Tensor = scheduler.add_noise(clean, noise, time.reshape(1).expand(len(noise)))
    return made
