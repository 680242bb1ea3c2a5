"""What happens when: the page's events, each a thin layer between widgets and the functions of the panels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.errors import EveryageError
from ui import views
from ui.age import controls, history, people, photo, result, work
from ui.age.state import Choices, PhotoState, Shelf
from ui.services import Services

Updates = dict[Any, Any]
HIDDEN = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE = HIDDEN | {"queue": False}
ON_STAGE = (
    "(...given) => { if (innerWidth < 760) document.querySelector('#result-panel')"
    ".scrollIntoView({behavior: 'smooth'}); return given; }"
)
TO_RUN = "() => document.querySelector('#run').focus()"


@dataclass
class Page:
    """The widgets and per-tab states that the events share."""

    services: Services
    photo: photo.PhotoPanel
    controls: controls.ControlPanel
    result: result.ResultPanel
    history: gr.HTML

    def __post_init__(self) -> None:
        self.photo_state = gr.State(PhotoState())
        self.shelf = gr.State(Shelf())
        self.remembered = gr.BrowserState(storage_key="everyage", secret="everyage")  # settings only, no secrets

    @property
    def outputs(self) -> list[Any]:
        """Everything that an event may change."""
        panels = [*vars(self.photo).values(), *vars(self.result).values()]
        shown = [self.controls.scale, self.controls.people.covered, self.history, self.photo_state, self.shelf]
        return [*panels, *self.controls.inputs, *shown]

    def show(self, state: PhotoState, shelf: Shelf) -> Updates:
        """The results panel for this photo and shelf."""
        return {self.shelf: shelf} | result.show(self.result, state, shelf)

    def show_photo(self, state: PhotoState) -> Updates:
        """The photo panel and the mark of the present age."""
        return {
            self.photo_state: state,
            self.photo.view: photo.show(state),
            self.controls.scale: views.age_scale(state.face.age if state.face else None),
        }

    def set_controls(self, choices: Choices) -> Updates:
        """The controls set to these choices."""
        set_to: Updates = dict(zip(self.controls.inputs, choices.values(), strict=True))
        return set_to | people.show(self.controls.people, self.services, choices.person, choices.whose)


def bind(app: gr.Blocks, tab: gr.Tab, page: Page) -> None:
    """Connect the page's widgets."""
    _bind_photo(page)
    _bind_runs(app, page)
    _bind_history(app, page)
    _bind_memory(app, page)
    _bind_models(app, page)
    _bind_people(tab, page)


def _bind_photo(page: Page) -> None:
    def opened(request: gr.Request, path: str | None, state: PhotoState, *given: Any) -> Iterator[Updates]:
        if not path:
            return
        yield {page.photo.note: views.note("Looking for faces …", "busy")}
        found = photo.take(page.services, Path(path), state, Choices(*given))
        updates: Updates = {page.photo.note: found.note, page.photo.source: None}
        if found.changed or found.result:
            page.services.runs.drop(str(request.session_hash))
            shelf = Shelf(alone=found.result, alone_path=Path(path) if found.result else None)
            updates |= page.show_photo(found.state) | page.show(found.state, shelf) | _idle(page)
        if found.choices:
            updates |= page.set_controls(found.choices)
        yield updates

    def chosen(request: gr.Request, event: gr.EventData, state: PhotoState) -> Updates:
        other = state.choose(int(event.index))
        if other.chosen == state.chosen:
            return {page.photo_state: state}
        page.services.runs.drop(str(request.session_hash))
        words = views.note(photo.face_words(other), "good")
        return page.show_photo(other) | page.show(other, Shelf()) | _idle(page) | {page.photo.note: words}

    inputs = [page.photo.source, page.photo_state, *page.controls.inputs]
    page.photo.source.upload(
        opened, inputs, page.outputs, concurrency_id="faces", concurrency_limit=2, trigger_mode="always_last", **HIDDEN
    )
    page.photo.view.click(chosen, page.photo_state, page.outputs, **HIDDEN)


def _idle(page: Page, status: str = "") -> Updates:
    return {page.result.status: status or views.note(""), page.result.stop: gr.Button(visible=False)}


