"""The update in its sub-bands: names and sizes, the dense update, and its factors.

A band is named by its axes' halves, output first, and its level: "LH1" are the low rows and the high columns of the
first level. Only the last level has an LL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from models.adapters.wavelets import half, synthesise

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


def lifted(parts: Bands, letter: int, wavelet: str, sizes: Sequence[int]) -> Tensor:
    """Factors of bands, each (r, half, ...), as factors of the update itself: (sum of r, sizes[0], ...).

    letter: which of a band's halves counts, 0 for rows and 1 for columns. The update is the product of both sides'
    factors, because the transform acts on rows and columns apart: what is transformed is small, and an input never is.
    Rows come in the order of `order`.
    """
    found: Tensor | None = None
    for level in range(len(sizes) - 1, 0, -1):
        own = [name for name in order(parts) if name.endswith(str(level))]
        low = [] if found is None else [found]
        high = [part.new_zeros(part.shape) for part in low]
        for name in own:
            part = parts[name]
            pair = part, part.new_zeros(part.shape)
            for side, value in zip((low, high), pair if name[letter] == "L" else pair[::-1], strict=True):
                side.append(value)
        if low:
            found = synthesise(torch.cat(low), torch.cat(high), wavelet, 1, sizes[level - 1])
    assert found is not None
    return found


def order(bands: Bands) -> list[str]:
    """The names with the coarsest level first."""
    return sorted(bands, key=lambda name: (-int(name[2:]), name))
