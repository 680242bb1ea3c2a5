"""The page's widgets: mostly live HTML, drawn from `shown.parts`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ui import views as common
from ui.following import status
from ui.people import form, learn, work
from ui.people.shown import parts
from ui.people.state import Choice
from ui.services import Services
from ui.widgets import live, plain


@dataclass(frozen=True)
class Panels:
    """The widgets. `form` takes photos; `going` shows training; the others are the parts of `shown.parts`."""

    form: gr.HTML
    list: gr.HTML
    status: gr.HTML
    stop: gr.Button
    undo: gr.Button
    report: gr.DownloadButton
    view: gr.HTML
    check: gr.HTML
    going: gr.HTML
    learn: gr.HTML
    faces: gr.HTML

    @property
    def live(self) -> tuple[gr.HTML, ...]:
        """Those that say what is pressed."""
        return (self.list, self.view, self.check, self.learn, self.faces)


def render(services: Services) -> Panels:
    """Lay the page out where it is called."""
    with gr.Row(elem_id="people-main"):
        with gr.Column(scale=4, min_width=320, elem_id="people-left"):
            photos = form.render(services)
            names = _card("list")
        with gr.Column(scale=7, min_width=320, elem_id="people-right"):
            with gr.Column(elem_id="people-status-card", elem_classes="ea-card"), gr.Row(elem_id="people-status-row"):
                status = plain(common.note(""), elem_id="people-status")
                stop = gr.Button("Stop", elem_id="people-stop", visible=False, size="sm", scale=0, min_width=88)
                undo = gr.Button("Undo", elem_id="people-undo", visible=False, size="sm", scale=0, min_width=88)
                report = gr.DownloadButton(
                    "Open the report", elem_id="people-report", visible=False, size="sm", scale=0, min_width=140
                )
            view, check, learning = _card("view"), _card("check"), _card("learn")
            with gr.Column(elem_id="people-going-card", elem_classes="ea-card ea-maybe"):
                going = plain("", elem_id="people-going")
            found = _card("faces")
    return Panels(photos, names, status, stop, undo, report, view, check, going, learning, found)


def _card(name: str) -> gr.HTML:
    with gr.Column(elem_id=f"people-{name}-card", elem_classes="ea-card ea-maybe"):
        return live("", elem_id=f"people-{name}")


def show(panels: Panels, services: Services, choice: Choice) -> dict[Any, Any]:
    """The updates that make the page show this choice."""
    found = parts(services, choice)
    return {getattr(panels, name): html for name, html in found.items()} | {panels.going: show_going(services, choice)}


def show_going(services: Services, choice: Choice) -> str:
    """How the training of the person shown goes, or went last."""
    found = services.people_jobs.current
    if found is None or found.job.kind != "personalize" or choice.what != "person" or found.ended == "done":
        return ""
    name = work.whose(services, found)
    return learn.going(work.training_view(found), name) if name == choice.name else ""


def show_status(panels: Panels, services: Services) -> dict[Any, Any]:
    """How the server's work goes."""
    desk = services.people_jobs
    report = work.report(services, desk.current)
    return {
        panels.status: status(desk, lambda found: work.finished(services, found)),
        panels.report: gr.DownloadButton(value=str(report) if report else None, visible=report is not None),
        panels.stop: gr.Button(visible=desk.running is not None),
        panels.undo: gr.Button(visible=False),
    }
