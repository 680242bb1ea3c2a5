"""The Age page: one photo, one face, any age. Lays the panels out and ties them together."""

from __future__ import annotations

import gradio as gr

from ui.age import bind, controls, history, photo, result
from ui.services import Services


def build(app: gr.Blocks, tab: gr.Tab, services: Services) -> None:
    """Put the page into the open `tab` of the `gr.Blocks`."""
    with gr.Row(elem_id="main"):
        with gr.Column(scale=4, min_width=320, elem_id="left"):
            photo_panel = photo.render()
            control_panel = controls.render()
        with gr.Column(scale=7, min_width=320, elem_id="right"):
            result_panel = result.render()
    history_view = history.render()
    page = bind.Page(services, photo_panel, control_panel, result_panel, history_view)
    bind.bind(app, tab, page)
