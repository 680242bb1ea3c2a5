"""What happens when: the page's events, each a thin layer between widgets and the functions of the panels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipelines.errors import EveryageError
from ui import views
from ui.models import add, detail, shelf, work
from ui.models.words import keys
from ui.services import Run, Services

Updates = dict[Any, Any]
HIDDEN = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE = HIDDEN | {"queue": False}
PRESS = HIDDEN | {"concurrency_id": "presses", "concurrency_limit": 8}  # in the queue, without which no notice pops up
FOLLOW = HIDDEN | {"concurrency_id": "models", "concurrency_limit": 8}  # most of it is looking how far a job is
# The panel that says what is done and how far it is must be seen, on narrow screens and after scrolling.
TO_DETAIL = """(...given) => {
  const panel = document.querySelector('#model-panel');
  const top = panel.getBoundingClientRect().top;
  if (top < 0 || top > innerHeight / 2) panel.scrollIntoView({behavior: 'smooth'});
  return given;
}"""
# The list itself is not drawn anew for a choice, so that what was unfolded stays so.
CHOOSE = f"""(...given) => {{
  for (const row of document.querySelectorAll('.ea-m-row'))
    row.setAttribute('aria-pressed', row === document.activeElement);
  return ({TO_DETAIL})(...given);
}}"""
TO_TITLE = "() => document.querySelector('#model-title')?.focus({preventScroll: true})"


@dataclass
class Page:
    """The widgets and per-tab states that the events share. `asked`: what a pressed button says, and of which model."""

    services: Services
    shelf: shelf.ShelfPanel
    detail: detail.DetailPanel
    add: add.AddPanel

    def __post_init__(self) -> None:
        self.selected = gr.State("")
        self.asked = gr.State(("", ""))

    @property
    def outputs(self) -> list[Any]:
        """Everything that an event may change."""
        panels = [*vars(self.shelf).values(), *vars(self.detail).values(), *vars(self.add).values()]
        return [*panels, self.selected, self.asked]

    def show(self, selected: str) -> Updates:
        """The whole page with this model chosen."""
        entries = self.services.models.list()
        updates = {self.selected: selected, self.add.what: gr.Dropdown(choices=add.choices(entries))}
        return updates | shelf.show(self.shelf, self.services, entries, selected) | self.show_detail(selected)

    def choose(self, id: str, session: str) -> Updates:
        """This model in the detail panel, and as what a given file is; what work says of itself stays."""
        entries = self.services.models.list()
        choices = add.choices(entries)
        same = next((entry.id for entry in entries if id in keys(entry)), id)
        known = same if same in {value for _, value in choices} else add.NOT_SAID
        updates = self.show_detail(id) | {
            self.selected: id,
            self.add.what: gr.Dropdown(choices=choices, value=known),
            self.add.name: gr.Textbox(visible=False),
        }
        if self.services.model_runs.get(session) is None:
            updates[self.detail.status] = views.note("")
        return updates

    def show_detail(self, selected: str) -> Updates:
        """The detail panel with this model."""
        return detail.show(self.detail, self.services, selected)


def bind(app: gr.Blocks, tab: gr.Tab, page: Page) -> None:
    """Connect the page's widgets."""
    _bind_choice(app, tab, page)
    _bind_work(app, page)
    _bind_add(page)


def _bind_choice(app: gr.Blocks, tab: gr.Tab, page: Page) -> None:
    def chosen(request: gr.Request, event: gr.EventData) -> Updates:
        return page.choose(str(event.id), str(request.session_hash))

    gr.on([app.load, tab.select], page.show, page.selected, page.outputs, **HIDDEN)
    page.shelf.table.click(chosen, None, page.outputs, js=CHOOSE, **HIDDEN).then(None, js=TO_TITLE)


