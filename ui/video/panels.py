"""The page's widgets."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ui import views as common
from ui.services import Services
from ui.video import views
from ui.widgets import live, plain, pulse

KINDS = [".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".3gp", ".mxf"]


@dataclass(frozen=True)
class Panels:
    """The widgets. `place` is hidden where others than this computer's person may use the page."""

    clip: gr.HTML
    file: gr.File
    place: gr.Textbox
    note: gr.HTML
    form: gr.HTML
    status: gr.HTML
    stop: gr.Button
    job: gr.HTML
    stage: gr.HTML
    time: gr.HTML
    pulse: gr.HTML


def render(services: Services) -> Panels:
    """Lay the page out where it is called."""
    with gr.Row(elem_id="video-main"):
        with gr.Column(scale=4, min_width=320, elem_id="video-left"):
            with gr.Column(elem_id="video-add", elem_classes="ea-card"):
                plain('<h2 class="ea-title">Video</h2>')
                clip = plain("", elem_id="video-clip")
                file = gr.File(
                    label="Drop a video here, or press to choose it", file_types=KINDS, height=118, elem_id="video-file"
                )
                plain(f'<p class="ea-quiet" id="video-kinds">{views.CONTAINERS}</p>')
                place = gr.Textbox(
                    label="Or where it lies",
                    info="The path of a video on this computer; Enter opens it.",
                    placeholder="/home/me/Videos/birthday.mp4",
                    elem_id="video-place",
                    visible=services.settings.loopback,
                )
                note = plain(common.note(""), elem_id="video-note")
            with gr.Column(elem_id="video-form-card", elem_classes="ea-card ea-maybe"):
                form = live("", elem_id="video-order")
        with gr.Column(scale=7, min_width=320, elem_id="video-right"):
            with gr.Column(elem_id="video-status-card", elem_classes="ea-card"), gr.Row(elem_id="video-status-row"):
                status = plain(common.note(""), elem_id="video-status")
                stop = gr.Button("Stop", elem_id="video-stop", visible=False, size="sm", scale=0, min_width=88)
            with gr.Column(elem_id="video-job-card", elem_classes="ea-card ea-maybe"):
                job = live("", elem_id="video-job")
            with gr.Column(elem_id="video-stage-card", elem_classes="ea-card"):
                stage = plain(views.empty_stage(), elem_id="video-stage")
                time = live("", elem_id="video-time")
            beat = pulse("video-pulse")
    return Panels(clip, file, place, note, form, status, stop, job, stage, time, beat)
