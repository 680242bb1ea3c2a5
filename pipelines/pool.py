"""Loaded models: each is loaded once, shared, and dropped when memory is short or nobody has used it for a while."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import nn

T = TypeVar("T")


def model_bytes(model: object) -> int:
    """Bytes of all parameters and buffers in a module, a tensor, or a dict, list or tuple of them."""
    if isinstance(model, torch.Tensor):
        return model.numel() * model.element_size()
    if isinstance(model, nn.Module):
        return sum(model_bytes(t) for t in (*model.parameters(), *model.buffers()))
    if isinstance(model, dict):
        return sum(model_bytes(part) for part in model.values())
    if isinstance(model, list | tuple):
        return sum(model_bytes(part) for part in model)
    return 0


@dataclass
class _Slot:
    """One key of the pool. `loading` is held while the model is read, so that two threads read it once."""

    loading: threading.Lock = field(default_factory=threading.Lock)
    model: Any = None
    loaded: bool = False
    size: int = 0
    users: int = 0
    last_used: float = 0.0


class ModelPool:
    """Least recently used models go first when the budget is passed; models in `use` stay.

    The budget counts parameters and buffers. One model larger than the whole budget is still loaded, alone.
    Thread-safe: different models load side by side, the same model loads once.
    """

    def __init__(
        self,
        budget_bytes: int,
        idle_seconds: float = 600,
        clock: Callable[[], float] = time.monotonic,
        on_unload: Callable[[], None] = lambda: None,
    ) -> None:
        self._budget, self._idle, self._clock, self._on_unload = budget_bytes, idle_seconds, clock, on_unload
        self._slots: OrderedDict[Hashable, _Slot] = OrderedDict()  # least recently used first
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def get(self, key: Hashable, loader: Callable[[], T]) -> T:
        """The model of this key, from `loader()` if it is not loaded. What loader raises passes through."""
        with self.use(key, loader) as model:
            return model

    @contextmanager
    def use(self, key: Hashable, loader: Callable[[], T]) -> Iterator[T]:
        """As `get`, and the model is not dropped from the pool inside the `with` block."""
        slot = self._enter(key)
        try:
            with slot.loading:
                if not slot.loaded:
                    slot.model = loader()
                    slot.size = model_bytes(slot.model)
                    slot.loaded = True
            self.sweep()
            yield slot.model
        finally:
            self._leave(key, slot)

    def sweep(self) -> None:
        """Drop idle models, then the least recently used ones until the rest fits the budget."""
        now = self._clock()
        with self._lock:
            free = [key for key, slot in self._slots.items() if slot.loaded and not slot.users]
            idle = [key for key in free if now - self._slots[key].last_used >= self._idle]
            for key in idle:
                del self._slots[key]
            dropped = len(idle) + self._shrink([key for key in free if key not in idle])
        if dropped:
            self._on_unload()

    def _shrink(self, free: list[Hashable]) -> int:
        dropped, held = 0, sum(slot.size for slot in self._slots.values())
        newest = next(reversed(self._slots), None)
        for key in free:
            if held <= self._budget:
                break
            if key == newest:
                continue  # else a model larger than the budget would be read again at each use
            held -= self._slots.pop(key).size
            dropped += 1
        return dropped

    def clear(self) -> None:
        """Drop every model that is not in use."""
        with self._lock:
            for key in [key for key, slot in self._slots.items() if not slot.users]:
                del self._slots[key]
        self._on_unload()

    @property
    def held_bytes(self) -> int:
        """Bytes of all loaded models."""
        with self._lock:
            return sum(slot.size for slot in self._slots.values())

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._slots and self._slots[key].loaded

    def _enter(self, key: Hashable) -> _Slot:
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            slot.users += 1
            return slot

    def _leave(self, key: Hashable, slot: _Slot) -> None:
        with self._lock:
            slot.users -= 1
            slot.last_used = self._clock()
            if not slot.loaded and not slot.users and self._slots.get(key) is slot:
                del self._slots[key]  # its loader failed
        self.sweep()
        self._wake_later()

    def _wake_later(self) -> None:
        """Have a thread look again when the first model may have become idle; one timer at a time."""
        with self._lock:
            if self._slots and (self._timer is None or not self._timer.is_alive()):
                self._timer = threading.Timer(self._idle + 0.05, self._on_timer)
                self._timer.daemon = True
                self._timer.start()

    def _on_timer(self) -> None:
        with self._lock:
            self._timer = None
        self.sweep()
        self._wake_later()
