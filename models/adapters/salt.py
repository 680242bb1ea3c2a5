"""SALT (BMVC 2025, arXiv 2503.16055): scale and shift the large singular values, adapt the rest.

W = U S V^T. Of the k largest values s each becomes a s + b, with a = 1 and b = 0 at the start; the block of the others
gets an update X Y of low rank, Y = 0 at the start. The authors' code puts a ReLU over the whole block, which cuts every
negative number of X Y; it is left out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftConfig
from torch import Tensor, nn

from models.adapters.factors import takes_factors
from models.adapters.tuner import UpdateLayer, UpdateTuner


@dataclass
class SaltConfig(PeftConfig):
    """ratio: share (0..1) of the singular values that are scaled and shifted; r: rank of the rest's update.

    Raises ValueError for values out of range.
    """

    r: int = 8
    ratio: float = 0.1
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = "SALT"
        if self.r < 1 or not 0 <= self.ratio <= 1:
            raise ValueError(f"SALT has rank {self.r} and ratio {self.ratio}; give at least 1, and 0 to 1.")


class SaltLayer(UpdateLayer):
    """`salt_scale`, `salt_shift` (k,), `salt_X` (n - k, r), `salt_Y` (r, n - k); U, S and V follow from the base."""

    adapter_layer_names = ("salt_scale", "salt_shift", "salt_X", "salt_Y")
    other_param_names = ("scaling", "own_scaling")

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.salt_scale, self.salt_shift = nn.ParameterDict(), nn.ParameterDict()
        self.salt_X, self.salt_Y = nn.ParameterDict(), nn.ParameterDict()
        self._u: Tensor
        self._s: Tensor
        self._v: Tensor

    def update_layer(self, name: str, config: SaltConfig) -> None:
        weight: Tensor = self._base().weight
        if not hasattr(self, "_u"):
            u, s, v = signed_svd(weight.detach().flatten(1).float())
            for key, value in (("_u", u), ("_s", s), ("_v", v)):
                self.register_buffer(key, value, persistent=False)
        count = len(self._s)
        k = int(config.ratio * count)
        x = torch.empty(count - k, config.r, device=weight.device)
        if not x.is_meta and len(x):
            nn.init.kaiming_uniform_(x, a=5**0.5)
        self.salt_scale[name] = nn.Parameter(torch.ones(k, device=weight.device))
        self.salt_shift[name] = nn.Parameter(torch.zeros(k, device=weight.device))
        self.salt_X[name] = nn.Parameter(x)
        self.salt_Y[name] = nn.Parameter(torch.zeros(config.r, count - k, device=weight.device))
        self.began(name, 1.0)

    def _base(self) -> Any:
        return self.get_base_layer()

    def _dense(self, name: str) -> Tensor:
        """The update, with the gradient to the adapter, without its scale."""
        k = len(self.salt_scale[name])
        large = (self.salt_scale[name] - 1) * self._s[:k] + self.salt_shift[name]
        first = (self._u[:, :k] * large) @ self._v[:k]
        rest = (self._u[:, k:] @ self.salt_X[name]) @ (self.salt_Y[name] @ self._v[k:])
        return (first + rest).view(self._base().weight.shape)

    @torch.no_grad()
    def get_delta(self, name: str) -> dict[str, Tensor]:
        return {"weight": (self.scaling[name] * self._dense(name)).to(self._base().weight.dtype)}

    def adapted(self, names: Sequence[str], x: Tensor, *args: Any, **more: Any) -> Any:
        weight = self._base().weight
        full = weight + sum(self.scaling[name] * self._dense(name) for name in names).to(weight.dtype)  # type: ignore[union-attr]
        return torch.func.functional_call(self.base_layer, {"weight": full}, (x, *args), more)


class SaltModel(UpdateTuner):
    """Wraps every targeted linear layer and convolution."""

    prefix = "salt_"
    tuner_layer_cls = SaltLayer

    @classmethod
    def takes(cls, module: nn.Module, config: SaltConfig) -> bool:
        return takes_factors(module)


def signed_svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(U, S, V^T) with the largest number of each column of U positive: the same on every machine, for values apart."""
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    sign = u.gather(0, u.abs().argmax(0, keepdim=True)).sign()
    return u * sign, s, v * sign.T
