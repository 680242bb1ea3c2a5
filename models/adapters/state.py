"""An adapter's tensors out of a network and into one, and the network bare again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn

from models.errors import InputError


def adapter_state(network: nn.Module, name: str = "default") -> dict[str, Tensor]:
    """The adapter's tensors by peft's names, without the adapter's own."""
    found: dict[str, Tensor] = get_peft_model_state_dict(
        network,
        adapter_name=name,
        save_embedding_layers=False,  # else it would ask the Hub for the base's settings
    )
    return found


def fill_adapter(network: nn.Module, state: Mapping[str, Tensor], name: str = "default") -> None:
    """Put such tensors into an adapter that is there. Raises InputError where they do not fit it."""
    wanted = set(adapter_state(network, name))
    if wanted != set(state):
        odd = sorted(wanted ^ set(state))[0]
        raise InputError(f"The adapter does not fit this model: {odd} is in one of them alone.")
    try:
        set_peft_model_state_dict(network, dict(state), adapter_name=name)
    except RuntimeError as error:
        raise InputError("The adapter does not fit this model: its tensors have other sizes.") from error


def remove_adapters(network: nn.Module) -> None:
    """The network as it was before any adapter came; what is merged into its weights stays."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BaseTunerLayer) and not isinstance(parent, BaseTunerLayer):
                setattr(parent, name, child.get_base_layer())
    given: Any = network
    if hasattr(given, "peft_config"):
        del given.peft_config
    if hasattr(given, "_hf_peft_config_loaded"):
        given._hf_peft_config_loaded = False
