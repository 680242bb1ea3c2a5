"""Following faces through one shot: where each is in every frame, and samples of who it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from models.faces.detect import ALL_AROUND, Face, look_closer, search_faces, search_turned

from .readers import Readers, Reading
from .view import LITTLE, MEDIUM, Patch, View, sane, square_side

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
# Cosine to the face's mean so far above which a sample is of the same, and below which it is of somebody else.
ALIKE, UNLIKE = 0.5, 0.3
NEVER_AGAIN = 5
"""Searches for which a place is not looked at again that turned out to be no face."""
ON_ONE = 0.15
"""Landmarks nearer to each other than this (sides of the square) are one face's."""


@dataclass(eq=False)
class Track:
    """One face in unbroken frames of one shot. points: (5, 2) in frame pixels, from frame `first` on; scores: how
    surely each is a face; samples: frame -> reading; before: the track that this one goes on from, perhaps another
    person; shot: tracks of one shot have the same number."""

    first: int
    points: list[np.ndarray] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    samples: dict[int, Reading] = field(default_factory=dict)
    before: Track | None = None
    shot: int = 0
    # Middle of the detector's box against the landmarks' and its size against the square's, from the last search.
    offset: np.ndarray = field(default_factory=lambda: np.zeros(2))
    share: float = 0.6
    near: bool = False
    waiting: list[tuple[int, Patch]] = field(default_factory=list)

    @property
    def stop(self) -> int:
        """The frame after the last one."""
        return self.first + len(self.points)

    @property
    def mean(self) -> np.ndarray | None:
        """Mean embedding (128,) of the samples so far, unit length; good views count most."""
        return mean_embedding(list(self.samples.values()))

    def add(self, points: np.ndarray, score: float) -> None:
        self.points.append(np.asarray(points, dtype=np.float32))
        self.scores.append(score)

    def expected(self, ahead: int) -> np.ndarray:
        """Landmarks `ahead` frames after the last one, going on as before."""
        last = self.points[-1].astype(np.float64)
        if len(self.points) < 3:
            return last
        return last + (last.mean(0) - self.points[-3].mean(0)) / 2 * min(ahead, 3)


def mean_embedding(readings: Sequence[Reading]) -> np.ndarray | None:
    """Unit length, weighted by quality; None of nothing."""
    if not readings:
        return None
    total = sum(reading.quality * reading.embedding for reading in readings)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-9), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Pointed:
    """A face of one frame with exact landmarks."""

    face: Face
    points: np.ndarray
    score: float
    patch: Patch


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
        if ahead > 1 and (new or lost or any(_moved(track, at) > FAST for track, at in seen.items())):
            for view in views:
                self.follow([view])
            return
        self._end(lost)
        self._fill(views[:-1], seen)
        for track, at in seen.items():
            _renew(track, at)
            track.add(at.points, at.score)
            track.waiting.append((last.number, at.patch))
        for at in new:
            track = Track(last.number, waiting=[(last.number, at.patch)], shot=self._shot)
            _renew(track, at)
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
            found = [_moved_face(face, matrix) for face in search_turned(picture, self.readers.detector, LITTLE)]
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
        guesses = [_guess(track, expected[track]) for track in missing]
        close = self._closer(view, guesses, (0.0,))
        taken = [found[index] for index in pairs.values()]
        for track, face in zip(missing, close, strict=True):
            if face is not None and not any(_shared(face, other) > 0.4 for other in taken):
                found, taken = [*found, face], [*taken, face]
                pairs[track] = len(found) - 1
        rough = {track: _hang(track, expected[track], found[index]) for track, index in pairs.items()}
        seen = dict(
            zip(pairs, self._point(view, [found[i] for i in pairs.values()], list(rough.values())), strict=True)
        )
        good: dict[Track, Pointed] = {}
        # Of one that hides another the landmarks may be found twice: they are whose way leads there.
        for track, at in sorted(seen.items(), key=lambda each: _strays(expected[each[0]], each[1])):
            if at is not None and not any(_same_place(at, other) for other in good.values()):
                good[track] = at
        others = [face for index, face in enumerate(found) if index not in pairs.values()]
        fresh = self._fresh(view, [face for face in others if all(_shared(face, o) < 0.4 for o in taken)])
        return good, [at for at in fresh if not any(_same_place(at, other) for other in good.values())]

    def _assign(self, view: View, found: list[Face], expected: dict[Track, np.ndarray]) -> dict[Track, int]:
        """Which found face each track is. Where two could be the same, their embeddings are asked."""
        if not found or not expected:
            return {}
        tracks = list(expected)
        cost = np.array([[_distance(track, expected[track], face) for face in found] for track in tracks])
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
            rough = _hang(tracks[rows[0]], expected[tracks[rows[0]]], found[column])
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
        asked = [face for face in faces if all(_shared(face, refused) < 0.5 for _, refused in self._refused)]
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
            (seen,) = look_closer([view.medium], [_moved_face(face, back)], self.readers.detector, angles)
            close.append(None if seen is None else _moved_face(seen, matrix))
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
        boxes = [_guess(track, track.points[-1].astype(np.float64)) for track in self._tracks]
        for i, track in enumerate(self._tracks):
            track.near = any(_shared(boxes[i], other) > NEAR for j, other in enumerate(boxes) if j != i)

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
        unlike = mean is not None and float(mean @ track.samples[number].embedding) < ALIKE
        doubtful = waiting if unlike else _few([n for n in waiting if track.scores[n - track.first] < POINTED])
        self._read([(track, frame) for frame in doubtful if frame not in track.samples])
        track.waiting.clear()
        if mean is not None and unlike:
            self._split(track, mean, number)

    def _split(self, track: Track, mean: np.ndarray, number: int) -> None:
        """Begin another track at the frame from which on no sample is like those before, if there is one."""
        recent = [frame for frame in sorted(track.samples) if frame > number - self._sample_every - 1]
        start = number + 1
        for frame in reversed(recent):
            if float(mean @ track.samples[frame].embedding) >= UNLIKE:
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


