"""What happens when: the page's events, each a thin layer between widgets and the functions of the panels."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from pipelines.errors import EveryageError
from ui import views
from ui.generate import compare, controls, result, work
from ui.generate import views as own
from ui.generate.result import GalleryPanel, Shelf
from ui.generate.state import ADAPTERS, ANTI_BURN, IDEAS, OWN, Form, guidance_of
from ui.pictures import data_uri
from ui.services import Run, Services
from ui.views import Picture
from ui.widgets import Said

Updates = dict[Any, Any]
HIDDEN = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE = HIDDEN | {"queue": False}
FOLLOW = HIDDEN | {"concurrency_id": "follow", "concurrency_limit": 8}  # looking how far a job is
EXPERT = ("method", "eta", "norm", "momentum")
ON_STAGE = (
    "(...given) => { if (innerWidth < 760) document.querySelector('#g-result')"
    ".scrollIntoView({behavior: 'smooth'}); return given; }"
)


@dataclass
class Page:
    """The widgets and per-tab states that the events share."""

    services: Services
    controls: controls.ControlPanel
    result: result.ResultPanel
    compare: compare.ComparePanel
    gallery: GalleryPanel

    def __post_init__(self) -> None:
        self.shelf = gr.State(Shelf())
        self.remembered = gr.BrowserState(storage_key="everyage-generate", secret="everyage")

    @property
    def outputs(self) -> list[Any]:
        """Everything that an event may change."""
        panel = self.controls
        others = [panel.paper, panel.start, panel.recipe, panel.recipe_note, self.compare.axes, self.compare.sheet]
        return [
            *panel.inputs, *others, self.compare.download, *vars(self.result).values(), self.gallery.cards, self.shelf,
            self.remembered,
        ]  # fmt: skip

    def set_form(self, form: Form) -> Updates:
        """The controls set to this form."""
        return dict(zip(self.controls.inputs, form.values(), strict=True))

    def show_gallery(self, words: str = "") -> str:
        """The cards that fit the words."""
        entries = self.services.gallery.search(words)
        return own.gallery([(entry.id, result.card(entry)) for entry in entries], bool(words.strip()))

    def idle(self, status: str) -> Updates:
        return {self.result.status: status, self.result.stop: gr.Button(visible=False)}


def bind(app: gr.Blocks, tab: gr.Tab, page: Page) -> None:
    """Connect the page's widgets."""
    _bind_form(page)
    _bind_runs(app, page)
    _bind_result(page)
    _bind_restore(page)
    _bind_memory(app, tab, page)


def _bind_form(page: Page) -> None:
    panel = page.controls

    def idea(event: gr.EventData) -> Any:
        return IDEAS.get(Said.of(event).id, gr.skip())

    def ready(event: gr.EventData) -> Any:
        return compare.READY.get(Said.of(event).id, gr.skip())

    def burnt(level: str) -> list[Any]:
        values = guidance_of(level)
        return [values.get(name, gr.skip()) for name in EXPERT]

    def by_hand(*given: Any) -> Any:
        now = dict(zip(EXPERT, given, strict=True))
        same = [level for level, values in ANTI_BURN.items() if all(now[name] == v for name, v in values.items())]
        return same[0] if same else OWN

    panel.ideas.click(idea, None, panel.named("prompt"), **AT_ONCE)
    expert = [panel.named(name) for name in EXPERT]
    panel.named("burn").input(burnt, panel.named("burn"), expert, **AT_ONCE)
    for control in expert:
        control.input(by_hand, expert, panel.named("burn"), **AT_ONCE)
    page.compare.ready.click(ready, None, page.compare.axes, **AT_ONCE)


