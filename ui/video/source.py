"""The video pipeline as the page needs it, in one place; tests put a quick one here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.errors import InputError
from pipelines.events import CancelToken, Event
from ui.video.state import Clip, Seen

if TYPE_CHECKING:
    from PIL import Image

    from pipelines.runtime import Runtime
    from pipelines.video.media.facts import VideoFacts
    from pipelines.video.options import VideoOptions

FRAME = 1280  # px: the longest side of a frame on its way to the screen


class VideoSource:
    """Opens clips, looks through them, and draws single frames, on this runtime and data folder."""

    def __init__(self, runtime: Runtime, data: Path) -> None:
        self.runtime, self.data = runtime, data

    def open(self, path: Path) -> VideoFacts:
        """Raises InputError, one sentence, for what can't be used."""
        from pipelines.video.media import open_video

        return open_video(path)

    def known(self, facts: VideoFacts) -> bool:
        """Whether somebody looked through this video before, so that it costs nothing now."""
        from pipelines.video.look import look_path

        return look_path(self.data / "cache", facts).is_file()

    def look(self, facts: VideoFacts, cancel: CancelToken) -> Iterator[Event]:
        """Find everybody in the video; the value of the last event is a `Clip` with its people."""
        from pipelines.video.look import look_at, thumbnail

        for event in look_at(facts, self.runtime, self.data / "cache", cancel):
            if event.stage != "done":
                yield event
                continue
            look, index = event.value
            clip = Clip(facts, look, index)
            people = []
            for person in look.people:
                cancel.check()
                share = float(np.mean(~np.isnan(person.landmarks[:, 0, 0])))
                best = float((index.pts[person.thumbnail] - index.pts[0]) * facts.time_base)
                people.append(Seen(person.who, person.age, share, best, thumbnail(facts, index, person)))
            yield replace(event, value=replace(clip, people=tuple(people)))

    def frame(self, clip: Clip, second: float) -> Image.Image:
        """The frame shown at a second of the video, as a person sees it."""
        from pipelines.video.media import read_frames
        from pipelines.video.preview import frame_at
        from pipelines.video.sheet import shown_frame

        if clip.index is None:
            raise InputError("The video has not been looked through yet.")
        number = frame_at(clip.facts, clip.index, second)
        frames = read_frames(clip.facts, clip.index, number, number + 1)
        return shown_frame(next(iter(frames)), clip.facts, FRAME)

    def preview(self, clip: Clip, options: VideoOptions, second: float, cancel: CancelToken) -> Iterator[Event]:
        """One frame before and after; the values of the events are pairs of pictures."""
        from pipelines.video.preview import preview_frame

        if clip.look is None or clip.index is None:
            raise InputError("The video has not been looked through yet.")
        yield from preview_frame(
            self.runtime, self.data, clip.facts, clip.index, clip.look, options, second, cancel=cancel
        )

    def box(self, clip: Clip, who: int, second: float) -> tuple[float, float, float, float] | None:
        """Where the face of somebody is at that second: (x, y, w, h) in parts of the upright frame; None if nowhere."""
        from pipelines.video.preview import frame_at

        person = clip.person(who)
        if person is None or clip.index is None:
            return None
        points = person.landmarks[frame_at(clip.facts, clip.index, second)]
        if np.isnan(points).any():
            return None
        places = _turned(points / (clip.facts.width, clip.facts.height), clip.facts.rotation)
        low, high = places.min(axis=0), places.max(axis=0)
        low, high = low - (high - low) / 2, high + (high - low) / 2  # from eyes and mouth to the whole face
        x, y, w, h = (float(v) for v in (*low, *(high - low)))
        return x, y, w, h


def _turned(points: np.ndarray, rotation: int) -> np.ndarray:
    """Places (n, 2) in parts of a stored frame, in parts of the frame turned clockwise by so many degrees."""
    x, y = points[:, 0], points[:, 1]
    return np.stack({0: (x, y), 90: (1 - y, x), 180: (1 - x, 1 - y), 270: (y, 1 - x)}[rotation], axis=1)
