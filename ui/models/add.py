"""The panel that takes files: dropped, chosen, or named by where they lie on this computer."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from pipelines.models import SUFFIXES, Entry, State
from ui.services import Services
from ui.widgets import plain

UNKNOWN = "Let Everyage find out"
OWN = "A model of my own"
NOT_SAID, MINE = "", "own"


@dataclass(frozen=True)
class AddPanel:
    """The panel's widgets. `place` is hidden where others than this computer's person may use the page."""

    file: gr.File
    place: gr.Textbox
    what: gr.Dropdown
    name: gr.Textbox
    run: gr.Button


def render(services: Services) -> AddPanel:
    """Lay the panel out where it is called."""
    with gr.Column(elem_id="model-add", elem_classes="ea-card"):
        plain('<h2 class="ea-title">Add a file</h2>')
        file = gr.File(
            label="Model file: drop it here, or press to choose it",
            file_types=list(SUFFIXES),
            height=118,
            elem_id="model-file",
        )
        place = gr.Textbox(
            label="Or where it lies",
            info="The path of a file or a Diffusers folder on this computer, or OWNER/NAME from the Hugging Face Hub.",
            placeholder="/home/me/Downloads/sam_ffhq_aging.pt",
            elem_id="model-place",
            visible=services.settings.loopback,
        )
        what = gr.Dropdown(choices(services.models.list()), value=NOT_SAID, label="It is", elem_id="model-what")
        name = gr.Textbox(label="Name", placeholder="My model", visible=False, max_length=60, elem_id="model-name")
        run = gr.Button("Add", variant="primary", elem_id="model-add-run")
        plain(
            '<p class="ea-quiet">Files of other programs are rewritten in a safe form; nothing in them is run. '
            "The file that you give is not changed.</p>"
        )
    return AddPanel(file, place, what, name, run)


def choices(entries: list[Entry]) -> list[tuple[str, str]]:
    """What a file can be: every model of the catalog that is not here."""
    lacking = [e for e in entries if e.state is State.ADDABLE and e.record.source.kind != "own"]
    return [(UNKNOWN, NOT_SAID), (OWN, MINE), *((entry.record.title, entry.id) for entry in lacking)]
