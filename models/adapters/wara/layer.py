"""A linear layer or convolution with an update of low rank in the wavelet domain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.adapters.factors import padded, through
from models.adapters.tuner import UpdateLayer
from models.adapters.wara import bands
from models.adapters.wara.config import WaraConfig

SHARED = {"LL1": "both", "HH1": "both"}


class WaraLayer(UpdateLayer):
    """Factors by adapter and band: `wara_A` (r, columns, kernel ...) and `wara_B` (rows, r).

    The transform is over output and input channels; a convolution's kernel belongs to A.
    """

    adapter_layer_names = ("wara_A", "wara_B")
    other_param_names = ("plans", "scaling", "own_scaling")

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.wara_A, self.wara_B = nn.ModuleDict(), nn.ModuleDict()
        self.plans: dict[str, WaraConfig] = {}

    def update_layer(self, name: str, config: WaraConfig) -> None:
        """Raises ValueError for more levels than the channels can be halved."""
        weight: Tensor = self._base().weight
        rows, columns = self._sizes(config.levels)
        first, second = nn.ParameterDict(), nn.ParameterDict()
        for band in ["both"] if config.variant == "shared" else bands.names(config.levels):
            level = 1 if band == "both" else int(band[2:])
            a = torch.empty(config.r, columns[level], *weight.shape[2:], dtype=weight.dtype, device=weight.device)
            if not a.is_meta:
                nn.init.kaiming_uniform_(a, a=math.sqrt(5))
            first[band] = nn.Parameter(a)
            second[band] = nn.Parameter(torch.zeros(rows[level], config.r, dtype=weight.dtype, device=weight.device))
        self.wara_A[name], self.wara_B[name], self.plans[name] = first, second, config
        self.began(name, config.alpha / config.r)

    def _sizes(self, levels: int) -> tuple[list[int], list[int]]:
        rows, columns = self._base().weight.shape[:2]
        return bands.sizes(rows, levels), bands.sizes(columns, levels)

    def _base(self) -> Any:
        return self.get_base_layer()

    def _factors(self, name: str) -> tuple[nn.ParameterDict, nn.ParameterDict]:
        first, second = self.wara_A[name], self.wara_B[name]
        assert isinstance(first, nn.ParameterDict) and isinstance(second, nn.ParameterDict)
        return first, second

    def factors(self, name: str, band: str) -> tuple[Tensor, Tensor] | None:
        """(A, B) of a band; None for a band that is zero."""
        key = SHARED.get(band) if self.plans[name].variant == "shared" else band
        if key is None:
            return None
        first, second = self._factors(name)
        return first[key], second[key]

    def blocks(self, name: str) -> dict[str, Tensor]:
        """The update's transform, band by band, each (rows, columns, kernel ...), without the scale."""
        found = {band: self.factors(name, band) for band in bands.names(self.plans[name].levels)}
        return {band: torch.tensordot(pair[1], pair[0], 1) for band, pair in found.items() if pair is not None}

    @torch.no_grad()
    def get_delta(self, name: str) -> dict[str, Tensor]:
        plan, weight = self.plans[name], self._base().weight
        made = bands.dense(self.blocks(name), plan.wavelet, *self._sizes(plan.levels))
        return {"weight": (made * self.scaling[name]).to(weight.dtype)}

    def adapted(self, names: Sequence[str], x: Tensor, *args: Any, **more: Any) -> Any:
        result = self.base_layer(x, *args, **more)
        for name in names:
            result = result + self._update(name, x).to(result.dtype)
        return result

    def lifted(self, name: str) -> tuple[Tensor, Tensor]:
        """(down (R, inputs, kernel ...), up (outputs, R)): the whole update as one pair of factors, without the scale.

        R is the sum of all bands' ranks.
        """
        plan = self.plans[name]
        rows, columns = self._sizes(plan.levels)
        found = {band: self.factors(name, band) for band in bands.names(plan.levels)}
        pairs = {band: pair for band, pair in found.items() if pair is not None}
        down = bands.lifted({band: a for band, (a, _) in pairs.items()}, 1, plan.wavelet, columns)
        up = bands.lifted({band: b.T for band, (_, b) in pairs.items()}, 0, plan.wavelet, rows)
        return down, up.T

    def _update(self, name: str, x: Tensor) -> Tensor:
        base, (down, up) = self._base(), self.lifted(name)
        if not torch.is_autocast_enabled(x.device.type):
            x = x.to(down.dtype)
        return through(base, *padded(base, x), down, up * self.scaling[name])
