"""The Models page: what is here, what could be added, and under which licence. Lays out the panels, ties them up."""

from __future__ import annotations

import gradio as gr

from ui.models import add, bind, detail, shelf
from ui.services import Services


def build(app: gr.Blocks, tab: gr.Tab, services: Services) -> None:
    """Put the page into the open `tab` of the `gr.Blocks`."""
    with gr.Row(elem_id="models-main"):
        with gr.Column(scale=6, min_width=320, elem_id="models-left"):
            shelf_panel = shelf.render()
        with gr.Column(scale=5, min_width=320, elem_id="models-right"):
            detail_panel = detail.render()
            add_panel = add.render(services)
    bind.bind(app, tab, bind.Page(services, shelf_panel, detail_panel, add_panel))
