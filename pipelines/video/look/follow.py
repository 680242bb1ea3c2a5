"""Following faces through one shot: where each is in every frame, and samples of who it is."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from models.faces.detect import ALL_AROUND, Face, look_closer, search_faces, search_turned

from .readers import Readers
from .track import (
    Pointed,
    Track,
    as_detected,
    distance,
    hang,
    mean_embedding,
    moved,
    moved_face,
    renew,
    same_place,
    shared,
    strays,
)  # fmt: skip
from .view import LITTLE, MEDIUM, View, sane, square_side

DETECTION_SECONDS = 0.2
"""A quiet picture is searched for faces so often; a restless one in every frame."""
CLOSE_SEARCH = 8
"""Every so many searches one looks closely, for small faces."""
TURNED_SEARCH_SECONDS = 2.0
NEW_SCORE, KEPT_SCORE = 0.7, 0.5
# A face may be this far (shares of its size) from where it is expected; and one that moves faster than that from one
# search to the next is searched for in every frame between.
GATE, FAST = 0.9, 0.3
# Boxes that share this much of the smaller one are near: who is who is then asked of their embeddings.
NEAR = 0.15
SAMPLE_SECONDS = 0.5
POINTED = 0.9
"""The landmark network's own score; below it a closer look is taken at who this is."""
# Cosine to the face's mean so far above which a sample is of the same, and below which it is of somebody else; and the
# same as shares of what is usual for this face: few strangers are as unlike each other as they could be.
ALIKE, UNLIKE = 0.5, 0.3
ALIKE_SHARE, UNLIKE_SHARE = 0.75, 0.6
NEVER_AGAIN = 5
"""Searches for which a place is not looked at again that turned out to be no face."""


