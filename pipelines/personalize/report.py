"""An evaluation as one HTML file with its pictures inside: it can be kept, sent and opened without the app."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

from PIL import Image

from .evaluation import Evaluation, Row
from .preview import sheet

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #26262b;
  background: #faf9f6 }
table { border-collapse: collapse; width: 100% } caption { text-align: left; padding: .5rem 0; color: #5a5a63 }
th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid #ddd9cf } img { max-width: 100% }
@media (prefers-color-scheme: dark) { body { color: #ececf0; background: #1c1c20 } caption { color: #a9a9b4 }
  th, td { border-color: #3a3a42 } }
"""
COLUMNS = (
    ("Target age", "target", 0),
    ("Likeness, global", "likeness_global", 3),
    ("Likeness, own", "likeness_own", 3),
    ("True photos", "bound", 3),
    ("Reads as, global", "age_global", 1),
    ("Reads as, own", "age_own", 1),
    ("True photos read as", "truth", 1),
)


def report(name: str, card: dict[str, Any], evaluation: Evaluation) -> str:
    """The page of one person; `name` and `card` are those of the model."""
    title = f"How {name} ages"
    low, high = card["ages"]
    inputs = ", ".join(f"{age:.0f}" for age in evaluation.inputs)
    head = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"
    return "\n".join(
        [
            head,
            f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>",
            f"<p>Learnt from {card['photos']} photos at {low:.0f} to {high:.0f} years. {_verdict(evaluation)}</p>",
            _table(evaluation),
            f"<h2>Pictures</h2><p>Input at {inputs} years. In each pair, everybody's aging is above "
            "and this person's own below.</p>",
            f"<img alt='The same faces at every target age' src='{_picture(evaluation)}'>",
            "<h2>How it was measured</h2><p>On photos that the model did not learn from. Likeness is the best cosine "
            "of SFace's embedding to a photo taken within 3 years of the target; SFace has judged nothing in training. "
            "The age is what dlib's network reads. These are the generator's own drawings; the Age page lays their "
            "change over the photo.</p></html>",
        ]
    )


def _verdict(evaluation: Evaluation) -> str:
    before, own = evaluation.mean("likeness_global"), evaluation.mean("likeness_own")
    if before is None or own is None:
        return "No held-out photo lies near a target age, so that likeness can't be said."
    ages = (
        f"The read age is off by {evaluation.age_error('own'):.1f} years, {evaluation.age_error('global'):.1f} before."
    )
    return f"Likeness {own:.2f}, where everybody's aging reaches {before:.2f}. {ages}"


def _table(evaluation: Evaluation) -> str:
    head = "".join(f"<th scope='col'>{title}</th>" for title, _, _ in COLUMNS)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in evaluation.rows)
    return f"<table><caption>Each target age</caption><tr>{head}</tr>{body}</table>"


def _cells(row: Row) -> str:
    values = [(getattr(row, name), digits) for _, name, digits in COLUMNS]
    return "".join(f"<td>{'–' if value is None else format(value, f'.{digits}f')}</td>" for value, digits in values)


def contact_sheet(evaluation: Evaluation) -> Image.Image:
    """Every input at every target, by the global prior and by the person's own model."""
    targets = [f"{row.target:g}" for row in evaluation.rows]
    return sheet(evaluation.drawings, targets, [f"{age:.0f}" for age in evaluation.inputs])


def _picture(evaluation: Evaluation) -> str:
    buffer = io.BytesIO()
    contact_sheet(evaluation).save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
