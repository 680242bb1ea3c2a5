"""Frames of a video: all in order, or exactly those of a range."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import count

import av
import numpy as np
from av import VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from models.errors import EveryageError

from .facts import FrameIndex, VideoFacts
from .planes import normal
from .source import opened_pictures

# Errors of the container in a row after which the rest of the file counts as lost.
MOST_ERRORS = 100


def scan_frames(facts: VideoFacts) -> Generator[VideoFrame, None, None]:
    """All frames that can be decoded, from the first on, in the order in which they are shown.

    Their planes are in one of `planes.FORMATS`. Damaged places are passed over. Raises InputError if the file can't be
    opened any more.
    """
    with opened_pictures(facts) as (container, stream):
        stream.thread_type = "AUTO"
        yield from _decoded(container, stream, facts)


def _decoded(container: InputContainer, stream: VideoStream, facts: VideoFacts) -> Iterator[VideoFrame]:
    for packet in _packets(container, stream):
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, EOFError):
            continue  # what follows a damaged place may be whole again
        for frame in frames:
            # A stream may change its size; the result can't.
            if (frame.width, frame.height) == (facts.width, facts.height):
                yield normal(frame)


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """Packets up to the end, and the empty one that makes the decoder give its last frames."""
    failed = 0
    while failed < MOST_ERRORS:
        try:
            for packet in container.demux(stream):
                failed = 0
                yield packet
            return
        except av.error.FFmpegError:
            failed += 1


def read_frames(
    facts: VideoFacts, index: FrameIndex, first: int = 0, stop: int | None = None
) -> Generator[VideoFrame, None, None]:
    """Exactly the frames numbered `first` to `stop` - 1 (None: to the end), in order, as `scan_frames` gives them.

    Decoding begins at the nearest key frame before, where the file lets it; else at the beginning. Raises
    ValueError for numbers that the index does not have, EveryageError if the file does not give these frames any more.
    """
    stop = len(index) if stop is None else stop
    if not 0 <= first <= stop <= len(index):
        raise ValueError(f"frames {first} to {stop} of {len(index)}")
    number = first
    if number == stop:
        return
    for start in _starts(index, first):
        # Without trustworthy times frames are counted, from the beginning.
        wanted = index.pts if len(index.keys) else None
        with closing(_from(facts, index, start)) as frames:
            for frame in _chosen(frames, wanted, number, stop):
                number += 1
                yield frame
        if number >= stop:
            return
    raise EveryageError(f"{facts.path} gives no frame {number} any more; has it changed? Open it again.")


def _starts(index: FrameIndex, first: int) -> Iterator[int]:
    """Frame numbers at which to begin, best first; the last is the beginning, which always works."""
    before = index.keys[index.keys <= first]
    for back in (1, 2, 4):
        if len(before) >= back and before[-back] > 0:
            yield int(before[-back])
    yield 0


def _from(facts: VideoFacts, index: FrameIndex, start: int) -> Generator[VideoFrame, None, None]:
    with opened_pictures(facts) as (container, stream):
        stream.thread_type = "AUTO"
        if start > 0:
            try:
                container.seek(int(index.pts[start]), stream=stream)
            except av.error.FFmpegError:
                return
        yield from _decoded(container, stream, facts)


def _chosen(frames: Iterator[VideoFrame], pts: np.ndarray | None, number: int, stop: int) -> Iterator[VideoFrame]:
    """Frames `number` to `stop` - 1 out of those decoded, told by time or else by count; ends early at a gap."""
    for counted, frame in zip(count(), frames):
        if number >= stop:
            return
        if pts is None:
            here = counted == number
        elif frame.pts is None or frame.pts > pts[number]:
            return
        else:
            here = frame.pts == pts[number]
        if here:
            yield frame
            number += 1
