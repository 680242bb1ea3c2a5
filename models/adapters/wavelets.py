"""The discrete wavelet transform along one axis, periodised, as PyWavelets has it, in differentiable sums of slices.

Its filters come from PyWavelets; its mode "periodization" is orthonormal, so that synthesis is analysis transposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from models.errors import InputError

WAVELETS = ("haar", "db2", "db4", "sym4")


@cache
def filters(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(low, high) filters of analysis. Raises InputError for another name than WAVELETS has."""
    import pywt

    if name not in WAVELETS:
        raise InputError(f"There is no wavelet {name!r} here; choose one of {', '.join(WAVELETS)}.")
    wavelet = pywt.Wavelet(name)
    return tuple(wavelet.dec_lo), tuple(wavelet.dec_hi)


def analyse(x: Tensor, name: str, dim: int) -> tuple[Tensor, Tensor]:
    """The low and the high half of `x` along `dim`, each of ceil(size / 2) numbers; an odd size gets a zero more."""
    phases = _phases(x.movedim(dim, -1))
    low, high = (_filtered(phases, taps) for taps in filters(name))
    return low.movedim(-1, dim), high.movedim(-1, dim)


def synthesise(low: Tensor, high: Tensor, name: str, dim: int, size: int) -> Tensor:
    """What `analyse` was given, `size` numbers along `dim`; the number that was added to an odd size is cut off."""
    low, high = low.movedim(dim, -1), high.movedim(dim, -1)
    taps = list(zip(*filters(name), strict=True))
    phases: list[Tensor | None] = [None, None]
    for j, (of_low, of_high) in enumerate(taps):
        steps, phase = divmod(len(taps) // 2 - j, 2)
        part = _rolled(of_low * low + of_high * high, steps)
        phases[phase] = part if (now := phases[phase]) is None else now + part
    assert phases[0] is not None and phases[1] is not None
    made = torch.stack([phases[0], phases[1]], dim=-1).flatten(-2)[..., :size]
    return made.movedim(-1, dim)


def taps(name: str, high: Sequence[bool], like: Tensor) -> Tensor:
    """(F, R) for `lift`: of each row the taps of its half, the high or the low one; kind and place as `like`'s."""
    return like.new_tensor([[pair[is_high] for is_high in high] for pair in zip(*filters(name), strict=True)])


def lift(rows: Tensor, taps: Tensor, size: int) -> Tensor:
    """Each row's half as what it stands for along the second axis, the other half being zero.

    (R, half, ...) -> (R, size, ...); taps: see there.
    """
    phases: list[Tensor | None] = [None, None]
    for j, scale in enumerate(taps.view(*taps.shape, *(1,) * (rows.dim() - 1))):
        steps, phase = divmod(len(taps) // 2 - j, 2)
        part = (scale * rows).roll(steps, 1) if steps else scale * rows
        phases[phase] = part if (now := phases[phase]) is None else now + part
    assert phases[0] is not None and phases[1] is not None
    return torch.stack([phases[0], phases[1]], dim=2).flatten(1, 2)[:, :size]


def half(size: int) -> int:
    """Numbers in each half."""
    return (size + 1) // 2


def _phases(x: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers at even and at odd places."""
    if x.shape[-1] % 2:
        x = torch.nn.functional.pad(x, (0, 1))
    return x[..., 0::2], x[..., 1::2]


def _filtered(phases: tuple[Tensor, Tensor], taps: tuple[float, ...]) -> Tensor:
    """sum over j of taps[j] x[(F / 2 + 2 k - j) mod N], for k from 0 to N / 2 - 1."""
    total: Tensor | None = None
    for j, tap in enumerate(taps):
        steps, phase = divmod(len(taps) // 2 - j, 2)
        part = tap * _rolled(phases[phase], -steps)
        total = part if total is None else total + part
    assert total is not None
    return total


def _rolled(x: Tensor, steps: int) -> Tensor:
    return x.roll(steps, -1) if steps else x
