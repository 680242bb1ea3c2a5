"""ALLoRA (arXiv 2410.09692, 2024): LoRA without dropout and alpha, its pace set row by row.

The gradient of row i of B is divided by sqrt(||(B A)_i|| + 1 / eta^2): by 1 / eta at the start, where B is zero, and
by more the larger the row has grown. Scaling the rows of B alone is our reading; the paper's code was not at hand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftConfig
from torch import Tensor, nn

from models.adapters.factors import padded, takes_factors, through
from models.adapters.tuner import UpdateLayer, UpdateTuner


@dataclass
class AlloraConfig(PeftConfig):
    """r: rank; eta: how much faster than LoRA it starts. Raises ValueError for values out of range."""

    r: int = 8
    eta: float = 2.0
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = "ALLORA"
        if self.r < 1 or not self.eta > 0:
            raise ValueError(f"ALLoRA has rank {self.r} and eta {self.eta}; the rank is at least 1, eta above 0.")


class AlloraLayer(UpdateLayer):
    """`allora_A` (r, inputs ...), `allora_B` (outputs, r)."""

    adapter_layer_names = ("allora_A", "allora_B")
    other_param_names = ("etas", "scaling", "own_scaling")

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.allora_A, self.allora_B = nn.ParameterDict(), nn.ParameterDict()
        self.etas: dict[str, float] = {}

    def update_layer(self, name: str, config: AlloraConfig) -> None:
        weight: Tensor = self._base().weight
        a = torch.empty(config.r, *weight.shape[1:], dtype=weight.dtype, device=weight.device)
        if not a.is_meta:
            nn.init.kaiming_uniform_(a, a=math.sqrt(5))
        self.allora_A[name] = nn.Parameter(a)
        self.allora_B[name] = nn.Parameter(a.new_zeros(len(weight), config.r))
        self.etas[name] = config.eta
        self.began(name, 1.0)

    def _base(self) -> Any:
        return self.get_base_layer()

    @torch.no_grad()
    def get_delta(self, name: str) -> dict[str, Tensor]:
        made = torch.tensordot(self.allora_B[name], self.allora_A[name], 1)
        return {"weight": (self.scaling[name] * made).to(self._base().weight.dtype)}

    def adapted(self, names: Sequence[str], x: Tensor, *args: Any, **more: Any) -> Any:
        result = self.base_layer(x, *args, **more)
        for name in names:
            a, b = self.allora_A[name], self.allora_B[name]
            given, padding = padded(self._base(), x.to(a.dtype))
            paced: Tensor = _Paced.apply(b, a, self.etas[name])
            result = result + (self.scaling[name] * through(self._base(), given, padding, a, paced)).to(result.dtype)
        return result


class _Paced(torch.autograd.Function):
    """B as it is; on the way back its rows' gradients scaled."""

    @staticmethod
    def forward(ctx: Any, b: Tensor, a: Tensor, eta: float) -> Tensor:
        ctx.save_for_backward(b, a)
        ctx.eta = eta
        return b.view_as(b)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        b, a = ctx.saved_tensors
        flat = a.flatten(1)
        # ||(B A)_i|| from the small product A A^T: the update itself is never built.
        rows = ((b @ (flat @ flat.T)) * b).sum(1).clamp_min(0).sqrt()
        return grad / (rows + 1 / ctx.eta**2).sqrt()[:, None], None, None


class AlloraModel(UpdateTuner):
    """Wraps every targeted linear layer and convolution."""

    prefix = "allora_"
    tuner_layer_cls = AlloraLayer

    @classmethod
    def takes(cls, module: nn.Module, config: AlloraConfig) -> bool:
        return takes_factors(module)
