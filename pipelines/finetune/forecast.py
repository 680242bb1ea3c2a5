"""How much memory a training will need, counted before it starts, on a copy of the network without numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.errors import InputError
from pipelines.finetune.buckets import bucket_sizes
from pipelines.finetune.methods import budget_of
from pipelines.finetune.settings import FinetuneSettings
from pipelines.generate.families.base import Family
from pipelines.pool import model_bytes

GIB = 1024**3
SPARE = 0.6 * GIB
"""What PyTorch and the device's own libraries take beside the tensors."""
STATE = 16
"""Bytes a trained weight: itself, its gradient and two averages of the optimizer, float32."""


@dataclass(frozen=True)
class Forecast:
    """Bytes by what they are for. free: of the device now. trainable: about how many weights are trained."""

    weights: int
    training: int
    pictures: int
    free: int
    trainable: int

    @property
    def needed(self) -> int:
        return int(self.weights + self.training + self.pictures + SPARE)

    @property
    def fits(self) -> bool:
        return self.needed <= self.free

    def sentence(self) -> str:
        """ "Needs about 9.0 GB; 8.0 GB are free." """
        return f"Needs about {self.needed / GIB:.1f} GB; {self.free / GIB:.1f} GB are free."


def forecast(family: Family, settings: FinetuneSettings, device: torch.device) -> Forecast:
    """For this model, these settings and this device, within about a fifth."""
    trainable = budget_of(family.network, settings.strength)
    parts = [part for part in family.pipe.components.values() if isinstance(part, torch.nn.Module)]
    weights = sum(model_bytes(part) for part in parts)
    largest = max((p.numel() for p in family.network.parameters()), default=0)
    state = trainable * (STATE - 6 * (settings.optimizer == "adamw8bit")) + 4 * trainable * (settings.ema > 0)
    # One dense gradient at a time: what a sparse method needs of it is taken out at once.
    training = state + 4 * largest
    return Forecast(weights, training, picture_bytes(family, settings), free_memory(device), trainable)


def advice(told: Forecast, settings: FinetuneSettings) -> str:
    """What to change so that it fits, as a sentence; empty where it does."""
    if told.fits:
        return ""
    if not settings.checkpointing:
        return "Switch gradient checkpointing on: slower, and much of the pictures' share is not held."
    if settings.batch > 1:
        return f"Take a batch of {settings.batch // 2} and twice as many batches a step: the result stays the same."
    return "Take smaller pictures, or a smaller model."


def picture_bytes(family: Family, settings: FinetuneSettings) -> int:
    """What the network keeps of a batch for the way back."""
    whole, largest_block, inputs = _activations(family, settings)
    return inputs + largest_block if settings.checkpointing else whole


def free_memory(device: torch.device) -> int:
    """Bytes that are free on the device; for the CPU what the system would give."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    import psutil

    return int(psutil.virtual_memory().available)


def _activations(family: Family, settings: FinetuneSettings) -> tuple[int, int, int]:
    """(bytes of all, of the largest block, of the blocks' inputs), from a pass without numbers."""
    network: Any = family.network
    with torch.device("meta"):
        empty = type(network).from_config(network.config).to(network.dtype)
    empty.train()
    count = _Count(empty)
    side = settings.side or min(family.own_size)
    width, height = max(
        bucket_sizes(max(side // family.multiple, 1) * family.multiple, family.multiple), key=lambda s: s[0] * s[1]
    )
    told, _ = family.encode([""], [""], (width, height))
    shape = (settings.batch, family.channels, height // family.factor, width // family.factor)
    family.sized((width, height))
    stand_in = _StandIn(family, empty)
    try:
        with count, torch.autograd.graph.saved_tensors_hooks(count.saved, lambda kept: kept):
            given = family.pack(torch.empty(shape, device="meta", dtype=network.dtype))
            rows = {name: _rows(value, settings.batch) for name, value in told.items()}
            stand_in.predict(given, torch.zeros(settings.batch, device="meta"), rows)
    except Exception as error:
        raise InputError(f"How much memory this model needs can't be counted ({type(error).__name__}).") from error
    return count.total, count.largest, count.inputs


class _StandIn:
    """The family's prediction by another network of the same form, for the block."""

    def __init__(self, family: Family, network: Any) -> None:
        self.family, self.network = family, network

    def predict(self, x: Tensor, time: Tensor, texts: Mapping[str, Tensor]) -> None:
        pipe, name = self.family.pipe, self.family.network_name
        own = getattr(pipe, name)
        setattr(pipe, name, self.network)
        try:
            self.family.predict(x, time, dict(texts))
        finally:
            setattr(pipe, name, own)


def _rows(value: Tensor, count: int) -> Tensor:
    return torch.empty((count, *value.shape[1:]), device="meta", dtype=value.dtype)


class _Count:
    """Bytes of what autograd keeps, weights left out, each storage once; by block of the network, too."""

    def __init__(self, network: Any) -> None:
        self.total = self.largest = self.inputs = 0
        held = [p.untyped_storage() for p in network.parameters()]
        self._seen: dict[int, Any] = {storage._cdata: storage for storage in held}
        self._block = 0
        self._blocks = [
            m for n, m in network.named_modules()
            if n.rpartition(".")[0].rpartition(".")[2] in ("resnets", "attentions", "transformer_blocks")
            or type(m).__name__.endswith("TransformerBlock")
        ]  # fmt: skip
        self._handles: list[Any] = []

    def __enter__(self) -> _Count:
        for block in self._blocks:
            self._handles.append(block.register_forward_pre_hook(self._begin, with_kwargs=True))
            self._handles.append(block.register_forward_hook(self._end))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def saved(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen[storage._cdata] = storage  # held, so that no other one gets its number
            self.total += storage.nbytes()
            self._block += storage.nbytes()
        return tensor

    def _begin(self, _: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._block = 0
        self.inputs += sum(t.numel() * t.element_size() for t in given[:1] if isinstance(t, Tensor))

    def _end(self, *_: Any) -> None:
        self.largest = max(self.largest, self._block)
