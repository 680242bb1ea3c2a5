"""One generator under two sets of names: NVIDIA's, which are ours, and rosinality's, which SAM and pSp use.

The two differ in names and in dimensions of size 1 alone: nothing is flipped, transposed or scaled (checked by
pictures in the tests). Constants of one side that the other lacks are rebuilt.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..stylegan2.ops import fir_kernel, lrelu_gain, normalise_2nd_moment
from .refusal import Refused, shown

NOISE_SEED = 0
W_SAMPLES = 10_000
MAX_STEPS = 10  # from 4 to 4096 px


@dataclass(frozen=True)
class Pair:
    """One tensor's two names; rosinality's has `lead` dimensions of size 1 before NVIDIA's shape and `trail` behind."""

    nvidia: str
    rosinality: str
    lead: int = 0
    trail: int = 0

    def to_nvidia(self, tensor: Tensor) -> Tensor:
        end = tensor.dim() - self.trail
        if tensor.dim() < self.lead + self.trail or {*tensor.shape[: self.lead], *tensor.shape[end:]} - {1}:
            raise Refused(f"holds {self.rosinality} in the shape {tuple(tensor.shape)}, which no such generator has")
        return tensor.reshape(tensor.shape[self.lead : end])

    def to_rosinality(self, tensor: Tensor) -> Tensor:
        return tensor.reshape((1,) * self.lead + tuple(tensor.shape) + (1,) * self.trail)


def pairs(resolution: int, mapping_layers: int) -> Iterator[Pair]:
    """All tensors that both sides have, for a generator of this size."""
    for index in range(mapping_layers):
        for part in ("weight", "bias"):
            yield Pair(f"mapping.fc{index}.{part}", f"style.{index + 1}.{part}")
    yield Pair("synthesis.b4.const", "input.input", lead=1)
    yield from _conv("synthesis.b4.conv1", "conv1", 0)
    yield from _to_rgb("synthesis.b4.torgb", "to_rgb1")
    for step in range(int(math.log2(resolution)) - 2):
        block = f"synthesis.b{8 << step}"
        yield from _conv(f"{block}.conv0", f"convs.{2 * step}", 2 * step + 1)
        yield from _conv(f"{block}.conv1", f"convs.{2 * step + 1}", 2 * step + 2)
        yield from _to_rgb(f"{block}.torgb", f"to_rgbs.{step}")


def _modulated(nvidia: str, rosinality: str) -> Iterator[Pair]:
    yield Pair(f"{nvidia}.weight", f"{rosinality}.conv.weight", lead=1)
    for part in ("weight", "bias"):
        yield Pair(f"{nvidia}.affine.{part}", f"{rosinality}.conv.modulation.{part}")


def _conv(nvidia: str, rosinality: str, noise: int) -> Iterator[Pair]:
    yield from _modulated(nvidia, rosinality)
    yield Pair(f"{nvidia}.bias", f"{rosinality}.activate.bias")
    yield Pair(f"{nvidia}.noise_strength", f"{rosinality}.noise.weight", lead=1)
    yield Pair(f"{nvidia}.noise_const", f"noises.noise_{noise}", lead=2)


def _to_rgb(nvidia: str, rosinality: str) -> Iterator[Pair]:
    yield from _modulated(nvidia, rosinality)
    yield Pair(f"{nvidia}.bias", f"{rosinality}.bias", lead=1, trail=2)


def from_rosinality(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """rosinality's `g_ema` to NVIDIA's names, all but `mapping.w_avg`; most results are views of what came in.

    Raises Refused for tensors that are missing, too many or of another number of dimensions.
    """
    layers = _count(state, r"style\.\d+\.weight")
    resolution = 4 << min(_count(state, r"convs\.\d+\.conv\.weight") // 2, MAX_STEPS)
    table = list(pairs(resolution, layers))
    wanted = {pair.rosinality for pair in table}
    missing = sorted(name for name in wanted - state.keys() if not name.startswith("noises."))
    extra = sorted(name for name in state.keys() - wanted if not name.endswith(".kernel"))
    if missing or extra:
        raise Refused(f"holds a generator with other tensors: {_differences(missing, extra)}")
    for name in state.keys() - wanted:
        check_filter(name, state[name] / 4)
    new = {pair.nvidia: pair.to_nvidia(state[pair.rosinality]) for pair in table if pair.rosinality in state}
    add_constants(new, resolution)
    return new


def to_rosinality(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """NVIDIA's names to rosinality's `g_ema`; `mapping.w_avg` is what its files keep beside, as `latent_avg`."""
    resolution = max(int(match[1]) for name in state if (match := re.match(r"synthesis\.b(\d+)\.", name)))
    new = {
        pair.rosinality: pair.to_rosinality(state[pair.nvidia])
        for pair in pairs(resolution, _count(state, r"mapping\.fc\d+\.weight"))
    }
    for step in range(int(math.log2(resolution)) - 2):
        for name in (f"convs.{2 * step}.conv.blur.kernel", f"to_rgbs.{step}.upsample.kernel"):
            new[name] = fir_kernel() * 4
    return new


def add_constants(state: dict[str, Tensor], resolution: int) -> None:
    """Put in what NVIDIA's files keep and others may lack: the FIR filter, and fixed noise, drawn from a fixed seed."""
    random = torch.Generator().manual_seed(NOISE_SEED)
    for size in (4 << step for step in range(int(math.log2(resolution)) - 1)):
        block = f"synthesis.b{size}"
        layers = [f"{block}.conv1"] if size == 4 else [f"{block}.conv0", f"{block}.conv1"]
        for name in (f"{each}.resample_filter" for each in (block, *layers)):
            check_filter(name, state.setdefault(name, fir_kernel()))
        for name in (f"{each}.noise_const" for each in layers):
            if name not in state:
                state[name] = torch.randn(size, size, generator=random)


def check_filter(name: str, kernel: Tensor) -> None:
    """Raises Refused for a resampling filter other than [1, 3, 3, 1], the only one that our generator has."""
    if kernel.shape != (4, 4) or not torch.allclose(kernel.float(), fir_kernel(), atol=1e-3):
        raise Refused(f"holds a generator with another resampling filter ({name})")


def mean_w(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> Tensor:
    """The mean of w over 10,000 random z, (w_dim,), from a mapping network under NVIDIA's names; always the same.

    rosinality's trainer stores none, and its own scripts compute it so. Raises Refused for a network with labels.
    """
    if config["c_dim"]:
        raise Refused("holds a generator with labels, but no mean of w")
    random = torch.Generator().manual_seed(NOISE_SEED)
    x = normalise_2nd_moment(torch.randn(W_SAMPLES, config["z_dim"], generator=random))
    for index in range(config["mapping_layers"]):
        weight, bias = (state[f"mapping.fc{index}.{part}"].float() for part in ("weight", "bias"))
        x = F.linear(x, weight * (0.01 / math.sqrt(weight.shape[1])), bias * 0.01)
        x = lrelu_gain(x)
    return x.mean(dim=0)


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in state)


def _differences(missing: list[str], extra: list[str]) -> str:
    found = ((missing, "missing"), (extra, "unknown"))
    return ", ".join(f"{len(names)} {what} ({shown(names[0])})" for names, what in found if names)
