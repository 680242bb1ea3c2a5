"""How a video is split into chunks: by shots, and where somebody is aged into short runs of frames."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from models.errors import InputError
from pipelines.video.media.facts import FrameIndex, VideoFacts
from pipelines.video.options import Subject, VideoOptions
from pipelines.video.seen import Look, SeenPerson

BUSY, IDLE = 96, 480
"""Frames of a chunk: with somebody to age in it, and without."""


def kept_frames(facts: VideoFacts, index: FrameIndex, options: VideoOptions) -> tuple[int, int]:
    """First frame and the one after the last that the options keep. Raises InputError if there is none."""
    seconds = (index.pts - index.pts[0]) * float(facts.time_base)
    first = int(np.searchsorted(seconds, (options.start or 0.0) - 1e-9))
    stop = len(index) if options.end is None else int(np.searchsorted(seconds, options.end - 1e-9))
    if first >= stop:
        raise InputError(
            f"{facts.path.name} is {seconds[-1]:.1f} seconds long; the part that was asked for lies outside of it."
        )
    return first, stop


def seen_person(look: Look, subject: Subject) -> SeenPerson:
    """The person whom `subject` means. Raises InputError if there are not so many."""
    for person in look.people:
        if person.who == subject.who:
            return person
    count = len(look.people)
    if not count:
        raise InputError("No face was found in this video; nobody can be aged in it.")
    have = "one person" if count == 1 else f"{count} people"
    raise InputError(f"Person {subject.who} was chosen, but {have} can be seen in this video; choose 1 to {count}.")


def busy_frames(look: Look, options: VideoOptions) -> np.ndarray:
    """(F,) bool: whether anybody who is to be aged is seen in a frame."""
    seen = [~np.isnan(seen_person(look, subject).landmarks[:, 0, 0]) for subject in options.subjects]
    busy: np.ndarray = np.logical_or.reduce(seen)
    return busy


def shots_of(look: Look, subject: Subject, first: int, stop: int) -> list[int]:
    """Numbers of the shots in which the subject is seen between two frames."""
    seen = ~np.isnan(seen_person(look, subject).landmarks[:, 0, 0])
    spans = ((max(int(a), first), min(int(b), stop)) for a, b in look.shots)
    return [number for number, (a, b) in enumerate(spans) if a < b and bool(seen[a:b].any())]


def split(look: Look, busy: Sequence[bool] | np.ndarray, first: int, stop: int) -> list[tuple[int, int]]:
    """Frames [first, stop) as runs [a, b) in order: none crosses a cut, and each has at most BUSY or IDLE frames."""
    runs: list[tuple[int, int]] = []
    for begin, end in look.shots:
        a, b = max(int(begin), first), min(int(end), stop)
        for low, high, limit in _stretches(np.asarray(busy), a, b):
            count = -(-(high - low) // limit)
            marks = np.linspace(low, high, count + 1).round().astype(int)
            runs += [(int(x), int(y)) for x, y in pairwise(marks)]
    return runs


def _stretches(busy: np.ndarray, a: int, b: int) -> list[tuple[int, int, int]]:
    """Stretches of [a, b) with the largest chunk that suits them; short idle ones join what is beside them."""
    if a >= b:
        return []
    edges = [a, *(a + 1 + np.flatnonzero(np.diff(busy[a:b]))).tolist(), b]
    found: list[tuple[int, int, int]] = []
    for low, high in pairwise(edges):
        limit = IDLE if not busy[low] and high - low >= BUSY else BUSY
        if found and found[-1][2] == limit == BUSY:
            found[-1] = (found[-1][0], high, BUSY)
        else:
            found.append((low, high, limit))
    return found
