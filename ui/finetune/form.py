"""The form: pictures, what they show, a method and a strength; everything else has defaults and is folded away."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import EveryageError, InputError
from ui.services import Services
from ui.uploads import gather

if TYPE_CHECKING:
    from pipelines.finetune.settings import FinetuneSettings

KINDS = ".jpg,.jpeg,.png,.webp,.heic,.heif,.txt,.caption,.jsonl"
NOTHING = "First give pictures: drop them, choose files or a folder, write where they lie, or name somebody."
UP_FRONT = ("sara", "wara", "lora")
STRENGTHS = {
    "subtle": ("Subtle", "A touch; what the model knows stays."),
    "medium": ("Medium", "For most things."),
    "strong": ("Strong", "Close to the pictures; needs more of them."),
}
NUMBERS = ("steps", "rate", "batch", "accumulate", "side", "seed", "ema", "offset", "sample_every")


@dataclass(frozen=True)
class Order:
    """What the form asks for. given: uploads, which are removed once the adapter is made. person: a name in the
    collection, in place of a folder. check: only look. compare: methods to try, `seeds` trainings each, in place of
    the one of the settings.
    """

    folder: Path | None
    given: bool
    settings: FinetuneSettings
    title: str | None
    check: bool
    person: str = ""
    compare: tuple[str, ...] = ()
    seeds: int = 1


def view(services: Services, number: int = 0) -> str:
    """The form; another number makes the page empty it."""
    place = ""
    if services.settings.loopback:
        place = """
  <label class="ea-field"><span>Or where they lie <i>a folder on this computer</i></span>
    <input name="place" type="text" placeholder="/home/me/Pictures/style" autocomplete="off" spellcheck="false">
  </label>"""
    return f"""
<form data-number="{number}" data-sends="finetune" class="ea-form" autocomplete="off">
  <div class="ea-drop">
    <p><b>Drop pictures or a folder here</b><br>Five to fifty of one thing; a .txt file beside each is its caption</p>
    <div class="ea-drop-buttons">
      <button type="button" class="ea-m-button" data-browse="files">Choose files</button>
      <button type="button" class="ea-m-button" data-browse="folder">Choose a folder</button>
    </div>
    <input type="file" data-part="files" aria-label="Picture files" tabindex="-1" multiple accept="{KINDS}">
    <input type="file" data-part="folder" aria-label="Picture folder" tabindex="-1" webkitdirectory>
  </div>
  <p class="ea-chosen"><span data-part="said" role="status"></span>
    <button type="button" class="ea-link" data-part="clear" hidden>Clear</button></p>{place}
  <label class="ea-field"><span>Or somebody in your collection <i>a name from the People page</i></span>
    <input name="person" type="text" maxlength="80" list="people-names"></label>
  <label class="ea-field"><span>What do they show? <i>for pictures without a caption; empty: their file names</i></span>
    <input name="phrase" type="text" maxlength="2000" placeholder="a photo of zkw"></label>
  {_methods()}{_strengths()}
  <label class="ea-field"><span>Its name <i>empty: after the folder</i></span>
    <input name="title" type="text" maxlength="60" placeholder="My style"></label>
  {_more(services)}{_comparison()}
  <div class="ea-row"><button type="submit" class="ea-m-button ea-m-main" data-part="send">Start</button>
    <button type="submit" class="ea-m-button" name="go" value="check">Only look at the pictures</button></div>
  <p class="ea-quiet">You can close the page meanwhile, and stop and go on whenever you like.</p>
