"""A few single weights of a tensor that may change: their choice, and layers that train them without a dense copy.

The update of a tensor is a pair: `delta` (K,), and `index` (K,) int32, places in the tensor as laid out in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.adapters.factors import padded


def chosen(weight: Tensor, threshold: float) -> Tensor:
    """The places (K,) int32 of the weights with |w| < threshold, in order."""
    return torch.nonzero(weight.detach().flatten().abs() < threshold)[:, 0].to(torch.int32)


def threshold_for(tensors: Sequence[Tensor], fraction: float) -> float:
    """The smallest float32 threshold below which at least this share (0..1) of all the tensors' numbers lies.

    Found by halving the range of bit patterns, which are ordered as the numbers are: nothing is sorted or copied.
    """
    wanted = fraction * sum(t.numel() for t in tensors)
    low, high = 0, 0x7F800000  # zero and infinity
    while low < high:
        middle = (low + high) // 2
        value = float(torch.tensor(middle, dtype=torch.int32).view(torch.float32))
        if sum(int((t.detach().abs() < value).sum()) for t in tensors) >= wanted:
            high = middle
        else:
            low = middle + 1
    return float(torch.tensor(low, dtype=torch.int32).view(torch.float32))


def patched(weight: Tensor, delta: Tensor, index: Tensor) -> Tensor:
    """The tensor with the update in it, in the update's number type if that is finer."""
    full = weight.detach().clone(memory_format=torch.contiguous_format)
    full.view(-1).index_add_(0, index, delta.detach().to(full.dtype))
    return full


def scattered(shape: torch.Size, delta: Tensor, index: Tensor) -> Tensor:
    """The update as a dense tensor; the gradient flows to delta."""
    return torch.zeros(shape.numel(), dtype=delta.dtype, device=delta.device).index_add(0, index, delta).view(shape)


def linear(x: Tensor, weight: Tensor, delta: Tensor, index: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear` with the update. Gradients reach x, delta and bias; of the weight's own only the chosen are kept."""
    made: Tensor = _Linear.apply(x, weight, delta, index, bias)
    return made


def convolution(x: Tensor, base: nn.Module, delta: Tensor, index: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution `base` (Conv1d, Conv2d, Conv3d, not transposed) with the update in its weight."""
    conv: Any = base
    x, padding = padded(conv, x)
    padding = padding or (0,) * len(conv.kernel_size)
    made: Tensor = _Convolution.apply(
        x, conv.weight, delta, index, bias, (conv.stride, padding, conv.dilation, conv.groups)
    )
    return made


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, delta: Tensor, index: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight, delta, index)
        return F.linear(x, patched(weight, delta, index).to(x.dtype), None if bias is None else bias.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, delta, index = ctx.saved_tensors
        need_x, _, need_delta, _, need_bias = ctx.needs_input_grad
        flat = grad.flatten(0, -2)
        to_x = grad @ patched(weight, delta, index).to(grad.dtype) if need_x else None
        to_delta = None
        if need_delta:
            # Dense for a moment, and gone before the next layer's turn.
            dense = flat.T @ x.flatten(0, -2).to(flat.dtype)
            to_delta = dense.view(-1).index_select(0, index).to(delta.dtype)
        return to_x, None, to_delta, None, flat.sum(0) if need_bias else None


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, delta: Tensor, index: Tensor, bias: Tensor | None, plan: tuple[Any, ...]
    ) -> Tensor:
        ctx.save_for_backward(x, weight, delta, index)
        ctx.plan = plan
        full, still = patched(weight, delta, index).to(x.dtype), [0] * len(plan[0])
        stride, padding, dilation, groups = plan
        shift = None if bias is None else bias.to(x.dtype)
        return torch.convolution(x, full, shift, stride, padding, dilation, False, still, groups)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, delta, index = ctx.saved_tensors
        need_x, _, need_delta, _, need_bias, _ = ctx.needs_input_grad
        stride, padding, dilation, groups = ctx.plan
        full = patched(weight, delta, index).to(x.dtype)
        to_x, dense, to_bias = torch.ops.aten.convolution_backward(
            grad.to(x.dtype), x, full, [len(full)], stride, padding, dilation, False, [0] * len(stride), groups,
            [need_x, need_delta, need_bias],
        )  # fmt: skip
        to_delta = dense.reshape(-1).index_select(0, index).to(delta.dtype) if need_delta else None
        return to_x, None, to_delta, None, to_bias, None
