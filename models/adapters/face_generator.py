"""SaRA and WaRA on the layers of StyleGAN2, which peft does not know: the same updates as parametrisations.

A StyleGAN2 weight is stored without its gain, as numbers of unit variance; what acts is the effective weight, the
stored one times its gain. Thresholds hold for effective weights, and updates are added to them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from models.adapters import sparse
from models.adapters.sara.config import SaraConfig
from models.adapters.wara import bands
from models.adapters.wara.config import WaraConfig
from models.errors import InputError
from models.stylegan2 import Generator

TARGETS = r"synthesis\..*"
"""Modules that are taken where a config names none: what draws, not what maps."""


class SparseUpdate(nn.Module):
    """w -> w + delta at `index` (K,), over the gain."""

    index: Tensor

    def __init__(self, shape: torch.Size, index: Tensor, gain: float) -> None:
        super().__init__()
        self.shape, self.gain, self.scale = shape, gain, 1.0
        self.register_buffer("index", index)
        self.delta = nn.Parameter(torch.zeros(len(index), device=index.device))

    def forward(self, weight: Tensor) -> Tensor:
        update = sparse.scattered(self.shape, self.delta * (self.scale / self.gain), self.index)
        return weight + update.to(weight.dtype)


class WaveletUpdate(nn.Module):
    """w -> w + the inverse transform of its blocks B A, over the gain."""

    def __init__(self, shape: torch.Size, config: WaraConfig, gain: float, device: torch.device) -> None:
        super().__init__()
        self.gain, self.scale, self.wavelet = gain, config.alpha / config.r, config.wavelet
        self.rows, self.columns = bands.sizes(shape[0], config.levels), bands.sizes(shape[1], config.levels)
        self.shared = config.variant == "shared"
        self.A, self.B = nn.ParameterDict(), nn.ParameterDict()
        for band in ["both"] if self.shared else bands.names(config.levels):
            level = 1 if self.shared else int(band[2:])
            a = torch.empty(config.r, self.columns[level], *shape[2:], device=device)
            nn.init.kaiming_uniform_(a, a=math.sqrt(5))
            self.A[band] = nn.Parameter(a)
            self.B[band] = nn.Parameter(torch.zeros(self.rows[level], config.r, device=device))

    def forward(self, weight: Tensor) -> Tensor:
        made = {band: torch.tensordot(self.B[band], self.A[band], 1) for band in self.A}
        if self.shared:
            made = {"LL1": made["both"], "HH1": made["both"]}
        update = bands.dense(made, self.wavelet, self.rows, self.columns) * (self.scale / self.gain)
        return weight + update.to(weight.dtype)


def gain_of(module: nn.Module) -> float:
    """What the stored weight of a StyleGAN2 layer is multiplied by: learning rate multiplier over sqrt(fan in)."""
    weight: Any = module.weight
    return float(getattr(module, "lr_mul", 1.0)) / math.sqrt(weight[0].numel())


def attach(generator: Generator, config: SaraConfig | WaraConfig) -> dict[str, nn.Module]:
    """Put an update on every targeted weight, freeze the rest, and return the updates by the layer's name.

    config.target_modules: a regular expression for whole names, or ends of names. Raises InputError where an update is
    there already, or nothing is found.
    """
    if any(parametrize.is_parametrized(module) for module in generator.modules()):
        raise InputError("This generator has an adapter already; detach it first.")
    layers = {n: m for n, m in generator.named_modules() if _has_weight(m) and _targeted(n, config.target_modules)}
    if not layers:
        raise InputError("No layer of the generator has such a name; leave the targets out to take all that draw.")
    generator.requires_grad_(False)
    updates: dict[str, nn.Module] = {}
    threshold = _threshold(config, layers) if isinstance(config, SaraConfig) else 0.0
    for name, module in layers.items():
        weight, gain = module.weight, gain_of(module)
        assert isinstance(weight, Tensor)
        if isinstance(config, SaraConfig):
            updates[name] = SparseUpdate(weight.shape, sparse.chosen(weight * gain, threshold), gain)
        elif min(weight.shape[:2]) >= 2**config.levels:
            updates[name] = WaveletUpdate(weight.shape, config, gain, weight.device)
    for name, update in updates.items():
        parametrize.register_parametrization(layers[name], "weight", update)
    return updates


def detach(generator: Generator, merge: bool = False) -> None:
    """Take the updates off again; with merge their effect stays in the weights."""
    for module in list(generator.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=merge)


def attached(generator: Generator) -> dict[str, nn.Module]:
    """The updates that are on the generator, by the layer's name."""
    return {
        name: module.parametrizations["weight"][0]
        for name, module in generator.named_modules()
        if parametrize.is_parametrized(module, "weight")
    }


def state_of(generator: Generator) -> dict[str, Tensor]:
    """The adapter's tensors, by layer and name; safetensors can hold them."""
    return {f"{n}.{k}": v.clone() for n, update in attached(generator).items() for k, v in update.state_dict().items()}


def load_state(generator: Generator, state: Mapping[str, Tensor]) -> None:
    """Fill the adapter, which was attached by the same config. Raises InputError where the tensors do not fit."""
    left = dict(state)
    for name, update in attached(generator).items():
        own = {key: left.pop(f"{name}.{key}", None) for key in update.state_dict()}
        if isinstance(update, SparseUpdate) and own["delta"] is not None and own["index"] is not None:
            # The file's own choice of weights counts.
            update.index = own["index"].to(update.index.device)
            update.delta = nn.Parameter(update.delta.new_zeros(own["delta"].shape))
        if any(v is None or v.shape != update.state_dict()[k].shape for k, v in own.items()):
            raise InputError(f"The adapter does not fit {name}; it was made for another generator.")
        update.load_state_dict(own)
    if left:
        raise InputError(f"The adapter holds {next(iter(left))}, which this generator has not.")


def _has_weight(module: nn.Module) -> bool:
    return isinstance(getattr(module, "weight", None), nn.Parameter)


def _targeted(name: str, targets: list[str] | str | None) -> bool:
    if targets is None or isinstance(targets, str):
        return re.fullmatch(targets or TARGETS, name) is not None
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _threshold(config: SaraConfig, layers: Mapping[str, nn.Module]) -> float:
    if config.threshold is None:
        assert config.fraction is not None
        weights = [module.weight * gain_of(module) for module in layers.values()]  # type: ignore[operator]
        config.threshold = sparse.threshold_for(weights, config.fraction)  # type: ignore[arg-type]
    return config.threshold
