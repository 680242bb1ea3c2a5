"""SORSA (arXiv 2409.00055, 2024): train the largest singular triples of a weight, kept near orthonormal.

W = U S V^T; the first r triples become B diag(S) A and are trained, the rest is left. Here the base keeps its whole
weight, and the triples as they were are taken off again, so that the adapter can be switched off and merged exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftConfig
from peft.tuners._buffer_dict import BufferDict
from torch import Tensor, nn

from models.adapters.factors import padded, takes_factors, through
from models.adapters.tuner import UpdateLayer, UpdateTuner


@dataclass
class SorsaConfig(PeftConfig):
    """r: how many singular triples are trained. Raises ValueError below 1."""

    r: int = 8
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = "SORSA"
        if self.r < 1:
            raise ValueError(f"SORSA's rank is {self.r}; it must be at least 1.")


class SorsaLayer(UpdateLayer):
    """`sorsa_A` (r, inputs ...), `sorsa_B` (outputs, r), `sorsa_S` (r,); `sorsa_start` holds what they were."""

    adapter_layer_names = ("sorsa_A", "sorsa_B", "sorsa_S")
    other_param_names = ("sorsa_start_A", "sorsa_start_B", "scaling", "own_scaling")

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.sorsa_A, self.sorsa_B, self.sorsa_S = nn.ParameterDict(), nn.ParameterDict(), nn.ParameterDict()
        self.sorsa_start_A, self.sorsa_start_B = BufferDict(persistent=True), BufferDict(persistent=True)

    def update_layer(self, name: str, config: SorsaConfig) -> None:
        weight: Tensor = self._base().weight
        flat = weight.detach().flatten(1).float()
        rank = min(config.r, *flat.shape)
        if flat.is_meta:
            u, s, v = flat.new_zeros(len(flat), rank), flat.new_zeros(rank), flat.new_zeros(rank, flat.shape[1])
        else:
            # In float32 at least: the decomposition of a half-width weight would be one of its rounding.
            whole = torch.linalg.svd(flat, full_matrices=False)
            u, s, v = whole.U[:, :rank], whole.S[:rank], whole.Vh[:rank]
        v = v.reshape(rank, *weight.shape[1:])
        self.sorsa_A[name], self.sorsa_B[name], self.sorsa_S[name] = (nn.Parameter(t.clone()) for t in (v, u, s))
        self.sorsa_start_A[name], self.sorsa_start_B[name] = v.clone(), u * s
        self.began(name, 1.0)

    def _base(self) -> Any:
        return self.get_base_layer()

    def _pairs(self, name: str) -> tuple[tuple[Tensor, Tensor, float], ...]:
        """(down, up, sign) of what is added and of what is taken off."""
        now = (self.sorsa_A[name], self.sorsa_B[name] * self.sorsa_S[name], 1.0)
        return now, (self.sorsa_start_A[name], self.sorsa_start_B[name], -1.0)

    @torch.no_grad()
    def get_delta(self, name: str) -> dict[str, Tensor]:
        made = sum(sign * torch.tensordot(up, down, 1) for down, up, sign in self._pairs(name))
        assert isinstance(made, Tensor)
        return {"weight": (self.scaling[name] * made).to(self._base().weight.dtype)}

    def adapted(self, names: Sequence[str], x: Tensor, *args: Any, **more: Any) -> Any:
        result = self.base_layer(x, *args, **more)
        for name in names:
            given, padding = padded(self._base(), x.to(self.sorsa_A[name].dtype))
            for down, up, sign in self._pairs(name):
                part = through(self._base(), given, padding, down, up)
                result = result + (sign * self.scaling[name] * part).to(result.dtype)
        return result


class SorsaModel(UpdateTuner):
    """Wraps every targeted linear layer and convolution."""

    prefix = "sorsa_"
    tuner_layer_cls = SorsaLayer

    @classmethod
    def takes(cls, module: nn.Module, config: SorsaConfig) -> bool:
        return takes_factors(module)


def orthonormality_loss(model: nn.Module, adapter: str = "default") -> Tensor:
    """Mean over all factors of ||A A^T - I||_F and ||B^T B - I||_F, to be added times gamma / learning rate."""
    found = []
    for module in model.modules():
        if isinstance(module, SorsaLayer) and adapter in module.sorsa_A:
            a, b = module.sorsa_A[adapter].flatten(1), module.sorsa_B[adapter]
            one = torch.eye(len(a), dtype=a.dtype, device=a.device)
            found += [torch.linalg.matrix_norm(a @ a.T - one), torch.linalg.matrix_norm(b.T @ b - one)]
    return torch.stack(found).mean() if found else torch.zeros(())
