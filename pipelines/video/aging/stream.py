"""The frames of a chunk on their way through the networks, a batch at a time.

Three stages work side by side: reading frames and cutting out faces; the networks; composing and laying. Nothing that
a frame becomes depends on where its chunk begins or ends: means over time read frames beyond it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import torch
from av import VideoFrame
from torch import Tensor

from pipelines.events import CancelToken
from pipelines.video.media import FrameIndex, VideoFacts, crop_rgb, lay_change, read_frames
from pipelines.video.options import VideoOptions
from pipelines.video.seen import Look

from .ahead import ahead
from .artist import BATCH_CPU, BATCH_GPU, Artist, Cast, Drawn, changes
from .cover import open_share
from .masks import Masks
from .sampling import to_tensors

LAID_AT_ONCE = 8
"""Frames that are composed together; on a CPU more of them would leave its caches."""
Numbered = tuple[int, VideoFrame]


@dataclass(eq=False)
class Seen:
    """One person in a batch of frames: frame numbers and crops (S, S, 3) in levels, those of neighbours as well."""

    numbers: list[int] = field(default_factory=list)
    crops: list[np.ndarray] = field(default_factory=list)


@dataclass(eq=False)
class Batch:
    """What was read up to frame `stop`: the frames that are wanted, and each person's crops."""

    frames: list[Numbered]
    people: list[Seen]
    stop: int = 0


class Chunk:
    """Frames [first, stop) of one shot and the people who are aged in them."""

    def __init__(
        self,
        facts: VideoFacts,
        index: FrameIndex,
        look: Look,
        span: tuple[int, int],
        cast: list[Cast],
        masks: Masks,
        options: VideoOptions,
        cancel: CancelToken,
    ) -> None:
        self.facts, self.index, self.look, self.cast = facts, index, look, cast
        self.options, self.cancel = options, cancel
        self.first, self.stop = span
        self.artists = [Artist(each, masks, options, float(facts.rate)) for each in cast]
        self.margin = max(artist.margin for artist in self.artists)
        self.device = cast[0].nets.device
        self.size = BATCH_CPU if self.device.type == "cpu" else BATCH_GPU
        track = cast[0].track
        self.low, self.high = max(self.first - self.margin, track.first), min(self.stop + self.margin, track.stop)

    def frames(self) -> Iterator[Numbered]:
        """All frames in order, aged."""
        with closing(ahead(self._draw(), 2)) as drawn:
            for part, people in drawn:
                self.cancel.check()
                yield from self._lay(part, people)

    def _read(self) -> Generator[Batch, None, None]:
        """Batches that cover the chunk and its margins; with the first one drawing can begin."""
        due = min(self.first + self.size + self.margin, self.high)
        held = Batch([], [Seen() for _ in self.cast])
        for number, frame in enumerate(read_frames(self.facts, self.index, self.low, self.high), self.low):
            self.cancel.check()
            if self.first <= number < self.stop:
                held.frames.append((number, frame))
            for cast, seen in zip(self.cast, held.people, strict=True):
                row, track = number - cast.track.first, cast.track
                if track.active[row]:
                    seen.numbers.append(number)
                    seen.crops.append(crop_rgb(frame, track.quads[row], track.size))
            if number + 1 == due:
                held.stop = due
                yield held
                due, held = min(due + self.size, self.high), Batch([], [Seen() for _ in self.cast])

    def _draw(self) -> Generator[tuple[list[Numbered], list[Drawn]], None, None]:
        """Frames of which all neighbours have been read, and the people who are drawn in them."""
        with closing(ahead(self._read(), 2)) as batches:
            yield from self._drawings(batches)

    def _drawings(self, batches: Iterator[Batch]) -> Iterator[tuple[list[Numbered], list[Drawn]]]:
        waiting: list[Numbered] = []
        for batch in batches:
            waiting += batch.frames
            for artist, seen in zip(self.artists, batch.people, strict=True):
                self.cancel.check()
                if seen.numbers:
                    self._see(artist, seen)
            until = self.stop if batch.stop == self.high else batch.stop - self.margin
            ready = [pair for pair in waiting if pair[0] < until]
            waiting = waiting[len(ready) :]
            for at in range(0, len(ready), self.size):
                part = ready[at : at + self.size]
                yield part, [drawn for artist in self.artists if (drawn := self._drawn(artist, part)) is not None]

    @torch.inference_mode()
    def _see(self, artist: Artist, seen: Seen) -> None:
        artist.see(seen.numbers, to_tensors(seen.crops).to(self.device))

    @torch.inference_mode()
    def _drawn(self, artist: Artist, part: list[Numbered]) -> Drawn | None:
        self.cancel.check()
        numbers = artist.cast.track.active_in(part[0][0], part[-1][0] + 1)
        return artist.draw(numbers, [artist.cast.subject.age_at(self._second(number)) for number in numbers])

    def _second(self, number: int) -> float:
        return float((self.index.pts[number] - self.index.pts[0]) * self.facts.time_base)

    def _lay(self, part: list[Numbered], people: list[Drawn]) -> Iterator[Numbered]:
        """The frames with everybody's change; without anybody they are passed on as they are."""
        laid = [self._changes(drawn) for drawn in people]
        for number, frame in part:
            for drawn, each in zip(people, laid, strict=True):
                if number in drawn.numbers:
                    change, weights = next(each)
                    quad = drawn.cast.track.quads[number - drawn.cast.track.first]
                    free = open_share(self.look, drawn.cast.subject.who, number, quad, len(weights))
                    frame = lay_change(frame, change, weights if free is None else weights * free, quad)
            yield number, frame

    def _changes(self, drawn: Drawn) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Change and weights of each frame in which this person is drawn."""
        for at in range(0, len(drawn.numbers), LAID_AT_ONCE):
            self.cancel.check()
            change, weights = self._composed(drawn.rows(at, at + LAID_AT_ONCE))
            yield from zip(change.numpy(), weights.numpy(), strict=True)

    @torch.inference_mode()
    def _composed(self, drawn: Drawn) -> tuple[Tensor, Tensor]:
        change, weights = changes(drawn, self.options)
        return change.cpu(), weights.cpu()
