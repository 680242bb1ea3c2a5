"""What happens when: the page's events, each a thin layer between widgets and the functions of the parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from ui import views as common
from ui.services import Services
from ui.video import follow, form, panels, queued, views, work
from ui.video.state import Clip, Tab
from ui.widgets import Said, beat

Updates = dict[Any, Any]
HIDDEN = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE = HIDDEN | {"queue": False}
PRESS = HIDDEN | {"concurrency_id": "video", "concurrency_limit": 4}
# The form is long: what it began is at the top of the other column, or above it on narrow screens.
TO_VIEW = """() => {
  const part = [...document.querySelectorAll('#video-status-card, #video-job-card, #video-stage-card')]
    .find((card) => card.offsetParent);
  if (!part) return;
  const top = part.getBoundingClientRect().top;
  if (top < 0 || top > innerHeight / 2) part.scrollIntoView({behavior: 'smooth'});
}"""


@dataclass
class Page:
    """The widgets and the tab's states that the events share."""

    services: Services
    panels: panels.Panels

    def __post_init__(self) -> None:
        self.tab = gr.State(Tab())
        # Written by the looks at the work alone, so that they never undo what a press has just changed.
        self.seen = gr.State(follow.NOTHING)
        self.remembered = gr.BrowserState(storage_key="everyage-video", secret="everyage")  # settings only, no secrets

    @property
    def outputs(self) -> list[Any]:
        """Everything that an event may change."""
        return [*vars(self.panels).values(), self.tab, self.seen, self.remembered]

    def guarded(self, act: Callable[[], Updates]) -> Updates:
        """What the act updates; whatever goes wrong is a sentence in the status line."""
        try:
            return act()
        except Exception as error:
            return self.trouble(error)

    def trouble(self, error: Exception) -> Updates:
        """The error's sentence in the status line."""
        return self.idle(common.note(self.services.sentence(error), "error"))

    def idle(self, status: str = "") -> Updates:
        """Nothing is done for this tab alone."""
        return {self.panels.status: status or common.note(""), self.panels.stop: gr.Button(visible=False)}

    def show(self, tab: Tab) -> Updates:
        """The page with this tab's clip, before anything is known of the people in it."""
        shown = self.panels
        return self.idle() | {
            self.tab: tab,
            self.seen: follow.NOTHING,
            self.remembered: tab.memory(),
            shown.clip: views.clip(tab.clip) if tab.clip else "",
            shown.form: "",
            shown.job: "",
            shown.time: "",
            shown.stage: "" if tab.clip or tab.job else views.empty_stage(),
            shown.pulse: beat(tab.clip is not None or bool(tab.job), 0.3),
        }


def bind(app: gr.Blocks, tab: gr.Tab, page: Page) -> None:
    """Connect the page's widgets."""
    # Generators say `gr.skip()` first: after one that says nothing at all, Gradio empties the page.
    _bind_clip(tab, page)
    _bind_order(app, page)
    _bind_following(page)


def _bind_clip(tab: gr.Tab, page: Page) -> None:
    services, shown = page.services, page.panels

    def entered(now: Tab, memory: Any) -> Updates:
        if now.clip is not None or now.job:
            return {shown.pulse: beat(True, 0.3)}
        found = page.guarded(lambda: page.show(queued.restore(services, memory if isinstance(memory, dict) else {})))
        return found

    def opening(now: Tab, take: Callable[[], Clip]) -> Iterator[Updates]:
        yield {shown.note: common.note("Checking the video …", "busy")}
        try:
            clip = take()
        except Exception as error:
            yield {shown.note: page.trouble(error)[shown.status], shown.file: None}
            return
        services.video_desk.clear()  # what was found in an earlier clip is on the disk
        yield page.show(now.open(clip)) | {shown.note: common.note(""), shown.file: None, shown.place: ""}

    def uploaded(request: gr.Request, path: str | None, now: Tab) -> Iterator[Updates]:
        yield gr.skip()
        if path:
            services.video_runs.drop(str(request.session_hash))
            yield from opening(now, lambda: work.take(services, Path(path)))

    def placed(request: gr.Request, text: str, now: Tab) -> Iterator[Updates]:
        yield gr.skip()
        if text.strip():
            services.video_runs.drop(str(request.session_hash))
            yield from opening(now, lambda: work.open_place(services, text))

    tab.select(entered, [page.tab, page.remembered], page.outputs, **HIDDEN)
    shown.file.upload(uploaded, [shown.file, page.tab], page.outputs, trigger_mode="always_last", **PRESS)
    shown.place.submit(placed, [shown.place, page.tab], page.outputs, **PRESS)


