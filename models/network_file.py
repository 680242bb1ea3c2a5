"""Our own network files: safetensors with the kind of network and its constructor arguments in the header."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from .errors import InputError

Net = TypeVar("Net", bound=nn.Module)


def save_network(net: nn.Module, config: dict[str, Any], path: Path, kind: str, dtype: torch.dtype) -> None:
    """Write all parameters and buffers under their names; floats are stored as `dtype`."""
    tensors = {
        name: value.detach().to("cpu", dtype if value.is_floating_point() else value.dtype).contiguous()
        for name, value in net.state_dict().items()
    }
    save_file(tensors, path, metadata={"format": kind, "config": json.dumps(config)})


def load_network(path: str | Path, kind: str, make: Callable[..., Net], what: str, device: str | torch.device) -> Net:
    """Read a network, ready for inference (eval, float32): `make(**config)` with the file's tensors.

    what: "a generator", for the sentence. Raises InputError for a file that is missing, damaged or of another kind.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != kind:
                raise InputError(f"{path.name} is a safetensors file, but not of {what}.")
            net = make(**json.loads(metadata["config"]))
            state = {name: file.get_tensor(name) for name in list(file.keys())}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} can't be read as {what} ({error}); choose a .safetensors file.") from error
    net.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in state.items()})
    return net.eval().requires_grad_(False).to(device)
