"""An adapter as peft's folder: `adapter_config.json` beside `adapter_model.safetensors`, read without running anything.

The tensors bear the names that `PeftModel.from_pretrained` expects. What is read may come from strangers: settings that
would name code to import, or shapes out of all proportion, are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors.torch import load_file, save
from torch import Tensor

from models.errors import InputError
from models.header import read_header

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
TYPES = ("SARA", "WARA", "LORA", "OFT", "SHIRA", "WAVEFT", "SORSA", "SALT", "ALLORA")
"""The types that are read."""
PREFIXES = ("base_model.model.", "unet.", "transformer.")
"""What peft and diffusers put before the names."""
LARGEST = 100_000
"""Of the whole numbers among the settings; they are ranks and counts."""
# Settings of other people's training, and those that name modules to import.
_LEFT_OUT = {"auto_mapping", "runtime_config", "base_model_name_or_path", "revision", "task_type", "peft_type",
             "megatron_config", "megatron_core", "loftq_config", "eva_config", "corda_config", "lora_ga_config",
             "arrow_config", "aloralora_config", "modules_to_save", "inference_mode", "peft_version",
             "init_lora_weights"}  # fmt: skip
_PLAIN = re.compile(r"[\w.]{1,300}")


def adapter_files(config: PeftConfig, state: Mapping[str, Tensor], base: str) -> dict[str, bytes]:
    """The two files by name. base: the id of the model that the adapter belongs to."""
    settings = json.loads(json.dumps(config.to_dict(), default=_plain))
    kept = {name: value for name, value in settings.items() if name not in ("auto_mapping", "runtime_config")}
    kept |= {"base_model_name_or_path": base, "inference_mode": True}
    tensors = {f"{PREFIXES[0]}{name}": value.detach().cpu().contiguous() for name, value in state.items()}
    return {
        CONFIG: json.dumps(kept, indent=1, sort_keys=True).encode(),
        WEIGHTS: save(tensors, {"format": "pt"}),
    }


def read_adapter(folder: Path) -> tuple[PeftConfig, dict[str, Tensor]]:
    """(settings, tensors by the network's own names). Raises InputError for what is no adapter that can be read."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"The adapter folder {folder} has no {name}; give a folder that has both of its files.")
    read_header(folder / WEIGHTS)
    config = read_config((folder / CONFIG).read_bytes(), folder.name)
    return config, {_bare(name): value for name, value in load_file(folder / WEIGHTS).items()}


def read_config(text: bytes, what: str) -> PeftConfig:
    """The settings of an adapter that comes from anywhere; see `read_adapter`."""
    try:
        given = json.loads(text)
        kind = given["peft_type"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{CONFIG} of {what} is damaged; give another copy.") from error
    if kind not in TYPES:
        raise InputError(f"{what} is an adapter of the type {str(kind)[:40]}; those that are read: {', '.join(TYPES)}.")
    if str(given.get("init_lora_weights", "")).startswith(("pissa", "olora", "corda")):
        raise InputError(f"{what} changes its base while it is loaded; convert it to plain LoRA in its own program.")
    made: Any = PEFT_TYPE_TO_CONFIG_MAPPING[kind]
    known = {field.name for field in fields(made)} - _LEFT_OUT
    values = {name: value for name, value in given.items() if name in known and value is not None}
    for name, value in values.items():
        _check(name, value, what)
    try:
        config: PeftConfig = made(**values, inference_mode=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"{CONFIG} of {what} can't be used ({error}); give another copy.") from error
    config.base_model_name_or_path = str(given.get("base_model_name_or_path") or "")[:1000]
    return config


def _check(name: str, value: Any, what: str) -> None:
    """Raises InputError for a setting that is out of all proportion, or a pattern in place of a name."""
    parts = [value]
    if isinstance(value, dict):
        parts = [*value, *value.values()]
    elif isinstance(value, list):
        parts = value
    for part in parts:
        number = isinstance(part, int | float) and abs(part) <= LARGEST
        if not (number or isinstance(part, bool) or (isinstance(part, str) and _PLAIN.fullmatch(part))):
            raise InputError(f"{CONFIG} of {what} holds {str(part)[:60]!r} for {name}, which is not read.")


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else str(value)
