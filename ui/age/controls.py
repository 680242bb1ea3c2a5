"""The age panel: target age over a scale with the present age marked, the buttons, and what hides under More."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ui import help as words
from ui import views
from ui.age import people
from ui.age.people import PeoplePanel
from ui.age.state import CARE_STEPS, FORMATS, Choices
from ui.widgets import plain

# The button names what it will do; done in the browser, so that it follows the slider at once.
RUN_LABEL = "(age) => `Show at ${Math.round(age)}`"


@dataclass(frozen=True)
class ControlPanel:
    """The panel's widgets. `inputs` are in the order of `Choices`' fields; `style` is not remembered."""

    inputs: tuple[gr.components.Component, ...]
    model: gr.Dropdown
    style: gr.File
    people: PeoplePanel
    scale: gr.HTML
    run: gr.Button
    strip: gr.Button

    @property
    def target(self) -> gr.components.Component:
        return self.inputs[0]


def render() -> ControlPanel:
    """Lay the panel out where it is called."""
    first = Choices()
    with gr.Column(elem_id="age-panel", elem_classes="ea-card"):
        person, whose = people.render(first)
        target = gr.Slider(0, 100, first.target, step=1, label="Age to see", elem_id="target", buttons=[])
        scale = plain(views.age_scale(None), elem_id="scale")
        covered = plain("", elem_id="covered")
        with gr.Row(elem_classes="ea-buttons"):
            run = gr.Button(f"Show at {first.target}", variant="primary", elem_id="run", scale=2)
            strip = gr.Button("Strip of ages", elem_id="run-strip", scale=1, min_width=130)
        with gr.Accordion("More", open=False, elem_id="more"):
            strength = gr.Slider(
                0, 2, first.strength, step=0.05, label="Strength", info=words.STRENGTH, elem_id="strength"
            )
            detail = gr.Slider(0, 1, first.detail, step=0.05, label="Realism", info=words.REALISM, elem_id="detail")
            care = gr.Radio(list(CARE_STEPS), value=first.care, label="Time to spend", info=words.CARE, elem_id="care")
            ages = gr.Textbox(first.ages, label="Ages of the strip", info=words.STRIP, elem_id="ages")
            file_format = gr.Radio(FORMATS, value=first.format, label="File", info=words.FORMAT, elem_id="format")
            seed = gr.Number(first.seed, label="Seed", info=words.SEED, precision=0, minimum=0, elem_id="seed")
            published, style = _published(first)
    inputs = (target, strength, detail, care, seed, ages, file_format, *published, person, whose)
    return ControlPanel(inputs, published[0], style, PeoplePanel(person, whose, covered), scale, run, strip)


def _published(first: Choices) -> tuple[tuple[gr.Dropdown, gr.Checkbox, gr.Textbox, gr.Slider], gr.File]:
    """Another model, and another face's style in some of its layers."""
    with gr.Accordion("Model and style", open=False, elem_id="published"):
        model = gr.Dropdown(
            [("Embedded, 128 px", first.model)],
            value=first.model,
            label="Model",
            info=words.MODEL,
            elem_id="model",
            # A result may name a model that is not here: then the sentence of the pipeline says how to add it.
            allow_custom_value=True,
        )
        official = gr.Checkbox(first.official, label="The model's own drawing", info=words.OFFICIAL, elem_id="official")
        layers = gr.Textbox(first.layers, label="Layers from another style", info=words.LAYERS, elem_id="layers")
        amount = gr.Slider(0, 1, first.amount, step=0.05, label="Amount of that style", elem_id="amount")
        style = gr.File(
            label="Photo for that style (optional)",
            file_types=["image"],
            height=150,
            elem_id="style-photo",
        )
    return (model, official, layers, amount), style
