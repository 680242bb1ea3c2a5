"""The Fine-tune page: a generator learns from a few pictures what to draw, or how."""

from __future__ import annotations

import gradio as gr

from ui.finetune import bind, panels
from ui.services import Services


def build(app: gr.Blocks, tab: gr.Tab, services: Services) -> None:
    """Put the page into the open `tab` of the `gr.Blocks`."""
    bind.bind(tab, bind.Page(services, panels.render(services)))
