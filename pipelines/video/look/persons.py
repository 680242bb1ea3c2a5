"""Which tracks are one person, and where it is surely that person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.faces.checks import MAX_TURN

from .follow import UNLIKE
from .readers import Reading, turn_of
from .track import Track, mean_embedding
from .view import square_side

JOIN = 0.6
"""Cosine of mean embeddings above which tracks that do not overlap in time are one person's. Of the test portraits'
means, none of one person is below 0.62, and one pair in thirty of two persons above it; single pictures differ more."""
# A face that is lost and found again near the same place of the same shot is known more easily.
RESUMED_BONUS, RESUMED_SECONDS = 0.15, 1.0
SURE, SURE_POINTED, MARGIN = 0.4, 0.6, 0.05
# A face from the front is as much like the person as it usually is, or something hides it: the share of the usual
# cosine that is needed, and the turn up to which it is.
USUAL_SHARE, FRONT = 0.7, 0.5
# Smaller squares (pixels) show too little of a face to be sure of it.
SURE_SIDE = 56.0
GOOD_QUALITY = 0.25
"""A person has at least one view as good as this; else it was no face, or none that could be aged."""
LEAST_SECONDS = 0.3
MOST_PEOPLE = 64


@dataclass(eq=False)
class Person:
    """Tracks of one person, not overlapping in time."""

    tracks: list[Track]

    def join(self, tracks: Sequence[Track]) -> None:
        """Take more tracks."""
        self.tracks += tracks
        self.__dict__.pop("embedding", None)

    @property
    def readings(self) -> list[Reading]:
        return [reading for track in self.tracks for reading in track.samples.values()]

    @cached_property
    def embedding(self) -> np.ndarray:
        """(128,) of unit length, from the samples that are like most others."""
        readings = self.readings
        mean = mean_embedding(readings)
        assert mean is not None, "every track has a sample"
        better = mean_embedding([reading for reading in readings if float(mean @ reading.embedding) >= UNLIKE])
        return mean if better is None else better

    @property
    def frames(self) -> int:
        return sum(len(track.points) for track in self.tracks)

    @property
    def screen(self) -> float:
        """Share of the screen over time, in square pixels times frames."""
        return float(sum(square_side(points) ** 2 for track in self.tracks for points in track.points[::5]))

    @property
    def quality(self) -> float:
        """Of the best view."""
        return max(reading.quality for reading in self.readings)

    def overlaps(self, track: Track) -> bool:
        """Whether the person is already somewhere else while the track goes on."""
        return any(track.first < other.stop and other.first < track.stop for other in self.tracks)


def group(tracks: Sequence[Track], rate: float, frames: int) -> list[Person]:
    """Persons, most seen first; tracks that are too short or show no good face are left out.

    The best tracks come first, and each joins the person it is most like, unless that one is elsewhere at the time.
    """
    persons: list[Person] = []
    doubtful: list[Track] = []
    for track in sorted(tracks, key=_worth, reverse=True):
        if _is_doubtful(track):
            doubtful.append(track)
            continue
        joined = _most_like(persons, track, rate)
        if joined is None:
            persons.append(Person([track]))
        else:
            joined.join([track])
    persons = _merge(persons)
    _attach(persons, doubtful, rate)
    least = min(LEAST_SECONDS * rate, frames / 2)
    kept = [person for person in persons if person.frames >= least and person.quality >= GOOD_QUALITY]
    return sorted(kept, key=lambda person: person.screen, reverse=True)[:MOST_PEOPLE]


def _worth(track: Track) -> float:
    """Many good samples make an embedding that can be relied on."""
    return sum(reading.quality for reading in track.samples.values())


def _is_doubtful(track: Track) -> bool:
    """Whether no sample is good enough to say who it is by itself."""
    return max(reading.quality for reading in track.samples.values()) < GOOD_QUALITY


def _most_like(persons: Sequence[Person], track: Track, rate: float) -> Person | None:
    """The person that the track is most like, if it is like anybody who is not elsewhere at the time."""
    mean = track.mean
    assert mean is not None, "every track has a sample"
    likeness = [
        (float(mean @ person.embedding) + RESUMED_BONUS * _resumes(person, track, rate), -i)
        for i, person in enumerate(persons)
        if not person.overlaps(track)
    ]
    best, index = max(likeness, default=(-1.0, 0))
    return persons[-index] if best >= JOIN else None


def _resumes(person: Person, track: Track, rate: float) -> bool:
    """Whether the track begins, or ends, near where and when the person was last, or next, seen in the same shot."""
    for other in person.tracks:
        early, late = (other, track) if other.first < track.first else (track, other)
        soon = other.shot == track.shot and late.first - early.stop <= RESUMED_SECONDS * rate
        if soon and np.abs(late.points[0] - early.points[-1]).mean() < square_side(late.points[0]):
            return True
    return False


def _merge(persons: list[Person]) -> list[Person]:
    """Join persons that turn out alike once each has all its tracks, the most alike first."""
    while len(persons) > 1:
        embeddings = np.stack([person.embedding for person in persons])
        likeness = np.tril(embeddings @ embeddings.T, -1)
        pairs = np.argwhere(likeness >= JOIN)
        for i, j in sorted(pairs.tolist(), key=lambda pair: -likeness[pair[0], pair[1]]):
            if not any(persons[j].overlaps(track) for track in persons[i].tracks):
                persons[j].join(persons.pop(i).tracks)
                break
        else:
            break
    return persons


def _attach(persons: list[Person], doubtful: Sequence[Track], rate: float) -> None:
    """Give tracks that do not show who they are (profiles, blur) to the person they go on from, or else to the one
    that they are like. Where nobody fits they are nobody's."""
    for track in sorted(doubtful, key=lambda track: track.first):
        before = [p for p in persons if track.before in p.tracks and not p.overlaps(track)]
        joined = before[0] if before else _most_like(persons, track, rate)
        if joined is not None:
            joined.join([track])


