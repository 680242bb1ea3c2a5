"""Generator files: safetensors with the constructor arguments in the header."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import InputError
from .generator import Generator

FORMAT = "everyage-stylegan2"


def save_generator(generator: Generator, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write all parameters and buffers under their published names; `dtype` is that of the stored numbers."""
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in generator.state_dict().items()}
    save_file(tensors, path, metadata={"format": FORMAT, "config": json.dumps(generator.init_kwargs)})


def load_generator(path: str | Path, device: str | torch.device = "cpu") -> Generator:
    """Read a generator from our safetensors form, ready for inference (eval, float32).

    Raises InputError for a file that is missing, damaged or of another kind.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise InputError(f"{path.name} is a safetensors file, but not of a StyleGAN2 generator.")
            generator = Generator(**json.loads(metadata["config"]))
            state = {name: file.get_tensor(name).float() for name in list(file.keys())}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} can't be read as a generator ({error}); choose a .safetensors file.") from error
    generator.load_state_dict(state)
    return generator.eval().requires_grad_(False).to(device)
