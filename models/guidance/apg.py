"""Adaptive projected guidance (Sadat, Hilliges & Weber 2024, arXiv 2410.02416, algorithm 1).

Plain guidance pushes the denoised prediction along cond - uncond. The part of that push which is parallel to the
prediction itself raises contrast and saturation: APG drops it, shortens pushes that are too long, and lets each step
push away from the last one's direction.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.guidance.cfg import cfg, widened


class MomentumBuffer:
    """The running push M of a run: M <- push + beta M, with beta < 0 in the paper ("reverse momentum").

    One buffer a run; `reset` before the next. The first evaluation of a step (stage 0) moves the buffer, the later
    ones of a multi-stage solver read the value from before it: M belongs to the step, however often it evaluates.
    """

    def __init__(self, beta: float) -> None:
        self.beta = beta
        self._last: Tensor | None = None
        self._now: Tensor | None = None

    def reset(self) -> None:
        """Forget everything: the next push is the first."""
        self._last = self._now = None

    @property
    def current(self) -> Tensor | None:
        """The running push of the last step, None before the first."""
        return self._now

    def update(self, push: Tensor, stage: int = 0) -> Tensor:
        """push (N, ...) with the momentum added, same shape. The value kept is the unclipped one."""
        if stage == 0:
            self._last = self._now
        # A run never changes its shape; another shape is another run that somebody forgot to reset for.
        known = self._last if self._last is not None and self._last.shape == push.shape else None
        total = push if known is None else push + self.beta * known.to(push)
        if stage == 0:
            self._now = total
        return total


def apg(
    cond: Tensor,
    uncond: Tensor,
    scale: float,
    eta: float = 0.0,
    norm_threshold: float = 0.0,
    momentum_buffer: MomentumBuffer | None = None,
    stage: int = 0,
) -> Tensor:
    """cond + (scale - 1) (orthogonal + eta parallel), after momentum and norm clip; (N, ...) float32 or wider.

    cond, uncond: denoised predictions x0 (N, ...), each sample by itself, over all its dimensions.
    scale: 1 = off. eta: the kept share of the part parallel to cond, 1 keeps all. norm_threshold: the longest push in
    the L2 norm, 0 = no clip. Order as in algorithm 1: momentum, norm clip, projection on cond.
    With eta = 1, no clip and no momentum the result is `cfg`'s, bit for bit.
    """
    if eta == 1.0 and norm_threshold <= 0 and (momentum_buffer is None or momentum_buffer.beta == 0):
        return cfg(cond, uncond, scale)
    cond, uncond = widened(cond), widened(uncond)
    push = cond - uncond
    if momentum_buffer is not None:
        push = momentum_buffer.update(push, stage)
    clip, parallel = clip_and_parallel(push, cond, norm_threshold)
    # (scale - 1) (clip push - (1 - eta) parallel cond), without building the two parts of the push.
    return (1 - (scale - 1) * (1 - eta) * parallel) * cond + ((scale - 1) * clip) * push


def clip_and_parallel(push: Tensor, cond: Tensor, norm_threshold: float) -> tuple[Tensor, Tensor]:
    """(clip factor, <clip push, cond> / |cond|^2), each (N, 1, ..., 1)."""
    rows, base = push.flatten(1), cond.flatten(1)
    shape = (len(push), *[1] * (push.dim() - 1))
    if norm_threshold > 0:
        length = torch.linalg.vector_norm(rows, dim=1)
        clip = (norm_threshold / length.clamp_min(torch.finfo(length.dtype).tiny)).clamp_max(1.0)
    else:
        clip = rows.new_ones(len(rows))
    along = torch.linalg.vecdot(rows, base)
    size = torch.linalg.vecdot(base, base)
    # Where the prediction is zero there is no direction to project on.
    parallel = torch.where(size > 0, clip * along / size.clamp_min(torch.finfo(size.dtype).tiny), 0.0)
    return clip.reshape(shape), parallel.reshape(shape)
