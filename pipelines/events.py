"""Progress and cancellation: what long work says, and how it is stopped.

Command line, browser and jobs read `Event`s and nothing else, so that each piece of work is written once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.errors import Cancelled


@dataclass(frozen=True)
class Event:
    """One step of long work.

    stage: a word for programs, such as "detect", "encode", "tune", "age", "save" or "done".
    message: the same for a person.
    done, total: steps of this stage; total 0 means that the number is not known.
    seconds_left: estimate for this stage, None while there is none.
    preview: `value` is a first, rough result.
    value: a result, when there is one; its type is said by the work that sends it.
    """

    stage: str
    message: str
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    preview: bool = False
    value: Any = None

    @property
    def fraction(self) -> float | None:
        """The finished part of this stage, 0..1, or None if the number of steps is not known."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total > 0 else None


class CancelToken:
    """Asks running work to stop, from any thread. The work calls `check()` between its steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work to stop; it does so at its next `check()`."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raises Cancelled if `cancel()` was called."""
        if self._event.is_set():
            raise Cancelled


class Eta:
    """The time left, from the pace of the last steps; early steps (warm-up) lose their weight quickly."""

    def __init__(self, smoothing: float = 0.8, clock: Callable[[], float] = time.monotonic) -> None:
        """smoothing in [0, 1): how much of the previous pace stays at each update."""
        self._smoothing, self._clock = smoothing, clock
        self._done, self._at = 0, clock()
        self._pace: float | None = None  # seconds a step

    def update(self, done: int, total: int) -> float | None:
        """Seconds left after `done` of `total` steps, or None while nothing can be said."""
        now = self._clock()
        if done > self._done:
            pace = (now - self._at) / (done - self._done)
            kept = self._smoothing ** (done - self._done)
            self._pace = pace if self._pace is None else kept * self._pace + (1 - kept) * pace
            self._done, self._at = done, now
        if self._pace is None or total <= 0:
            return None
        return max(total - done, 0) * self._pace
