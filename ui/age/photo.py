"""The photo panel: take a photo, find its faces, choose one; and take back the settings of a dropped result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from photos.io import open_photo, read_recipe
from pipelines.errors import EveryageError
from ui import views
from ui.age.state import Choices, PhotoState
from ui.photo_input import PhotoInput
from ui.pictures import data_uri
from ui.services import Services
from ui.views import Picture
from ui.widgets import live, plain


@dataclass(frozen=True)
class PhotoPanel:
    """The panel's widgets."""

    view: gr.HTML
    source: PhotoInput
    note: gr.HTML


def render() -> PhotoPanel:
    """Lay the panel out where it is called."""
    with gr.Column(elem_id="photo-panel", elem_classes="ea-card"):
        plain('<h2 class="ea-title">Photo</h2>')
        view = live(elem_id="faces")
        source = PhotoInput(
            sources=["upload", "webcam", "clipboard"],
            label="Photo",
            show_label=False,
            elem_id="photo",
            height=190,
            buttons=[],
            webcam_options=gr.WebcamOptions(mirror=False),
            placeholder="# Drop a photo here\nor a result of yours",
        )
        note = plain(views.note(""), elem_id="photo-note")
    return PhotoPanel(view, source, note)


@dataclass(frozen=True)
class Opened:
    """What a given file turned out to be. `choices` or `result` are set if it is one of our results."""

    state: PhotoState
    note: str
    choices: Choices | None = None
    result: Picture | None = None
    changed: bool = False


def take(services: Services, path: Path, state: PhotoState, choices: Choices) -> Opened:
    """Open a file that a person gave: a photo, or a result of ours whose settings come back. Never raises."""
    try:
        recipe = read_recipe(path)
        if recipe is not None:
            return _take_back(services, path, state, choices.updated(flat(recipe)), recipe)
        return Opened(*_open(services, path, path.stem), changed=True)
    except EveryageError as error:
        return Opened(state, views.note(sentence(error, path), "error"))
    except Exception as error:
        services.report(error)
        text = f"Something went wrong with {path.name} ({type(error).__name__}); the terminal says more."
        return Opened(state, views.note(text, "error"))


def flat(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe's options and target side by side, with the ages of a strip as they are typed."""
    options = recipe.get("options")
    merged = {**(options if isinstance(options, dict) else {}), **recipe}
    ages = recipe.get("strip")
    if isinstance(ages, list) and all(isinstance(a, int | float) for a in ages):
        merged["ages"] = ", ".join(f"{a:g}" for a in ages)
    return merged


def origin(recipe: dict[str, Any]) -> str | None:
    """The SHA-256 of the photo that a result was made from, as its recipe says."""
    photo = recipe.get("photo")
    given = photo.get("sha256") if isinstance(photo, dict) else None
    return given if isinstance(given, str) else None


def sentence(error: Exception, path: Path) -> str:
    """The error's sentence with the file's name in place of where the server put it."""
    return str(error).replace(str(path), path.name)


def face_words(state: PhotoState) -> str:
    """What was found in the photo, in a sentence or two."""
    face = state.face
    if face is None:
        return ""
    count = len(state.faces)
    found = "One face" if count == 1 else f"{count} faces; number {state.chosen + 1} is chosen"
    return " ".join([f"{found}, looks about {views.years(face.age)}.", *face.warnings])


def _open(services: Services, path: Path, name: str) -> tuple[PhotoState, str]:
    photo = open_photo(path, services.settings.max_pixels)
    state = PhotoState.of(photo, name, tuple(services.pipeline.find_faces(photo.image)))
    return state, views.note(face_words(state), "good")


def _take_back(services: Services, path: Path, state: PhotoState, choices: Choices, recipe: dict[str, Any]) -> Opened:
    said = f"Settings restored from {path.name}: age {choices.target:g}."
    result = Picture(data_uri(open_photo(path, services.settings.max_pixels).image), path.stem, "Result")
    sha = origin(recipe)
    if state.photo is not None and state.photo.sha256 == sha:
        return Opened(state, views.note(f"{said} Its photo is open already.", "good"), choices, result)
    original = services.originals.find(sha)
    if original is None:
        words = f"{said} Drop the photo that it was made from to go on with them."
        return Opened(state, views.note(words, "good"), choices, result)
    opened = reopen(services, original, recipe)
    words = f"{said} Its photo was in your data folder and is open again."
    return Opened(opened, views.note(words, "good"), choices, result, changed=True)


def reopen(services: Services, original: Path, recipe: dict[str, Any]) -> PhotoState:
    """The photo of an earlier result, with the face chosen that the recipe names."""
    given = recipe.get("photo")
    name = given.get("name") if isinstance(given, dict) else None
    name = Path(name).name if isinstance(name, str) and name else "photo"
    photo = replace(open_photo(original, services.settings.max_pixels), path=original.with_name(name))
    state = PhotoState.of(photo, Path(name).stem, tuple(services.pipeline.find_faces(photo.image)))
    face = recipe.get("face")
    return state.choose(face if isinstance(face, int) else 0)


def show(state: PhotoState) -> str:
    """The photo with its numbered faces."""
    if state.photo is None:
        return ""
    picture = Picture(state.whole, f"Your photo, {state.name}, with {len(state.faces)} face(s) found")
    return views.photo(picture, state.boxes(), state.chosen)