def _bind_runs(app: gr.Blocks, page: Page) -> None:
    services, runs, panel = page.services, page.services.generate_runs, page.controls

    def begin(request: gr.Request) -> Updates:
        runs.start(str(request.session_hash))
        return {page.result.status: views.progress("Waiting for its turn", None, None),
                page.result.stop: gr.Button(visible=True)}  # fmt: skip

    def generate(request: gr.Request, words: str, before: Shelf, start: Any, *given: Any) -> Iterator[Updates]:
        form = Form.given(given)
        run = runs.get(str(request.session_hash))
        if run is not None:
            yield {page.remembered: asdict(form)}
            steps = work.make(services, run, form, work.drawn(start))
            shelf = yield from _show(page, request, run, steps, words)
            if shelf is None:  # stopped or refused: what was there before, in place of the last preview
                yield result.show(page.result, before)

    def again(request: gr.Request, words: str, before: Shelf, start: Any, *given: Any) -> Iterator[Updates]:
        fresh = replace(Form.given(given), seed=-1)
        yield {panel.named("seed"): -1}
        yield from generate(request, words, before, start, *fresh.values())

    def comparing(request: gr.Request, words: str, axes: str, shelf: Shelf, *given: Any) -> Iterator[Updates]:
        run = runs.get(str(request.session_hash))
        if run is not None:
            steps = work.compare(services, run, Form.given(given), axes)
            yield from _show(page, request, run, steps, words, waits=False)
            yield result.show(page.result, shelf)  # in place of the last preview

    def following(request: gr.Request, words: str, shelf: Shelf) -> Iterator[Updates]:
        """A tab that was opened while a comparison goes on follows it."""
        yield {page.shelf: shelf}  # a generator that says nothing would empty the page
        session = str(request.session_hash)
        try:
            going = services.grid_jobs.current
        except Exception as error:  # the list of jobs can't be opened, perhaps
            yield {page.result.status: views.note(services.sentence(error), "error")}
            return
        if runs.get(session) is None and going is not None:
            run = runs.start(session)
            yield from _show(page, request, run, work.following(services, run), words, waits=False)
            yield result.show(page.result, shelf)

    def resuming(request: gr.Request, words: str, shelf: Shelf) -> Iterator[Updates]:
        """After a picture, a comparison that still goes on is followed again."""
        if services.grid_jobs.running is not None:
            yield from following(request, words, shelf)
        else:
            yield {page.shelf: shelf}

    def stop(request: gr.Request) -> Updates:
        if runs.cancel(str(request.session_hash)):
            return {page.result.status: views.progress("Stopping", None, None)}
        return {page.result.status: views.note("")}

    def closed(request: gr.Request) -> None:
        runs.drop(str(request.session_hash))

    queue = {"concurrency_id": "generate", "concurrency_limit": 1, **HIDDEN}
    form = [page.gallery.search, page.shelf, panel.start, *panel.inputs]
    compared = [page.gallery.search, page.compare.axes, page.shelf, *panel.inputs]
    for button, work_of, inputs, where in (
        (panel.run, generate, form, queue),
        (panel.again, again, form, queue),
        (page.compare.run, comparing, compared, FOLLOW),
    ):
        begun = button.click(begin, None, [page.result.status, page.result.stop], js=ON_STAGE, **AT_ONCE)
        made = begun.then(work_of, inputs, page.outputs, **where)
        if where is queue:  # what a comparison became meanwhile
            made.then(resuming, [page.gallery.search, page.shelf], page.outputs, **FOLLOW)
    app.load(following, [page.gallery.search, page.shelf], page.outputs, **FOLLOW)
    page.result.stop.click(stop, None, page.result.status, **AT_ONCE)
    app.unload(closed)


def _show(
    page: Page, request: gr.Request, run: Run, steps: Iterator[work.Step], words: str, waits: bool = True
) -> Generator[Updates, None, Shelf | None]:
    """The updates of each step; the run ends with them, also when the tab was closed. Returns the last result.

    waits: the pictures are made here, for a person who waits for them; jobs stand still meanwhile.
    """
    shelf = None
    try:
        with page.services.interactive() if waits else nullcontext():
            for step in steps:
                updates: Updates = {page.result.status: step.status, page.result.stop: gr.Button(visible=step.busy)}
                if step.preview:
                    updates |= result.preview(page.result, step.preview)
                if step.shelf is not None:
                    shelf = step.shelf
                    updates |= {page.shelf: step.shelf, page.gallery.cards: page.show_gallery(words)}
                    updates |= result.show(page.result, step.shelf)
                if step.grid is not None:
                    grid = step.grid
                    picture = Picture(data_uri(grid.image, 2400, 95), f"Grid of {len(grid.table)} pictures")
                    updates[page.compare.sheet] = own.sheet(picture, grid.table)
                    updates[page.compare.download] = gr.DownloadButton(value=str(grid.file), visible=True)
                yield updates
    finally:
        run.cancel.cancel()
        page.services.generate_runs.finish(str(request.session_hash), run)
    return shelf


