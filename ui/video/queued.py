"""Videos in the queue: put in, found again, and what came of them, without Gradio."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.errors import EveryageError, InputError
from ui import views as common
from ui.handout import address, hand_out
from ui.jobs.shown import file_shown, files, picture
from ui.services import Services
from ui.video import views
from ui.video.state import Choices, Clip, Tab
from ui.video.work import open_again

if TYPE_CHECKING:
    from pipelines.jobs.job import Job
    from pipelines.video.options import VideoOptions

KIND = "video"
RECENT = 100  # jobs among which the last video is looked for


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
