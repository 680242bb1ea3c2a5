"""Checkpoints in the form of the authors' code, to and from an adapter.

A dict: "threshold", and for the i-th of the model's `named_parameters` under the key i the values (K,) that its weights
with |w| < threshold have now, in memory order. The places are not stored: they follow from the base model, which must
be the very same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.adapters.sara.model import sara_layers
from models.adapters.sparse import chosen
from models.errors import InputError


def read_official(path: str | Path) -> tuple[float, dict[int, Tensor]]:
    """(threshold, values by position). Raises InputError for a file of another form; no code in it is run."""
    try:
        stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or foreign file fails in many ways
        raise InputError(f"{Path(path).name} can't be read as a SaRA checkpoint; give another file.") from error
    if not isinstance(stored, dict) or not isinstance(stored.get("threshold"), int | float):
        raise InputError(f"{Path(path).name} is no SaRA checkpoint: it names no threshold.")
    values = {key: value for key, value in stored.items() if key != "threshold"}
    if not all(isinstance(k, int) and isinstance(v, Tensor) and v.dim() == 1 for k, v in values.items()):
        raise InputError(f"{Path(path).name} is no SaRA checkpoint: it holds more than vectors by number.")
    return float(stored["threshold"]), values


@torch.no_grad()
def import_official(model: nn.Module, values: dict[int, Tensor], adapter: str = "default") -> None:
    """Fill the adapter, which was added to the whole base model at the checkpoint's threshold.

    Raises InputError where a vector does not fit its tensor: the checkpoint was made on another base.
    """
    names = official_names(model)
    layers = sara_layers(model, adapter)
    if not all(0 <= i < len(names) for i in values):
        raise InputError("The SaRA checkpoint has more tensors than this model; it was made on another base.")
    given = {names[i]: value for i, value in values.items()}
    for name, layer in layers.items():
        parts = []
        for key, (delta, index) in layer.split(layer.sara_delta[adapter].data, layer.sara_index[adapter]).items():
            value = given.pop(f"{name}.{key}", None)
            if value is not None and len(value) != len(delta):
                raise InputError(
                    f"The SaRA checkpoint changes {len(value)} weights of {name}.{key}, where this model has "
                    f"{len(delta)} below the threshold; it was made on another base or in another number type."
                )
            base = layer.tensors()[key].flatten().index_select(0, index)
            parts.append(delta if value is None else value.to(base) - base)
        layer.sara_delta[adapter].data = torch.cat(parts)
    if any(len(value) for value in given.values()):
        raise InputError(f"This model has no adapter on {next(iter(given))}, which the SaRA checkpoint changes.")


@torch.no_grad()
def export_official(model: nn.Module, threshold: float, adapter: str = "default") -> dict[Any, Any]:
    """The adapter in that form; `torch.save` writes it. Raises InputError if it was chosen by another rule."""
    layers = sara_layers(model, adapter)
    stored: dict[Any, Any] = {"threshold": threshold}
    for i, name in enumerate(official_names(model)):
        module, _, key = name.rpartition(".")
        if module not in layers:
            continue
        layer = layers[module]
        tensor = layer.tensors()[key]
        index = chosen(tensor, threshold)
        places = torch.cat([layer.sara_index[adapter], layer.sara_fixed_index[adapter]])
        order = places.argsort()
        changed = torch.cat([layer.sara_delta[adapter], layer.sara_fixed[adapter]])[order]
        delta, places = layer.split(changed, places[order])[key]
        if not torch.equal(places, index):
            raise InputError(f"The weights of {name} were not chosen by |w| < {threshold}; this form can't hold them.")
        full = tensor.flatten().index_add(0, places, delta.to(tensor.dtype))
        stored[i] = full.index_select(0, index).clone()
    return stored


def official_names(model: nn.Module) -> list[str]:
    """The names of the base model's parameters in its own order, adapters left out."""
    return [name.replace(".base_layer.", ".") for name, _ in model.named_parameters() if ".sara_" not in name]