def _bind_order(app: gr.Blocks, page: Page) -> None:
    services, shown = page.services, page.panels

    def sent(request: gr.Request, event: gr.EventData, now: Tab) -> Iterator[Updates]:
        yield gr.skip()
        said, session = Said.of(event), str(request.session_hash)
        try:
            if said.act == "look" and now.clip is not None:
                work.look(services, now.clip)
                yield {shown.form: "", shown.pulse: beat(True, 0.3)}
            elif said.act == "order":
                options, choices = form.read(said.fields, now.clip)
                asked = replace(now, choices=choices)
                yield from (_preview if said.fields.get("go") == "preview" else _start)(
                    page, asked, options, said, session
                )
        except Exception as error:
            yield page.trouble(error)

    def run(request: gr.Request, now: Tab) -> Iterator[Updates]:
        yield gr.skip()
        session = str(request.session_hash)
        mine = services.video_runs.get(session)
        if mine is None or now.clip is None or now.asked is None:
            return
        try:
            with services.interactive():
                for step in work.preview(services, mine, now.clip, *now.asked):
                    if mine.replaced:
                        return
                    updates: Updates = {shown.status: step.status, shown.stop: gr.Button(visible=step.busy)}
                    yield updates | ({shown.stage: step.stage} if step.stage is not None else {})
        finally:  # also when the tab was closed: the work must not go on for nobody
            mine.cancel.cancel()
            services.video_runs.finish(session, mine)

    def moved(event: gr.EventData, now: Tab) -> Updates:
        def draw() -> Updates:
            if now.clip is None:
                return {}
            return {shown.stage: work.frame(services, now.clip, float(Said.of(event).value))}

        return page.guarded(draw) or gr.skip()

    ordered = shown.form.click(sent, page.tab, page.outputs, trigger_mode="multiple", **PRESS)
    ordered.then(None, js=TO_VIEW)
    ordered.then(run, page.tab, page.outputs, concurrency_id="gpu", concurrency_limit=1, **HIDDEN)
    shown.time.click(moved, page.tab, page.outputs, trigger_mode="always_last", **PRESS)

    def closed(request: gr.Request) -> None:
        services.video_runs.drop(str(request.session_hash))

    app.unload(closed)


def _preview(page: Page, now: Tab, options: Any, said: Said, session: str) -> Iterator[Updates]:
    second = float(said.fields.get("second") or 0)
    page.services.video_runs.start(session)
    yield {
        page.tab: replace(now, asked=(options, second)),
        page.remembered: now.memory(),
        page.panels.status: common.progress("Waiting for its turn", None, None),
        page.panels.stop: gr.Button(visible=True),
    }


def _start(page: Page, now: Tab, options: Any, _: Said, session: str) -> Iterator[Updates]:
    services, shown = page.services, page.panels
    services.video_runs.drop(session)
    yield page.idle(common.progress("Putting it into the queue", None, None))
    if now.clip is None:
        return
    job = queued.start(services, now.clip, options)
    yield page.idle() | {
        page.tab: replace(now, job=job.id, asked=None),
        page.remembered: now.memory(),
        shown.job: queued.going(services, job),
        shown.pulse: beat(True),
    }


def _bind_following(page: Page) -> None:
    services, shown = page.services, page.panels

    def look(now: Tab, seen: follow.Seen) -> Updates:
        found = page.guarded(lambda: follow.follow(page.services, shown, page.tab, page.seen, now, seen))
        return {shown.pulse: ""} | found  # after trouble nothing is asked again

    def pressed(event: gr.EventData) -> Updates:
        def act() -> Updates:
            said = Said.of(event)
            done = services.jobs.cancel if said.act == "cancel" else services.jobs.resume
            return page.idle() | {shown.job: queued.going(services, done(said.id)), shown.pulse: beat(True)}

        return page.guarded(act)

    def stop(request: gr.Request, now: Tab) -> Updates:
        task = services.video_desk.running
        mine = task is not None and now.clip is not None and task.subject == now.clip.facts.sha256
        if not services.video_runs.cancel(str(request.session_hash)) and task and mine:
            task.cancel.cancel()
        return {shown.status: common.progress("Stopping", None, None)}

    shown.pulse.tick(look, [page.tab, page.seen], page.outputs, **AT_ONCE)
    shown.job.click(pressed, None, page.outputs, **PRESS)
    shown.stop.click(stop, page.tab, page.outputs, **AT_ONCE)
