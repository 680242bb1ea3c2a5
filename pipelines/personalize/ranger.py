"""Ranger, the optimizer of the published training: RAdam with centralised gradients and a look-ahead.

Sources: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond" (2020); Yong et al., "Gradient
Centralization" (2020); Zhang et al., "Lookahead Optimizer" (2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Ranger(torch.optim.RAdam):
    """The defaults are those of the published training.

    every, share: after each `every` steps the slow weights go `share` of the way to the fast ones, which then start
    again from there.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        every: int = 6,
        share: float = 0.5,
    ):
        super().__init__(params, lr, betas, eps)
        self.every, self.share = every, share

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One update; `closure` as in every optimizer of torch."""
        fast = [value for group in self.param_groups for value in group["params"] if value.grad is not None]
        for value in fast:
            if value.grad is not None and value.dim() > 1:
                value.grad -= value.grad.mean(dim=tuple(range(1, value.dim())), keepdim=True)
            self.state[value].setdefault("slow", value.detach().clone())
        loss = self._rectified(closure, fast)
        for value in fast:
            state = self.state[value]
            if int(state["step"]) % self.every == 0:
                value.copy_(state["slow"].lerp_(value, self.share))
        return loss

    def _rectified(self, closure: Callable[[], float] | None, fast: list[Tensor]) -> Any:
        """RAdam's own update, which takes a state that is not empty for one that it has made itself."""
        slow = {id(value): self.state[value].pop("slow") for value in fast}
        loss = super().step(closure)
        for value in fast:
            self.state[value]["slow"] = slow[id(value)]
        return loss
