"""Runs that fit into memory: a smaller batch first, then two passes in place of one, then decoding in tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from models.errors import DeviceError
from pipelines.runtime import is_out_of_memory, release_memory

T = TypeVar("T")
LARGEST_BATCH = 8


@dataclass(frozen=True)
class Fit:
    """How a run uses memory. batch: pictures side by side; split: prompt and no prompt in two passes."""

    batch: int
    split: bool = False
    slicing: bool = False
    tiling: bool = False

    def smaller(self) -> Fit | None:
        """The next thing to try when memory ran out; None when nothing is left."""
        if self.batch > 1:
            return replace(self, batch=self.batch // 2)
        if not self.split:
            return replace(self, split=True, slicing=True)
        return None if self.tiling else replace(self, tiling=True)


def first_fit(memory: str, batch: int | None, count: int, slicing: bool, tiling: bool) -> Fit:
    """Where a run begins: "balanced" decodes pictures one by one, "low" does everything one by one."""
    wanted = min(batch or (1 if memory == "low" else LARGEST_BATCH), count)
    low = memory == "low"
    return Fit(wanted, split=low, slicing=slicing or memory in ("balanced", "low"), tiling=tiling or low)


def fitting(work: Callable[[Fit], Iterator[T]], fit: Fit, device: Any) -> Iterator[tuple[Fit, T]]:
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
        smaller = fit.smaller()
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
