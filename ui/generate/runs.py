"""What the buttons set going: a run in a tab, a comparison as a job, and how the page follows them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import Any

import gradio as gr

from ui import views
from ui.generate import result, work
from ui.generate import views as own
from ui.generate.page import AT_ONCE, FOLLOW, HIDDEN, ON_STAGE, Page, Updates
from ui.generate.result import Shelf
from ui.generate.state import Form
from ui.pictures import data_uri
from ui.services import Run
from ui.views import Picture


def bind_runs(app: gr.Blocks, page: Page) -> None:
    """Connect the buttons that begin and stop work, and the tab's beginning and end."""
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
