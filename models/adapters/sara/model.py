"""SaRA on a whole model: one threshold for all of it."""

from __future__ import annotations

import hashlib
import warnings
from typing import Any

import torch
from peft import PeftConfig
from torch import nn

from models.adapters.sara.config import LARGE, SaraConfig
from models.adapters.sara.layer import CONVOLUTIONS, SaraLayer
from models.adapters.sparse import threshold_for
from models.adapters.tuner import UpdateTuner


class SaraModel(UpdateTuner):
    """Wraps every targeted module; see `SaraConfig`."""

    prefix = "sara_"
    tuner_layer_cls = SaraLayer

    @classmethod
    def takes(cls, module: nn.Module, config: SaraConfig) -> bool:
        """With scope "weights" linear layers and convolutions, or else all with floating parameters of their own."""
        if config.scope == "weights":
            return isinstance(module, (nn.Linear, *CONVOLUTIONS))
        own = list(module.parameters(recurse=False))
        return bool(own) and all(p.is_floating_point() for p in own) and not any(True for _ in module.children())

    def _prepare_model(self, peft_config: PeftConfig, model: nn.Module) -> None:
        super()._prepare_model(peft_config, model)
        config: Any = peft_config
        targets = [m for n, m in self.candidates(model, config) if self._check_target_module_exists(config, n)]
        tensors = [t for m in targets for t in SaraLayer(m).tensors(config.scope).values()]
        if config.threshold is None:
            config.threshold = threshold_for(tensors, config.fraction)
        if not config.inference_mode and sum(p.numel() for p in model.parameters()) < LARGE:
            warnings.warn(
                "SaRA's authors advise against it for models of less than 100 million parameters.", stacklevel=2
            )

    def _post_injection_hook(self, model: nn.Module, config: PeftConfig, adapter_name: str) -> None:
        if getattr(config, "base_hash", None) is None:
            config.base_hash = base_hash(model, adapter_name)


def sara_layers(model: nn.Module, adapter: str) -> dict[str, SaraLayer]:
    """The modules that hold this adapter, by name, in the model's order."""
    return {n: m for n, m in model.named_modules() if isinstance(m, SaraLayer) and adapter in m.sara_delta}


def base_hash(model: nn.Module, adapter: str) -> str:
    """sha256 over the places and base values (float32) of the weights that the adapter may change.

    The same for the same base, whatever else is loaded beside it; another base or number type gives another one.
    """
    digest = hashlib.sha256()
    for layer in sara_layers(model, adapter).values():
        index = torch.cat([layer.sara_index[adapter], layer.sara_fixed_index[adapter]])
        flat = torch.cat([p.detach().flatten() for p in layer.tensors().values()])
        order = index.argsort()
        for tensor in (index[order], flat.index_select(0, index[order]).float()):
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