def _bind_result(page: Page) -> None:
    services, panel = page.services, page.controls

    def choose(event: gr.EventData, shelf: Shelf) -> Updates:
        index = Said.of(event).index
        if shelf.result is None or not 0 <= index < len(shelf.result.pictures):
            return {page.shelf: shelf}
        chosen = replace(shelf, chosen=index)
        return {page.shelf: chosen} | result.show(page.result, chosen)

    def reuse(shelf: Shelf) -> Any:
        if not shelf.paths:
            return gr.skip()
        with Image.open(shelf.paths[shelf.chosen]) as image:
            return {"background": image.convert("RGB"), "layers": [], "composite": None}

    def act(request: gr.Request, event: gr.EventData, words: str, *given: Any) -> Updates:
        said = Said.of(event)
        try:
            if said.act == "remove":
                services.gallery.remove(said.id)
                return {page.gallery.cards: page.show_gallery(words)}
            entry = services.gallery.get(said.id)
            form = Form.given(given).with_settings(services.gallery.settings(entry))
        except EveryageError as error:
            return {page.result.status: views.note(str(error), "error"), page.gallery.cards: page.show_gallery(words)}
        runs = services.generate_runs
        runs.drop(str(request.session_hash))
        with Image.open(entry.image) as image:
            picture = Picture(data_uri(image.convert("RGB"), quality=95), result.card(entry).alt)
        path = services.new_file(form.prompt[:60], entry.image.suffix)
        path.write_bytes(entry.image.read_bytes())
        shelf = Shelf(paths=(path,), alone=picture)
        done = page.idle(views.note("The picture and all its settings are back.", "good"))
        return page.set_form(form) | {page.shelf: shelf} | result.show(page.result, shelf) | done

    page.result.stage.click(choose, page.shelf, page.outputs, **HIDDEN)
    page.result.reuse.click(reuse, page.shelf, panel.start, **HIDDEN)
    page.gallery.cards.click(act, [page.gallery.search, *panel.inputs], page.outputs, js=ON_STAGE, **HIDDEN)
    page.gallery.search.change(page.show_gallery, page.gallery.search, page.gallery.cards,
                               trigger_mode="always_last", **HIDDEN)  # fmt: skip


def _bind_restore(page: Page) -> None:
    panel = page.controls

    def dropped(path: str | None, *given: Any) -> Updates:
        from pipelines.generate.recipe import restore

        if not path:
            return {panel.recipe: None}
        try:
            found = restore(Path(path))
        except EveryageError as error:
            return {panel.recipe: None, panel.recipe_note: views.note(str(error), "error")}
        form = Form.given(given).with_settings(found.settings)
        words = " ".join(["All settings of the picture are back." if not found.notes else "Settings taken over.",
                          *found.notes])  # fmt: skip
        return page.set_form(form) | {panel.recipe: None, panel.recipe_note: views.note(words, "good")}

    panel.recipe.upload(dropped, [panel.recipe, *panel.inputs], page.outputs, **HIDDEN)


def _bind_memory(app: gr.Blocks, tab: gr.Tab, page: Page) -> None:
    panel = page.controls

    def opened(kept: Any, *given: Any) -> Updates:
        form = Form.given(given).remembered(kept) if isinstance(kept, dict) else Form.given(given)
        return page.set_form(form) | {page.gallery.cards: page.show_gallery()}

    def models(model: str) -> Updates:
        choices = page.services.generator.models.choices()
        offered = [(choice.title, choice.id) for choice in choices]
        found = {panel.named("model"): gr.Dropdown(choices=offered or [("No model yet", model)]),
                 panel.named("weak"): gr.Dropdown(choices=[("None", ""), *offered])}  # fmt: skip
        kept = [("None", ""), *((a.title, a.id) for a in page.services.generator.models.adapters())]
        found |= {panel.named(f"adapter{i + 1}"): gr.Dropdown(choices=kept) for i in range(ADAPTERS)}
        return found | paper(model)

    def paper(model: str) -> Updates:
        try:
            words = page.services.generator.models.choice(model).paper()
        except EveryageError as error:
            words = str(error)
        return {panel.paper: f'<p class="ea-quiet">{words}</p>'}

    app.load(opened, [page.remembered, *panel.inputs], page.outputs, **HIDDEN)
    tab.select(models, panel.named("model"), page.outputs, **HIDDEN)
    panel.named("model").change(paper, panel.named("model"), page.outputs, **HIDDEN)
