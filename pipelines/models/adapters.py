"""Adapters of text-to-image models, as the store keeps them: peft's folders, and LoRA files of other programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from models.errors import InputError
from models.header import Header, read_header

CONFIG, WEIGHTS, CARD = "adapter_config.json", "adapter_model.safetensors", "card.json"
PREVIEWS = (".png", ".webp", ".jpg")
FOLDER_KIND, FILE_KIND = "adapter", "lora-file"
MOST = 64
"""Files of a folder that are taken along; pictures of what the adapter does beside its own."""
# How LoRA files name their halves: kohya's, peft's and diffusers' older ones.
_HALVES = (".lora_down.weight", ".lora_up.weight", ".lora_A.weight", ".lora_B.weight", ".lora.down.weight",
           ".lora.up.weight")  # fmt: skip


def is_adapter(folder: Path) -> bool:
    """Whether this is a folder of peft's form."""
    return (folder / CONFIG).is_file()


def is_lora(header: Header) -> bool:
    """Whether a safetensors file holds nothing but a LoRA, or its kin with full differences beside it."""
    halves = [name for name in header.shapes if name.endswith(_HALVES)]
    return bool(halves) and 2 * len(halves) >= len(header.shapes) / 2


def adapter_names(folder: Path) -> list[str]:
    """The files to take: settings, weights, card and previews. Raises InputError for a folder that has not both."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"The adapter folder {folder.name} has no {name}; give a whole one.")
    read_header(folder / WEIGHTS)
    return [CONFIG, WEIGHTS, *sorted(_beside(folder))[: MOST - 2]]


def described(folder: Path) -> tuple[str, ...]:
    """What the adapter is, for the record: its method and the model that it was made for."""
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        kind, base = str(config["peft_type"])[:40], str(config.get("base_model_name_or_path") or "")[:200]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{CONFIG} of {folder.name} is damaged; give another copy.") from error
    return (kind, f"for {base}") if base else (kind,)


def _beside(folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        if path.is_file() and (path.name == CARD or path.suffix.lower() in PREVIEWS):
            yield path.name
