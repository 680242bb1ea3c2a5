"""The left panel: what can be done, how much room is taken, and the list of all models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipelines.models import PRESETS, Entry
from ui.models import views
from ui.services import Services
from ui.widgets import live, plain


@dataclass(frozen=True)
class ShelfPanel:
    """The panel's widgets."""

    top: gr.HTML
    table: gr.HTML


def render() -> ShelfPanel:
    """Lay the panel out where it is called."""
    with gr.Column(elem_id="models-top", elem_classes="ea-card"):
        plain(
            '<h2 class="ea-title">Models</h2><p class="ea-quiet">Everyage works as it is. Models that others have '
            "published can make it better; you decide which, and they stay on this machine.</p>"
        )
        top = live(elem_id="models-summary")
    with gr.Column(elem_id="models-list", elem_classes="ea-card"):
        table = live(elem_id="models-table")
    return ShelfPanel(top, table)


def show(panel: ShelfPanel, services: Services, entries: list[Entry], selected: str) -> dict[Any, Any]:
    """The updates that make the panel show these entries."""
    store = services.models
    notice = views.offline() if services.settings.offline else ""
    summary = views.summary(entries, store.disk_used(), store.disk_free())
    return {
        panel.top: notice + views.presets(PRESETS, entries) + summary,
        panel.table: views.table(entries, selected),
    }
