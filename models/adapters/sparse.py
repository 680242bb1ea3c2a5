"""A few single weights of a tensor that may change: their choice, and layers that train them without a dense copy.

The update of a tensor is a pair: `delta` (K,), and `index` (K,) int32, places in the tensor as laid out in memory, in
order, each once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.adapters.factors import padded

FEW = 1 / 8
"""Share of a weight's numbers up to which a CPU has their gradients one by one sooner than by a dense product."""
LONGEST = 2048
"""Places of a picture up to which its columns are laid out for that; beyond, they are larger than what they save."""


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


@contextmanager
def patched(weight: Tensor, delta: Tensor, index: Tensor, before: Tensor) -> Iterator[Tensor]:
    """The tensor with the update in it, for as long as the context lasts; `before` (K,) are its chosen numbers.

    It is the tensor's own memory, where these alone are exchanged and put back bit for bit: a copy of all the others
    would cost more than what is computed with them. So two threads must not use one network at a time.
    """
    flat, places = _flat(weight), index.long()
    flat.index_copy_(0, places, before + delta.detach().to(before.dtype))
    try:
        yield flat.view(weight.shape)
    finally:
        flat.index_copy_(0, places, before)


def _flat(weight: Tensor) -> Tensor:
    """Its numbers in order, in its own memory if they lie there in order."""
    return weight.detach().data.view(-1) if weight.is_contiguous() else weight.detach().flatten()


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
        before = _flat(weight).index_select(0, index)
        ctx.save_for_backward(x, weight, delta, index, before)
        with patched(weight, delta, index, before) as full:
            return F.linear(x, full.to(x.dtype), None if bias is None else bias.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, delta, index, before = ctx.saved_tensors
        need_x, _, need_delta, _, need_bias = ctx.needs_input_grad
        flat, seen = grad.flatten(0, -2), x.flatten(0, -2).to(grad.dtype)
        to_x = to_delta = None
        if need_x:
            with patched(weight, delta, index, before) as full:
                to_x = (flat @ full.to(grad.dtype)).view(x.shape)
        if need_delta and _few(flat, weight, index):
            to_delta = _sampled(weight, index, [(flat.T, seen.T)]).to(delta.dtype)
        elif need_delta:
            # Dense for a moment, and gone before the next layer's turn.
            to_delta = (flat.T @ seen).view(-1).index_select(0, index).to(delta.dtype)
        return to_x, None, to_delta, None, flat.sum(0) if need_bias else None


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, delta: Tensor, index: Tensor, bias: Tensor | None, plan: tuple[Any, ...]
    ) -> Tensor:
        before = _flat(weight).index_select(0, index)
        ctx.save_for_backward(x, weight, delta, index, before)
        ctx.plan = plan
        stride, padding, dilation, groups = plan
        shift, still = None if bias is None else bias.to(x.dtype), [0] * len(stride)
        with patched(weight, delta, index, before) as full:
            return torch.convolution(x, full.to(x.dtype), shift, stride, padding, dilation, False, still, groups)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, delta, index, before = ctx.saved_tensors
        need_x, _, need_delta, _, need_bias, _ = ctx.needs_input_grad
        stride, padding, dilation, groups = ctx.plan
        grad = grad.to(x.dtype)
        few = grad.dim() == 4 and groups == 1 and grad[0, 0].numel() <= LONGEST and _few(grad, weight, index)
        with patched(weight, delta, index, before) as full:
            to_x, dense, _ = torch.ops.aten.convolution_backward(
                grad, x, full.to(x.dtype), None, stride, padding, dilation, False, [0] * len(stride), groups,
                [need_x, need_delta and not few, False],
            )  # fmt: skip
        # Asked for with the others, the bias would bring the weight's dense gradient with it.
        to_bias = grad.sum([d for d in range(grad.dim()) if d != 1]) if need_bias else None
        to_delta = None
        if need_delta and few:
            columns = (F.unfold(one, weight.shape[2:], dilation, padding, stride)[0] for one in x.split(1))
            to_delta = _sampled(weight, index, zip(grad.flatten(2), columns, strict=True)).to(delta.dtype)
        elif need_delta:
            to_delta = dense.reshape(-1).index_select(0, index).to(delta.dtype)
        return to_x, None, to_delta, None, to_bias, None


def _few(x: Tensor, weight: Tensor, index: Tensor) -> bool:
    """Whether these few gradients had better be had one by one. A GPU is faster at the dense product."""
    exact = x.dtype in (torch.float32, torch.float64)
    return x.device.type == "cpu" and exact and len(index) <= FEW * weight.numel()


def _sampled(weight: Tensor, index: Tensor, parts: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """(K,) of the sum of all a @ b.T, where a is (outputs, places) and b (inputs times kernel, places)."""
    width = weight[0].numel()
    ends = torch.arange(0, weight.numel() + 1, width, dtype=index.dtype)
    starts, columns = torch.searchsorted(index, ends).to(index.dtype), index.remainder(width)
    total = torch.zeros(len(index), dtype=weight.dtype)
    for a, b in parts:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # sparse rows are "in beta state"
            size = (len(weight), width)
            places = torch.sparse_csr_tensor(starts, columns, total.to(a.dtype), size, check_invariants=False)
        total = torch.sparse.sampled_addmm(places, a, b.T).values()
    return total
