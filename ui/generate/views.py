"""The page's plain HTML: functions from values to text; what a person wrote is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ui.views import Picture

if TYPE_CHECKING:
    from pipelines.generate.generator import StepProbe

WIDTH, HEIGHT, EDGE = 560, 150, 26


@dataclass(frozen=True)
class Shown:
    """A picture of the stage: its address and words, its figures, and the file to keep, if it is finished."""

    picture: Picture
    figures: dict[str, float] | None = None


def empty() -> str:
    """What the stage shows before there is a picture."""
    rings = "".join(f'<circle cx="120" cy="120" r="{r}"/>' for r in range(14, 115, 14))
    return f"""
<div class="ea-empty">
  <svg viewBox="0 0 240 240" aria-hidden="true">{rings}</svg>
  <h2>A picture from your words</h2>
  <ol><li>Say what to show, or take an idea.</li><li>Set how strongly to follow it.</li>
  <li>Press Generate, or Ctrl and Enter.</li></ol>
</div>"""


def stage(shown: Sequence[Shown], chosen: int, preview: bool) -> str:
    """The pictures of a run. With several, pressing one says "show" with its index."""
    if not shown:
        return empty()
    many = " ea-g-many" if len(shown) > 1 else ""
    items = "".join(_figure(one, i, i == chosen and len(shown) > 1, preview) for i, one in enumerate(shown))
    badge = '<span class="ea-badge">Still being made</span>' if preview else ""
    return f'<div class="ea-g-stage{many}" aria-live="off">{items}{badge}</div>'


def _figure(one: Shown, index: int, pressed: bool, preview: bool) -> str:
    told = one.figures
    words = (
        f"saturation {told['saturation']:.2f} · contrast {told['contrast']:.2f} · clipped {told['clipped']:.1%}"
        if told
        else ""
    )
    image = f'<img src="{one.picture.address}" alt="{escape(one.picture.alt)}">'
    body = (
        image
        if preview
        else f'<button type="button" data-act="show" data-index="{index}" aria-pressed="{str(pressed).lower()}" '
        f'aria-label="Choose picture {index + 1}">{image}</button>'
    )
    return f'<figure>{body}<figcaption title="Mean saturation, contrast, and share of pixels at an end of the range">' \
           f"{words}</figcaption></figure>"  # fmt: skip


def plot(probes: Sequence[StepProbe]) -> str:
    """What guidance did at each step: its push, how much of it was cut, and how much lies along the picture."""
    if not probes:
        return ""
    most = max((p.push for p in probes), default=0.0) or 1.0
    cut = sum(p.clip < 0.999 for p in probes)
    idle = sum(not p.guided for p in probes)
    summary = (
        f"Guidance pushed at {len(probes) - idle} of {len(probes)} steps, most by {most:.1f}; "
        f"it was shortened at {cut}. "
        f"On average {_mean([p.parallel for p in probes]):.0%} of it lay along the picture."
    )
    columns = (WIDTH - EDGE) / len(probes)
    bars = "".join(
        f'<rect x="{EDGE + i * columns + 1:.1f}" y="{HEIGHT - 18 - (HEIGHT - 30) * p.push / most:.1f}" '
        f'width="{max(columns - 2, 1):.1f}" height="{(HEIGHT - 30) * p.push / most:.1f}" '
        f'class="{"ea-g-cut" if p.clip < 0.999 else "ea-g-push"}">'
        f"<title>Step {p.index + 1}: push {p.push:.2f}, shortened to {p.clip:.0%}, {p.parallel:.0%} along the picture, "
        f"turned by {p.angle:.0f} degrees, contrast × {p.contrast:.2f}</title></rect>"
        for i, p in enumerate(probes)
    )
    line = " ".join(
        f"{EDGE + (i + 0.5) * columns:.1f},{HEIGHT - 18 - (HEIGHT - 30) * p.parallel:.1f}" for i, p in enumerate(probes)
    )
    return f"""
<details class="ea-g-probe" data-fold="probe"><summary>What guidance did</summary>
  <svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(summary)}">
    <line x1="{EDGE}" x2="{WIDTH}" y1="{HEIGHT - 18}" y2="{HEIGHT - 18}"/>{bars}<polyline points="{line}"/>
    <text x="{EDGE}" y="{HEIGHT - 4}">first step</text><text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">last</text>
  </svg>
  <p class="ea-g-legend"><i class="ea-g-push"></i>push <i class="ea-g-cut"></i>shortened push
    <i class="ea-g-line"></i>share along the picture</p>
  <p>{escape(summary)}</p>
</details>"""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)


def gallery(cards: Sequence[tuple[str, Picture]], searched: bool) -> str:
    """Made pictures, newest first: (id, picture). Says "open" or "remove" with the id."""
    if not cards:
        words = "Nothing made here fits these words." if searched else "What you make is kept here until you remove it."
        return f'<p class="ea-quiet">{words}</p>'
    items = "".join(
        f'<li><button type="button" class="ea-open" data-act="open" data-id="{escape(key)}" '
        f'aria-label="Open: {escape(p.alt)}" title="{escape(p.alt)}"><img src="{p.address}" alt="" loading="lazy">'
        f"<span>{escape(p.caption)}</span></button>"
        f'<button type="button" class="ea-remove" data-act="remove" data-id="{escape(key)}" data-confirm="Remove?" '
        f'aria-label="Remove: {escape(p.alt)}">×</button></li>'
        for key, p in cards
    )
    return f'<ul class="ea-history" aria-label="Made pictures">{items}</ul>'


def sheet(picture: Picture, table: Sequence[dict[str, object]]) -> str:
    """A grid as one picture, and its figures as a table for those who read them."""
    names = list(table[0]) if table else []
    head = "".join(f'<th scope="col">{escape(name.replace("_", " "))}</th>' for name in names)
    rows = "".join("<tr>" + "".join(f"<td>{escape(str(row[n]))}</td>" for n in names) + "</tr>" for row in table)
    return f"""
<figure class="ea-g-sheet"><img src="{picture.address}" alt="{escape(picture.alt)}"></figure>
<details class="ea-g-table" data-fold="table"><summary>The figures as a table</summary>
  <div><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"""
