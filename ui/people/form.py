"""The form that takes photos: dropped, chosen, or named by where they lie; whose they are, since when, and may we."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import gradio as gr

from pipelines.errors import InputError
from ui.people.words import CONSENT, parse_day
from ui.services import Services
from ui.uploads import gather
from ui.widgets import STATIC, plain

SCRIPT = (STATIC / "drop.js").read_text(encoding="utf-8")
KINDS = ".jpg,.jpeg,.jpe,.png,.webp,.heic,.heif,.zip"
NOTHING = "First give photos: drop them, choose files or a folder, or write where they lie."
NO_CONSENT = "Everyage tells faces apart only with consent: tick the box, or leave the name empty."


@dataclass(frozen=True)
class Order:
    """What the form asks for. keep: the sources are uploads, which do not stay where they are."""

    sources: tuple[Path, ...]
    keep: bool
    person: str | None = None
    born: date | None = None


def render(services: Services) -> gr.HTML:
    """Lay the form out where it is called."""
    with gr.Column(elem_id="people-add", elem_classes="ea-card"):
        plain('<h2 class="ea-title">Add photos</h2>')
        return gr.HTML(view(services), elem_id="people-drop", js_on_load=SCRIPT, apply_default_css=False)


def view(services: Services, number: int = 0) -> str:
    """The form; another number makes the page empty it."""
    place = ""
    if services.settings.loopback:
        place = """
  <label class="ea-field"><span>Or where they lie <i>a folder or zip on this computer</i></span>
    <input name="place" type="text" placeholder="/home/me/Pictures/Grandma" autocomplete="off" spellcheck="false">
  </label>"""
    return f"""
<form data-number="{number}" data-sends="import" class="ea-form" autocomplete="off">
  <div class="ea-drop">
    <p><b>Drop photos, a folder or a zip here</b><br>JPEG, PNG, WebP, HEIC; thousands at once are fine</p>
    <div class="ea-drop-buttons">
      <button type="button" class="ea-m-button" data-browse="files">Choose files</button>
      <button type="button" class="ea-m-button" data-browse="folder">Choose a folder</button>
    </div>
    <input type="file" data-part="files" aria-label="Photo files" tabindex="-1" multiple accept="{KINDS}">
    <input type="file" data-part="folder" aria-label="Photo folder" tabindex="-1" webkitdirectory>
  </div>
  <p class="ea-chosen"><span data-part="said" role="status"></span>
    <button type="button" class="ea-link" data-part="clear" hidden>Clear</button></p>{place}
  <label class="ea-field"><span>Whose photos are they? <i>empty: sort the faces later</i></span>
    <input name="person" type="text" maxlength="80" placeholder="A name" list="people-names"></label>
  <div data-part="who" class="ea-who" hidden>
    <label class="ea-field"><span>Born on <i>gives the age in each dated photo</i></span>
      <input name="born" type="date" min="1850-01-01" max="{date.today():%Y-%m-%d}"></label>
    <label class="ea-tick"><input type="checkbox" name="consent" value="yes" data-part="consent">
      <span>{consent_words()}</span></label>
  </div>
  <button type="submit" class="ea-m-button ea-m-main ea-send" data-part="send">Import</button>
  <p class="ea-quiet">Your files are never changed.</p>
</form>"""


def consent_words() -> str:
    """The text of the consent, with the name put in by the page."""
    return CONSENT.format(name='<b data-name="1">this person</b>')


def read(services: Services, fields: dict[str, str], files: Sequence[tuple[Path, str]]) -> Order:
    """The order in a sent form; `files` are uploads with their names. Raises InputError for what can't be done."""
    name = " ".join(fields.get("person", "").split())
    if name and fields.get("consent") != "yes":
        raise InputError(NO_CONSENT)
    born = parse_day(fields.get("born", "")) if name else None
    place = fields.get("place", "").strip().strip("\"'")
    if files:
        return Order(gather(services, files), True, name or None, born)
    if not place:
        raise InputError(NOTHING)
    if not services.settings.loopback:
        raise InputError("Only photos that are uploaded can be imported on a server; drop them.")
    path = Path(place).expanduser()
    if not path.exists():
        raise InputError(f"There is nothing at {place}; write the full path of a folder or zip.")
    return Order((path,), False, name or None, born)
