"""The page's widgets, and what they show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from photos.opening import open_photo
from pipelines.errors import EveryageError
from ui import views as common
from ui.background import status
from ui.finetune import compared, form, views, work
from ui.following import status as jobs_status
from ui.pictures import data_uri
from ui.services import Services
from ui.widgets import STATIC, live, plain

CARDS = 24


@dataclass(frozen=True)
class Panels:
    """The widgets."""

    form: gr.HTML
    status: gr.HTML
    stop: gr.Button
    going: gr.HTML
    waiting: gr.HTML
    compared: gr.HTML
    adapters: gr.HTML


def render(services: Services) -> Panels:
    """Lay the page out where it is called."""
    with gr.Row(elem_id="finetune-main"):
        with gr.Column(scale=4, min_width=320, elem_id="finetune-left"), gr.Column(elem_classes="ea-card"):
            plain('<h2 class="ea-title">Teach a model from pictures</h2>')
            script = (STATIC / "drop.js").read_text(encoding="utf-8")
            asked = gr.HTML(form.view(services), elem_id="finetune-form", js_on_load=script, apply_default_css=False)
        with gr.Column(scale=7, min_width=320, elem_id="finetune-right"):
            with (
                gr.Column(elem_id="finetune-status-card", elem_classes="ea-card"),
                gr.Row(elem_id="finetune-status-row"),
            ):
                told = plain(common.note(""), elem_id="finetune-status")
                stop = gr.Button("Stop", elem_id="finetune-stop", visible=False, size="sm", scale=0, min_width=88)
            with gr.Column(elem_id="finetune-going-card", elem_classes="ea-card ea-maybe"):
                going = plain("", elem_id="finetune-going")
            with gr.Column(elem_id="finetune-waiting-card", elem_classes="ea-card ea-maybe"):
                waiting = live("", elem_id="finetune-waiting")
            with gr.Column(elem_id="finetune-compared-card", elem_classes="ea-card ea-maybe"):
                side_by_side = live("", elem_id="finetune-compared")
            with gr.Column(elem_id="finetune-adapters-card", elem_classes="ea-card ea-maybe"):
                kept = live("", elem_id="finetune-adapters")
    return Panels(asked, told, stop, going, waiting, side_by_side, kept)


def show(panels: Panels, services: Services) -> dict[Any, Any]:
    """The updates for the whole page."""
    return {
        panels.waiting: views.waiting(work.waiting(services), work.stopped_comparisons(services)),
        panels.compared: compared.cards(work.comparisons(services)),
        panels.adapters: views.adapters(cards(services)),
    } | show_work(panels, services)


def show_work(panels: Panels, services: Services) -> dict[Any, Any]:
    """The updates for how the server's work goes."""
    return {
        panels.status: show_status(services),
        panels.stop: gr.Button(visible=work.busy(services)),
        panels.going: show_going(services),
    }


def show_going(services: Services) -> str:
    """What a look at a folder found, and the training that goes on."""
    look, found = services.desk.task, services.finetune_jobs.current
    looked = views.looked(look.result) if look is not None and look.ended == "done" else ""
    if found is None or found.ended == "done":
        return looked
    wrong = found.view.get("problems", ()), found.view.get("more", 0)
    if found.job.request["compare"]:
        return looked + compared.going(found.view.get("table", ()), found.picture("grid"), *wrong)
    return looked + views.going(work.training_view(found), *wrong)


def show_status(services: Services) -> str:
    """How far a look is, and how far the training."""
    look, jobs = services.desk.task, services.finetune_jobs
    training = jobs_status(jobs, work.finished, "Getting ready")
    if look is None:
        return training
    return status(look) + (training if jobs.running is not None else "")


def cards(services: Services) -> list[tuple[str, str, dict[str, Any], str]]:
    """The adapters in the store, newest first, with their cards and pictures."""
    found = []
    for stored in services.finetuner.models.adapters()[:CARDS]:
        found.append((stored.id, stored.title, _card(stored.path), _strip(stored.path)))
    return found


def _card(folder: Path) -> dict[str, Any]:
    """What the card says; other people's adapters have none."""
    try:
        card = json.loads((folder / "card.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return card if isinstance(card, dict) else {}


def _strip(folder: Path) -> str:
    """The address of the first picture beside an adapter's files, or nothing."""
    if not folder.is_dir():
        return ""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".webp", ".png", ".jpg"):
            try:
                image: Image.Image = open_photo(path).image
            except EveryageError:
                continue  # an adapter from elsewhere may bring anything
            return data_uri(image, 1600, 88)
    return ""
