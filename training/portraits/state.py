"""Checkpoints of a training, and the running average of a network's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def load_checkpoint(path: Path, parts: dict[str, Any], seed: int) -> tuple[int, torch.Generator]:
    """Put the checkpoint into `parts` (modules and optimizers); (steps done, random generator). None there: a start."""
    generator = torch.Generator().manual_seed(seed)
    if not path.exists():
        return 0, generator
    saved = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    generator.set_state(saved["generator"])
    return int(saved["step"]), generator


def save_checkpoint(path: Path, parts: dict[str, Any], step: int, generator: torch.Generator) -> None:
    """Write the state of all `parts` after `step` steps, whole or not at all."""
    state = {name: part.state_dict() for name, part in parts.items()}
    temporary = path.with_suffix(".part")
    torch.save({**state, "step": step, "generator": generator.get_state()}, temporary)
    temporary.replace(path)


@torch.no_grad()
def average_into(average: torch.nn.Module, network: torch.nn.Module, kept: float) -> None:
    """average <- kept * average + (1 - kept) * network, for every weight."""
    for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(weight.detach(), 1 - kept)