def _bind_runs(app: gr.Blocks, page: Page) -> None:
    services = page.services

    def begin(request: gr.Request) -> Updates:
        services.runs.start(str(request.session_hash))
        waiting = views.progress("Waiting for its turn", None, None)
        return {page.result.status: waiting, page.result.stop: gr.Button(visible=True)}

    def run(targets: Callable[[Choices], list[float]]) -> Callable[..., Iterator[Updates]]:
        def handler(
            request: gr.Request, state: PhotoState, shelf: Shelf, style: str | None, *given: Any
        ) -> Iterator[Updates]:
            tab = str(request.session_hash)
            mine = services.runs.get(tab)
            if mine is None:
                return
            try:
                choices = Choices(*given)
                other = Path(style) if style else None
                with services.interactive():
                    for step in work.make(services, mine, state, shelf, targets(choices), choices, other):
                        yield _step(page, state, step)
            except EveryageError as error:  # an age that is none, before any work
                yield _idle(page, views.note(str(error), "error"))
            finally:  # also when the tab was closed: the work must not go on for nobody
                mine.cancel.cancel()
                services.runs.finish(tab, mine)

        return handler

    def stop(request: gr.Request) -> Updates:
        services.runs.cancel(str(request.session_hash))
        return {page.result.status: views.progress("Stopping", None, None)}

    inputs = [page.photo_state, page.shelf, page.controls.style, *page.controls.inputs]
    one, many = page.controls.run, page.controls.strip
    for button, targets in ((one, lambda c: [float(c.target)]), (many, lambda c: work.ages_of(c.ages))):
        begun = button.click(begin, None, page.outputs, js=ON_STAGE, trigger_mode="multiple", **AT_ONCE)
        begun.then(run(targets), inputs, page.outputs, concurrency_id="gpu", concurrency_limit=1, **HIDDEN)
    page.result.stop.click(stop, None, page.outputs, js=TO_RUN, **AT_ONCE)

    def shown(event: gr.EventData, state: PhotoState, shelf: Shelf) -> Updates:
        return page.show(state, shelf.show(int(event.index)))

    page.result.strip.click(shown, [page.photo_state, page.shelf], page.outputs, **AT_ONCE)

    def closed(request: gr.Request) -> None:
        services.runs.drop(str(request.session_hash))

    app.unload(closed)


def _step(page: Page, state: PhotoState, step: work.Step) -> Updates:
    updates: Updates = {page.result.status: step.status, page.result.stop: gr.Button(visible=step.busy)}
    if step.shelf is not None:
        updates |= page.show(state, step.shelf)
    if step.history:
        updates[page.history] = history.show(page.services)
    return updates


def _bind_history(app: gr.Blocks, page: Page) -> None:
    def pressed(request: gr.Request, event: gr.EventData, *given: Any) -> Updates:
        try:
            if event.act == "remove":
                history.remove(page.services, str(event.id))
                return {page.history: history.show(page.services)}
            page.services.runs.drop(str(request.session_hash))
            state, shelf, choices = history.open_again(page.services, str(event.id), Choices(*given))
        except EveryageError as error:
            return _idle(page, views.note(str(error), "error")) | {page.history: history.show(page.services)}
        words = views.note(photo.face_words(state), "good")
        return (
            page.show_photo(state)
            | page.show(state, shelf)
            | page.set_controls(choices)
            | _idle(page, views.note("Opened again, with its settings.", "good"))
            | {page.photo.note: words}
        )

    page.history.click(
        pressed,
        [*page.controls.inputs],
        page.outputs,
        js=ON_STAGE,
        concurrency_id="faces",
        concurrency_limit=2,
        **HIDDEN,
    )
    app.load(lambda: history.show(page.services), None, page.history, **HIDDEN)


def _bind_memory(app: gr.Blocks, page: Page) -> None:
    def recall(stored: Any) -> Updates:
        return page.set_controls(Choices().updated(stored if isinstance(stored, dict) else {}))

    app.load(recall, page.remembered, page.outputs, **HIDDEN)
    gr.on(
        [widget.change for widget in page.controls.inputs],
        None,
        list(page.controls.inputs),
        page.remembered,
        js=f"(...given) => Object.fromEntries({list(Choices.__dataclass_fields__)}.map((name, i) => [name, given[i]]))",
        **AT_ONCE,
    )
    page.controls.target.change(None, page.controls.target, page.controls.run, js=controls.RUN_LABEL, **AT_ONCE)


def _bind_models(app: gr.Blocks, page: Page) -> None:
    def offered() -> gr.Dropdown:
        return gr.Dropdown(choices=page.services.pipeline.models.choices())

    # At the start, and again when somebody turns to the list: a model may have been added meanwhile.
    gr.on([app.load, page.controls.model.focus], offered, None, page.controls.model, **HIDDEN)


def _bind_people(tab: gr.Tab, page: Page) -> None:
    panel = page.controls.people

    def offered(person: str | None, whose: str) -> Updates:
        return people.show(panel, page.services, person or "", whose)

    # Somebody may have been learnt, renamed or forgotten meanwhile.
    given = [panel.person, panel.whose]
    tab.select(offered, given, [*given, panel.covered], **HIDDEN)
    panel.person.input(offered, given, [*given, panel.covered], **HIDDEN)
