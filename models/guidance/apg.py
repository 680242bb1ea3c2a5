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
    along_push, along_cond, _ = coefficients(push, cond, scale, eta, norm_threshold)
    return torch.addcmul((1 + along_cond) * cond, along_push, push)


def coefficients(
    push: Tensor, cond: Tensor, scale: float, eta: float, norm_threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(a, b, clip), each (N, 1, ..., 1): the guided prediction is cond + a push + b cond.

    The reduced form of clip and projection: the two parts of the push are never built.
    """
    rows, base = push.flatten(1), cond.flatten(1)
    shape = (len(push), *[1] * (push.dim() - 1))
    tiny = torch.finfo(rows.dtype).tiny
    if norm_threshold > 0:
        clip = (norm_threshold / torch.linalg.vector_norm(rows, dim=1).clamp_min(tiny)).clamp_max(1.0)
    else:
        clip = rows.new_ones(len(rows))
    along_push = (scale - 1) * clip
    # Where the prediction is zero there is no direction to project on: the dot product is zero, too.
    share = torch.linalg.vecdot(rows, base) / torch.linalg.vecdot(base, base).clamp_min(tiny)
    along_cond = (eta - 1) * along_push * share
    return along_push.reshape(shape), along_cond.reshape(shape), clip
