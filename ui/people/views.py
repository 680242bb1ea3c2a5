"""The list of people and what is not about one person, as HTML; every word from outside is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from ui.people import crops, faces, words
from ui.people.state import Choice

if TYPE_CHECKING:
    from photos.library import Forgotten, LikenessView, PhotoView
    from photos.people import FaceView, Group, PersonView

ICONS = {
    "groups": (
        '<path d="M9 11a3.2 3.2 0 1 0 0-6.4A3.2 3.2 0 0 0 9 11Zm-6 8c0-3 2.7-5 6-5s6 2 6 5'
        'M16 5.2a3 3 0 0 1 0 5.6m2 3.6c1.9.7 3 2.3 3 4.6"/>'
    ),
    "likenesses": '<path d="M4 7h10v12H4zM8 7V4h12v12h-6"/>',
    "refused": '<path d="M12 8v5m0 3v.1M12 3l9.5 17h-19z"/>',
}


def people(found: Sequence[PersonView], choice: Choice, rest: Mapping[str, int]) -> str:
    """Everybody with a name, and what waits: unnamed faces, look-alikes, refused files. Says "open" with what or whom.

    rest: how many of each kind wait; a kind with none is left out, but for "groups".
    """
    names = "".join(f'<option value="{escape(person.name)}"></option>' for person in found)
    rows = "".join(_person(person, choice) for person in found)
    waiting = "".join(_waiting(kind, number, choice) for kind, number in rest.items() if number or kind == "groups")
    everyone = f'<ul class="ea-people" aria-label="People">{rows}</ul>' if rows else ""
    return (
        f'<div class="ea-section"><h2 class="ea-title">People</h2><div>{everyone}'
        f'<ul class="ea-people" aria-label="To sort out">{waiting}</ul></div>'
        f'<datalist id="people-names">{names}</datalist></div>'
    )


def _person(person: PersonView, choice: Choice) -> str:
    chosen = choice.what == "person" and choice.name == person.name
    doubts = ""
    if person.doubtful:
        doubts = f'<span class="ea-m-pill ea-m-wait" title="To be checked">{person.doubtful:,} to check</span>'
    return (
        f'<li><button type="button" class="ea-person" data-act="open" data-id="person:{escape(person.name)}" '
        f'aria-pressed="{str(chosen).lower()}"><img src="{crops.crop(person.cover, 112)}" alt="">'
        f"<span><b>{escape(person.name)}</b><small>{words.count(person.faces, 'photo')}, "
        f"{words.span(person.ages)}</small></span>{doubts}</button></li>"
    )


TITLES = {
    "groups": ("Faces without a name", "Find who is on the photos"),
    "likenesses": ("Photos that look alike", "Keep the better one"),
    "refused": ("Files that were refused", "And why"),
}


def _waiting(kind: str, number: int, choice: Choice) -> str:
    title, about = TITLES[kind]
    pill = f'<span class="ea-m-pill ea-m-plain">{number:,}</span>' if number else ""
    return (
        f'<li><button type="button" class="ea-person" data-act="open" data-id="{kind}:" '
        f'aria-pressed="{str(choice.what == kind).lower()}"><span class="ea-nobody"><svg viewBox="0 0 24 24" '
        f'aria-hidden="true">{ICONS[kind]}</svg></span><span><b>{title}</b><small>{about}</small></span>{pill}'
        "</button></li>"
    )


def nobody() -> str:
    """What the large panel shows before there is anybody."""
    rings = "".join(f'<circle cx="120" cy="120" r="{r}"/>' for r in range(14, 115, 14))
    return f"""
<div class="ea-section"><div class="ea-empty">
  <svg viewBox="0 0 240 240" aria-hidden="true">{rings}</svg>
  <h2>One person, a whole life of photos</h2>
  <ol><li>Give photos of somebody from many years: a folder, a zip, a handful.</li>
  <li>Say who it is and since when. Check what Everyage is not sure of.</li>
  <li>Let it learn how this person ages. Then age any photo of them.</li></ol>
</div></div>"""


def consent(text: str) -> str:
    """The question that comes before faces without a name are grouped. Says "group" with the consent."""
    return f"""
<div class="ea-section"><h2 tabindex="-1" id="people-title">Faces without a name</h2>
  <p>Everyage can put together the faces that look like the same person, so that you only have to name them. For that
  it must tell faces apart, which it does only with your consent.</p>
  <form class="ea-form" data-act="group"><label class="ea-tick">
    <input type="checkbox" name="consent" value="yes" required><span>{escape(text)}</span></label>
  <button type="submit" class="ea-m-button ea-m-main" style="justify-self:start">Group the faces</button></form>
