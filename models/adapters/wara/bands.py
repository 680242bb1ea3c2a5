"""The update in its sub-bands: names and sizes, the dense update, and its factors.

A band is named by its axes' halves, output first, and its level: "LH1" are the low rows and the high columns of the
first level. Only the last level has an LL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from models.adapters.wavelets import half, lift, synthesise, taps

Bands = Mapping[str, Tensor]
"""Name of a band -> its block (rows, columns, ...) of the update's transform."""


def sizes(size: int, levels: int) -> list[int]:
    """Numbers along an axis before the first level, after it, after the second, ...

    Raises ValueError where nothing is left to halve.
    """
    found = [size]
    for _ in range(levels):
        if found[-1] < 2:
            raise ValueError(f"{levels} levels of a wavelet do not fit {size} channels; use fewer.")
        found.append(half(found[-1]))
    return found


def names(levels: int) -> list[str]:
    """The bands, the finest level first."""
    return [f"{band}{level}" for level in range(1, levels + 1) for band in ("LH", "HL", "HH")] + [f"LL{levels}"]


def dense(bands: Bands, wavelet: str, rows: Sequence[int], columns: Sequence[int]) -> Tensor:
    """The update (rows, columns, ...): the inverse transform over its first two axes. Missing bands are zero."""
    levels = len(rows) - 1
    low = bands.get(f"LL{levels}")
    for level in range(levels, 0, -1):
        blocks = {"LL": low, **{band: bands.get(f"{band}{level}") for band in ("LH", "HL", "HH")}}
        zero = next(block for block in blocks.values() if block is not None).new_zeros(())
        ll, lh, hl, hh = (zero if blocks[b] is None else blocks[b] for b in ("LL", "LH", "HL", "HH"))
        shape = next(block.shape for block in blocks.values() if block is not None)
        ll, lh, hl, hh = (block.expand(shape) for block in (ll, lh, hl, hh))  # type: ignore[union-attr]
        halves = [synthesise(a, b, wavelet, 1, columns[level - 1]) for a, b in ((ll, lh), (hl, hh))]
        low = synthesise(halves[0], halves[1], wavelet, 0, rows[level - 1])
    assert low is not None
    return low


def at_level(level: int, levels: int, shared: bool = False) -> list[str]:
    """The bands of one level that are not zero, without its number."""
    if shared:
        return ["LL", "HH"]
    return [name[:2] for name in names(levels) if int(name[2:]) == level]


def all_taps(names: Sequence[Sequence[str]], letter: int, rank: int, wavelet: str, like: Tensor) -> list[Tensor]:
    """By level, the taps of all rows that `lifted` has there: those of coarser levels, which are low, and its own.

    names: the bands of each level; letter: which of a band's halves counts, 0 for rows and 1 for columns.
    """
    found: list[Tensor] = []
    before = 0
    for own in reversed(names):
        high = [False] * before + [band[letter] == "H" for band in own for _ in range(rank)]
        found.insert(0, taps(wavelet, high, like))
        before = len(high)
    return found


def lifted(stacks: Sequence[Tensor], taps: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """Factors of bands as factors of the update itself: (sum of all bands' r, sizes[0], ...).

    stacks: by level, the finest first, the factors of its bands (bands, r, half, ...); taps: see `all_taps`. The update
    is the product of both axes' factors, because the transform acts on rows and columns apart: what is transformed is
    small, and an input never is. The coarsest level's rows come first.
    """
    found: Tensor | None = None
    for level in range(len(sizes) - 1, 0, -1):
        own = stacks[level - 1].flatten(0, 1)
        found = lift(own if found is None else torch.cat([found, own]), taps[level - 1], sizes[level - 1])
    assert found is not None
    return found