</form>"""


def _methods() -> str:
    from pipelines.finetune.methods import METHODS

    tiles = "".join(
        f'<label><input type="radio" name="method" value="{name}"{" checked" if name == UP_FRONT[0] else ""}>'
        f"<b>{METHODS[name].title}</b><small>{escape(METHODS[name].about)}</small></label>"
        for name in UP_FRONT
    )
    others = "".join(
        f'<option value="{name}">{method.title}: {escape(method.about)}</option>'
        for name, method in METHODS.items()
        if name not in UP_FRONT
    )
    return f"""<fieldset class="ea-presets"><legend class="ea-legend">Method</legend>{tiles}</fieldset>
  <label class="ea-field"><span>Or another method</span>
    <select name="other"><option value="">None</option>{others}</select></label>"""


def _strengths() -> str:
    tiles = "".join(
        f'<label><input type="radio" name="strength" value="{key}"{" checked" if key == "medium" else ""}>'
        f"<b>{title}</b><small>{about}</small></label>"
        for key, (title, about) in STRENGTHS.items()
    )
    return f'<fieldset class="ea-presets"><legend class="ea-legend">Strength</legend>{tiles}</fieldset>'


def _comparison() -> str:
    from pipelines.finetune.methods import METHODS

    ticks = "".join(
        f'<label class="ea-tick"><input type="checkbox" name="against_{name}" value="yes"'
        f"{' checked' if name in UP_FRONT else ''}><span>{method.title}</span></label>"
        for name, method in METHODS.items()
    )
    return f"""<details class="ea-fold" data-fold="comparison"><summary>Compare methods</summary><div class="ea-form">
  <p class="ea-quiet">Each learns from the same pictures with about the same number of weights; a table and pictures
    side by side tell which suits them. It takes as long as all these trainings, and some drawing.</p>
  <fieldset class="ea-choices"><legend class="ea-legend">Methods to compare</legend>{ticks}</fieldset>
  {_number("seeds", "Trainings of each", "more tell chance from merit", 1, 1, 20, "1")}
  <div class="ea-row"><button type="submit" class="ea-m-button" name="go" value="compare">Compare them</button></div>
  </div></details>"""


def _more(services: Services) -> str:
    from pipelines.finetune.settings import FinetuneSettings

    first = FinetuneSettings()
    known = [
        ("portraits", "Portraits, 128 px (embedded)"),
        *((m.id, m.title) for m in services.models.ready("diffusers")),
    ]
    models = "".join(f'<option value="{escape(id)}">{escape(title)}</option>' for id, title in known)
    number = _number
    return f"""<details class="ea-fold" data-fold="more"><summary>More</summary><div class="ea-form">
  <label class="ea-field"><span>Model</span><select name="model">{models}</select></label>
  <label class="ea-field"><span>Or a model's folder <i>in Diffusers' layout</i></span>
    <input name="place_of_model" type="text" maxlength="1000" spellcheck="false"></label>
  {number("steps", "Steps", "more are closer to the pictures, and slower", first.steps, 1, 200_000, "1")}
  <label class="ea-field"><span>Draw while it learns <i>a prompt a line; empty: captions of the pictures</i></span>
    <textarea name="samples" rows="2" maxlength="4000"></textarea></label>
  {number("sample_every", "Steps between drawings", "empty: five times in all; 0: never", "", 0, 200_000, "1")}
  {number("rate", "Learning rate", "empty: the method's own", "", 0.0000001, 1, "any")}
  {number("batch", "Pictures side by side", "fewer need less memory", first.batch, 1, 256, "1")}
  {number("accumulate", "Batches a step", "more are calmer, and slower", first.accumulate, 1, 256, "1")}
  {number("side", "Size in pixels", "empty: the model's own", "", 8, 2048, "1")}
  {number("ema", "Average of the weights", "0: none; 0.99 is calmer", first.ema, 0, 0.9999, "any")}
  {number("offset", "Offset noise", "0.05 to 0.1 for dark and bright pictures", first.offset, 0, 1, "any")}
  {number("seed", "Seed", "the same gives the same", first.seed, 0, 2**53, "1")}
  <label class="ea-tick"><input type="checkbox" name="unmirrored" value="yes">
    <span>Do not mirror the pictures (for writing, or a parting that must stay on its side)</span></label>
  <label class="ea-tick"><input type="checkbox" name="checkpointing" value="yes">
    <span>Save memory by computing twice (gradient checkpointing)</span></label>
  </div></details>"""


def _number(name: str, label: str, help: str, value: Any, low: float, high: float, step: str) -> str:
    return f"""<label class="ea-field"><span>{label} <i>{help}</i></span>
    <input type="number" name="{name}" value="{value}" min="{low}" max="{high}" step="{step}"></label>"""


def read(services: Services, fields: Mapping[str, str], files: Sequence[tuple[Path, str]]) -> Order:
    """The order in a sent form; `files` are uploads with their names. Raises InputError for what can't be done."""
    settings = settings_of(fields)
    title = " ".join(fields.get("title", "").split()) or None
    check = fields.get("go") == "check"
    compare, seeds = compared(fields) if fields.get("go") == "compare" else ((), 1)
    place = fields.get("place", "").strip().strip("\"'")
    if files:
        return Order(keep_given(services, files), True, settings, title, check, "", compare, seeds)
    if person := " ".join(fields.get("person", "").split()):
        return Order(None, False, settings, title, check, person, compare, seeds)
    if not place:
        raise InputError(NOTHING)
    if not services.settings.loopback:
        raise InputError("Only pictures that are uploaded can be learned from on a server; drop them.")
    return Order(Path(place).expanduser(), False, settings, title, check, "", compare, seeds)


def compared(fields: Mapping[str, str]) -> tuple[tuple[str, ...], int]:
    """The methods that are ticked, and how many trainings each. Raises InputError for fewer than two methods."""
    from pipelines.finetune.methods import METHODS

    methods = tuple(name for name in METHODS if fields.get(f"against_{name}") == "yes")
    if len(methods) < 2:
        raise InputError("Tick two methods or more to compare.")
    seeds = fields.get("seeds", "").strip() or "1"
    if not seeds.isdecimal():
        raise InputError(f"The number of trainings is a whole number from 1 to 20, not {seeds!r}.")
    return methods, int(seeds)


def settings_of(fields: Mapping[str, str]) -> FinetuneSettings:
    """The settings in a sent form. Raises InputError that names what is wrong."""
    from pipelines.finetune.settings import finetune_settings

    given: dict[str, Any] = {
        "method": fields.get("other") or fields.get("method", "sara"),
        "strength": fields.get("strength", "medium"),
        "model": fields.get("place_of_model", "").strip() or fields.get("model", "portraits"),
        "phrase": fields.get("phrase", "").strip() or None,
        "flips": fields.get("unmirrored") != "yes",
        "checkpointing": fields.get("checkpointing") == "yes",
        "samples": [line.strip() for line in fields.get("samples", "").splitlines() if line.strip()],
    }
    given |= {name: fields[name].strip() for name in NUMBERS if fields.get(name, "").strip()}
    return finetune_settings(given)


def keep_given(services: Services, files: Sequence[tuple[Path, str]]) -> Path:
    """Move uploads to where they stay until the adapter is made, also over a restart of the app."""
    from pipelines.finetune.stored import GIVEN

    waiting = gather(services, files)
    home = waiting[0].parent
    target = services.settings.data / "finetune" / f"{GIVEN}{home.parent.name[:16]}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(home, target)
    except OSError as error:
        raise EveryageError(f"The pictures can't be kept in {target.parent} ({error.strerror or error}).") from error
    return target
