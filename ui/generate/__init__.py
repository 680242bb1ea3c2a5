"""The Generate page: pictures from words, how strongly they follow them, and how calm they stay."""

from __future__ import annotations

import gradio as gr

from ui.generate import bind, compare, controls, result
from ui.generate.page import Page
from ui.services import Services


def build(app: gr.Blocks, tab: gr.Tab, services: Services) -> None:
    """Put the page into the open `tab` of the `gr.Blocks`."""
    with gr.Row(elem_id="g-main"):
        with gr.Column(scale=5, min_width=320, elem_id="g-left"):
            panel = controls.render()
        with gr.Column(scale=6, min_width=320, elem_id="g-right"):
            shown = result.render()
            comparing = compare.render()
    gallery = result.render_gallery()
    bind.bind(app, tab, Page(services, panel, shown, comparing, gallery))
