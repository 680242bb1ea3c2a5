"""How far the work for one tab is: looking for people, and the job. Asked again and again while anything goes on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from pipelines.errors import EveryageError
from ui import views as common
from ui.age.people import learnt
from ui.background import Task, status
from ui.services import Services
from ui.video import form, queued, views, work
from ui.video.panels import Panels
from ui.video.state import Clip, Tab
from ui.widgets import beat

Updates = dict[Any, Any]
ELSEWHERE = "Another video is being looked through; this one comes next"


@dataclass(frozen=True)
class Seen:
    """What a tab has drawn: number and version of the look, and a mark of the job."""

    look: tuple[int, int] = (0, 0)
    job: int = 0


NOTHING = Seen()


def follow(services: Services, shown: Panels, tab: gr.State, mark: gr.State, now: Tab, seen: Seen) -> Updates:
    """What has changed since. Raises EveryageError if the job is gone, or the queue can't be read."""
    job = services.jobs.get(now.job) if now.job else None
    active = job is not None and not job.over
    updates, looking, look_mark = _look(services, shown, tab, now, seen, active)
    job_mark = 0
    if job is not None:
        html = queued.going(services, job)
        job_mark = hash(html)
        updates |= {shown.job: html} if job_mark != seen.job else {}
    fresh = Seen(look_mark, job_mark)
    return updates | ({mark: fresh} if fresh != seen else {}) | {shown.pulse: beat(looking or active)}


def _look(
    services: Services, shown: Panels, tab: gr.State, now: Tab, seen: Seen, active: bool
) -> tuple[Updates, bool, tuple[int, int]]:
    """active: the job goes on, and looks through the video by itself if nobody did."""
    clip, task = now.clip, services.video_desk.task
    if clip is None or clip.look is not None or (active and not services.video.known(clip.facts)):
        return {}, False, seen.look
    mine = task if task is not None and task.subject == clip.facts.sha256 else work.look(services, clip)
    if mine is None:
        return {shown.status: common.progress(ELSEWHERE, None, None)}, True, (0, 0)
    mark = (mine.number, mine.version)
    if mine.ended is None:
        moved = {shown.status: status(mine), shown.stop: gr.Button(visible=True)} if mark != seen.look else {}
        return moved, True, mark
    return _looked(services, shown, tab, now, mine), False, mark


def _looked(services: Services, shown: Panels, tab: gr.State, now: Tab, task: Task) -> Updates:
    idle: Updates = {shown.stop: gr.Button(visible=False), shown.status: common.note("")}
    if task.ended != "done" or not isinstance(task.result, Clip) or now.clip is None:
        return idle | {shown.status: status(task), shown.form: views.again()}
    # The same content may lie in two places: what was found holds for both.
    clip = replace(task.result, facts=now.clip.facts)
    updates = idle | {tab: replace(now, clip=clip), shown.clip: views.clip(clip)}
    if not clip.people:
        return updates | {shown.form: views.nobody()}
    second = clip.people[0].best
    models = services.pipeline.models.choices()
    updates |= {
        shown.form: form.view(clip, now.choices, learnt(services), models),
        shown.time: views.time(clip, second),
    }
    try:
        return updates | {shown.stage: work.frame(services, clip, second)}
    except EveryageError as error:  # it was moved since
        return updates | {shown.status: common.note(str(error), "error")}
