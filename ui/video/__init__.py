"""The Video page: one clip, the people in it, any age, from the first frame to the last."""

from __future__ import annotations

import gradio as gr

from ui.services import Services
from ui.video import bind, panels


def build(app: gr.Blocks, tab: gr.Tab, services: Services) -> None:
    """Put the page into the open `tab` of the `gr.Blocks`."""
    bind.bind(app, tab, bind.Page(services, panels.render(services)))
