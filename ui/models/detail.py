"""The right panel: one model, its licence, and what can be done with it; and how long work on models goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipelines.errors import EveryageError
from ui import views as common
from ui.models import views
from ui.services import Services
from ui.widgets import live, plain


@dataclass(frozen=True)
class DetailPanel:
    """The panel's widgets."""

    status: gr.HTML
    stop: gr.Button
    view: gr.HTML


def render() -> DetailPanel:
    """Lay the panel out where it is called."""
    with gr.Column(elem_id="model-panel", elem_classes="ea-card"):
        with gr.Row(elem_id="model-status-row", elem_classes="ea-status-row"):
            status = plain(common.note(""), elem_id="model-status")
            stop = gr.Button("Stop", elem_id="model-stop", visible=False, size="sm", scale=0, min_width=88)
        view = live(views.nothing_chosen(), elem_id="model-view")
    return DetailPanel(status, stop, view)


def show(panel: DetailPanel, services: Services, selected: str) -> dict[Any, Any]:
    """The updates that make the panel show this model; one that is gone shows nothing."""
    try:
        shown = views.detail(services.models.get(selected), services.settings.offline) if selected else ""
    except EveryageError:  # it was removed, perhaps in another tab
        shown = ""
    return {panel.view: shown or views.nothing_chosen()}
