"""Random numbers that depend on a seed and a place alone: the same in any batch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF


def scramble(x: Tensor) -> Tensor:
    """Whole numbers (int64) to well mixed ones in 0..2^32-1 (Wellons' lowbias32)."""
    x = x & _WORD
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x.bitwise_xor_(x >> shift).mul_(factor).bitwise_and_(_WORD)
    return x.bitwise_xor_(x >> 16)


def unit(x: Tensor) -> Tensor:
    """Whole numbers to uniform float32 numbers in [0, 1)."""
    # 24 bits are what a float32 holds exactly: 1.0 itself can't come out.
    return scramble(x).bitwise_right_shift_(8).float().mul_(1 / (1 << 24))


def uniform(seeds: Tensor, stream: int, count: int) -> Tensor:
    """(N,) seeds to (N, count) numbers in [0, 1); another `stream` gives other numbers."""
    base = scramble(seeds * 7919 + stream)[:, None] << 20
    return unit(scramble(base >> 20) * 31 + torch.arange(count, device=seeds.device) * 0x9E3779B1)


def value_noise(points: Tensor, seeds: Tensor, frequency: float) -> Tensor:
    """Smooth noise of about -1..1 in space: points (..., 3), whole seeds that broadcast to (...,), waves a unit."""
    scaled = points * frequency
    cell = scaled.floor()
    part = scaled - cell
    part = part * part * (3 - 2 * part)
    corner = cell.long() & 0xFFFF
    total = torch.zeros_like(part[..., 0])
    base = scramble(seeds + 101)
    for x in (0, 1):
        column = scramble((corner[..., 0] + x) + base)
        share_x = part[..., 0] if x else 1 - part[..., 0]
        for y in (0, 1):
            row = scramble(column + (corner[..., 1] + y) * 0x3C6F)
            share_xy = share_x * (part[..., 1] if y else 1 - part[..., 1])
            for z in (0, 1):
                share = share_xy * (part[..., 2] if z else 1 - part[..., 2])
                total = total + share * unit(row + (corner[..., 2] + z) * 0x51ED)
    return total * 2 - 1


def smoothstep(low: float, high: float, x: Tensor) -> Tensor:
    """0 below `low`, 1 above `high`, smooth between; low > high gives a falling edge."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def smooth(low: float, high: float, x: float) -> float:
    """`smoothstep` of one number."""
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)
