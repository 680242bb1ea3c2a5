"""What happens when: the page's events, each a thin layer between widgets and the functions of the panels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.errors import EveryageError
from ui import views
from ui.generate import compare
from ui.generate.kept import bind_kept
from ui.generate.page import AT_ONCE, HIDDEN, Page, Updates
from ui.generate.runs import bind_runs
from ui.generate.state import ADAPTERS, ANTI_BURN, IDEAS, OWN, Form, guidance_of
from ui.widgets import Said

EXPERT = ("method", "eta", "norm", "momentum")


def bind(app: gr.Blocks, tab: gr.Tab, page: Page) -> None:
    """Connect the page's widgets."""
    _bind_form(page)
    bind_runs(app, page)
    bind_kept(page)
    _bind_restore(page)
    _bind_memory(app, tab, page)


def _bind_form(page: Page) -> None:
    panel = page.controls

    def idea(event: gr.EventData) -> Any:
        return IDEAS.get(Said.of(event).id, gr.skip())

    def ready(event: gr.EventData) -> Any:
        return compare.READY.get(Said.of(event).id, gr.skip())

    def burnt(level: str) -> list[Any]:
        values = guidance_of(level)
        return [values.get(name, gr.skip()) for name in EXPERT]

    def by_hand(*given: Any) -> Any:
        now = dict(zip(EXPERT, given, strict=True))
        same = [level for level, values in ANTI_BURN.items() if all(now[name] == v for name, v in values.items())]
        return same[0] if same else OWN

    panel.ideas.click(idea, None, panel.named("prompt"), **AT_ONCE)
    expert = [panel.named(name) for name in EXPERT]
    panel.named("burn").input(burnt, panel.named("burn"), expert, **AT_ONCE)
    for control in expert:
        control.input(by_hand, expert, panel.named("burn"), **AT_ONCE)
    page.compare.ready.click(ready, None, page.compare.axes, **AT_ONCE)


def _bind_restore(page: Page) -> None:
    panel = page.controls

    def dropped(path: str | None, *given: Any) -> Updates:
        from pipelines.generate.recipe import restore

        if not path:
            return {panel.recipe: None}
        try:
            found = restore(Path(path))
        except EveryageError as error:
            return {panel.recipe: None, panel.recipe_note: views.note(str(error), "error")}
        form = Form.given(given).with_settings(found.settings)
        words = " ".join(["All settings of the picture are back." if not found.notes else "Settings taken over.",
                          *found.notes])  # fmt: skip
        return page.set_form(form) | {panel.recipe: None, panel.recipe_note: views.note(words, "good")}

    panel.recipe.upload(dropped, [panel.recipe, *panel.inputs], page.outputs, **HIDDEN)


def _bind_memory(app: gr.Blocks, tab: gr.Tab, page: Page) -> None:
    panel = page.controls

    def opened(kept: Any, *given: Any) -> Updates:
        form = Form.given(given).remembered(kept) if isinstance(kept, dict) else Form.given(given)
        return page.set_form(form) | {page.gallery.cards: page.show_gallery()}

    def models(model: str) -> Updates:
        choices = page.services.generator.models.choices()
        offered = [(choice.title, choice.id) for choice in choices]
        found = {panel.named("model"): gr.Dropdown(choices=offered or [("No model yet", model)]),
                 panel.named("weak"): gr.Dropdown(choices=[("None", ""), *offered])}  # fmt: skip
        kept = [("None", ""), *((a.title, a.id) for a in page.services.generator.models.adapters())]
        found |= {panel.named(f"adapter{i + 1}"): gr.Dropdown(choices=kept) for i in range(ADAPTERS)}
        return found | paper(model)

    def paper(model: str) -> Updates:
        try:
            words = page.services.generator.models.choice(model).paper()
        except EveryageError as error:
            words = str(error)
        return {panel.paper: f'<p class="ea-quiet">{words}</p>'}

    app.load(opened, [page.remembered, *panel.inputs], page.outputs, **HIDDEN)
    tab.select(models, panel.named("model"), page.outputs, **HIDDEN)
    panel.named("model").change(paper, panel.named("model"), page.outputs, **HIDDEN)
