"""The Jobs page: long work that waits, goes on, and is done, whatever happens to the tab meanwhile."""

from __future__ import annotations

import gradio as gr

from ui import views as common
from ui.jobs import bind, views
from ui.services import Services
from ui.widgets import live, plain, pulse


def build(tab: gr.Tab, services: Services) -> None:
    """Put the page into the open `tab` of the `gr.Blocks`."""
    with gr.Column(elem_id="jobs-opened-card", elem_classes="ea-card ea-maybe"):
        opened = live("", elem_id="jobs-opened-part")
    with gr.Column(elem_id="jobs-card", elem_classes="ea-card"):
        with gr.Row(elem_id="jobs-top"):
            plain('<h2 class="ea-title">Jobs</h2>')
            filters = live(views.filters(views.ALL), elem_id="jobs-filters")
        status = plain(common.note(""), elem_id="jobs-status")
        found = live("", elem_id="jobs-list")
        beat = pulse("jobs-pulse")
    bind.bind(tab, bind.Page(services, filters, status, opened, found, beat))
