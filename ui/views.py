"""The parts of the pages that are plain HTML: functions from values to text; what a person wrote is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

ICON_LOCK = (
    '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M7 10V7a5 5 0 0 1 10 0v3m-11 0h12a1.5 1.5 0 0 1 1.5 1.5v7'
    'A1.5 1.5 0 0 1 18 20H6a1.5 1.5 0 0 1-1.5-1.5v-7A1.5 1.5 0 0 1 6 10Z"/></svg>'
)
ICON_CHIP = (
    '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M7 7h10v10H7zM10 3v4m4-4v4m-4 10v4m4-4v4M3 10h4m-4 4h4m10-4h4'
    'm-4 4h4"/></svg>'
)
ICON_MARK = (
    '<svg class="ea-mark" viewBox="0 0 40 40" aria-hidden="true"><circle cx="20" cy="20" r="17"/>'
    '<circle cx="20" cy="20" r="11"/><circle cx="20" cy="20" r="5"/></svg>'
)


@dataclass(frozen=True)
class Picture:
    """A picture of the page: its address and the words for those who do not see it."""

    address: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class FaceBox:
    """A face to choose: its box in per cent of the photo (left, top, width, height) and what is known of it."""

    box: tuple[float, float, float, float]
    age: float


def years(age: float) -> str:
    """An age as it is read: whole years."""
    return f"{age:.0f}"


def duration(seconds: float) -> str:
    """A time left: "about 40 s", "about 2 min"; rounded up so that it is rarely exceeded."""
    if seconds < 90:
        step = 1 if seconds < 10 else 5
        return f"about {max(step, -int(-seconds // step) * step)} s"
    minutes = -int(-seconds // 60)
    return f"about {minutes} min" if minutes < 120 else f"about {minutes // 60} h {minutes % 60} min"


def header(device: str) -> str:
    """The top of every page."""
    return f"""
<header class="ea-header">
  <a class="ea-skip" href="#main">Skip to the photo</a>
  <div class="ea-brand">{ICON_MARK}<div><h1>Everyage</h1><p>A face at every age</p></div></div>
  <ul class="ea-facts">
    <li class="ea-private" title="Photos and results never leave this computer">
      {ICON_LOCK}<span>Everything stays on this machine</span></li>
    <li id="device" title="The device that does the work">{ICON_CHIP}<span>{escape(device)}</span></li>
    <li><a href="#help" class="ea-helplink">Help</a></li>
    <li><button type="button" class="ea-theme" aria-label="Switch between light and dark">◐</button></li>
  </ul>
</header>"""


def note(text: str, kind: str = "info") -> str:
    """One sentence for the person. kind: "info", "good", "busy" or "error". No text gives an empty live region."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="ea-note ea-{kind if text else "none"}" role="{role}">{escape(text)}</p>'


def progress(message: str, fraction: float | None, seconds_left: float | None) -> str:
    """A bar with its sentence and the time left. The sentence alone is read out; the figures would never stop."""
    left = duration(seconds_left) + " left" if seconds_left is not None else ""
    percent = None if fraction is None else round(100 * fraction)
    value = "" if percent is None else f'aria-valuenow="{percent}"'
    width = "" if percent is None else f'style="width:{percent}%"'
    moving = " ea-moving" if percent is None else ""
    return f"""
<div class="ea-progress">
  <div class="ea-progress-line"><span role="status">{escape(message)}</span><span class="ea-left">{left}</span></div>
  <div class="ea-bar{moving}" role="progressbar" aria-label="{escape(message)}"
    aria-valuemin="0" aria-valuemax="100" {value}><i {width}></i></div>
</div>"""


def photo(picture: Picture, faces: Sequence[FaceBox], chosen: int) -> str:
    """The photo with a numbered button over each face; pressing one says "face" with its index."""
    many = len(faces) > 1
    boxes = []
    for index, face in enumerate(faces):
        left, top, width, height = face.box
        label = f"Face {index + 1} of {len(faces)}, looks about {years(face.age)}"
        boxes.append(
            f'<button type="button" class="ea-face" data-act="face" data-index="{index}" '
            f'aria-pressed="{str(index == chosen).lower()}" aria-label="{label}" title="{label}" '
            f'style="left:{left:.2f}%;top:{top:.2f}%;width:{width:.2f}%;height:{height:.2f}%">'
            f"<span>{index + 1}</span></button>"
        )
    pick = '<p class="ea-hint">Choose a face: press its number.</p>' if many else ""
    return f"""
<div class="ea-photo{"" if many else " ea-one"}">
  <div class="ea-photo-frame"><img src="{picture.address}" alt="{escape(picture.alt)}">{"".join(boxes)}</div>{pick}
</div>"""


def age_scale(present: float | None) -> str:
    """The scale under the slider, with the present age marked on it. Thumb and scale share their ends by CSS."""
    ticks = "".join(f'<span style="--p:{a / 100}">{a}</span>' for a in range(0, 101, 20))
    mark = ""
    if present is not None:
        place = min(max(present, 0), 100) / 100
        mark = f'<b id="present-age" style="--p:{place:.3f}"><i></i>now, about {years(present)}</b>'
    return f'<div class="ea-scale"><div class="ea-ticks" aria-hidden="true">{ticks}</div>{mark}</div>'


