"""The history panel: finished results from the data folder, to open again or to remove."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
from PIL import Image

from ui import views
from ui.age.photo import flat, origin, reopen
from ui.age.state import Choices, Made, PhotoState, Shelf
from ui.pictures import close_up, data_uri
from ui.services import Services
from ui.views import Picture
from ui.widgets import live, plain

if TYPE_CHECKING:
    from photos.history import HistoryEntry

SHOWN = 48


def render() -> gr.HTML:
    """Lay the panel out where it is called."""
    with gr.Column(elem_id="history-panel", elem_classes="ea-card"):
        plain('<h2 class="ea-title">Your results</h2>')
        return live(views.history([]), elem_id="history")


def show(services: Services) -> str:
    """The newest results as cards."""
    return views.history([(entry.id, card(entry)) for entry in services.history.list(SHOWN)])


def card(entry: HistoryEntry) -> Picture:
    """The entry's small picture with its name, age and day."""
    with Image.open(entry.thumbnail) as small:
        address = data_uri(small, 256)
    title = f"{name_of(entry)} {age_of(entry)}"
    day = entry.created.astimezone()
    return Picture(address, f"{title}, made on {day:%d %B %Y}", title)


def name_of(entry: HistoryEntry) -> str:
    """The photo's name without suffix."""
    photo = entry.recipe.get("photo")
    name = photo.get("name") if isinstance(photo, dict) else None
    return Path(name).stem if isinstance(name, str) and name else "Photo"


def age_of(entry: HistoryEntry) -> str:
    """ "at 70", or that it is a strip."""
    if "strip" in entry.recipe:
        return "through the years"
    target = entry.recipe.get("target")
    return f"at {views.years(target)}" if isinstance(target, int | float) else ""


def open_again(services: Services, key: str, choices: Choices) -> tuple[PhotoState, Shelf, Choices]:
    """The entry's photo, if it was kept, its result, and its settings. Raises EveryageError if it is gone."""
    entry = services.history.get(key)
    with Image.open(entry.image) as stored:
        image = stored.convert("RGB")
    path = services.new_file(f"{name_of(entry)} {age_of(entry)}", entry.image.suffix)
    shutil.copyfile(entry.image, path)
    found = choices.updated(flat(entry.recipe))
    original = services.originals.find(origin(entry.recipe))
    state = reopen(services, original, entry.recipe) if original else PhotoState()
    if "strip" in entry.recipe or state.face is None or state.photo is None or state.photo.image.size != image.size:
        return (
            state,
            Shelf(alone=Picture(data_uri(image), card(entry).alt, age_of(entry).capitalize()), alone_path=path),
            found,
        )
    near = close_up(image, state.face.face.box)
    made = Made(found.target, data_uri(image), data_uri(near), data_uri(near, 192), path=path)
    return state, Shelf((made,), 0), found


def remove(services: Services, key: str) -> None:
    """Delete the entry, and the photo it was made from unless another result needs it."""
    services.history.remove(key)
    services.originals.prune({origin(entry.recipe) for entry in services.history.list(1_000_000)})
