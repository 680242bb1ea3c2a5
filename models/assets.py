"""The data that ships with the app: where it lies, and how it is read.

Weights are safetensors files; beside `NAME.safetensors` lies its card `NAME.json`, which says what the file is,
how it was made, on what data, its measured quality, its licence and its sha256.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import EveryageError

if TYPE_CHECKING:
    import torch


def assets_dir() -> Path:
    """The folder `assets` beside `models/`, in a clone and in an installed copy alike."""
    return Path(__file__).resolve().parent.parent / "assets"


def asset_path(relative: str) -> Path:
    """The path of one file of the assets, such as "faces/yunet.safetensors".

    Raises EveryageError if it is not there.
    """
    path = assets_dir() / relative
    if not path.is_file():
        raise EveryageError(f"The file {path} that ships with the app is missing; install the app again.")
    return path


def load_tensors(relative: str) -> dict[str, torch.Tensor]:
    """The tensors of one safetensors file of the assets, on the CPU; floats of any width come as float32.

    Raises EveryageError if the file is missing or damaged.
    """
    from safetensors import SafetensorError  # here, so that reading a card does not load PyTorch
    from safetensors.torch import load_file

    path = asset_path(relative)
    try:
        stored = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise EveryageError(f"The file {path} is damaged ({error}); install the app again.") from error
    return {name: t.float() if t.is_floating_point() else t for name, t in stored.items()}


def read_card(relative: str) -> dict[str, Any]:
    """The JSON card of an asset; `relative` names the card itself or the safetensors file that it describes.

    Raises EveryageError if the card is missing or damaged.
    """
    path = asset_path(str(Path(relative).with_suffix(".json")))
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EveryageError(f"The card {path} is damaged ({error}); install the app again.") from error
    if not isinstance(card, dict):
        raise EveryageError(f"The card {path} is damaged (not a JSON object); install the app again.")
    return card
