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


class WaraLayer(UpdateLayer):
    """Factors by adapter and level: `wara_A` (bands, r, columns, kernel ...) and `wara_B` (bands, rows, r).

    The transform is over output and input channels; a convolution's kernel belongs to A. The order of a level's bands
    is that of `bands.at_level`; "shared" has one pair for both.
    """

    adapter_layer_names = ("wara_A", "wara_B")
    other_param_names = ("plans", "scaling", "own_scaling")

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.wara_A, self.wara_B = nn.ModuleDict(), nn.ModuleDict()
        self.plans: dict[str, WaraConfig] = {}
        self._taps: dict[tuple[str, int, torch.dtype, torch.device], list[Tensor]] = {}

    def update_layer(self, name: str, config: WaraConfig) -> None:
        """Raises ValueError for more levels than the channels can be halved."""
        weight: Tensor = self._base().weight
        rows, columns = self._sizes(config.levels)
        first, second = nn.ParameterDict(), nn.ParameterDict()
        for level in range(1, config.levels + 1):
            shared = config.variant == "shared"
            count = 1 if shared else len(bands.at_level(level, config.levels))
            a = weight.new_empty(count, config.r, columns[level], *weight.shape[2:], requires_grad=False)
            if not a.is_meta:
                for band in a:
                    nn.init.kaiming_uniform_(band, a=math.sqrt(5))
            first[str(level)] = nn.Parameter(a)
            second[str(level)] = nn.Parameter(weight.new_zeros(count, rows[level], config.r, requires_grad=False))
        self.wara_A[name], self.wara_B[name], self.plans[name] = first, second, config
        self._taps.clear()
        self.began(name, config.alpha / config.r)

    def _sizes(self, levels: int) -> tuple[list[int], list[int]]:
        rows, columns = self._base().weight.shape[:2]
        return bands.sizes(rows, levels), bands.sizes(columns, levels)

    def _base(self) -> Any:
        return self.get_base_layer()

    def stacks(self, name: str) -> list[tuple[list[str], Tensor, Tensor]]:
        """By level, the finest first: its bands, their A and their B, one for each."""
        plan, found = self.plans[name], []
        first, second = self.wara_A[name], self.wara_B[name]
        assert isinstance(first, nn.ParameterDict) and isinstance(second, nn.ParameterDict)
        for level in range(1, plan.levels + 1):
            own = bands.at_level(level, plan.levels, plan.variant == "shared")
            pair = first[str(level)], second[str(level)]
            found.append((own, *(part.expand(len(own), *part.shape[1:]) for part in pair)))
        return found

    def blocks(self, name: str) -> dict[str, Tensor]:
        """The update's transform, band by band, each (rows, columns, kernel ...), without the scale."""
        return {
            f"{band}{level}": torch.tensordot(b, a, 1)
            for level, (own, first, second) in enumerate(self.stacks(name), 1)
            for band, a, b in zip(own, first, second, strict=True)
        }

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
        stacks = self.stacks(name)
        rows, columns = self._sizes(len(stacks))
        down = bands.lifted([a for _, a, _ in stacks], self._taps_of(name, 1, stacks), columns)
        up = bands.lifted([b.transpose(1, 2) for _, _, b in stacks], self._taps_of(name, 0, stacks), rows)
        return down, up.T

    def _taps_of(self, name: str, letter: int, stacks: list[tuple[list[str], Tensor, Tensor]]) -> list[Tensor]:
        """Made once for each number type and device: a GPU would wait for such small tensors at each step."""
        plan, like = self.plans[name], stacks[0][1].detach()
        key = name, letter, like.dtype, like.device
        if key not in self._taps:
            names = [own for own, _, _ in stacks]
            with torch.inference_mode(False):  # made while something was only drawn, they serve a training as well
                self._taps[key] = bands.all_taps(names, letter, plan.r, plan.wavelet, like)
        return self._taps[key]

    def _update(self, name: str, x: Tensor) -> Tensor:
        base, (down, up) = self._base(), self.lifted(name)
        if not torch.is_autocast_enabled(x.device.type):
            x = x.to(down.dtype)
        return through(base, *padded(base, x), down, up * self.scaling[name])
