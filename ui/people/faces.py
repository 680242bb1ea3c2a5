"""Faces as cards: the crop, the age with its source, and what can be said about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from ui.people import crops, words
from ui.people.state import ORDERS

if TYPE_CHECKING:
    from photos.people import FaceView, Question

USES = {"auto": "Train if it helps", "always": "Always train", "never": "Never train"}
SOURCES = {
    "typed": "typed by you",
    "birth date": "from birth date",
    "file name": "from file name",
    "folder": "from folder",
    "estimated": "estimated",
}


def check(faces: Sequence[FaceView], name: str) -> str:
    """The faces that are probably this person's, and what to answer. Says "confirm", "reject" or "assign"."""
    who = escape(name)
    cards = "".join(
        f"<li>{_crop(face, tick=True)}{_why(face)}"
        f'<div class="ea-row">{_button("confirm", face.id, "Yes", f"Yes, this is {name}")}'
        f"{_button('reject', face.id, 'No', f'No, this is not {name}')}</div>"
        f'<input type="text" data-act="assign" data-id="{face.id}" list="people-names" placeholder="Somebody else …" '
        f'aria-label="Who else it is" maxlength="80"></li>'
        for face in faces
    )
    return (
        f'<div class="ea-section" data-picks="1"><div class="ea-row ea-between"><h3>Is this {who}?</h3>'
        f'<div class="ea-row"><button type="button" class="ea-m-button" data-act="confirm-shown">'
        f"All {len(faces)} shown are {who}</button>"
        f'<button type="button" class="ea-m-button" data-act="reject">Ticked are not {who}</button></div></div>'
        f'<ul class="ea-faces">{cards}</ul></div>'
    )


def grid(faces: Sequence[FaceView], total: int, name: str, order: str) -> str:
    """The photos of a person with ages to edit. Says "age", "use", "order", "more", and acts on ticked faces."""
    cards = "".join(f"<li>{_crop(face, tick=True)}{age_field(face)}{_use(face)}{_why(face)}</li>" for face in faces)
    orders = "".join(
        f'<option value="{key}"{" selected" if key == order else ""}>{title}</option>' for key, title in ORDERS.items()
    )
    more = ""
    if total > len(faces):
        more = f'<button type="button" class="ea-m-button" data-act="more">Show more of {total:,}</button>'
    return f"""
<div class="ea-section" data-picks="1">
  <div class="ea-row ea-between"><h3>{words.count(total, "face")} of {escape(name)}</h3>
    <label class="ea-row"><span class="ea-quiet">Order</span><select data-act="order">{orders}</select></label></div>
  <details class="ea-fold" data-fold="bulk"><summary>With ticked faces …</summary><div>{_bulk(name)}</div></details>
  <ul class="ea-faces">{cards}</ul>{more}
</div>"""


def _bulk(name: str) -> str:
    return f"""
<div class="ea-bulk">
  <form class="ea-inline" data-act="ages"><label class="ea-field"><span>Age in all of them</span>
    <input type="number" name="age" min="0" max="130" step="any" required></label>
    <button type="submit" class="ea-m-button">Set</button></form>
  <form class="ea-inline" data-act="split"><label class="ea-field"><span>They are somebody else</span>
    <input type="text" name="name" maxlength="80" list="people-names" placeholder="A name" required></label>
    <button type="submit" class="ea-m-button">Split off</button></form>
  <button type="button" class="ea-m-button" data-act="confirm">They are {escape(name)}</button>
  <button type="button" class="ea-m-button" data-act="reject">They are not {escape(name)}</button>
</div>"""


def asked(question: Question, name: str) -> str:
    """One question about a face, with the field or the buttons that answer it."""
    face = question.face
    answer = age_field(face)
    if question.kind == "identity":
        answer = (
            f'<div class="ea-row">{_button("confirm", face.id, "Yes", f"Yes, this is {name}")}'
            f"{_button('reject', face.id, 'No', f'No, this is not {name}')}</div>"
        )
    return f"{_crop(face, tick=False)}<b>{escape(question.text)}</b>{answer}"


def choosable(faces: Iterable[FaceView]) -> str:
    """Faces with the reasons for or against training with them, and a choice to overrule that. Says "use"."""
    cards = "".join(f"<li>{_crop(face, tick=False)}{_use(face)}{_why(face)}</li>" for face in faces)
    return f'<ul class="ea-faces">{cards}</ul>'


def thumbs(faces: Iterable[FaceView], tick: bool = False) -> str:
    """A row of small faces."""
    items = "".join(f"<li>{_crop(face, tick, side=112)}</li>" for face in faces)
    return f'<ul class="ea-thumbs">{items}</ul>'


def age_field(face: FaceView) -> str:
    """The age in years to edit, and where it comes from."""
    source = str(face.age_source) if face.age_source else ""
    guessed = " ea-guessed" if source == "estimated" else ""
    return (
        f'<label class="ea-age"><input type="number" data-act="age" data-id="{face.id}" min="0" max="130" step="any" '
        f'value="{words.field_age(face.age)}" aria-label="Age in years in {escape(face.photo)}">'
        f'<span class="{guessed.strip()}">{SOURCES.get(source, "not known")}</span></label>'
    )


def _use(face: FaceView) -> str:
    options = "".join(
        f'<option value="{key}"{" selected" if str(face.use) == key else ""}>{title}</option>'
        for key, title in USES.items()
    )
    return f'<select data-act="use" data-id="{face.id}" aria-label="Training with this photo">{options}</select>'


def _crop(face: FaceView, tick: bool, side: int = crops.SIDE) -> str:
    tags = []
    if str(face.belonging) == "suggested":
        tags.append("doubtful" if face.confidence is None else f"{100 * face.confidence:.0f} % sure")
    if face.training:
        tags.append("trains")
    marks = "".join(f"<span>{tag}</span>" for tag in tags if side == crops.SIDE)  # a small one has no room for words
    box = ""
    if tick:
        box = f'<input type="checkbox" data-pick="1" value="{face.id}" aria-label="Tick {escape(face.photo)}">'
    title = escape(face.photo)
    return (
        f'<span class="ea-crop" title="{title}"><img src="{crops.crop(face.crop, side)}" '
        f'alt="{escape(describe(face))}">{box}<em>{marks}</em></span>'
    )


def describe(face: FaceView) -> str:
    """The face in words, for those who do not see it."""
    age = "age not known" if face.age is None else f"age {words.years(face.age)}"
    return f"Face in {face.photo}, {age}"


def _why(face: FaceView) -> str:
    text = " ".join(reason if reason.endswith(".") else f"{reason}." for reason in face.reasons)
    when = f"{words.day(face.taken)}. " if face.taken else ""
    return f"<small>{escape(when + text)}</small>" if when or text else ""


def _button(act: str, id: int, text: str, label: str) -> str:
    return (
        f'<button type="button" class="ea-m-button" data-act="{act}" data-id="{id}" '
        f'aria-label="{escape(label)}">{text}</button>'
    )
