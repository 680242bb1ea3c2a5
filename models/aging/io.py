"""Encoder files."""

from __future__ import annotations

from pathlib import Path

import torch

from ..network_file import load_network, save_network
from .encoder import AgeEncoder

KIND = "everyage-age-encoder"


def save_encoder(encoder: AgeEncoder, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write all parameters and statistics under SAM's names; floats are stored as `dtype`."""
    save_network(encoder, encoder.init_kwargs, path, KIND, dtype)


def load_encoder(path: str | Path, device: str | torch.device = "cpu") -> AgeEncoder:
    """Read an encoder, ready for inference. Raises InputError for a file that is none."""
    return load_network(path, KIND, AgeEncoder, "an age encoder", device)
