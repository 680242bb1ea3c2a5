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


def load_network(
    path: str | Path,
    kind: str,
    make: Callable[..., Net],
    what: str,
    device: str | torch.device = "cpu",
    part: str | None = None,
) -> Net:
    """Read a network, ready for inference (eval, float32): `make(**config)` with the file's tensors.

    what: "a generator", for the sentence. part: read one submodule alone, `make(**config[part])` with the tensors
    `part.*`. Memory: that of the tensors, once. Raises InputError for a file that is missing, damaged, of another kind,
    without that part, or whose tensors are not those of the network.
    """
    path = Path(path)
    try:
        # "pread" reads into memory of our own: nothing is held open, and no file page is counted twice.
        with safe_open(path, framework="pt", backend="pread") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != kind:
                raise InputError(f"{path.name} is a safetensors file, but not of {what}.")
            net = _without_weights(path, make, _config(path, metadata, part))
            state = _read(file, "" if part is None else f"{part}.")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} can't be read as {what} ({error}); choose a .safetensors file.") from error
    try:
        net.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise InputError(
            f"{path.name} does not hold the tensors of {what} ({_first(error)}); make it again."
        ) from error
    return net.eval().requires_grad_(False).to(device)


def read_tensor(path: str | Path, name: str) -> torch.Tensor:
    """One tensor of a network file, floats as float32. Raises InputError if it is not there."""
    path = Path(path)
    try:
        with safe_open(path, framework="pt", backend="pread") as file:
            return _read(file, name)[""]
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(f"{path} can't be read ({error}); make it again.") from error


def _config(path: Path, metadata: dict[str, str], part: str | None) -> dict[str, Any]:
    try:
        config = json.loads(metadata["config"])
        chosen = config if part is None else config[part]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path.name} does not say how its network is built ({error}); make it again.") from error
    if not isinstance(chosen, dict):
        raise InputError(f"{path.name} has no {part or 'network'} in it; choose another file.")
    return chosen


def _without_weights(path: Path, make: Callable[..., Net], config: dict[str, Any]) -> Net:
    """The network as names and shapes alone: drawing weights that are replaced at once would take time and memory."""
    with torch.device("meta"):
        try:
            return make(**config)
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(f"{path.name} asks for a network that can't be built ({error}); make it again.") from error


def _read(file: safe_open, prefix: str) -> dict[str, torch.Tensor]:
    state = {}
    for name in list(file.keys()):
        if name.startswith(prefix):
            tensor = file.get_tensor(name)
            state[name.removeprefix(prefix)] = tensor.float() if tensor.is_floating_point() else tensor
    return state


def _first(error: RuntimeError) -> str:
    """The first finding of torch's list, which is long where a whole network differs."""
    lines = str(error).splitlines()
    return lines[min(1, len(lines) - 1)].strip()[:200]
