"""Which frames of a shot stand for all of it, and their crops."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pipelines.events import CancelToken
from pipelines.video.media import FrameIndex, VideoFacts, crop_rgb, read_frames

from .track import Track

MOST_SAMPLES = 12
TIME_WEIGHT = 0.5  # of a whole shot's length against one side of the crop's size in the landmarks' places
CANDIDATES = 600


def choose_frames(track: Track, first: int, stop: int, most: int = MOST_SAMPLES) -> list[int]:
    """Numbers of up to `most` frames of [first, stop) that are far from each other, in time and in pose.

    Each next one is the farthest from those chosen before it; the first one is the most usual. A pose is where the
    landmarks lie in the crop. Empty if the face is not aged there.
    """
    found = track.active_in(first, stop)
    if not found:
        return []
    found = found[:: -(-len(found) // CANDIDATES)]
    rows = np.array(found) - track.first
    poses = track.points[rows].reshape(len(rows), -1) / track.size
    times = TIME_WEIGHT * (rows - rows[0])[:, None] / max(float(np.ptp(rows)), 1.0)
    places = np.concatenate([poses, times], axis=1)
    chosen = [int(np.linalg.norm(places - np.median(places, axis=0), axis=1).argmin())]
    apart = np.full(len(rows), np.inf)
    while len(chosen) < min(most, len(rows)):
        apart = np.minimum(apart, np.linalg.norm(places - places[chosen[-1]], axis=1))
        chosen.append(int(apart.argmax()))
    return sorted(found[i] for i in chosen)


def read_crops(facts: VideoFacts, index: FrameIndex, track: Track, numbers: list[int], cancel: CancelToken) -> Tensor:
    """Crops (N, 3, S, S) in [-1, 1] of frames in rising order."""
    crops = []
    for run in _runs(index, numbers):
        wanted = set(run)
        for number, frame in enumerate(read_frames(facts, index, run[0], run[-1] + 1), run[0]):
            cancel.check()
            if number in wanted:
                crops.append(crop_rgb(frame, track.quads[number - track.first], track.size))
    return to_tensors(crops)


def to_tensors(crops: list[np.ndarray]) -> Tensor:
    """Crops (S, S, 3) float32 in levels as one (N, 3, S, S) tensor in [-1, 1]."""
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous().div_(127.5).sub_(1.0)


def _runs(index: FrameIndex, numbers: list[int]) -> Iterator[list[int]]:
    """Numbers that are read in one go: those to which seeking would lead no faster than reading on."""
    run: list[int] = []
    for number in numbers:
        before = index.keys[index.keys <= number]
        if run and len(before) and before[-1] > run[-1]:
            yield run
            run = []
        run.append(number)
    if run:
        yield run
