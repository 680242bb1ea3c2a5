"""What SaRA asks of a training beside the gradient: choosing anew at half time, and weights of low rank."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.adapters.sara.layer import SaraLayer
from models.adapters.sara.model import sara_layers
from models.adapters.sparse import scattered

LEAST_SIDE = 64
"""Matrices whose smaller side is at most this are left out of the rank loss, as the authors' code does."""


@dataclass(frozen=True)
class Reselection:
    """kept: weights that train on; frozen: weights that keep what they learned."""

    kept: int
    frozen: int


@torch.no_grad()
def reselect(
    model: nn.Module,
    threshold: float,
    optimizer: torch.optim.Optimizer | None = None,
    adapter: str = "default",
    least: float = 0.0,
) -> Reselection:
    """Progressive parameter adjustment (section 3.3): of the chosen weights only those that still are below the
    threshold train on; the others stay as they are now.

    The optimizer's state of the weights that stay in training is kept, of the others dropped. least: where a smaller
    share (0..1) than this still is below, all train on. In the paper it is 15 to 20 %; at the rates that small models
    need nearly all have left by then, and training the few others alone would end the training.
    """
    layers = sara_layers(model, adapter).values()
    below = [layer.values(adapter).abs() < threshold for layer in layers]
    kept, total = sum(int(still.sum()) for still in below), sum(map(len, below))
    if kept < least * total:
        return Reselection(total, 0)
    for layer, still in zip(layers, below, strict=True):
        delta, index = layer.sara_delta[adapter], layer.sara_index[adapter]
        places = torch.cat([layer.sara_fixed_index[adapter], index[~still]])
        order = places.argsort()
        layer.sara_fixed[adapter] = torch.cat([layer.sara_fixed[adapter], delta[~still]])[order]
        layer.sara_fixed_index[adapter], layer.sara_index[adapter] = places[order], index[still]
        # A new parameter, not other data in the old one: graphs of earlier steps may still know the old length.
        layer.sara_delta[adapter] = nn.Parameter(delta[still], requires_grad=delta.requires_grad)
        if optimizer is not None:
            _exchange(optimizer, delta, layer.sara_delta[adapter], still)
    return Reselection(kept, total - kept)


def _exchange(optimizer: torch.optim.Optimizer, old: Tensor, new: Tensor, still: Tensor) -> None:
    """The new parameter in the old one's place, with its share of the state."""
    for group in optimizer.param_groups:
        group["params"] = [new if p is old else p for p in group["params"]]
    state = optimizer.state.pop(old, {})
    for name, value in state.items():
        state[name] = value[still] if isinstance(value, Tensor) and value.shape == still.shape else value
    optimizer.state[new] = state


def rank_loss(model: nn.Module, generator: torch.Generator, adapter: str = "default") -> Tensor:
    """Equation 4: the nuclear norm of the chosen weights' matrix, of one matrix drawn at random.

    One a step, because a singular value decomposition of all of them would cost more than the step. 0 where no matrix
    is large enough. Add it to the loss, times a weight of about 5e-4 to 5e-3.
    """
    layers = [layer for layer in sara_layers(model, adapter).values() if _eligible(layer)]
    if not layers:
        return torch.zeros(())
    layer = layers[int(torch.randint(len(layers), (), generator=generator))]
    return masked_norm(layer, adapter)


def masked_norm(layer: SaraLayer, adapter: str) -> Tensor:
    """||P o M||_* of one layer's weight, in float32 or finer; the gradient flows to the adapter."""
    weight = layer.tensors()["weight"]
    value, index = layer.split(layer.values(adapter), layer.sara_index[adapter])["weight"]
    wide = torch.promote_types(value.dtype, torch.float32)
    norm: Tensor = torch.linalg.matrix_norm(scattered(weight.shape, value.to(wide), index), ord="nuc")
    return norm


def _eligible(layer: SaraLayer) -> bool:
    weight = layer.tensors().get("weight")
    return weight is not None and weight.dim() == 2 and min(weight.shape) > LEAST_SIDE
