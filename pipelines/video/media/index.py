"""The number and the time of every frame, found by decoding a video once."""

from __future__ import annotations

from array import array
from collections.abc import Callable

import numpy as np
from av import VideoFrame

from models.errors import InputError
from pipelines.events import CancelToken, Eta, Event

from .facts import FrameIndex, VideoFacts
from .frames import scan_frames

EVERY = 50  # frames between two words about how far it is


class Indexer:
    """Builds the index in a pass that decodes anyway: `add` every frame of `scan_frames` in order, then `done`."""

    def __init__(self, facts: VideoFacts) -> None:
        self._facts = facts
        self._step = max(round(1 / (facts.rate * facts.time_base)), 1)
        self._pts, self._keys = array("q"), array("q")
        self._exact = True  # whether the file's own times tell all frames apart
        self._duration = 0

    def add(self, frame: VideoFrame) -> int:
        """Take the next frame; returns its number."""
        number = len(self._pts)
        pts = frame.pts
        if pts is None:
            self._exact, pts = False, self._pts[-1] + self._step if number else 0
        elif number and pts <= self._pts[-1]:
            self._exact, pts = False, self._pts[-1] + 1
        self._pts.append(pts)
        if frame.key_frame:
            self._keys.append(number)
        self._duration = frame.duration
        return number

    def done(self) -> FrameIndex:
        """The index. Raises InputError if there was no frame."""
        if not self._pts:
            raise InputError(f"{self._facts.path} has no frame that can be decoded; give another copy of the video.")
        pts = np.array(self._pts, dtype=np.int64)
        keys = np.array(self._keys if self._exact else [], dtype=np.int64)
        # A stated length far from the others' is a mistake of whoever wrote the file.
        usual = int(np.median(np.diff(pts))) if len(pts) > 1 else self._step
        stated = 0 < self._duration <= 100 * usual
        return FrameIndex(pts, keys, self._duration if stated else usual)


def index_frames(facts: VideoFacts, cancel: CancelToken, tell: Callable[[Event], None]) -> FrameIndex:
    """Decode the whole video once. Raises InputError if nothing can be decoded, Cancelled."""
    indexer, eta = Indexer(facts), Eta()
    expected = round(facts.seconds * facts.rate)
    for frame in scan_frames(facts):
        cancel.check()
        done = indexer.add(frame) + 1
        if done % EVERY == 0:
            total = max(expected, done) if expected else 0
            tell(Event("index", "Reading the video", done, total, eta.update(done, total)))
    return indexer.done()