class Follower:
    """Frames in, in blocks that lie within one shot; tracks out."""

    def __init__(self, readers: Readers, rate: float) -> None:
        """rate: frames a second."""
        self.readers = readers
        self.block = int(np.clip(round(DETECTION_SECONDS * rate), 2, 12))
        self._sample_every = max(self.block, round(SAMPLE_SECONDS * rate))
        self._turned_every = max(1, round(TURNED_SEARCH_SECONDS * rate / self.block))
        self._tracks: list[Track] = []
        self._ended: list[Track] = []
        self._searches = 0
        self._shot = 0
        self._found: dict[int, list[Face]] = {}
        self._refused: list[tuple[int, Face]] = []

    def begin_shot(self) -> None:
        """What comes next has nothing to do with what was."""
        self._end(list(self._tracks))
        self._searches, self._refused = 0, []
        self._shot += 1

    def finish(self) -> list[Track]:
        """All tracks, in order of their beginnings, after the last frame."""
        self.begin_shot()
        return sorted(self._ended, key=lambda track: track.first)

    def follow(self, views: Sequence[View]) -> None:
        """The next frames of the shot. Only the last is searched; if it is not plain how the faces came from where
        they were to where they are there, each of the others is, too."""
        last, ahead = views[-1], len(views)
        seen, new = self._match(last, ahead)
        lost = [track for track in self._tracks if track not in seen]
        if ahead > 1 and (new or lost or any(moved(track, at) > FAST for track, at in seen.items())):
            for view in views:
                self.follow([view])
            return
        self._end(lost)
        self._fill(views[:-1], seen)
        for track, at in seen.items():
            renew(track, at)
            track.add(at.points, at.score)
            track.waiting.append((last.number, at.patch))
        for at in new:
            track = Track(last.number, waiting=[(last.number, at.patch)], shot=self._shot)
            renew(track, at)
            track.add(at.points, at.score)
            self._tracks.append(track)
        self._mark_near()
        self._sample(last.number)

    # Finding

    def _search(self, view: View) -> list[Face]:
        """Faces of one frame, roughly."""
        if view.number in self._found:
            return self._found[view.number]
        closely = self._searches % CLOSE_SEARCH == 0 and max(view.picture.shape[:2]) > LITTLE
        picture, matrix = view.searched(closely)
        found = search_faces(picture, self.readers.detector, matrix, KEPT_SCORE)
        if not found and not self._tracks and self._searches % self._turned_every == 0:
            found = [moved_face(face, matrix) for face in search_turned(picture, self.readers.detector, LITTLE)]
        self._searches += 1
        # A block that turns out restless asks for its last frame twice.
        self._found = {view.number: found} if len(self._found) > self.block else {**self._found, view.number: found}
        return found

    def _match(self, view: View, ahead: int) -> tuple[dict[Track, Pointed], list[Pointed]]:
        """Where the followed faces are in a frame, as far as they are seen, and the faces that nobody followed yet."""
        found = self._search(view)
        expected = {track: track.expected(ahead) for track in self._tracks}
        pairs = self._assign(view, found, expected)
        missing = [track for track in self._tracks if track not in pairs]
        guesses = [as_detected(track, expected[track]) for track in missing]
        close = self._closer(view, guesses, (0.0,))
        taken = [found[index] for index in pairs.values()]
        for track, face in zip(missing, close, strict=True):
            if face is not None and not any(shared(face, other) > 0.4 for other in taken):
                found, taken = [*found, face], [*taken, face]
                pairs[track] = len(found) - 1
        rough = {track: hang(track, expected[track], found[index]) for track, index in pairs.items()}
        seen = dict(
            zip(pairs, self._point(view, [found[i] for i in pairs.values()], list(rough.values())), strict=True)
        )
        good: dict[Track, Pointed] = {}
        # Of one that hides another the landmarks may be found twice: they are whose way leads there.
        for track, at in sorted(seen.items(), key=lambda each: strays(expected[each[0]], each[1])):
            if at is not None and not any(same_place(at, other) for other in good.values()):
                good[track] = at
        others = [face for index, face in enumerate(found) if index not in pairs.values()]
        fresh = self._fresh(view, [face for face in others if all(shared(face, o) < 0.4 for o in taken)])
        return good, [at for at in fresh if not any(same_place(at, other) for other in good.values())]

    def _assign(self, view: View, found: list[Face], expected: dict[Track, np.ndarray]) -> dict[Track, int]:
        """Which found face each track is. Where two could be the same, their embeddings are asked."""
        if not found or not expected:
            return {}
        tracks = list(expected)
        cost = np.array([[distance(track, expected[track], face) for face in found] for track in tracks])
        open_ = cost < GATE
        doubtful = [
            (row, column)
            for row, column in np.argwhere(open_)
            if open_[row].sum() > 1 or open_[:, column].sum() > 1 or tracks[row].near
        ]
        for row, column, likeness in self._liken(view, found, expected, doubtful):
            cost[row, column] = 2.0 * (1.0 - likeness) if likeness < UNLIKE else 0.2 * cost[row, column] - likeness
        cost = np.where(open_, np.minimum(cost, GATE + 1), 1e3)
        rows, columns = linear_sum_assignment(cost)
        return {tracks[r]: int(c) for r, c in zip(rows, columns, strict=True) if cost[r, c] < GATE}

    def _liken(
        self, view: View, found: list[Face], expected: dict[Track, np.ndarray], pairs: Sequence[tuple[int, int]]
    ) -> list[tuple[int, int, float]]:
        """Cosines of (track, face) pairs, by their numbers; those that can't be told are left out."""
        tracks = list(expected)
        told: list[tuple[int, int, float]] = []
        for column in sorted({column for _, column in pairs}):
            rows = [row for row, other in pairs if other == column]
            rough = hang(tracks[rows[0]], expected[tracks[rows[0]]], found[column])
            (at,) = self._point(view, [found[column]], [rough])
            if at is None:
                continue
            (reading,) = self.readers.read([(at.patch, at.points, at.score)])
            means = [(row, tracks[row].mean) for row in rows]
            told += [(row, column, float(mean @ reading.embedding)) for row, mean in means if mean is not None]
        return told

    def _fresh(self, view: View, faces: list[Face]) -> list[Pointed]:
        """The new faces that a closer look confirms, with exact landmarks."""
        self._refused = [(left - 1, face) for left, face in self._refused if left > 1]
        asked = [face for face in faces if all(shared(face, refused) < 0.5 for _, refused in self._refused)]
        close = self._closer(view, asked, ALL_AROUND)
        sure = [face for face in close if face is not None and face.score >= NEW_SCORE]
        pointed = self._point(view, sure, [face.landmarks.astype(np.float64) for face in sure], rounds=3)
        fresh = [at for at in pointed if at is not None and at.score > 0.5]
        no_face = [face for face, seen in zip(asked, close, strict=True) if seen is None or seen.score < NEW_SCORE]
        self._refused += [(NEVER_AGAIN, face) for face in no_face]
        return fresh

    def _closer(self, view: View, faces: list[Face], angles: Sequence[float]) -> list[Face | None]:
        """`look_closer`, in the smaller picture for large faces: there it is much quicker, and as good."""
        shrink = min(1.0, MEDIUM / max(view.picture.shape[:2]))
        matrix = np.array([[1 / shrink, 0, 0.5 / shrink - 0.5], [0, 1 / shrink, 0.5 / shrink - 0.5]])
        back = cv2.invertAffineTransform(matrix)
        close: list[Face | None] = []
        for face in faces:
            if face.size * shrink < 48:
                close += look_closer([view.picture], [face], self.readers.detector, angles)
                continue
            (seen,) = look_closer([view.medium], [moved_face(face, back)], self.readers.detector, angles)
            close.append(None if seen is None else moved_face(seen, matrix))
        return close

    def _point(self, view: View, faces: list[Face], guesses: list[np.ndarray], rounds: int = 2) -> list[Pointed | None]:
        """Exact landmarks of faces of one frame; None where there can be no face."""
        fit = [i for i, guess in enumerate(guesses) if sane(guess, view.picture)]
        told = self.readers.point([view] * len(fit), [guesses[i] for i in fit], rounds)
        pointed: list[Pointed | None] = [None] * len(faces)
        for i, (points, score, patch) in zip(fit, told, strict=True):
            if sane(points, view.picture):
                pointed[i] = Pointed(faces[i], points, score, patch)
        return pointed

    # Following

    def _fill(self, views: Sequence[View], seen: dict[Track, Pointed]) -> None:
        """The frames between two searches: looked at where the face passes on its straight way."""
        asked = [(track, view, j) for track in seen for j, view in enumerate(views, 1)]
        steps = len(views) + 1
        guesses = [track.points[-1] + (seen[track].points - track.points[-1]) * (j / steps) for track, _, j in asked]
        told = self.readers.point([view for _, view, _ in asked], guesses)
        for (track, view, _), guess, (points, score, patch) in zip(asked, guesses, told, strict=True):
            fits = sane(points, view.picture) and np.abs(points - guess).mean() < FAST * square_side(guess)
            track.add(points if fits else guess, score if fits else 0.0)
            track.waiting.append((view.number, patch))

    def _mark_near(self) -> None:
        boxes = [as_detected(track, track.points[-1].astype(np.float64)) for track in self._tracks]
        for i, track in enumerate(self._tracks):
            track.near = any(shared(boxes[i], other) > NEAR for j, other in enumerate(boxes) if j != i)

    # Who it is

    def _sample(self, number: int) -> None:
        """Readings of the tracks for which it is time."""
        due = [track for track in self._tracks if self._is_due(track, number)]
        self._read([(track, number) for track in due])
        for track in due:
            self._settle(track, number)

    def _is_due(self, track: Track, number: int) -> bool:
        last = max(track.samples, default=None)
        return last is None or track.near or number - last >= self._sample_every

    def _read(self, asked: Sequence[tuple[Track, int]]) -> None:
        """Add the samples of the asked (track, frame) pairs, which must be waiting."""
        patches = [next(patch for n, patch in track.waiting if n == number) for track, number in asked]
        seen = [
            (patch, track.points[number - track.first].astype(np.float64), track.scores[number - track.first])
            for (track, number), patch in zip(asked, patches, strict=True)
        ]
        for (track, number), reading in zip(asked, self.readers.read(seen), strict=True):
            track.samples[number] = reading

    def _settle(self, track: Track, number: int) -> None:
        """After a sample: read the frames since the last one too if anything there is doubtful, split the track where
        it became somebody else, and let the patches go."""
        earlier = [reading for frame, reading in track.samples.items() if frame < number]
        mean = mean_embedding(earlier)
        waiting = [frame for frame, _ in track.waiting if frame != number]
        usual = 0.0 if mean is None else float(np.median([mean @ reading.embedding for reading in earlier]))
        least = max(ALIKE, ALIKE_SHARE * usual)
        unlike = mean is not None and float(mean @ track.samples[number].embedding) < least
        doubtful = waiting if unlike else _few([n for n in waiting if track.scores[n - track.first] < POINTED])
        self._read([(track, frame) for frame in doubtful if frame not in track.samples])
        track.waiting.clear()
        if mean is not None and unlike:
            self._split(track, mean, max(UNLIKE, UNLIKE_SHARE * usual), number)

    def _split(self, track: Track, mean: np.ndarray, least: float, number: int) -> None:
        """Begin another track at the frame from which on no sample is like those before, if there is one."""
        recent = [frame for frame in sorted(track.samples) if frame > number - self._sample_every - 1]
        start = number + 1
        for frame in reversed(recent):
            if float(mean @ track.samples[frame].embedding) >= least:
                break
            start = frame
        at = start - track.first
        if start > number or at <= 0:
            return
        rest = Track(start, track.points[at:], track.scores[at:], before=track, shot=track.shot)
        rest.offset, rest.share, rest.near = track.offset, track.share, track.near
        rest.samples = {frame: reading for frame, reading in track.samples.items() if frame >= start}
        track.points, track.scores = track.points[:at], track.scores[:at]
        track.samples = {frame: reading for frame, reading in track.samples.items() if frame < start}
        self._tracks[self._tracks.index(track)] = rest
        self._ended.append(track)

    def _end(self, tracks: Sequence[Track]) -> None:
        for track in tracks:
            self._tracks.remove(track)
            last = track.stop - 1
            if track.waiting and last not in track.samples:
                self._tracks.append(track)
                self._read([(track, last)])
                self._settle(track, last)
                track = self._tracks.pop()
            track.waiting.clear()
            self._ended.append(track)


def _few(frames: list[int]) -> list[int]:
    """At most four of them, evenly."""
    return frames[:: max(1, -(-len(frames) // 4))]
