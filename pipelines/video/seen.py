"""Who is where in a video: what the first pass found. Values, and their file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SeenPerson:
    """One person of a video, over all its shots.

    who: number from 1, by share of the screen over time. landmarks: (F, 5, 2) float32 in pixels of the stored
    (unturned) frame, smoothed in time within each shot, NaN where the person is not seen. sure: (F,) bool, whether
    it is surely that person there. embedding: (128,) float32, unit length. age: years, median over sampled frames.
    size: median side of the face's square in pixels. thumbnail: frame number of the best view.
    """

    who: int
    landmarks: np.ndarray
    sure: np.ndarray
    embedding: np.ndarray
    age: float
    size: float
    thumbnail: int


@dataclass(frozen=True, eq=False)
class Look:
    """shots: (S, 2) int64, first frame and the one after the last of each, without gaps. people: most seen first."""

    shots: np.ndarray
    people: tuple[SeenPerson, ...]
