"""The update in its sub-bands: names and sizes, the dense update, and its product with an input without it.

A band is named by its axes' halves, output first, and its level: "LH1" are the low rows and the high columns of the
first level. Only the last level has an LL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from models.adapters.wavelets import analyse, half, synthesise

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


def applied(
    x: Tensor, block: Callable[[str, Tensor], Tensor | None], wavelet: str, rows: Sequence[int], channel: int
) -> Tensor:
    """The update's product with `x`, whose channels lie at the axis `channel`, at the cost of its factors.

    block(name, part): a band's product with one half of the channels; None for a band that is zero.
    """
    return _applied(x, block, wavelet, rows, channel, 1)


def _applied(
    x: Tensor,
    block: Callable[[str, Tensor], Tensor | None],
    wavelet: str,
    rows: Sequence[int],
    channel: int,
    level: int,
) -> Tensor:
    low, high = analyse(x, wavelet, channel)
    last = level == len(rows) - 1
    inner = block(f"LL{level}", low) if last else _applied(low, block, wavelet, rows, channel, level + 1)
    made_low = _sum(inner, block(f"LH{level}", high))
    made_high = _sum(block(f"HL{level}", low), block(f"HH{level}", high))
    assert made_low is not None and made_high is not None
    return synthesise(made_low, made_high, wavelet, channel, rows[level - 1])


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b
