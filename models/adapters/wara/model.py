"""WaRA on a whole model."""

from __future__ import annotations

from torch import nn

from models.adapters.factors import takes_factors
from models.adapters.tuner import UpdateTuner
from models.adapters.wara.config import WaraConfig
from models.adapters.wara.layer import WaraLayer


class WaraModel(UpdateTuner):
    """Wraps every targeted linear layer and convolution; see `WaraConfig`."""

    prefix = "wara_"
    tuner_layer_cls = WaraLayer

    @classmethod
    def takes(cls, module: nn.Module, config: WaraConfig) -> bool:
        """Convolutions with groups mix too few channels for a transform over them, and are left out."""
        weight = getattr(module, "weight", None)
        return takes_factors(module) and weight is not None and min(weight.shape[:2]) >= 2**config.levels
