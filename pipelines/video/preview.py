"""One frame of a video as it will be: quickly without tuning, then as the whole will look."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from models.errors import InputError
from photos.files import make_folder
from pipelines.events import CancelToken, Event
from pipelines.runtime import Runtime
from pipelines.video.aging import VideoAger
from pipelines.video.media import read_frames, upright
from pipelines.video.media.facts import FrameIndex, VideoFacts
from pipelines.video.options import VideoOptions
from pipelines.video.plan import seen_person
from pipelines.video.seen import Look

KEPT_PREVIEWS = 8


def preview_frame(
    runtime: Runtime,
    data: Path,
    facts: VideoFacts,
    index: FrameIndex,
    look: Look,
    options: VideoOptions,
    second: float,
    cancel: CancelToken | None = None,
) -> Iterator[Event]:
    """The frame shown at `second`, before and after, as PIL RGB pictures, upright.

    Events: "look" with a preview (value: (before, after), by the encoder alone), "tune" a step, "done" with the pair
    that the video will hold there. What was tuned is kept for the next preview of the same shot. Raises InputError
    for a time outside the video, or a person who is not in it.
    """
    cancel = cancel or CancelToken()
    number = frame_at(facts, index, second)
    before = _picture(next(read_frames(facts, index, number, number + 1)), facts)
    shot = next(i for i, (a, b) in enumerate(look.shots) if a <= number < b)
    shown = [s for s in options.subjects if not np.isnan(seen_person(look, s).landmarks[number, 0, 0])]
    if not shown:
        yield Event("done", "Nobody who was chosen is in this frame", 1, 1, 0.0, value=(before, before))
        return
    ager = VideoAger(runtime, data)
    rough = options.model_copy(update={"tune_steps": 0})
    for chosen in (rough,) if options.tune_steps == 0 else (rough, options):
        folder = _folder(data, facts, chosen)
        for subject in shown:
            for event in ager.tune(facts, index, look, subject, shot, chosen, folder, cancel):
                if chosen is options:
                    yield Event("tune", event.message, event.done, event.total, event.seconds_left)
        cancel.check()
        _, frame = next(iter(ager.render(facts, index, look, number, number + 1, chosen, folder, cancel)))
        pair = before, _picture(frame, facts)
        if chosen is rough:
            yield Event("look", "A first look; now learning this face", preview=True, value=pair)
    _sweep(data)
    yield Event("done", "Done", 1, 1, 0.0, value=pair)


def frame_at(facts: VideoFacts, index: FrameIndex, second: float) -> int:
    """Number of the frame that is shown at a second of the video. Raises InputError outside of it."""
    length = float((index.pts[-1] - index.pts[0] + index.duration) * facts.time_base)
    if not 0 <= second <= length:
        raise InputError(f"The video is {length:.1f} seconds long; there is no frame at {second:g} seconds.")
    ticks = index.pts[0] + second / float(facts.time_base)
    return int(np.clip(np.searchsorted(index.pts, ticks + 1e-6, side="right") - 1, 0, len(index) - 1))


def _picture(frame: object, facts: VideoFacts) -> Image.Image:
    return Image.fromarray(upright(frame.to_ndarray(format="rgb24"), facts.rotation))  # type: ignore[attr-defined]


def _folder(data: Path, facts: VideoFacts, options: VideoOptions) -> Path:
    """Where the tuned generators of a preview lie, by all that they depend on."""
    made_by = options.model_dump(mode="json", exclude={"start", "end", "codec", "crf", "ten_bit"})
    digest = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:16]
    return make_folder(data / "cache" / "video" / facts.sha256 / f"preview-{digest}")


def _sweep(data: Path) -> None:
    """Keep the newest previews' generators alone."""
    folders = sorted((data / "cache" / "video").glob("*/preview-*"), key=lambda path: path.stat().st_mtime)
    for folder in folders[:-KEPT_PREVIEWS]:
        shutil.rmtree(folder, ignore_errors=True)
