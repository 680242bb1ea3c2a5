"""The form: prompt and two sliders up front, everything else folded away, each with a line of help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipelines.generate.settings import EXPLAIN, METHODS, SAMPLERS, SCHEDULES
from ui.generate.state import ADAPTERS, ANTI_BURN, IDEAS, OWN, Form
from ui.widgets import live, plain

BURN = "Keeps colours and contrast calm where a strong guidance would burn them."
WEAK = "For autoguidance alone: an earlier or smaller version of the model, chosen here or given as a folder."
ADAPTER = "What you trained or added; or the path of a LoRA file or an adapter's folder."
SEED = "-1 draws a new one each time; the same seed and settings give the same picture."
START = "Begin with a picture in place of noise. Brush over the parts to change; without a brush all of it may change."


@dataclass(frozen=True)
class ControlPanel:
    """The panel's widgets. `inputs` are in the order of `Form`'s fields; `start` is not remembered."""

    inputs: tuple[gr.components.Component, ...]
    ideas: gr.HTML
    paper: gr.HTML
    start: gr.ImageEditor
    recipe: gr.File
    recipe_note: gr.HTML
    run: gr.Button
    again: gr.Button

    def named(self, name: str) -> Any:
        """The control of one of the form's fields."""
        return dict(zip(Form().__dict__, self.inputs, strict=True))[name]


def render() -> ControlPanel:
    """Lay the panel out where it is called."""
    first = Form()
    with gr.Column(elem_id="g-panel", elem_classes="ea-card"):
        prompt = gr.Textbox(first.prompt, label="What to show", lines=3, max_lines=8, elem_id="g-prompt", buttons=[])
        ideas = live(ideas_html(), elem_id="g-ideas")
        negative = gr.Textbox(first.negative, label="What not to show", lines=1, max_lines=4, elem_id="g-negative")
        model = gr.Dropdown(
            [("Portraits, 128 px (embedded)", "portraits")], value=first.model, label="Model", elem_id="g-model",
            info="Models that you add on the Models page are offered here.", allow_custom_value=True,
        )  # fmt: skip
        scale = gr.Slider(
            1, 30, first.scale, step=0.5, label="Guidance", info=EXPLAIN["scale"], elem_id="g-scale", buttons=[]
        )
        burn = gr.Radio([*ANTI_BURN, OWN], value=first.burn, label="Anti-burn", info=BURN, elem_id="g-burn")
        count = gr.Slider(1, 16, first.count, step=1, label="Pictures", elem_id="g-count", buttons=[])
        with gr.Row(elem_classes="ea-buttons"):
            run = gr.Button("Generate", variant="primary", elem_id="g-run", scale=2)
            again = gr.Button("New seed", elem_id="g-again", scale=1, min_width=120)
        guided, paper = _expert(first)
        sampling = _sampling(first)
        with gr.Accordion("Start from a picture", open=False, elem_id="g-start-fold"):
            start = gr.ImageEditor(
                label="Start picture", type="pil", elem_id="g-start", height=300, sources=["upload", "clipboard"],
                layers=False, transforms=(), brush=gr.Brush(colors=["#ffffff"], color_mode="fixed"),
            )  # fmt: skip
            strength = gr.Slider(
                0.05, 1, first.strength, step=0.05, label="How much to change", info=START, elem_id="g-strength"
            )
        adapters = _adapters(first)
        with gr.Accordion("Settings from a picture", open=False, elem_id="g-recipe-fold"):
            recipe = gr.File(label="Drop a picture that was made here or in another program", file_types=["image"],
                             height=120, elem_id="g-recipe")  # fmt: skip
            recipe_note = plain("", elem_id="g-recipe-note")
    inputs = (prompt, negative, model, scale, burn, count, *guided, *sampling, strength, *adapters)
    return ControlPanel(inputs, ideas, paper, start, recipe, recipe_note, run, again)


def ideas_html() -> str:
    """Buttons that fill in a prompt; each says "idea" with its name."""
    buttons = "".join(f'<button type="button" data-act="idea" data-id="{name}">{name}</button>' for name in IDEAS)
    return f'<div class="ea-g-ideas" role="group" aria-label="Ideas">{buttons}</div>'


def _expert(first: Form) -> tuple[tuple[Any, ...], gr.HTML]:
    with gr.Accordion("Expert: guidance", open=False, elem_id="g-expert"):
        paper = plain("", elem_id="g-paper")
        methods = [(about, name) for name, about in METHODS.items()]
        method = gr.Dropdown(methods, value=first.method, label="Method", info=EXPLAIN["method"], elem_id="g-method")
        eta = gr.Slider(0, 1, first.eta, step=0.05, label="Parallel share (eta)", info=EXPLAIN["eta"], elem_id="g-eta")
        norm = gr.Textbox(first.norm, label="Norm limit", info=EXPLAIN["norm_threshold"], elem_id="g-norm")
        momentum = gr.Slider(
            -0.95, 0.95, first.momentum, step=0.05, label="Momentum", info=EXPLAIN["momentum"], elem_id="g-momentum"
        )
        with gr.Row():
            low = gr.Number(first.low, label="Interval from", minimum=0, info=EXPLAIN["interval"], elem_id="g-low")
            high = gr.Number(first.high, label="to", minimum=0, info="Empty: from the first step on.", elem_id="g-high")
        weak = gr.Dropdown([("None", "")], value=first.weak, label="Weaker model", info=WEAK, elem_id="g-weak",
                           allow_custom_value=True)  # fmt: skip
    return (method, eta, norm, momentum, low, high, weak), paper


def _sampling(first: Form) -> tuple[Any, ...]:
    with gr.Accordion("Expert: steps, size and seed", open=False, elem_id="g-sampling"):
        steps = gr.Slider(1, 100, first.steps, step=1, label="Steps", info="More are finer and slower.",
                          elem_id="g-steps", buttons=[])  # fmt: skip
        sampler = gr.Dropdown(
            [(about, name) for name, about in SAMPLERS.items()], value=first.sampler, label="Sampler",
            info="How a step is taken; those that do not fit the model say so.", elem_id="g-sampler",
        )  # fmt: skip
        schedule = gr.Dropdown(
            [(about, name) for name, about in SCHEDULES.items()], value=first.schedule, label="Schedule",
            info="How the noise falls from step to step.", elem_id="g-schedule",
        )  # fmt: skip
        with gr.Row():
            width = gr.Number(first.width, label="Width", precision=0, minimum=8, maximum=4096, elem_id="g-width",
                              info="Pixels; empty: the model's own.")  # fmt: skip
            height = gr.Number(first.height, label="Height", precision=0, minimum=8, maximum=4096, elem_id="g-height",
                               info="Pixels; empty: the model's own.")  # fmt: skip
        seed = gr.Number(first.seed, label="Seed", info=SEED, precision=0, minimum=-1, elem_id="g-seed")
    return steps, sampler, schedule, width, height, seed


def _adapters(first: Form) -> tuple[Any, ...]:
    found: list[Any] = []
    with gr.Accordion("Adapters", open=False, elem_id="g-adapters"):
        for i in range(ADAPTERS):
            with gr.Row():
                found.append(gr.Dropdown([("None", "")], value="", label=f"Adapter {i + 1}", scale=3,
                                         elem_id=f"g-adapter-{i + 1}", allow_custom_value=True,
                                         info=ADAPTER if i == 0 else None))  # fmt: skip
                found.append(gr.Slider(-2, 2, 1.0, step=0.05, label="Weight", elem_id=f"g-weight-{i + 1}", scale=2))
    return tuple(found)
