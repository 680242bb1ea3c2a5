"""Runs that fit into memory: a smaller batch first, then two passes in place of one, then decoding in tiles, and at
last each network on the device only while it works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from models.errors import DeviceError
from pipelines.generate.parts import Swap, choose_swap
from pipelines.generate.settings import GenerateSettings
from pipelines.runtime import is_out_of_memory, release_memory

T = TypeVar("T")
LARGEST_BATCH = 8


@dataclass(frozen=True)
class Fit:
    """How a run uses memory. batch: pictures side by side; split: prompt and no prompt in two passes; swap: which
    networks leave the device after use.
    """

    batch: int
    split: bool = False
    slicing: bool = False
    tiling: bool = False
    swap: Swap = "none"

    def smaller(self, device: torch.device) -> Fit | None:
        """The next thing to try when memory ran out; None when nothing is left."""
        if self.batch > 1:
            return replace(self, batch=self.batch // 2)
        if not self.split:
            return replace(self, split=True, slicing=True)
        if not self.tiling:
            return replace(self, tiling=True)
        # Where networks and pictures share one memory, moving gains nothing.
        return replace(self, swap="all") if device.type != "cpu" and self.swap != "all" else None


def first_fit(settings: GenerateSettings, pipe: Any, device: torch.device) -> Fit:
    """Where a run begins: "balanced" decodes pictures one by one, "low" does everything one by one."""
    memory, low = settings.memory, settings.memory == "low"
    wanted = min(settings.batch or (1 if low else LARGEST_BATCH), settings.count)
    slicing = settings.slicing or memory in ("balanced", "low")
    return Fit(wanted, low, slicing, settings.tiling or low, choose_swap(memory, pipe, device))


def fitting(work: Callable[[Fit], Iterator[T]], fit: Fit, device: torch.device) -> Iterator[tuple[Fit, T]]:
    """All that `work(fit)` yields; when memory runs out, again from the start with a smaller fit.

    Raises DeviceError when nothing smaller is left.
    """
    while True:
        try:
            for value in work(fit):
                yield fit, value
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the except block: only here is the traceback gone that kept the failed attempt's tensors alive.
        release_memory(device)
        smaller = fit.smaller(device)
        if smaller is None:
            raise DeviceError(
                "The device has too little memory for a picture of this size; make it smaller, close other programs, "
                "or run with --device cpu."
            )
        fit = smaller


def prepare(pipe: Any, fit: Fit) -> None:
    """Set the autoencoder's slicing and tiling as the fit says."""
    vae = pipe.vae
    for name, wanted in (("slicing", fit.slicing), ("tiling", fit.tiling)):
        switch = getattr(vae, f"{'enable' if wanted else 'disable'}_{name}", None)
        if switch is not None:
            switch()