</div>"""


def groups(found: Sequence[tuple[Group, Sequence[FaceView]]], total: int, day: str) -> str:
    """Unnamed groups with some of their faces, to be named. Says "group", "name-group", "dismiss", "withdraw"."""
    items = "".join(_group(group, some) for group, some in found)
    listed = f'<ul class="ea-groups">{items}</ul>' if items else '<p class="ea-quiet">Every face has been sorted.</p>'
    more = ""
    if total > len(found):
        more = f'<button type="button" class="ea-m-button" data-act="more">Show more of {total:,} groups</button>'
    return f"""
<div class="ea-section"><div class="ea-row ea-between"><h2 tabindex="-1" id="people-title">Faces without a name</h2>
  <button type="button" class="ea-m-button" data-act="group">Group anew</button></div>
  {listed}{more}
  <p class="ea-quiet">You allowed on {escape(day)} that faces are told apart.
  <button type="button" class="ea-link" data-act="withdraw" data-confirm="Really? The descriptions are deleted">
  Withdraw that</button></p></div>"""


def _group(group: Group, some: Sequence[FaceView]) -> str:
    rest = group.size - len(some)
    more = f" <span class='ea-quiet'>and {rest:,} more</span>" if rest > 0 else ""
    return f"""
<li data-picks="1"><div><b>{words.count(group.size, "face")}</b>{more}</div>{faces.thumbs(some, tick=True)}
  <form class="ea-inline" data-act="name-group" data-id="{escape(str(group.id))}">
    <label class="ea-field"><span>Who is it?</span><input type="text" name="name" maxlength="80" list="people-names"
      placeholder="A name" required></label>
    <label class="ea-field"><span>Born on <i>if known</i></span><input type="date" name="born"></label>
    <button type="submit" class="ea-m-button">Name</button>
    <button type="button" class="ea-m-button" data-act="dismiss" data-id="{escape(str(group.id))}">Nobody I
    know</button></form></li>"""


def likenesses(pairs: Sequence[LikenessView], total: int) -> str:
    """Photos that look alike, side by side, the better one first. Says "decide" with the id and what."""
    if not pairs:
        return (
            '<div class="ea-section"><h2 tabindex="-1" id="people-title">Photos that look alike</h2>'
            '<p class="ea-quiet">Nothing to decide. A photo that you put aside is hidden, never deleted.</p></div>'
        )
    items = "".join(_pair(pair) for pair in pairs)
    more = ""
    if total > len(pairs):
        more = f'<button type="button" class="ea-m-button" data-act="more">Show more of {total:,} pairs</button>'
    return f"""
<div class="ea-section"><div class="ea-row ea-between"><h2 tabindex="-1" id="people-title">Photos that look alike</h2>
  <button type="button" class="ea-m-button" data-act="decide-all">Keep the better one of all {total:,}</button></div>
  <p class="ea-quiet">The better one is on the left. A photo that is put aside is hidden, never deleted.</p>
  <ul class="ea-pairs">{items}</ul>{more}</div>"""


def _pair(pair: LikenessView) -> str:
    def side(photo: PhotoView, better: str) -> str:
        when = f", {words.day(photo.taken)}" if photo.taken else ""
        return (
            f'<figure><img src="{crops.photo(photo.path, photo.crop)}" alt="{escape(photo.name)}">'
            f"<figcaption><b>{escape(photo.name)}</b><br>{photo.width} × {photo.height} px{escape(when)}{better}"
            "</figcaption></figure>"
        )

    buttons = "".join(
        f'<button type="button" class="ea-m-button" data-act="decide" data-id="{pair.id}:{what}">{text}</button>'
        for what, text in (
            ("keep first", "Keep the left"),
            ("keep second", "Keep the right"),
            ("keep both", "Keep both"),
        )
    )
    return (
        f'<li><div class="ea-pair">{side(pair.first, ", the better one")}{side(pair.second, "")}</div>'
        f'<div class="ea-row">{buttons}</div></li>'
    )


def refused(files: Sequence[tuple[str, str]]) -> str:
    """The files of the last import that could not be used, and why."""
    rows = "".join(f"<dt>{escape(path)}</dt><dd>{escape(reason)}</dd>" for path, reason in files)
    return (
        '<div class="ea-section"><h2 tabindex="-1" id="people-title">Files that were refused</h2>'
        f'<p class="ea-quiet">{words.count(len(files), "file")} of the last import; everything else was imported.</p>'
        f'<dl class="ea-refused">{rows}</dl></div>'
    )


def forgotten(report: Forgotten) -> str:
    """What forgetting somebody removed, and what it can't reach."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(kind.capitalize())}</th><td>{number:,}</td></tr>"
        for kind, number in report.removed.items()
        if number
    )
    kept = "".join(f"<li>{escape(sentence)}</li>" for sentence in report.kept)
    return (
        f'<div class="ea-section"><h2 tabindex="-1" id="people-title">{escape(report.name)} is forgotten</h2>'
        f'<p>Removed from this machine for good:</p><table class="ea-table"><tbody>{rows}</tbody></table>'
        + (f'<p>Beyond the reach of Everyage:</p><ul class="ea-hints">{kept}</ul>' if kept else "")
        + "</div>"
    )
