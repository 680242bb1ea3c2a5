"""What the tuners of this room share: how peft finds them, which modules they wrap, a layer's merging and scales."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from peft import PeftConfig
from peft.mapping import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
)
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn


def register(name: str, config: type[PeftConfig], tuner: type[UpdateTuner]) -> None:
    """Make a type known to peft. Its own function takes names of a closed list only; plain words work as well."""
    PEFT_TYPE_TO_CONFIG_MAPPING[name] = config  # type: ignore[index]
    PEFT_TYPE_TO_TUNER_MAPPING[name] = tuner  # type: ignore[index]
    PEFT_TYPE_TO_PREFIX_MAPPING[name] = tuner.prefix  # type: ignore[index]


class UpdateLayer(nn.Module, BaseTunerLayer):
    """A module of the base model together with its updates, by adapter name.

    Subclasses hold the weights of each adapter in dicts whose names start with the tuner's prefix, and say what an
    adapter adds to the base's tensors.
    """

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.scaling: dict[str, float] = {}
        self.own_scaling: dict[str, float] = {}
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self._before: list[dict[str, Tensor]] = []

    @abstractmethod
    def update_layer(self, name: str, config: Any) -> None:
        """Add an adapter that changes nothing yet. Raises ValueError for a module that it can't fit."""

    @abstractmethod
    def get_delta(self, name: str) -> dict[str, Tensor]:
        """What the adapter adds, by the name of the base's tensor, dense, in the base's number type, scaled."""

    @abstractmethod
    def adapted(self, names: Sequence[str], x: Tensor, *args: Any, **more: Any) -> Any:
        """The base's output with these adapters."""

    def began(self, name: str, scale: float) -> None:
        """To be called at the end of `update_layer`. scale: at weight 1."""
        self.scaling[name] = self.own_scaling[name] = scale
        self.set_adapter(self.active_adapters)

    def forward(self, x: Tensor, *args: Any, **more: Any) -> Any:
        """As the base module's."""
        if self.disable_adapters:
            if self.merged:
                self.unmerge()
            return self.base_layer(x, *args, **more)
        names = [name for name in self.active_adapters if name in self.scaling]
        if self.merged or not names:
            return self.base_layer(x, *args, **more)
        return self.adapted(names, x, *args, **more)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Put the adapters into the base's tensors. What was there is kept, so that `unmerge` is exact.

        Raises ValueError with safe_merge if a number would not be finite; then nothing of that adapter is merged.
        """
        for name in check_adapters_to_merge(self, adapter_names) or ():
            if name not in self.scaling:
                continue
            base, before = self.get_base_layer(), {}
            merged = {key: getattr(base, key).data + delta for key, delta in self.get_delta(name).items()}
            if safe_merge and not all(bool(torch.isfinite(value).all()) for value in merged.values()):
                raise ValueError(f"The adapter {name} holds numbers that are not finite; it was not merged.")
            for key, value in merged.items():
                parameter = getattr(base, key)
                before[key], parameter.data = parameter.data, value
            self._before.append(before)
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        """The base's tensors as they were before `merge`, bit for bit."""
        while self.merged_adapters:
            self.merged_adapters.pop()
            for key, value in self._before.pop().items():
                getattr(self.get_base_layer(), key).data = value

    def set_scale(self, adapter: str, scale: float) -> None:
        """The weight of an adapter, 1 as trained. Adapters that are not here are left alone, as peft wants it."""
        if adapter in self.scaling:
            self.scaling[adapter] = scale * self.own_scaling[adapter]

    def scale_layer(self, scale: float) -> None:
        """Multiply the active adapters' weights."""
        for name in self.active_adapters:
            if name in self.scaling:
                self.scaling[name] *= scale

    def unscale_layer(self, scale: float | None = None) -> None:
        """Undo `scale_layer`; without a number back to weight 1."""
        for name in self.active_adapters:
            if name in self.scaling:
                self.scaling[name] = self.own_scaling[name] if scale is None else self.scaling[name] / scale


class UpdateTuner(BaseTuner):
    """Wraps the modules that a config names, or all that the method can change."""

    tuner_layer_cls: type[UpdateLayer]

    @classmethod
    @abstractmethod
    def takes(cls, module: nn.Module, config: Any) -> bool:
        """Whether the method can change this module."""

    def _prepare_adapter_config(self, peft_config: PeftConfig, model_config: dict[str, Any]) -> PeftConfig:
        return peft_config  # without targets all that fit are taken, in whatever model: see below

    def _prepare_model(self, peft_config: PeftConfig, model: nn.Module) -> None:
        config: Any = peft_config
        if config.target_modules is None:
            config.target_modules = [name for name, _ in self.candidates(model, config)]
        if not config.target_modules:
            raise ValueError(f"{config.peft_type} finds nothing to change in a {type(model).__name__}.")

    def candidates(self, model: nn.Module, config: Any) -> list[tuple[str, nn.Module]]:
        """(name, base module) of all modules that the method can change; wrapped ones under the wrapper's name."""
        found: list[tuple[str, nn.Module]] = []
        inside: tuple[str, ...] = ()
        for name, module in model.named_modules():
            if inside and name.startswith(inside):
                continue
            if isinstance(module, BaseTunerLayer):
                inside = (*inside, f"{name}.")
                module = module.get_base_layer()
            if name and self.takes(module, config):
                found.append((name, module))
        return found

    def _create_and_replace(
        self,
        peft_config: PeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, self.tuner_layer_cls):
            target.update_layer(adapter_name, peft_config)
            return
        if not self.takes(target, peft_config):
            raise ValueError(f"{peft_config.peft_type} can't change {current_key}, a {type(target).__name__}.")
        layer = self.tuner_layer_cls(target)
        layer.update_layer(adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)
