"""From a file to the people in it and to single frames, without Gradio."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import Cancelled, EveryageError, InputError
from pipelines.events import CancelToken, Event
from ui import views as common
from ui.background import Task
from ui.pictures import close_up, data_uri
from ui.services import Run, Services
from ui.uploads import keep_clip, sweep_clips
from ui.video.state import Clip
from ui.views import Picture

if TYPE_CHECKING:
    from PIL import Image

    from pipelines.video.options import VideoOptions

LOOK = "video-look"
SMALL_FACE = 30  # faces this small a part of the frame, in per cent of its width, are shown close up first


def take(services: Services, upload: Path) -> Clip:
    """Open an uploaded video and keep it. Raises InputError, one sentence, for what can't be used."""
    try:
        facts = services.video.open(upload)
    except InputError as error:
        raise InputError(str(error).replace(str(upload), upload.name)) from error
    sweep_clips(services, time.time())
    return Clip(replace(facts, path=keep_clip(services, upload, facts.sha256)))


def open_place(services: Services, text: str) -> Clip:
    """Open a video where it lies on this computer. Raises InputError for what can't be used."""
    if not services.settings.loopback:
        raise InputError("Only videos that are uploaded can be used on a server; drop it.")
    return Clip(services.video.open(Path(text.strip().strip("\"'")).expanduser()))


def open_again(services: Services, text: str) -> Clip | None:
    """The clip that this browser had open, if it is still there: an upload that was kept, or one of this computer's."""
    path = Path(text)
    kept = path.is_absolute() and path.resolve().parent.parent == (services.settings.data / "clips").resolve()
    if not text or not (kept or services.settings.loopback) or not path.is_file():
        return None
    try:
        return Clip(services.video.open(path))
    except EveryageError:
        return None


# Looking for people


def look(services: Services, clip: Clip) -> Task | None:
    """Look through the clip in the background, or follow who does; None while another clip has the turn."""
    desk = services.video_desk
    task = desk.task
    if task is not None and task.kind == LOOK and task.subject == clip.facts.sha256 and task.ended in (None, "done"):
        return task
    if desk.running is not None:
        return None

    def work(cancel: CancelToken) -> Iterator[Event]:
        with services.interactive():
            yield from services.video.look(clip.facts, cancel)

    return desk.begin(LOOK, clip.facts.sha256, work, "Looking for people", lambda _: "")


# One frame


@dataclass(frozen=True)
class Step:
    """One change of the page; None leaves the stage as it is. busy: whether the work goes on."""

    status: str
    busy: bool = True
    stage: str | None = None


def frame(services: Services, clip: Clip, second: float) -> str:
    """The stage with a frame as it is. Raises EveryageError where there is none."""
    image = services.video.frame(clip, second)
    return common.single(Picture(data_uri(image), f"{clip.name} at {clip.at(second)}", f"Now · {clip.at(second)}"))


def preview(services: Services, run: Run, clip: Clip, options: VideoOptions, second: float) -> Iterator[Step]:
    """One frame as it will be, first roughly. Errors end it with a sentence; the last step has `busy=False`."""
    try:
        yield Step(common.progress("Getting ready", None, None))
        for event in services.video.preview(clip, options, second, run.cancel):
            run.cancel.check()
            bar = common.progress(event.message, event.fraction, event.seconds_left)
            shown = None if event.value is None else stage(services, clip, options, second, event)
            if event.stage != "done":
                yield Step(bar, stage=shown)
            else:
                words = "So the frame will look." if event.message == "Done" else f"{event.message}."
                yield Step(common.note(words, "good"), busy=False, stage=shown)
        return
    except Cancelled:
        ending = common.note("Stopped.", "info")
    except Exception as error:
        ending = common.note(services.sentence(error), "error")
    yield Step(ending, busy=False)


def stage(services: Services, clip: Clip, options: VideoOptions, second: float, event: Event) -> str:
    """Before and after of one frame: the whole, and the face of the first who is in it."""
    before, after = event.value
    found = [(subject, box) for subject in options.subjects if (box := services.video.box(clip, subject.who, second))]
    if not found:
        return common.single(Picture(data_uri(before), f"{clip.name} at {clip.at(second)}", f"Now · {clip.at(second)}"))
    age = " and ".join(common.years(subject.age_at(second)) for subject, _ in found)
    box = found[0][1]
    pairs = [_pair(clip, second, age, before, after), _pair(clip, second, age, near(before, box), near(after, box))]
    badge = "Quick preview" if event.preview else ""
    return common.compare(pairs[0], pairs[1], 100 * box[2] < SMALL_FACE, badge, group="ea-video-view", first="Frame")


def _pair(clip: Clip, second: float, age: str, before: Image.Image, after: Image.Image) -> tuple[Picture, Picture]:
    at = clip.at(second)
    return (
        Picture(data_uri(before), f"{clip.name} at {at}, as it is", f"Now · {at}"),
        Picture(data_uri(after), f"{clip.name} at {at}, aged to {age}", f"At {age}"),
    )


def near(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """The face in a frame; the box is in parts of it."""
    width, height = image.size
    x, y, w, h = box
    return close_up(image, (x * width, y * height, w * width, h * height))
