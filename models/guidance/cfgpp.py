"""CFG++ (Chung et al. 2024, arXiv 2406.08070, algorithm 2). Space: noise; for first-order samplers (DDIM, Euler).

The step denoises with noise_lambda = uncond + lambda (cond - uncond), lambda in [0, 1], and adds the *unconditional*
noise again: x' = alpha' x0(noise_lambda) + sigma' noise_uncond. A sampler takes one prediction for both, so that the
one is handed over which leads a first-order step to the same x'.
"""

from __future__ import annotations

from torch import Tensor

from models.guidance.cfg import widened

LAMBDA_PER_SCALE = 0.6 / 6.5
"""lambda = 0.6 does about what scale 7.5 does (the paper's own pairs), and none is left of it at scale 1."""


def strength(scale: float) -> float:
    """The paper's lambda in [0, 1] for a scale of the app's convention (1 = off)."""
    return min(max((scale - 1) * LAMBDA_PER_SCALE, 0.0), 1.0)


def cfgpp(cond: Tensor, uncond: Tensor, scale: float, now: tuple[float, float], later: tuple[float, float]) -> Tensor:
    """The noise prediction whose first-order step from `now` to `later`, each (alpha, sigma), is that of CFG++.

    cond, uncond: noise predictions (N, ...). At the last step (sigma' = 0) it is noise_lambda itself.
    """
    cond, uncond = widened(cond), widened(uncond)
    mixed = uncond + strength(scale) * (cond - uncond)
    kept, added = later[0] * now[1] / now[0], later[1]
    if abs(added - kept) < 1e-12:
        return mixed
    return (added * uncond - kept * mixed) / (added - kept)