def _bind_work(app: gr.Blocks, page: Page) -> None:
    runs = page.services.model_runs

    def begin(request: gr.Request, event: gr.EventData, selected: str) -> Updates:
        if event.act == "open":
            id = str(event.id)
            return page.show(id) | page.choose(id, str(request.session_hash)) | {page.asked: ("", "")}
        asked = (str(event.act), str(event.id))
        if event.act in work.QUICK:  # done here, beside a download, which goes on
            *_, step = work.act(page.services, Run(), *asked)
            return page.show(selected) | {page.detail.status: step.status, page.asked: ("", "")}
        if asked[0] == "download" and runs.get(str(request.session_hash)) is not None:
            return _queue(page, asked[1])
        return {page.asked: asked} | _busy(page) if _start(page, request) else {page.asked: ("", "")}

    def go(request: gr.Request, asked: tuple[str, str], selected: str) -> Iterator[Updates]:
        yield {page.asked: ("", "")}  # a generator that says nothing would empty the page
        mine = runs.get(str(request.session_hash))
        if mine is not None and asked[0]:
            yield from _show(page, request, mine, work.act(page.services, mine, *asked), selected)

    def stop(request: gr.Request) -> Updates:
        runs.cancel(str(request.session_hash))
        return {page.detail.status: views.progress("Stopping", None, None)}

    def closed(request: gr.Request) -> None:
        runs.drop(str(request.session_hash))

    def again(request: gr.Request, selected: str) -> Iterator[Updates]:
        """A tab that was opened while a download goes on follows it."""
        yield {page.asked: ("", "")}  # as above
        session = str(request.session_hash)
        try:
            going = page.services.download_jobs.running
        except Exception as error:  # the list of jobs can't be opened, perhaps
            yield {page.detail.status: views.note(page.services.sentence(error), "error")}
            return
        if runs.get(session) is None and going is not None:
            mine = runs.start(session)
            selected = str(going.job.request["model"])
            yield page.show(selected)
            yield from _show(page, request, mine, work.following(page.services, mine), selected)

    app.load(again, page.selected, page.outputs, **FOLLOW)
    for widget in (page.shelf.top, page.detail.view):
        begun = widget.click(begin, page.selected, page.outputs, js=TO_DETAIL, trigger_mode="multiple", **PRESS)
        begun.then(go, [page.asked, page.selected], page.outputs, **FOLLOW)
    page.detail.stop.click(stop, None, page.outputs, **AT_ONCE)
    app.unload(closed)


def _bind_add(page: Page) -> None:
    runs = page.services.model_runs
    panel = page.add

    def begin(request: gr.Request) -> Updates:
        return {page.asked: ("add", "")} | _busy(page) if _start(page, request) else {page.asked: ("", "")}

    def go(
        request: gr.Request, asked: tuple[str, str], selected: str, file: str | None, *given: str
    ) -> Iterator[Updates]:
        yield {page.asked: ("", "")}  # as above
        mine = runs.get(str(request.session_hash))
        if mine is None or not asked[0]:
            return
        place, what, name = (str(value or "") for value in given)
        steps = work.add(page.services, mine, file, place, what, name)
        yield from _show(page, request, mine, steps, selected, adding=True)

    begun = panel.run.click(begin, None, page.outputs, js=TO_DETAIL, trigger_mode="multiple", **PRESS)
    inputs = [page.asked, page.selected, panel.file, panel.place, panel.what, panel.name]
    begun.then(go, inputs, page.outputs, **FOLLOW)
    panel.what.change(lambda what: gr.Textbox(visible=what == add.MINE), panel.what, panel.name, **AT_ONCE)


def _show(
    page: Page, request: gr.Request, mine: Run, steps: Iterator[work.Step], selected: str, adding: bool = False
) -> Iterator[Updates]:
    """The updates of each step; the run ends with them, also when the tab was closed."""
    try:
        for step in steps:
            updates: Updates = {
                page.detail.status: step.status,
                page.detail.stop: gr.Button(visible=step.busy),
            }
            if step.selected is not None:
                selected = step.selected
                updates |= page.show(selected)
                if adding:
                    updates |= {page.add.file: None, page.add.place: "", page.add.name: gr.Textbox("", visible=False)}
                    updates[page.add.what] = gr.Dropdown(
                        choices=add.choices(page.services.models.list()), value=add.NOT_SAID
                    )
            elif step.changed:
                updates |= page.show(selected)
            yield updates
    finally:
        mine.cancel.cancel()
        page.services.model_runs.finish(str(request.session_hash), mine)


def _queue(page: Page, id: str) -> Updates:
    """Another download behind the one that this tab follows."""
    try:
        gr.Info(work.queue_download(page.services, id), title="Queued")
    except EveryageError as error:
        gr.Info(str(error), title="Not queued")
    return {page.asked: ("", "")}


def _start(page: Page, request: gr.Request) -> bool:
    """Begin work for this tab, unless it has some: a download is not to be lost by another press."""
    session = str(request.session_hash)
    if page.services.model_runs.get(session) is not None:
        gr.Info("Something is being done already. Wait for it, or stop it first.", title="One at a time")
        return False
    page.services.model_runs.start(session)
    return True


def _busy(page: Page) -> Updates:
    waiting = views.progress("Waiting for its turn", None, None)
    return {page.detail.status: waiting, page.detail.stop: gr.Button(visible=True)}
