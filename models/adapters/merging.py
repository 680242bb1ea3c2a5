"""An adapter laid into a network's own weights, at any weight, and taken out again bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from peft import PeftConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from models.adapters.state import fill_adapter, remove_adapters
from models.errors import InputError

_NAME = "laid_in"


@torch.no_grad()
def lay_in(
    network: nn.Module, config: PeftConfig, state: Mapping[str, Tensor], weight: float = 1.0
) -> dict[str, Tensor]:
    """Add the adapter's update, times `weight`, to the network's weights; 1 is as trained, 0 changes nothing.

    Returns what was there, by the names of the parameters that changed: see `put_back`. The same for every method, so
    that adapters of different ones may follow each other. Raises InputError where the adapter does not fit.
    """
    kept: dict[str, Tensor] = {}
    try:
        try:
            inject_adapter_in_model(config, network, _NAME)
        except (ValueError, KeyError, AttributeError, RuntimeError) as error:
            raise InputError(f"The adapter does not fit this model ({str(error)[:120]}).") from error
        fill_adapter(network, state, _NAME)
        for name, layer in _layers(network):
            kept |= _lay_in(name, layer, weight)
    except BaseException:
        remove_adapters(network)
        put_back(network, kept)
        raise
    remove_adapters(network)
    return kept


def put_back(network: nn.Module, kept: Mapping[str, Tensor]) -> None:
    """Undo `lay_in`; of several the last one first."""
    for name, value in kept.items():
        network.get_parameter(name).data = value


def _lay_in(name: str, layer: BaseTunerLayer, weight: float) -> dict[str, Tensor]:
    base = layer.get_base_layer()
    before = {key: p.data.clone() for key, p in base.named_parameters(recurse=False)}
    layer.merge()
    changed = {}
    for key, p in base.named_parameters(recurse=False):
        if torch.equal(p.data, before[key]):
            p.data = before[key]
            continue
        if weight != 1:
            p.data = (before[key].float() + weight * (p.data.float() - before[key].float())).to(p.dtype)
        changed[f"{name}.{key}"] = before[key]
    return changed


def _layers(network: nn.Module) -> Iterator[tuple[str, BaseTunerLayer]]:
    """The outermost wrappers, by the names that their base modules have in the bare network."""
    inside: tuple[str, ...] = ()
    for name, module in network.named_modules():
        if isinstance(module, BaseTunerLayer) and not (inside and name.startswith(inside)):
            inside = (*inside, f"{name}.")
            yield name, module
