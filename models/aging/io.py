"""Encoder files: safetensors with the constructor arguments in the header."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import InputError
from .encoder import AgeEncoder

FORMAT = "everyage-age-encoder"


def save_encoder(encoder: AgeEncoder, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write all parameters and statistics under SAM's names; floats are stored as `dtype`."""
    tensors = {
        name: value.detach().to("cpu", dtype if value.is_floating_point() else value.dtype).contiguous()
        for name, value in encoder.state_dict().items()
    }
    save_file(tensors, path, metadata={"format": FORMAT, "config": json.dumps(encoder.init_kwargs)})


def load_encoder(path: str | Path, device: str | torch.device = "cpu") -> AgeEncoder:
    """Read an encoder, ready for inference (eval, float32).

    Raises InputError for a file that is missing, damaged or of another kind.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise InputError(f"{path.name} is a safetensors file, but not of an age encoder.")
            encoder = AgeEncoder(**json.loads(metadata["config"]))
            state = {name: file.get_tensor(name) for name in list(file.keys())}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} can't be read as an age encoder ({error}); choose a .safetensors file.") from error
    encoder.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in state.items()})
    return encoder.eval().requires_grad_(False).to(device)
