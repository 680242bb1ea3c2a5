"""One person as HTML: who it is, the years that the photos cover, and what to ask about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from html import escape
from typing import TYPE_CHECKING

from ui.people import crops, faces, words

if TYPE_CHECKING:
    from photos.people import PersonView, Question


def head(person: PersonView, others: Sequence[str], plot: str) -> str:
    """The person's name and facts, the plot of their ages, and what can be changed about them."""
    born = f" · born {words.day(person.born)}" if person.born else ""
    facts = f"{words.count(person.faces, 'photo')} · {words.span(person.ages)}{born}"
    return f"""
<div class="ea-section">
  <div class="ea-who-head"><img src="{crops.crop(person.cover, 256)}" alt="">
    <div><h2 tabindex="-1" id="people-title">{escape(person.name)}</h2><p>{escape(facts)}</p></div></div>
  {plot}
  <details class="ea-fold" data-fold="edit"><summary>Name, birth date, merge, forget</summary>
    <div>{_edit(person)}{_merge(person, others)}{_consent(person)}{_forget(person)}</div></details>
</div>"""


def _edit(person: PersonView) -> str:
    born = f"{person.born:%Y-%m-%d}" if person.born else ""
    return f"""
<form class="ea-inline" data-act="edit">
  <label class="ea-field"><span>Name</span><input type="text" name="name" value="{escape(person.name)}" maxlength="80"
    required></label>
  <label class="ea-field"><span>Born on</span><input type="date" name="born" value="{born}" min="1850-01-01"
    max="{date.today():%Y-%m-%d}"></label>
  <button type="submit" class="ea-m-button">Save</button></form>"""


def _merge(person: PersonView, others: Sequence[str]) -> str:
    if not others:
        return ""
    options = "".join(f'<option value="{escape(name)}">{escape(name)}</option>' for name in others)
    return f"""
<form class="ea-inline" data-act="merge">
  <label class="ea-field"><span>{escape(person.name)} is the same person as</span>
    <select name="into">{options}</select></label>
  <button type="submit" class="ea-m-button">Merge</button></form>"""


def _consent(person: PersonView) -> str:
    who = escape(person.name)
    if person.consent is None:
        text = escape(words.CONSENT.format(name=person.name))
        return f"""
<form class="ea-form" data-act="allow"><label class="ea-tick">
  <input type="checkbox" name="consent" value="yes" required><span>{text}</span>
  </label><button type="submit" class="ea-m-button" style="justify-self:start">Agree</button></form>"""
    return (
        f'<p class="ea-quiet">You allowed on {escape(words.day(person.consent))} that the face of {who} is told apart. '
        '<button type="button" class="ea-link" data-act="disallow" data-confirm="Really? The descriptions are '
        'deleted">Withdraw that</button></p>'
    )


def _forget(person: PersonView) -> str:
    who = escape(person.name)
    return f"""
<div class="ea-panel"><p>Forgetting removes every trace of {who} that Everyage keeps: faces, crops, descriptions, the
  learnt model, previews, caches and results made from these photos. Files in your own folders stay. This can't be
  undone.</p><div><button type="button" class="ea-m-button ea-m-remove" data-act="forget"
  data-confirm="Really forget {who}?">Forget {who}</button></div></div>"""


def questions(asked: Sequence[Question], name: str) -> str:
    """The few answers that would help most: ages to type, and faces to tell apart."""
    if not asked:
        return ""
    items = "".join(f"<li>{faces.asked(question, name)}</li>" for question in asked)
    return (
        f'<div class="ea-section"><h3>{words.count(len(asked), "answer")} would help most</h3>'
        f'<ul class="ea-faces">{items}</ul></div>'
    )
