"""Small sets of weights added to a generator: SaRA, WaRA, SORSA, SALT and ALLoRA, as tuners of peft beside its own.

Importing this package makes their types known to peft; a process that loads such an adapter needs it.
peft's own methods and entry points are offered here too: it can be imported only once torchvision is made ready.
"""
# ruff: noqa: E402

from models.compat import ensure_torchvision

ensure_torchvision()

from peft import (
    LoraConfig,
    OFTConfig,
    PeftModel,
    ShiraConfig,
    WaveFTConfig,
    get_peft_model,
    inject_adapter_in_model,
)

from models.adapters.allora import AlloraConfig, AlloraModel
from models.adapters.files import adapter_files, read_adapter
from models.adapters.merging import lay_in, put_back
from models.adapters.salt import SaltConfig, SaltModel
from models.adapters.sara.config import SaraConfig
from models.adapters.sara.model import SaraModel
from models.adapters.sorsa import SorsaConfig, SorsaModel
from models.adapters.state import adapter_state, fill_adapter, remove_adapters
from models.adapters.tuner import register
from models.adapters.wara.config import WaraConfig
from models.adapters.wara.model import WaraModel

register("SARA", SaraConfig, SaraModel)
register("WARA", WaraConfig, WaraModel)
register("SORSA", SorsaConfig, SorsaModel)
register("SALT", SaltConfig, SaltModel)
register("ALLORA", AlloraConfig, AlloraModel)

__all__ = ["AlloraConfig", "LoraConfig", "OFTConfig", "PeftModel", "SaltConfig", "SaraConfig", "ShiraConfig",
           "SorsaConfig", "WaraConfig", "WaveFTConfig", "adapter_files", "adapter_state", "fill_adapter",
           "get_peft_model", "inject_adapter_in_model", "lay_in", "put_back", "read_adapter",
           "remove_adapters"]  # fmt: skip
