"""Methods side by side: a comparison that goes on, and those that are done, as plain HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ui.finetune import views
from ui.pictures import data_uri

if TYPE_CHECKING:
    from PIL import Image

    from pipelines.finetune.comparison import Stored

COLUMNS = (
    ("distance", "Distance", "From your pictures, those that were held out if there are enough: lower is nearer", 1),
    ("distance_at_drift", "At equal drift", "The distance where all methods have drifted equally far", 1),
    ("drift", "Drift", "How far pictures of other prompts moved: lower keeps more of what the model knew", 3),
    ("likeness", "Likeness", "Mean cosine of its pictures and yours; copying raises it, too", 3),
    ("seconds", "Seconds", "Of training", 0),
    ("bytes", "MB", "Of the adapter's file", 2),
)
"""Key in a comparison's table, heading, what it means, digits."""


def going(table: Sequence[dict[str, Any]], grid: Image.Image | None, wrong: Sequence[str] = (), more: int = 0) -> str:
    """How a comparison goes: the rows so far, and their pictures."""
    told = views.problems(wrong, more)
    if not table:
        return f'<div class="ea-section">{told}</div>' if wrong else ""
    return f'<div class="ea-section"><h3>Measured so far</h3>{_table(table)}{_grid(grid)}{told}</div>'


def cards(found: Sequence[Stored]) -> str:
    """Finished comparisons. Says "keep" with "ID/NAME", or "forget" with the id."""
    if not found:
        return ""
    return f'<div class="ea-section"><h2>Comparisons</h2></div>{"".join(map(_card, found))}'


def _card(one: Stored) -> str:
    buttons = "".join(
        f'<button type="button" class="ea-m-button" data-act="keep" data-id="{one.id}/{name}">Keep '
        f"{escape(_method(method))}</button>"
        for name, method in one.names
    )
    methods = ", ".join(_method(method) for _, method in one.names)
    title = escape(f"{methods} on {one.title}")
    return f"""
<div class="ea-section"><h3>{title}</h3>{_table(one.told["table"])}{_grid(one.grid)}
<div class="ea-row">{buttons}<button type="button" class="ea-m-button" data-act="forget" data-id="{one.id}"
  data-confirm="Really delete?" aria-label="Delete: {title}">Delete</button></div></div>"""


def _table(table: Sequence[dict[str, Any]]) -> str:
    """A row a method; where there were several trainings, the spread, too."""
    head = "".join(f'<th scope="col" title="{escape(meaning)}">{name}</th>' for _, name, meaning, _ in COLUMNS)
    rows = "".join(
        f'<tr><th scope="row">{escape(_method(row["method"]))}</th>'
        + "".join(f"<td>{_cell(row, key, digits)}</td>" for key, _, _, digits in COLUMNS)
        + "</tr>"
        for row in table
    )
    return (
        '<div class="ea-wide"><table class="ea-table"><thead><tr><th scope="col">Method</th>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _cell(row: dict[str, Any], key: str, digits: int) -> str:
    if key not in row:
        return ""
    unit = 1e6 if key == "bytes" else 1
    spread = row.get(f"{key}_spread", 0) / unit if row["seeds"] > 1 else 0
    return f"{row[key] / unit:,.{digits}f}" + (f" ± {spread:,.{digits}f}" if spread else "")


def _grid(grid: Image.Image | None) -> str:
    if grid is None:
        return ""
    return (
        f'<figure class="ea-preview"><img src="{data_uri(grid, 2400, 90)}" alt="What each method draws: two '
        f'pictures of your caption, two of another prompt"><figcaption>The same seeds for all; the bare model first'
        f"</figcaption></figure>"
    )


def _method(name: str) -> str:
    from pipelines.finetune.methods import METHODS

    return METHODS[name].title if name in METHODS else name
