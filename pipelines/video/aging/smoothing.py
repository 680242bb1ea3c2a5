"""Means over neighbouring frames, which do not depend on how a shot is cut into chunks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .track import Track

SECONDS = 0.06
"""Standard deviation of the mean over time. What a face does on purpose takes longer."""
MOST_FRAMES = 24


def reach_of(rate: float) -> int:
    """How many frames before and after have a say, at `rate` frames a second."""
    return int(min(max(round(2.5 * SECONDS * rate), 1), MOST_FRAMES))


def neighbours(track: Track, number: int, rate: float) -> tuple[list[int], Tensor]:
    """Numbers (k) and weights (k,) of the frames whose mean stands for frame `number`: those of its own run."""
    reach = reach_of(rate)
    near = np.arange(max(number - reach, track.first), min(number + reach + 1, track.stop))
    near = near[track.run[near - track.first] == track.run[number - track.first]]
    weights = np.exp(-0.5 * ((near - number) / (SECONDS * rate)) ** 2)
    return near.tolist(), torch.from_numpy(weights / weights.sum()).float()


def between(track: Track, number: int, every: int) -> tuple[int, int, float]:
    """The key frames before and after a frame, and how far it is from the first to the second.

    Of each run the first and the last frame are key frames, and every `every`-th from the first on.
    """
    inside = np.flatnonzero(track.run == track.run[number - track.first]) + track.first
    begin, end = int(inside[0]), int(inside[-1])
    low = begin + (number - begin) // every * every
    high = min(low + every, end)
    return low, high, (number - low) / (high - low) if high > low else 0.0


def is_key(track: Track, number: int, every: int) -> bool:
    """Whether `between` may ask for this frame."""
    low, high, _ = between(track, number, every)
    return number in (low, high)
