"""The result panel: progress, the pictures, the file to keep, what guidance did; and the gallery below."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from ui import views as common
from ui.generate import views
from ui.pictures import data_uri
from ui.views import Picture
from ui.widgets import live, plain

if TYPE_CHECKING:
    from photos.history import HistoryEntry
    from pipelines.generate.generator import Generated


@dataclass(frozen=True)
class ResultPanel:
    """The panel's widgets."""

    status: gr.HTML
    stop: gr.Button
    stage: gr.HTML
    download: gr.DownloadButton
    reuse: gr.Button
    probe: gr.HTML


@dataclass(frozen=True)
class GalleryPanel:
    """Search and cards."""

    search: gr.Textbox
    cards: gr.HTML


@dataclass(frozen=True)
class Shelf:
    """What the tab shows: the last run, its files, and which of its pictures is chosen."""

    result: Generated | None = None
    paths: tuple[Path, ...] = ()
    chosen: int = 0
    alone: Picture | None = None
    seed: int = field(default=-1)


def render() -> ResultPanel:
    """Lay the panel out where it is called."""
    with gr.Column(elem_id="g-result", elem_classes="ea-card"):
        with gr.Row(elem_id="g-status-row"):
            status = plain(common.note(""), elem_id="g-status")
            stop = gr.Button("Stop", elem_id="g-stop", visible=False, size="sm", scale=0, min_width=88)
        stage = live(views.empty(), elem_id="g-stage")
        with gr.Row(elem_id="g-keep"):
            download = gr.DownloadButton("Download", elem_id="g-download", visible=False, min_width=140)
            reuse = gr.Button("Start from this picture", elem_id="g-reuse", visible=False, min_width=180)
        probe = live("", elem_id="g-probe")
    return ResultPanel(status, stop, stage, download, reuse, probe)


def render_gallery() -> GalleryPanel:
    """Lay the gallery out where it is called."""
    with gr.Column(elem_id="g-gallery-panel", elem_classes="ea-card"):
        with gr.Row(elem_id="g-gallery-top"):
            plain('<h2 class="ea-title">Your pictures</h2>')
            search = gr.Textbox(
                "", placeholder="Search prompts, models, settings", label="Search", show_label=False,
                elem_id="g-search", container=False, scale=0, min_width=260,
            )  # fmt: skip
        cards = live(views.gallery([], False), elem_id="g-gallery")
    return GalleryPanel(search, cards)


def show(panel: ResultPanel, shelf: Shelf) -> dict[Any, Any]:
    """The updates that make the panel show this shelf."""
    made = shelf.result.pictures if shelf.result else ()
    if shelf.alone is not None:
        shown = [views.Shown(shelf.alone)]
    else:
        shown = [
            views.Shown(
                Picture(data_uri(m.image, quality=95), f"Picture {i + 1}: {m.settings.prompt[:120]}"), m.figures
            )
            for i, m in enumerate(made)
        ]
    path = shelf.paths[shelf.chosen] if shelf.paths else None
    probes = made[shelf.chosen].probes if made and shelf.alone is None else ()
    return {
        panel.stage: views.stage(shown, shelf.chosen, preview=False),
        panel.download: gr.DownloadButton("Download", value=str(path) if path else None, visible=path is not None),
        panel.reuse: gr.Button(visible=path is not None),
        panel.probe: views.plot(probes),
    }


def preview(panel: ResultPanel, images: list[Image.Image]) -> dict[Any, Any]:
    """The updates for the state of a run."""
    pictures = [Picture(data_uri(image, 512), f"Picture {i}, still being made") for i, image in enumerate(images, 1)]
    shown = [views.Shown(picture) for picture in pictures]
    return {panel.stage: views.stage(shown, 0, preview=True), panel.probe: "", panel.reuse: gr.Button(visible=False),
            panel.download: gr.DownloadButton(visible=False)}  # fmt: skip


def card(entry: HistoryEntry) -> Picture:
    """An entry's small picture with the beginning of its prompt."""
    with Image.open(entry.thumbnail) as small:
        address = data_uri(small, 256)
    settings = entry.recipe.get("settings")
    prompt = str(settings.get("prompt", "")) if isinstance(settings, dict) else ""
    title = prompt if len(prompt) < 60 else prompt[:57] + "…"
    return Picture(address, prompt[:200] or "no prompt", title or "no prompt")
