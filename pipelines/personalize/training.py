"""The loop: draws, losses, updates, and a state from which it goes on to the same weights, to the bit on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models.errors import DeviceError, EveryageError
from photos.files import write_atomically
from pipelines.runtime import is_out_of_memory, release_memory

from .method import Batch, Method, Setting

FORMAT = 1
SEEDS_APART = 1_000_003  # a prime: the draws of two seeds never meet


class Trainer:
    """One step after another. Every step draws from a generator of its own, so that a restart changes nothing.

    losses: the mean of each term at every step, times its weight. hardness: (sum, count) of the personal term of
    each face, by its place in the album.
    """

    def __init__(self, setting: Setting, method: Method, steps: int, seed: int):
        self.setting, self.method, self.steps, self.seed = setting, method, steps, seed
        self.optimizer = method.optimizer(setting.student)
        self.step = 0
        self.parts = 1
        self.losses: dict[str, list[float]] = {}
        self.hardness = [[0.0, 0.0] for _ in range(len(setting.album))]

    def train_step(self) -> dict[str, float]:
        """One update; returns the mean of each term.

        When memory runs out, the batch is taken in smaller parts, with the same gradients. Raises DeviceError if not
        even one sample fits, EveryageError if the losses are no numbers any more.
        """
        random = torch.Generator().manual_seed(self.seed * SEEDS_APART + self.step)
        batch = self.method.draw(self.setting.album, random).to(self.setting.nets.device)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self.method.rate(self.step / self.steps)
        figures = self._backward(batch)
        while figures is None:
            release_memory(self.setting.nets.device)
            if self.parts >= len(batch):
                raise DeviceError("The device has too little memory to learn a face; close other programs first.")
            self.parts *= 2
            figures = self._backward(batch)
        self.optimizer.step()
        self.step += 1
        for name, value in figures.items():
            self.losses.setdefault(name, []).append(value)
        return figures

    def _backward(self, batch: Batch) -> dict[str, float] | None:
        """Gradients of the whole batch, and each term's mean; None if memory ran out."""
        self.optimizer.zero_grad(set_to_none=True)
        figures: dict[str, float] = {}
        try:
            for part in batch.split(self.parts):
                for terms in self.method.losses(self.setting, part):
                    total = torch.stack([term.sum() for term in terms.values()]).sum() / len(batch)
                    if not torch.isfinite(total):
                        raise EveryageError(f"Training broke off at step {self.step}: the loss is no number any more.")
                    total.backward()
                    for name, term in terms.items():
                        figures[name] = figures.get(name, 0.0) + term.detach().sum().item() / len(batch)
                    if "personal" in terms:
                        self._note(part, terms["personal"].detach())
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        return figures

    def _note(self, part: Batch, personal: torch.Tensor) -> None:
        """How hard each face is in the first half of the training, when good photos are learnt and others not yet."""
        if self.step > self.steps / 2:
            return
        for place, value in zip(part.places.tolist(), personal.tolist(), strict=True):
            entry = self.hardness[place % len(self.setting.album)]
            entry[0] += value
            entry[1] += 1

    def early_losses(self) -> dict[int, float]:
        """The mean personal loss of each face that was drawn, by its number in the collection."""
        ids = self.setting.album.ids
        return {id: total / count for id, (total, count) in zip(ids, self.hardness, strict=True) if count}

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs."""
        return {
            "step": self.step,
            "learnt": self.setting.student.learnt(),
            "optimizer": self.optimizer.state_dict(),
            "losses": self.losses,
            "hardness": self.hardness,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.step, self.losses, self.hardness = state["step"], state["losses"], state["hardness"]
        self.setting.student.load_state_dict(state["learnt"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])


def save_state(state: dict[str, Any], path: Path) -> None:
    """Whole or not at all."""
    write_atomically(path, lambda file: torch.save(state | {"format": FORMAT}, file))


def load_state(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state in a file; None if there is none, or none that this version can read."""
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError):
        return None
    return state if isinstance(state, dict) and state.get("format") == FORMAT else None
