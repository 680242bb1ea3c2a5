"""The personal adapter: what one person's aging adds to SAM's w+.

Source: Qi et al., "MyTimeMachine: Personalized Facial Age Transformation" (2025), equation 4; the sizes and names are
those of the published checkpoints (`blender.*` there). Where paper and checkpoints differ, the checkpoints hold: the
global vector is 576 -> 128 -> 128 and there is no second, local branch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class Adapter(nn.Module):
    """w+ and a target age to the person's own w+: W + AN(W, age), equation 4 of MyTimeMachine.

    Every style k passes a bottleneck of its own; all bottlenecks together become one global vector, the age another;
    an MLP of its own for each style, fc_k([global, age, W_k]), gives what is added to W_k.

    Adapter() is the published one: 152 tensors, 11,187,888 parameters. Smaller generators: pass num_ws and w_dim;
    bottleneck, global_dim and age_dim are the inner widths. Initialised as `nn.Linear` is, without zeros, so that a
    new adapter already moves w+ (by about 0.2 an element), as the published one did when its training began.
    """

    def __init__(
        self, num_ws: int = 18, w_dim: int = 512, bottleneck: int = 32, global_dim: int = 128, age_dim: int = 16
    ):
        super().__init__()
        self.init_kwargs: dict[str, Any] = {
            "num_ws": num_ws,
            "w_dim": w_dim,
            "bottleneck": bottleneck,
            "global_dim": global_dim,
            "age_dim": age_dim,
        }
        self.num_ws, self.w_dim = num_ws, w_dim
        for k in range(num_ws):
            setattr(self, f"bottleneck_{k}", _mlp(w_dim, bottleneck, bottleneck))
        self.global_mlp = _mlp(num_ws * bottleneck, global_dim, global_dim)
        self.age_mlp = _mlp(1, age_dim, age_dim)
        for k in range(num_ws):
            setattr(self, f"fc_{k}", _mlp(global_dim + age_dim + w_dim, w_dim, w_dim))

    def forward(self, w_plus: Tensor, age_fraction: Tensor) -> Tensor:
        """w_plus: (N, num_ws, w_dim); age_fraction: (N,), the target age in years / 100 -> (N, num_ws, w_dim).

        Raises ValueError for other shapes.
        """
        if w_plus.shape[1:] != (self.num_ws, self.w_dim) or age_fraction.shape != w_plus.shape[:1]:
            raise ValueError(
                f"The adapter takes w+ (N, {self.num_ws}, {self.w_dim}) and ages / 100 (N,), "
                f"not {tuple(w_plus.shape)} and {tuple(age_fraction.shape)}."
            )
        narrow = [getattr(self, f"bottleneck_{k}")(w_plus[:, k]) for k in range(self.num_ws)]
        shared = [self.global_mlp(torch.cat(narrow, dim=1)), self.age_mlp(age_fraction.to(w_plus).unsqueeze(1))]
        residual = [getattr(self, f"fc_{k}")(torch.cat([*shared, w_plus[:, k]], dim=1)) for k in range(self.num_ws)]
        return w_plus + torch.stack(residual, dim=1)
