"""The shared layer under all pipelines: device, number type, loaded models, random numbers, memory back-off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from models.errors import DeviceError
from pipelines.pool import ModelPool
from pipelines.settings import Settings

T = TypeVar("T")
GIB = 1024**3
OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "alloc_failed",
    "hiperroroutofmemory",
)


class Runtime:
    """Where the networks run. `device` and `dtype` hold for the whole session; `pool` holds the loaded models."""

    def __init__(self, settings: Settings) -> None:
        """Raises DeviceError if the device that was asked for is not there."""
        self.settings = settings
        self.device = choose_device(settings.device)
        self.dtype = choose_dtype(settings.dtype, self.device)
        budget = settings.memory_gb * GIB if settings.memory_gb else device_memory(self.device) / 2
        self.pool = ModelPool(int(budget), settings.idle_unload_s, on_unload=lambda: release_memory(self.device))

    def generator(self, seed: int) -> torch.Generator:
        """A fresh random generator on the device; the global random state is never touched."""
        return torch.Generator(device=self.device).manual_seed(seed)


def choose_device(name: str) -> torch.device:
    """ "auto", "cpu", "mps", "cuda" or "cuda:N" as a device.

    A device that was asked for and is missing raises DeviceError: a silent run on the CPU would take an hour where a
    minute was expected.
    """
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    apple = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda", 0) if cards else torch.device("mps" if apple else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        index = device.index or 0
        if index >= cards:
            found = f"{cards} CUDA device{'' if cards == 1 else 's'} found"
            raise DeviceError(f"The device {name} is not here ({found}); choose --device cpu or auto.")
        return torch.device("cuda", index)
    if device.type == "mps" and not apple:
        raise DeviceError("The device mps is not here (it needs a Mac); choose --device cpu or auto.")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number type for large networks: "auto" is float32 except on CUDA, where half the width suffices."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def device_memory(device: torch.device) -> int:
    """Total memory of the device in bytes; the machine's own for the CPU and for Macs."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    import psutil

    return int(psutil.virtual_memory().total)


def release_memory(device: torch.device) -> None:
    """Give cached blocks of freed tensors back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out; drivers say so in plain RuntimeErrors, too."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in OUT_OF_MEMORY)


def with_backoff(work: Callable[[int], T], batch: int) -> T:
    """`work(batch)`, with the batch halved (rounded down) each time memory runs out.

    Raises DeviceError when not even a batch of 1 fits, ValueError for a batch below 1; other errors pass through.
    """
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    while True:
        try:
            return work(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Only here, outside the except block, is the traceback gone that kept the failed attempt's tensors alive.
        for kind in ("cuda", "mps"):
            if getattr(torch, kind).is_available():
                release_memory(torch.device(kind))
        if batch == 1:
            raise DeviceError(
                "The device has too little memory for this work; close other programs, choose a smaller photo, "
                "or run with --device cpu."
            )
        batch //= 2
