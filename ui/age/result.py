"""The result panel: progress, before and after, the strip of ages, what was measured, and the files to keep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ui import views
from ui.age.state import Made, PhotoState, Shelf
from ui.views import Picture
from ui.widgets import live, plain

LIKENESS = "How alike the face is to the photo's; two photos of one person years apart have 40 to 80 %"
SMALL_FACE = 22  # per cent of the photo's width: below, the face alone is shown first


@dataclass(frozen=True)
class ResultPanel:
    """The panel's widgets."""

    status: gr.HTML
    stop: gr.Button
    compare: gr.HTML
    strip: gr.HTML
    figures: gr.HTML
    download: gr.DownloadButton
    download_strip: gr.DownloadButton


def render() -> ResultPanel:
    """Lay the panel out where it is called."""
    with gr.Column(elem_id="result-panel", elem_classes="ea-card"):
        with gr.Row(elem_id="status-row"):
            status = plain(views.note(""), elem_id="status")
            stop = gr.Button("Stop", elem_id="stop", visible=False, size="sm", scale=0, min_width=88)
        compare = plain(views.empty_stage(), elem_id="compare")
        strip = live(elem_id="strip")
        with gr.Row(elem_id="keep-row"):
            figures = plain("", elem_id="figures")
            with gr.Row(elem_id="downloads"):
                download = gr.DownloadButton("Download", elem_id="download", visible=False, min_width=140)
                download_strip = gr.DownloadButton(
                    "Download strip", elem_id="download-strip", visible=False, min_width=140
                )
    return ResultPanel(status, stop, compare, strip, figures, download, download_strip)


def show(panel: ResultPanel, state: PhotoState, shelf: Shelf) -> dict[gr.components.Component, Any]:
    """The updates that make the panel show this shelf."""
    made = shelf.current
    path = shelf.alone_path if shelf.alone else made.path if made else None
    return {
        panel.compare: picture(state, shelf),
        panel.strip: row(state, shelf),
        panel.figures: measured(shelf),
        panel.download: _file(f"Download at {views.years(made.target)}" if made else "Download", path),
        panel.download_strip: _file("Download strip", None if shelf.alone else shelf.strip_path),
    }


def picture(state: PhotoState, shelf: Shelf) -> str:
    """Before and after of the shown result, or what there is instead."""
    made = shelf.current
    if shelf.alone:
        return views.single(shelf.alone)
    if made is None and state.photo is None:
        return views.empty_stage()
    if made is None:
        return views.single(state.picture(near=False))
    pairs = [
        (made.other(state.name, near) or state.picture(near), made.picture(state.name, near)) for near in (False, True)
    ]
    small = bool(state.faces) and state.boxes()[state.chosen].box[2] < SMALL_FACE
    return views.compare(pairs[0], pairs[1], small, badge(made))


def badge(made: Made) -> str:
    """What is to be known of a result at first sight."""
    return "Quick preview" if made.preview else "Beyond the learnt ages" if made.extrapolated else ""


def row(state: PhotoState, shelf: Shelf) -> str:
    """The results of this face as small pictures, by age."""
    if shelf.alone or not shelf.made:
        return ""
    frames = [
        Picture(m.thumbnail, f"Show {state.name} at {views.years(m.target)}", views.years(m.target)) for m in shelf.made
    ]
    return views.strip(frames, shelf.shown)


def measured(shelf: Shelf) -> str:
    """What the shown result measures: the age it looks, and how much it is still the same face."""
    made = shelf.current
    if made is None or shelf.alone:
        return ""
    items = []
    if made.age is not None:
        items.append(("Looks about", views.years(made.age), "The age that a network reads in the result"))
    if made.identity is not None:
        items.append(("Likeness", f"{100 * max(made.identity, 0):.0f} %", LIKENESS))
    return views.figures(items)


def _file(label: str, path: Path | None) -> Any:
    return gr.DownloadButton(label, value=str(path) if path else None, visible=path is not None)