def covered_ages(name: str, ages: tuple[float, float]) -> str:
    """The ages from which somebody's own aging was learnt, as a band under the slider and in words."""
    low, high = (min(max(age, 0), 100) for age in ages)
    return (
        f'<div class="ea-covered" style="--p:{low / 100:.3f};--w:{(high - low) / 100:.3f}"><i aria-hidden="true"></i>'
        f"<p>Learnt from photos of {escape(name)} at {years(low)} to {years(high)}; beyond that, carried on.</p></div>"
    )


def empty_stage() -> str:
    """What the large panel shows before there is a result."""
    rings = "".join(f'<circle cx="120" cy="120" r="{r}"/>' for r in range(14, 115, 14))
    return f"""
<div class="ea-empty">
  <svg viewBox="0 0 240 240" aria-hidden="true">{rings}</svg>
  <h2>Your photo, years from now</h2>
  <ol><li>Drop in a photo of a face.</li><li>Set the age you want to see.</li>
  <li>Compare, keep it, or look at a whole life in one strip.</li></ol>
</div>"""


def single(picture: Picture) -> str:
    """One picture alone."""
    return f"""
<figure class="ea-compare"><div class="ea-stage">
  <img src="{picture.address}" alt="{escape(picture.alt)}">
  <span class="ea-tag ea-tag-right">{escape(picture.caption)}</span></div></figure>"""


def compare(
    whole: tuple[Picture, Picture],
    near: tuple[Picture, Picture],
    start_near: bool,
    badge: str = "",
    group: str = "ea-view",
    first: str = "Photo",
) -> str:
    """Before and after under a slider that also works by keyboard, as the whole photo and as the face alone.

    group: a name of the choice between both, another on each page; first: what the whole is called.
    """
    one, other = ("", " checked") if start_near else (" checked", "")
    return f"""
<figure class="ea-compare ea-both">
  <fieldset class="ea-views"><legend class="ea-sr">What to compare</legend>
    <label><input type="radio" name="{group}" value="whole"{one}><span>{first}</span></label>
    <label><input type="radio" name="{group}" value="near"{other}><span>Face</span></label>
  </fieldset>
  {_stage("whole", *whole, badge)}{_stage("near", *near, badge)}
</figure>"""


def _stage(view: str, before: Picture, after: Picture, badge: str) -> str:
    return f"""
<div class="ea-stage ea-{view}">
  <img src="{before.address}" alt="{escape(before.alt)}">
  <img class="ea-after" src="{after.address}" alt="{escape(after.alt)}">
  <span class="ea-tag ea-tag-left">{escape(before.caption)}</span>
  <span class="ea-tag ea-tag-right">{escape(after.caption)}</span>
  {f'<span class="ea-badge">{escape(badge)}</span>' if badge else ""}
  <input type="range" min="0" max="100" value="50" step="1" aria-label="Compare before and after: place of the divider">
  <span class="ea-divider" aria-hidden="true"><i></i></span>
</div>"""


def figures(items: Sequence[tuple[str, str, str]]) -> str:
    """A line of measured figures: (name, value, what it means)."""
    rows = "".join(
        f'<div title="{escape(meaning)}"><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>'
        for name, value, meaning in items
    )
    return f'<dl class="ea-figures">{rows}</dl>' if rows else ""


def strip(frames: Sequence[Picture], shown: int | None) -> str:
    """One small picture for each age; pressing one says "show" with its index."""
    if len(frames) < 2:
        return ""
    buttons = "".join(
        f'<li><button type="button" data-act="show" data-index="{i}" aria-pressed="{str(i == shown).lower()}" '
        f'aria-label="{escape(f.alt)}"><img src="{f.address}" alt=""><span>{escape(f.caption)}</span></button></li>'
        for i, f in enumerate(frames)
    )
    return f'<ul class="ea-strip" aria-label="Ages of this face">{buttons}</ul>'


def history(cards: Sequence[tuple[str, Picture]]) -> str:
    """The results in the data folder, newest first: (id, picture). Says "open" or "remove" with the id."""
    if not cards:
        return '<p class="ea-quiet">Finished results are kept here, in your data folder, until you remove them.</p>'
    items = "".join(
        f'<li><button type="button" class="ea-open" data-act="open" data-id="{escape(key)}" '
        f'aria-label="Open {escape(p.alt)}"><img src="{p.address}" alt="" loading="lazy">'
        f"<span>{escape(p.caption)}</span></button>"
        f'<button type="button" class="ea-remove" data-act="remove" data-id="{escape(key)}" data-confirm="Remove?" '
        f'aria-label="Remove {escape(p.alt)}">×</button></li>'
        for key, p in cards
    )
    return f'<ul class="ea-history">{items}</ul>'
