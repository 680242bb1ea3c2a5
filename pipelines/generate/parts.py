"""Where a pipeline's networks lie: all on the device, or each there only while it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from pipelines.pool import model_bytes

Swap = Literal["none", "text", "all"]
"""What leaves the device after use: nothing, the text encoders, or each network."""
Group = Literal["text", "network", "vae"]

RESERVE = 3 * 1024**3
"""Bytes that a run itself may need beside the weights."""
_STAYS: dict[Swap, tuple[Group, ...]] = {"none": ("text", "network", "vae"), "text": ("network", "vae"), "all": ()}


class Parts:
    """The networks of one pipeline, in three groups, on `device` inside `using` and wherever `swap` says outside."""

    def __init__(self, pipe: Any, device: torch.device, swap: Swap = "none") -> None:
        self.device, self.swap = device, swap
        self.groups = grouped(pipe)
        for group in set(self.groups) - set(_STAYS[swap]):
            self._move(group, torch.device("cpu"))  # an earlier run may have left it on the device

    @contextmanager
    def using(self, group: Group) -> Iterator[None]:
        """The group is on the device inside the block."""
        self.bring(group)
        try:
            yield
        finally:
            if group not in _STAYS[self.swap]:
                self._move(group, torch.device("cpu"))

    def bring(self, group: Group) -> None:
        """The group is on the device from now on."""
        self._move(group, self.device)

    def _move(self, group: Group, device: torch.device) -> None:
        for part in self.groups.get(group, ()):
            if not _is_on(part, device):
                part.to(device)


def grouped(pipe: Any) -> dict[Group, list[nn.Module]]:
    """The networks of a pipeline by what they are for; those that no run uses are in none."""
    found: dict[Group, list[nn.Module]] = {}
    for name, part in pipe.components.items():
        if isinstance(part, nn.Module):
            if name.startswith("text_encoder"):
                found.setdefault("text", []).append(part)
            elif name in ("unet", "transformer"):
                found.setdefault("network", []).append(part)
            elif name == "vae":
                found.setdefault("vae", []).append(part)
    return found


def choose_swap(memory: str, pipe: Any, device: torch.device, free: int | None = None) -> Swap:
    """What is to leave the device after use. free: bytes that the device has left, None: as it says.

    Only CUDA devices have a memory of their own; elsewhere moving would gain nothing.
    """
    if device.type != "cuda" or memory == "fast":
        return "none"
    if memory != "auto":
        return "all" if memory == "low" else "text"
    sizes = {group: model_bytes(parts) for group, parts in grouped(pipe).items()}
    if free is None:
        here = [part for parts in grouped(pipe).values() for part in parts if _is_on(part, device)]
        free = torch.cuda.mem_get_info(device)[0] + model_bytes(here)
    if sum(sizes.values()) + RESERVE <= free:
        return "none"
    return "text" if sum(sizes.values()) - sizes.get("text", 0) + RESERVE <= free else "all"


def _is_on(part: nn.Module, device: torch.device) -> bool:
    first = next(part.parameters(), None)
    return first is not None and first.device == device
