"""What a person does with pictures that are made: choose one, go on from it, take back its settings, throw it away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr
from PIL import Image

from pipelines.errors import EveryageError
from ui import views
from ui.generate import result
from ui.generate.page import HIDDEN, ON_STAGE, Page, Updates
from ui.generate.result import Shelf
from ui.generate.state import Form
from ui.pictures import data_uri
from ui.views import Picture
from ui.widgets import Said


def bind_kept(page: Page) -> None:
    """Connect the stage and the gallery."""
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