def _renew(track: Track, at: Pointed) -> None:
    """Remember how the detector's box lies to the landmarks."""
    side = square_side(at.points)
    track.offset = (_middle(at.face) - at.points.mean(0)) / side
    track.share = at.face.size / side


def _middle(face: Face) -> np.ndarray:
    x, y, width, height = face.box
    return np.array([x + width / 2, y + height / 2])


def _guess(track: Track, points: np.ndarray) -> Face:
    """The face as the detector would say it of these landmarks."""
    side = square_side(points)
    size, (x, y) = track.share * side, points.mean(0) + track.offset * side
    return Face((x - size / 2, y - size / 2, size, size), points.astype(np.float32), 0.0)


def _distance(track: Track, points: np.ndarray, face: Face) -> float:
    """How far a found face is from where the track is expected, in sizes; a different size counts, too."""
    guess = _guess(track, points)
    off = float(np.hypot(*(_middle(face) - _middle(guess)))) / max(min(face.size, guess.size), 1e-6)
    return off + 0.7 * abs(float(np.log(max(face.size, 1e-6) / max(guess.size, 1e-6))))


def _hang(track: Track, points: np.ndarray, face: Face) -> np.ndarray:
    """The track's landmarks moved onto a found face. The detector's own would be those of a level face."""
    if face.score and abs(face.roll - Face(face.box, points.astype(np.float32), 0.0).roll) < 0.15:
        return face.landmarks.astype(np.float64)
    guess = _guess(track, points)
    growth = float(np.clip(face.size / guess.size, 0.7, 1.4))
    side = square_side(points) * growth
    return (points - points.mean(0)) * growth + _middle(face) - track.offset * side


def _strays(expected: np.ndarray, at: Pointed | None) -> float:
    """How far landmarks are from where they were expected, in sides of the square."""
    return 9.0 if at is None else float(np.abs(at.points - expected).mean()) / max(square_side(expected), 1e-6)


def _same_place(a: Pointed, b: Pointed) -> bool:
    """Whether two faces' landmarks are on one face."""
    return float(np.abs(a.points - b.points).mean()) < ON_ONE * square_side(a.points)


def _moved(track: Track, at: Pointed) -> float:
    """How far the face went since the last frame known, in sides of its square."""
    return float(np.abs(at.points - track.points[-1]).mean()) / max(square_side(track.points[-1]), 1e-6)


def _moved_face(face: Face, matrix: np.ndarray) -> Face:
    """A face in the positions that `matrix` (2, 3) leads to."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    middle = matrix[:, :2] @ _middle(face) + matrix[:, 2]
    width, height = face.box[2] * scale, face.box[3] * scale
    points = face.landmarks.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
    box = (float(middle[0] - width / 2), float(middle[1] - height / 2), width, height)
    return Face(box, points.astype(np.float32), face.score)


def _shared(a: Face, b: Face) -> float:
    """What two boxes share, of the smaller one."""
    across = min(a.box[0] + a.box[2], b.box[0] + b.box[2]) - max(a.box[0], b.box[0])
    down = min(a.box[1] + a.box[3], b.box[1] + b.box[3]) - max(a.box[1], b.box[1])
    return max(across, 0.0) * max(down, 0.0) / max(min(a.box[2] * a.box[3], b.box[2] * b.box[3]), 1e-6)
