"""The widgets of the page together, for the events that share them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui.generate import compare, controls, result
from ui.generate import views as own
from ui.generate.result import GalleryPanel, Shelf
from ui.generate.state import Form
from ui.services import Services

Updates = dict[Any, Any]
HIDDEN = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE = HIDDEN | {"queue": False}
FOLLOW = HIDDEN | {"concurrency_id": "follow", "concurrency_limit": 8}  # looking how far a job is
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
