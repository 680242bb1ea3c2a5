"""Generator files."""

from __future__ import annotations

from pathlib import Path

import torch

from ..network_file import load_network, save_network
from .generator import Generator

KIND = "everyage-stylegan2"


def save_generator(generator: Generator, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write all parameters and buffers under their published names; floats are stored as `dtype`."""
    save_network(generator, generator.init_kwargs, path, KIND, dtype)


def load_generator(path: str | Path, device: str | torch.device = "cpu") -> Generator:
    """Read a generator from our safetensors form, ready for inference. Raises InputError for a file that is none."""
    return load_network(path, KIND, Generator, "a StyleGAN2 generator", device)
