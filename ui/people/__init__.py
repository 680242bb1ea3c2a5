"""The People page: photos come in, faces get names and ages, and Everyage learns how one person ages."""

from __future__ import annotations

import gradio as gr

from ui.people import bind, panels
from ui.services import Services


def build(app: gr.Blocks, tab: gr.Tab, services: Services) -> None:
    """Put the page into the open `tab` of the `gr.Blocks`."""
    bind.bind(app, tab, bind.Page(services, panels.render(services)))
