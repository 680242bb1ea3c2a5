"""The first pass itself: every frame once, in order, few of them in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from pipelines.video.seen import Look

from .cuts import CutFinder, glance, shots_of
from .follow import Follower
from .persons import group
from .readers import Readers
from .result import describe
from .view import View

LEAST_SHOT_SECONDS = 0.4
"""A dissolve this near to a cut is none of its own."""


@dataclass
class Pass:
    """Views in, one after the other; a `Look` out. The cut finder runs a few frames ahead of the follower."""

    readers: Readers
    rate: float
    scale: float = 1.0
    """Stored pixels to one of the views'."""
    _starts: list[int] = field(default_factory=list)
    _seconds: list[float] = field(default_factory=list)
    _waiting: deque[View] = field(default_factory=deque)
    _block: list[View] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._cuts = CutFinder(self.rate)
        self._follower = Follower(self.readers, self.rate)

    def add(self, view: View) -> None:
        """The next frame."""
        self._seconds.append(view.second)
        self._waiting.append(view)
        begins = self._cuts.add(glance(view.number, view.picture))
        if begins is not None:
            self._take(self._waiting.popleft(), begins)

    def _take(self, view: View, begins: bool) -> None:
        """A frame of which it is known whether a shot begins there. Both sides of a cut are searched for faces."""
        if begins:
            self._flush()
            self._follower.begin_shot()
            self._starts.append(view.number)
            self._follower.follow([view])
            return
        self._block.append(view)
        if len(self._block) == self._follower.block:
            self._flush()

    def _flush(self) -> None:
        if self._block:
            self._follower.follow(self._block)
            self._block = []

    def done(self, seconds: np.ndarray | None = None) -> Look:
        """After the last frame. seconds: exact times of the frames (F,) if they are known better by now."""
        for begins in self._cuts.rest():
            self._take(self._waiting.popleft(), begins)
        self._flush()
        times = np.array(self._seconds) if seconds is None else seconds
        least = max(2, round(LEAST_SHOT_SECONDS * self.rate))
        shots = shots_of(self._starts, self._cuts.dissolves, len(times), least)
        persons = group(self._follower.finish(), self.rate, len(times))
        people = tuple(
            describe(who, person, [other for other in persons if other is not person], shots, times, self.scale)
            for who, person in enumerate(persons, 1)
        )
        return Look(shots, people)


def look_through(views: Iterable[View], readers: Readers, rate: float, scale: float = 1.0) -> Iterator[int | Look]:
    """The number of frames done after each frame, and the `Look` at the end."""
    work = Pass(readers, rate, scale)
    for count, view in enumerate(views, 1):
        work.add(view)
        yield count
    yield work.done()
