"""The first pass over a video: its shots, who is in it, and where each face is in every frame."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from models.errors import InputError
from models.faces.quad import ffhq_quad
from pipelines.events import CancelToken, Eta, Event
from pipelines.runtime import Runtime
from pipelines.video.media import FrameIndex, Indexer, VideoFacts, crop_rgb, read_frames, scan_frames, small_rgb
from pipelines.video.seen import Look, SeenPerson

from .readers import Readers
from .stored import load, look_path, store
from .view import LONGEST, View
from .work import Pass

__all__ = ["look_at", "look_path", "thumbnail"]

THUMBNAIL = 160


def look_at(facts: VideoFacts, runtime: Runtime, cache: Path, cancel: CancelToken) -> Iterator[Event]:
    """Look through a video. Events of stage "look" count frames; the last one is "done", its value (Look, FrameIndex).

    cache: the data folder's `cache`. What was found is kept there, so that the same video is known at once the next
    time. A video in which nobody is seen gives a `Look` without people. Raises InputError if nothing can be decoded,
    Cancelled within one frame or so.
    """
    cancel.check()
    path = look_path(cache, facts)
    known = load(path)
    if known is None:
        known = yield from _pass(facts, runtime, cancel)
        store(path, *known)
    people, frames = len(known[0].people), len(known[1])
    said = f"{people} {'person' if people == 1 else 'people'} seen in {frames} frames"
    yield Event("done", said, frames, frames, value=known)


def _pass(facts: VideoFacts, runtime: Runtime, cancel: CancelToken) -> Generator[Event, None, tuple[Look, FrameIndex]]:
    """Decode the video once, and look at every frame."""
    indexer, eta = Indexer(facts), Eta(smoothing=0.98)
    longest, rate = max(facts.width, facts.height), float(facts.rate)
    work = Pass(Readers(runtime), rate, max(longest / LONGEST, 1.0))
    expected = round(facts.seconds * rate)
    yield Event("look", "Looking at the video", 0, expected)
    for number, frame in enumerate(scan_frames(facts)):
        cancel.check()
        indexer.add(frame)
        # The exact times are known at the end; following needs none.
        work.add(View(number, number / rate, small_rgb(frame, LONGEST), facts.rotation))
        total = max(expected, number + 1) if expected else 0
        yield Event("look", "Looking at the video", number + 1, total, eta.update(number + 1, total))
    cancel.check()
    index = indexer.done()
    return work.done(index.pts * float(facts.time_base)), index


def thumbnail(facts: VideoFacts, index: FrameIndex, person: SeenPerson) -> Image.Image:
    """The person's face at their best view, upright, as a PIL RGB picture of 160 x 160.

    Raises InputError if the file does not give that frame any more.
    """
    for frame in read_frames(facts, index, person.thumbnail, person.thumbnail + 1):
        levels = crop_rgb(frame, ffhq_quad(person.landmarks[person.thumbnail]), THUMBNAIL)
        return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
    raise InputError(f"The frame {person.thumbnail} of {facts.path} can't be read any more; has the file changed?")
