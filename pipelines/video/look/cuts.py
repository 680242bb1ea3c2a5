"""Where one shot ends and the next begins, from tiny pictures of all frames.

Two pictures are of one shot when one looks like a shifted, lighter or darker version of the other. A cut is a frame
from which no picture just before looks like any just after; so a flash is none, for the picture comes back after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import cv2
import numpy as np

from .view import tiny

SIDE = 64
"""Longest side (pixels) of the pictures that are compared."""
ROOM = 0.12
"""By how much of its length the picture may shift from one frame to the next."""
# Difference (0 the same, 1 nothing alike) of frames beside a cut; and how much larger it is than those around.
LEAST, PEAK = 0.28, 2.5
STRUCTURE = 0.6
"""What structure says counts this much, what colours say the rest."""
# A picture with less contrast (levels) than this is blank: its structure is noise.
BLANK = 4.0
MEAN_LEVEL = 100.0
FLASH_SECONDS = 0.12
"""A flash or a passing thing that lasts no longer is no cut."""
# Dissolves: spans (seconds before and after the middle) that are tried, how different the ends are, and how closely
# the middle is the mean of the ends.
SPANS, ENDS_DIFFER, MEAN_FITS = (0.16, 0.32, 0.64), 0.28, 0.6


@dataclass(frozen=True, eq=False)
class Glance:
    """A tiny picture (H, W, 3) uint8, and what is compared of it."""

    number: int
    pixels: np.ndarray

    @cached_property
    def grey(self) -> np.ndarray:
        return np.asarray(cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY), dtype=np.float32)

    @cached_property
    def blank(self) -> bool:
        return float(self.grey.std()) < BLANK

    @cached_property
    def colours(self) -> np.ndarray:
        """Shares of 8 x 8 x 8 colours at one mean brightness, blurred so that small changes of light count little."""
        even = self.pixels.astype(np.float32) * (MEAN_LEVEL / max(float(self.grey.mean()), 1.0))
        bins = cv2.calcHist([np.minimum(even, 255.0)], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3)
        for axis in range(3):
            bins = bins + 0.5 * (_shifted(bins, 1, axis) + _shifted(bins, -1, axis))
        return np.asarray(bins / bins.sum())


def _shifted(bins: np.ndarray, step: int, axis: int) -> np.ndarray:
    moved = np.roll(bins, step, axis)
    edge: list[slice | int] = [slice(None)] * 3
    edge[axis] = 0 if step > 0 else -1
    moved[tuple(edge)] = 0
    return moved


def glance(number: int, picture: np.ndarray) -> Glance:
    """The glance of a whole picture (H, W, 3) uint8."""
    return Glance(number, tiny(picture, SIDE))


def difference(a: Glance, b: Glance) -> float:
    """0 for pictures that could be of one shot, 1 for those that have nothing in common.

    Structure (correlation of brightness at the best shift; light counts for nothing) and colours (motion counts for
    little) each say how much differs.
    """
    if a.blank or b.blank:
        return float(a.blank != b.blank or abs(a.grey.mean() - b.grey.mean()) > 64)
    across, down = (max(1, round(ROOM * length)) for length in a.grey.shape[1::-1])
    middle = b.grey[down:-down, across:-across]
    if middle.size == 0 or middle.std() < BLANK / 2:
        alike = float(np.corrcoef(a.grey.ravel(), b.grey.ravel())[0, 1])
    else:
        alike = float(cv2.matchTemplate(a.grey, middle, cv2.TM_CCOEFF_NORMED).max())
    structure = 1.0 - float(np.clip(alike, 0.0, 1.0))
    colours = 1.0 - float(np.minimum(a.colours, b.colours).sum())
    return STRUCTURE * structure + (1.0 - STRUCTURE) * colours


class CutFinder:
    """Glances in, in order; out come the first frames of shots, a few frames later."""

    def __init__(self, rate: float) -> None:
        """rate: frames a second."""
        self.flash = int(np.clip(round(FLASH_SECONDS * rate), 3, 12))
        self.spans = sorted({int(np.clip(round(span * rate), 2, 40)) for span in SPANS})
        self._glances: deque[Glance] = deque(maxlen=2 * self.spans[-1] + 1)
        self._steps: dict[int, float] = {}  # difference of a frame from the one before it
        self._start = 0
        self.dissolves: list[int] = []
        """First frames of shots that a dissolve leads to; known later than hard cuts, so they are only listed."""

    @property
    def delay(self) -> int:
        """After so many more glances it is known of a frame whether a shot begins there."""
        return self.flash

    def add(self, picture: Glance) -> bool | None:
        """Whether the frame `delay` before this one begins a shot; None while there is none."""
        if self._glances:
            self._steps[picture.number] = difference(self._glances[-1], picture)
        self._glances.append(picture)
        self._steps.pop(picture.number - 4 * self.flash, None)
        self._find_dissolve()
        decided = picture.number - self.delay
        return self._decide(decided) if decided >= 0 else None

    def rest(self) -> Iterator[bool]:
        """The same for the last frames, after the last glance."""
        if self._glances:
            last = self._glances[-1].number
            for number in range(max(0, last - self.delay + 1), last + 1):
                yield self._decide(number)

    def _decide(self, number: int) -> bool:
        cut = number == 0 or (self._stands_out(number) and self._nothing_comes_back(number))
        if cut:
            self._start = number
        return cut

    def _stands_out(self, number: int) -> bool:
        """Whether the difference is large, and larger than motion around makes it."""
        step = self._steps[number]
        near = [self._steps.get(number + by, 0.0) for by in (*range(-3, 0), *range(1, 4))]
        return step > LEAST and step > PEAK * float(np.median(near))

    def _nothing_comes_back(self, number: int) -> bool:
        first = max(self._start, number - self.flash)
        before = [each for each in self._glances if first <= each.number < number]
        after = [each for each in self._glances if number <= each.number < number + self.flash]
        return all(difference(a, b) > LEAST for a, b in product(before, after))

    def _find_dissolve(self) -> None:
        """One scene that fades into another: the middle of some span is the mean of its ends, which differ."""
        for span in self.spans:
            if len(self._glances) < 2 * span + 1:
                return
            ends = self._glances[-1 - 2 * span], self._glances[-1]
            middle = self._glances[-1 - span]
            too_soon = middle.number - self._start < 2 * span or any(
                middle.number - other < 2 * self.spans[-1] for other in self.dissolves[-1:]
            )
            if too_soon or not _is_mean(*ends, middle):
                continue
            self.dissolves.append(middle.number)
            return


def _is_mean(a: Glance, b: Glance, middle: Glance) -> bool:
    apart = float(np.abs(a.grey - b.grey).mean())
    if apart < BLANK:
        return False
    rest = float(np.abs(middle.grey - (a.grey + b.grey) / 2).mean())
    return rest < MEAN_FITS * apart / 2 and difference(a, b) > ENDS_DIFFER


def shots_of(starts: list[int], dissolves: list[int], frames: int, least: int) -> np.ndarray:
    """(S, 2) int64, first frame and the one after the last of each shot: hard cuts, and the dissolves that lie at
    least `least` frames from them."""
    kept = [0, *(start for start in starts if 0 < start < frames)]
    for middle in dissolves:
        if all(abs(middle - each) >= least for each in (*kept, frames)):
            kept.append(middle)
    kept = sorted(set(kept))
    return np.array([kept, [*kept[1:], frames]], dtype=np.int64).T.reshape(-1, 2)
