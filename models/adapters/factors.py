"""A layer's input through two factors of low rank, in place of the layer's own weight."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

Padding = Any
"""A convolution's padding, as its functional form takes it."""


def takes_factors(module: nn.Module) -> bool:
    """Whether a module is a linear layer, or a convolution whose channels all mix."""
    return isinstance(module, nn.Linear) or (
        isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) and module.groups == 1
    )


def padded(base: Any, x: Tensor) -> tuple[Tensor, Padding]:
    """The input of a convolution, padded beforehand where its padding is more than zeros of a given width."""
    if isinstance(base, nn.Linear) or not (isinstance(base.padding, str) or base.padding_mode != "zeros"):
        return x, getattr(base, "padding", 0)
    mode = "constant" if base.padding_mode == "zeros" else base.padding_mode
    return F.pad(x, base._reversed_padding_repeated_twice, mode=mode), 0


def through(base: Any, x: Tensor, padding: Padding, down: Tensor, up: Tensor) -> Tensor:
    """x by `down` (r, inputs, kernel ...), moved as the base moves its kernel, then by `up` (outputs, r)."""
    if isinstance(base, nn.Linear):
        return F.linear(F.linear(x, down), up)
    kernels = down.dim() - 2
    convolve: Any = (F.conv1d, F.conv2d, F.conv3d)[kernels - 1]
    small = convolve(x, down, None, base.stride, padding, base.dilation)
    made: Tensor = convolve(small, up.view(*up.shape, *(1,) * kernels))
    return made
