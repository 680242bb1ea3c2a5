"""From a file to people, frames and jobs: what the page does, without Gradio."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import Cancelled, EveryageError, InputError
from pipelines.events import CancelToken, Event
from ui import views as common
from ui.background import Task
from ui.handout import address, hand_out
from ui.jobs.shown import file_shown, files, picture
from ui.pictures import close_up, data_uri
from ui.services import Run, Services
from ui.uploads import keep_clip, sweep_clips
from ui.video import views
from ui.video.state import Choices, Clip, Tab
from ui.views import Picture

if TYPE_CHECKING:
    from PIL import Image

    from pipelines.jobs.job import Job
    from pipelines.video.options import VideoOptions

KIND, LOOK = "video", "video-look"
RECENT = 100  # jobs among which the last video is looked for
GRID = 30  # faces this small a part of the frame, in per cent of its width, are shown close up first


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
    except EveryageError as error:
        ending = common.note(str(error), "error")
    except Exception as error:  # a defect; the page says so in a sentence, and the terminal keeps the trace
        services.report(error)
        ending = common.note(f"Something went wrong ({type(error).__name__}); the terminal says more.", "error")
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
    return common.compare(pairs[0], pairs[1], 100 * box[2] < GRID, badge, group="ea-video-view", first="Frame")


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


# Jobs


def start(services: Services, clip: Clip, options: VideoOptions) -> Job:
    """Put the video into the queue. Raises InputError if it can't be done."""
    request = {"source": str(clip.facts.path), "out": None, "options": options.model_dump(mode="json")}
    return services.jobs.add(KIND, request)


def last(services: Services) -> Job | None:
    """The video that is being made, waits, or was made last."""
    return next((job for job in services.jobs.list(limit=RECENT) if job.kind == KIND), None)


def clip_of(job: Job) -> Clip | None:
    """The clip of a job, without looking at the file again."""
    from pipelines.video.media.facts import VideoFacts

    try:
        return Clip(VideoFacts.from_dict(job.request["facts"]))
    except (KeyError, TypeError, ValueError):
        return None  # of another version


def options_of(job: Job) -> VideoOptions | None:
    """What was chosen for a job."""
    from pipelines.video.options import video_options

    try:
        return video_options(job.request["options"])
    except (KeyError, InputError):
        return None  # of another version


def restore(services: Services, memory: dict[str, Any]) -> Tab:
    """A running video with its settings; else the clip that this browser had open; else the last video."""
    choices = Choices().updated(memory)
    job = last(services)
    clip, text = None, memory.get("clip")
    if (job is None or job.over) and isinstance(text, str) and len(text) < 4096:
        clip = open_again(services, text)
    if job is None or (clip is not None and str(clip.facts.path) != job.request.get("source")):
        return Tab(clip, choices)
    options = options_of(job)
    return Tab(clip or clip_of(job), Choices.of(options) if options else choices, job.id)


def going(services: Services, job: Job) -> str:
    """How a job goes, or what came of it, as HTML."""
    if job.state in ("waiting", "running"):
        return views.job(job, picture(job.told.preview, 960), services.working)
    if job.state != "done":
        return views.stopped(job)
    return _done(services, job)


def _done(services: Services, job: Job) -> str:
    options, clip = options_of(job), clip_of(job)
    made = files(job)
    if not made or options is None or clip is None:
        return views.stopped(replace(job, state="failed", error="What was made is not known any more."))
    file = file_shown(services, made[0])
    bits = 8 if options.ten_bit is False else clip.facts.bits
    note = views.unplayed(options.codec, bits)
    played = None
    if file.address and not note:
        played = views.Played(_before(services, clip), file.address, options.start or 0.0, ages(options))
    notes = [str(each) for each in (job.result or {}).get("notes") or ()]
    return views.done(job, file, played, note, notes)


def _before(services: Services, clip: Clip) -> str:
    """Where the browser finds the source; "" where it is gone or can't be handed out."""
    try:
        return address(hand_out(services, clip.facts.path))
    except EveryageError:
        return ""


def ages(options: VideoOptions) -> str:
    """The ages to see in a result, in a few words: "70", "20 to 80", "70 and 40"."""
    spans = []
    for subject in options.subjects:
        first, final = (common.years(age) for age in (subject.ages[0][1], subject.ages[-1][1]))
        spans.append(first if first == final else f"{first} to {final}")
    return " and ".join(spans)
