"""Small plots in HTML and SVG that stay readable at every width, each with the same in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

LOSSES = {
    "loss": "Still wrong",
    "personal": "Likeness to the photos",
    "likeness": "Likeness",
    "age": "Age as asked for",
    "pixel": "Same picture",
    "perceptual": "Same look",
    "outside": "Beyond the photos",
    "w_norm": "Staying natural",
}
POINTS = 120  # of a curve


def curves(losses: Mapping[str, Sequence[float]]) -> str:
    """One small curve for each term of the loss, all falling when things go well."""
    shown = [(name, list(values)) for name, values in losses.items() if len(values) > 1]
    items = "".join(_curve(LOSSES.get(name, name.replace("_", " ").capitalize()), values) for name, values in shown)
    return f'<ul class="ea-curves" aria-label="What is still wrong">{items}</ul>' if items else ""


def _curve(name: str, values: list[float]) -> str:
    smooth = smoothed(values)
    now, first = smooth[-1], smooth[0]
    line = polyline(smooth)
    words = f"{name}: {now:.3g} now, {first:.3g} at the start of the curve"
    return (
        f'<li><span>{escape(name)}</span><b>{now:.3g}</b><svg viewBox="0 0 100 30" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(words)}"><polyline points="{line}"/></svg></li>'
    )


def smoothed(values: Sequence[float], points: int = POINTS) -> list[float]:
    """At most `points` values: means of equal stretches, so that a curve shows its course and not its noise."""
    count = min(points, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges) if b > a]


def polyline(values: Sequence[float]) -> str:
    """Points of a curve in a box of 100 x 30, the largest value at the top; 1 is left free at both edges."""
    low, high = min(values), max(values)
    room = (high - low) or 1.0
    across = max(len(values) - 1, 1)
    return " ".join(f"{100 * i / across:.1f},{29 - 28 * (v - low) / room:.1f}" for i, v in enumerate(values))
