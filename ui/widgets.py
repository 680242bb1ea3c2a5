"""The few widgets that Gradio does not have as we need them."""

from __future__ import annotations

import gradio as gr

# Every button inside that has data-act says "click" with its data; one with data-confirm asks by its own label first.
ACTIONS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (!button) return;
  if (button.dataset.confirm && !button.dataset.armed) {
    const label = button.textContent;
    button.dataset.armed = '1';
    button.textContent = button.dataset.confirm;
    setTimeout(() => { delete button.dataset.armed; button.textContent = label; }, 4000);
    return;
  }
  trigger('click', {act: button.dataset.act, index: Number(button.dataset.index ?? -1), id: button.dataset.id ?? ''});
});
"""


def plain(value: str = "", elem_id: str | None = None) -> gr.HTML:
    """HTML from `views` in our own style sheet alone."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=None, apply_default_css=False)


def live(value: str = "", elem_id: str | None = None) -> gr.HTML:
    """HTML from `views` whose buttons (data-act) say `click`; the event has `act`, `index` and `id`."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=ACTIONS, apply_default_css=False)
