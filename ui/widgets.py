"""The few widgets that Gradio does not have as we need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

STATIC = Path(__file__).parent / "static"
ACTIONS = (STATIC / "live.js").read_text(encoding="utf-8")
PULSE = (STATIC / "pulse.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Said:
    """What a live piece of HTML says: which act, on what (`index` or `id`), and what was ticked, typed or sent.

    files: uploads with the names that they have in their folders.
    It comes from the browser, so nothing of it is to be believed unchecked.
    """

    act: str = ""
    id: str = ""
    index: int = -1
    ids: tuple[int, ...] = ()
    value: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    files: tuple[tuple[Path, str], ...] = ()

    @classmethod
    def of(cls, event: gr.EventData) -> Said:
        """The same from Gradio's event; what has another form than ours is left out."""
        given = event._data if isinstance(event._data, dict) else {}
        numbers = [str(i) for i in given.get("ids") or () if str(i).isascii() and str(i).isdigit()]
        sent, files = given.get("fields"), given.get("files")
        return cls(
            act=str(given.get("act") or ""),
            id=str(given.get("id") or ""),
            index=index if type(index := given.get("index")) is int else -1,
            ids=tuple(int(i) for i in numbers if len(i) < 16),
            value=str(given.get("value") if given.get("value") is not None else ""),
            fields={str(k): str(v) for k, v in sent.items()} if isinstance(sent, dict) else {},
            files=tuple((Path(str(f.get("path"))), str(f.get("name"))) for f in files or () if isinstance(f, dict)),
        )


def plain(value: str = "", elem_id: str | None = None) -> gr.HTML:
    """HTML from `views` in our own style sheet alone."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=None, apply_default_css=False)


def live(value: str = "", elem_id: str | None = None) -> gr.HTML:
    """HTML from `views` whose buttons, fields and forms with data-act say `click`; `Said.of` reads the event."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=ACTIONS, apply_default_css=False)


def pulse(elem_id: str) -> gr.HTML:
    """An empty part that says `tick` while it holds `beat()` and the page is in view; a timer would never rest."""
    return gr.HTML("", elem_id=elem_id, js_on_load=PULSE, apply_default_css=False)


def beat(going_on: bool, every: float = 1.0) -> str:
    """What a pulse holds while something goes on: tick every so many seconds."""
    return f'<i data-poll="{round(1000 * every)}" hidden></i>' if going_on else ""
