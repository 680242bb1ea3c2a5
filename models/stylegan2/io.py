"""Generator files: our safetensors form, and the published ones through `models.foreign`."""

from __future__ import annotations

from pathlib import Path

import torch

from ..foreign import converted
from ..foreign.record import GENERATOR, KINDS, SAM
from ..header import read_header
from ..network_file import load_network, save_network
from .generator import Generator


def save_generator(generator: Generator, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write all parameters and buffers under their published names; floats are stored as `dtype`."""
    save_network(generator, generator.init_kwargs, path, GENERATOR, dtype)


def load_generator(path: str | Path, device: str | torch.device = "cpu", cache: Path | None = None) -> Generator:
    """Read a generator, ready for inference (eval, float32).

    path: our safetensors; an NVIDIA .pkl (its G_ema); a rosinality .pt; a SAM, pSp or MyTimeMachine file (its
    decoder). Foreign files are never executed, see `models.foreign`. cache: a folder that keeps what was
    converted, so that the next call is quick; without it a foreign file is converted each time.
    Raises InputError for a file that holds no generator.
    """
    with converted(path, cache) as safe:
        if read_header(safe).kind == SAM:
            return load_network(safe, SAM, Generator, KINDS[SAM], device, part="decoder")
        return load_network(safe, GENERATOR, Generator, KINDS[GENERATOR], device)