@dataclass(frozen=True, eq=False)
class Sighting:
    """Where a person is and where surely: frames (n,) rising, points (n, 5, 2), sure (n,) bool."""

    frames: np.ndarray
    points: np.ndarray
    sure: np.ndarray


def sightings(person: Person, others: Sequence[Person]) -> Iterator[Sighting]:
    """The person's tracks in order, with the frames marked in which it is surely that person."""
    own = person.embedding
    usual = float(np.median([own @ reading.embedding for reading in person.readings]))
    rest = np.stack([other.embedding for other in others]) if others else None
    for track in sorted(person.tracks, key=lambda each: each.first):
        points = np.stack(track.points)
        frames = np.arange(track.first, track.stop)
        yield Sighting(frames, points, _is_known(track, own, usual, rest) & _is_plain(track, points))


def _is_known(track: Track, own: np.ndarray, usual: float, rest: np.ndarray | None) -> np.ndarray:
    """For each frame whether the samples at it, or on both sides of it, are surely this person."""
    asked = sorted(track.samples)
    likeness = {frame: float(own @ track.samples[frame].embedding) for frame in asked}
    known = []
    for frame in asked:
        rival = -1.0 if rest is None else float((rest @ track.samples[frame].embedding).max())
        is_front = abs(turn_of(track.points[frame - track.first])) < FRONT
        least = max(SURE, USUAL_SHARE * usual) if is_front else SURE
        known.append(likeness[frame] >= least and likeness[frame] > rival + MARGIN)
    places = np.arange(track.first, track.stop)
    right = np.clip(np.searchsorted(asked, places), 0, len(asked) - 1)
    left = np.clip(np.searchsorted(asked, places, side="right") - 1, 0, len(asked) - 1)
    return np.array(known)[left] & np.array(known)[right]


def _is_plain(track: Track, points: np.ndarray) -> np.ndarray:
    """For each frame whether a face is plainly there: large enough, not in profile, surely pointed."""
    sides = np.array([square_side(each) for each in points])
    turns = np.array([abs(turn_of(each)) for each in points])
    return (sides >= SURE_SIDE) & (turns <= MAX_TURN) & (np.array(track.scores) >= SURE_POINTED)
