"""From tracks to what the rest of the app knows of a person: smooth landmarks of every frame, and the best view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from pipelines.video.seen import SeenPerson

from .persons import Person, Sighting, sightings
from .smooth import smooth_run
from .view import square_side

GAP_SECONDS = 0.5
"""A face that is missed for no longer than this, and comes back near, was there all the time."""
SHORT_GAP_SECONDS = 0.12
"""Missed for no longer than this between two sure frames it is surely the same, too."""
GAP_REACH = 1.0
"""How far (sides of the square) the face may have gone meanwhile."""
GUESSED_WEIGHT = 0.05


def describe(
    who: int, person: Person, others: Sequence[Person], shots: np.ndarray, seconds: np.ndarray, scale: float
) -> SeenPerson:
    """The person in all frames. shots: (S, 2); seconds: (F,) of the frames; scale: stored pixels to one of ours."""
    landmarks = np.full((len(seconds), 5, 2), np.nan, dtype=np.float32)
    sure = np.zeros(len(seconds), dtype=bool)
    for run, weights in _runs(sightings(person, others), shots, seconds):
        smooth = smooth_run(run.points, seconds[run.frames], weights)
        landmarks[run.frames] = (smooth + 0.5) * scale - 0.5
        sure[run.frames] = run.sure
    sides = [square_side(each) * scale for track in person.tracks for each in track.points[::5]]
    best = max(
        (
            (reading.quality * (1.0 if sure[n] else 0.2), -n)
            for track in person.tracks
            for n, reading in track.samples.items()
        )
    )
    return SeenPerson(who, landmarks, sure, person.embedding, _age(person), float(np.median(sides)), -best[1])


def _age(person: Person) -> float:
    """Years: the median over the better half of the views."""
    readings = sorted(person.readings, key=lambda reading: reading.quality, reverse=True)
    return float(np.median([reading.age for reading in readings[: max(1, (len(readings) + 1) // 2)]]))


def _runs(seen: Iterator[Sighting], shots: np.ndarray, seconds: np.ndarray) -> Iterator[tuple[Sighting, np.ndarray]]:
    """Unbroken runs within shots, short gaps filled, with the weight of each frame's landmarks."""
    run: Sighting | None = None
    weights = np.ones(0)
    for piece in (part for sighting in seen for part in _within(sighting, shots)):
        bridge = None if run is None else _bridge(run, piece, shots, seconds)
        if run is None or bridge is None:
            if run is not None:
                yield run, weights
            run, weights = piece, np.ones(len(piece.frames))
            continue
        run = _joined([run, bridge, piece])
        weights = np.concatenate([weights, np.full(len(bridge.frames), GUESSED_WEIGHT), np.ones(len(piece.frames))])
    if run is not None:
        yield run, weights


def _within(seen: Sighting, shots: np.ndarray) -> Iterator[Sighting]:
    """A sighting divided where a shot ends: a dissolve, which following does not notice."""
    inner = [start for start in shots[:, 0] if seen.frames[0] < start <= seen.frames[-1]]
    edges = [0, *(int(start - seen.frames[0]) for start in inner), len(seen.frames)]
    for low, high in pairwise(edges):
        yield Sighting(seen.frames[low:high], seen.points[low:high], seen.sure[low:high])


def _bridge(before: Sighting, after: Sighting, shots: np.ndarray, seconds: np.ndarray) -> Sighting | None:
    """The frames missed between two sightings of one shot, on the straight way; None if they do not belong together."""
    last, first = int(before.frames[-1]), int(after.frames[0])
    missed = float(seconds[first] - seconds[last])
    same_shot = not ((shots[:, 0] > last) & (shots[:, 0] <= first)).any()
    side = square_side(before.points[-1])
    moved = float(np.abs(after.points[0] - before.points[-1]).mean())
    if not same_shot or (first - last > 1 and missed > GAP_SECONDS) or moved > GAP_REACH * side:
        return None
    frames = np.arange(last + 1, first)
    share = ((seconds[frames] - seconds[last]) / missed)[:, None, None]
    points = before.points[-1] + (after.points[0] - before.points[-1]) * share
    known = bool(before.sure[-1] and after.sure[0]) and missed <= SHORT_GAP_SECONDS
    return Sighting(frames, points, np.full(len(frames), known))


def _joined(parts: Sequence[Sighting]) -> Sighting:
    return Sighting(
        np.concatenate([part.frames for part in parts]),
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.sure for part in parts]),
    )
