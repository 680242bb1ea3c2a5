"""Where the face of one person lies through one shot, and how much of its change each frame shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.faces.quad import ffhq_quad
from pipelines.aging.subject import landmarks_in_crop
from pipelines.video.options import Subject, VideoOptions
from pipelines.video.plan import seen_person
from pipelines.video.seen import Look

# Crops of a shot all have one size, which needs to be no more than half of the face's: what age changes is wide, and
# the finest relief of a video is the grain of its sensor and its codec, which must not grow with the years.
SIZE_STEP, LARGEST, SPARED = 128, 512, 0.5
FADE_S = 0.16
"""Seconds over which a change comes and goes where somebody is recognised only from some frame of a shot on."""


@dataclass(frozen=True, eq=False)
class Track:
    """One person in the frames [first, stop) of one shot; all arrays count from `first`.

    active: (n,) bool, whether the face is aged there. run: (n,) int64, the same number for frames of one unbroken run,
    -1 where not active. share: (n,) float64 in [0, 1], how much of the change is shown. quads: (n, 4, 2) float64,
    points: (n, 5, 2) float32 in pixels of crops of `size`; both NaN where not active.
    """

    first: int
    stop: int
    active: np.ndarray
    run: np.ndarray
    share: np.ndarray
    quads: np.ndarray
    points: np.ndarray
    size: int

    def active_in(self, first: int, stop: int) -> list[int]:
        """Numbers of the frames in [first, stop) in which the face is aged."""
        low, high = max(first, self.first), min(stop, self.stop)
        return [] if low >= high else (np.flatnonzero(self.active[low - self.first : high - self.first]) + low).tolist()


def follow(look: Look, subject: Subject, shot: int, options: VideoOptions, rate: float, least: int) -> Track:
    """The track of `subject` through shot number `shot`; rate: frames a second; least: pixels on a side of a crop.

    Raises InputError for a person who is not in the video.
    """
    person = seen_person(look, subject)
    first, stop = (int(each) for each in look.shots[shot])
    marks = person.landmarks[first:stop].astype(np.float64)
    active = np.array(np.isfinite(marks).all(axis=(1, 2)))
    if options.skip_unsure:
        active &= person.sure[first:stop]
    quads, points = np.full((len(marks), 4, 2), np.nan), np.full((len(marks), 5, 2), np.nan, np.float32)
    for i in np.flatnonzero(active):
        quads[i] = ffhq_quad(marks[i])
    size = crop_size(quads[active], least)
    for i in np.flatnonzero(active):
        points[i] = landmarks_in_crop(marks[i], quads[i], size)[0].numpy()
    run = np.where(active, np.cumsum(np.diff(active, prepend=False)), -1)
    return Track(first, stop, active, run, _shares(run, round(FADE_S * rate)), quads, points, size)


def crop_size(quads: np.ndarray, least: int) -> int:
    """Pixels on a side of the crops of squares (n, 4, 2)."""
    side = float(np.median(np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1))) if len(quads) else 0.0
    return int(np.clip(SIZE_STEP * round(SPARED * side / SIZE_STEP), least, LARGEST))


def _shares(run: np.ndarray, fade: int) -> np.ndarray:
    """1 in the middle of runs, falling towards ends that are not the shot's own; 0 outside of runs."""
    share = (run >= 0).astype(np.float64)
    for number in np.unique(run[run >= 0]):
        at = np.flatnonzero(run == number)
        steps = np.arange(1, len(at) + 1) / (fade + 1)
        if at[0] > 0:
            share[at] = np.minimum(share[at], steps)
        if at[-1] < len(run) - 1:
            share[at] = np.minimum(share[at], steps[::-1])
    return share
