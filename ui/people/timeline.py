"""The plot of a collection over the years of a life: which ages are covered, and where more photos would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ui.people import words

HINTS = 3  # sentences on where more photos would help


@dataclass(frozen=True)
class Bar:
    """The photos of one year of age. quality: their mean, 0 to 1; guessed: how many ages are estimates."""

    age: int
    count: int
    quality: float
    guessed: int


def plot(bars: Sequence[Bar], gaps: Sequence[tuple[float, float]], hints: Sequence[str], name: str) -> str:
    """Bars over the years, hatched where photos are lacking; the sentences below it; and the same as a table."""
    if not bars:
        return '<p class="ea-quiet">No photo has an age yet: give a birth date, or type ages below.</p>'
    last = max(100, max(bar.age for bar in bars) + 1)
    most = max(bar.count for bar in bars)
    drawn = "".join(
        f'<u style="--x:{_at(low, last)};--w:{_at(min(high, last) - low, last)}"></u>'
        for low, high in gaps
        if low < last
    )
    drawn += "".join(
        f'<i class="{"ea-guess" if 2 * bar.guessed > bar.count else ""}" title="{_bar_words(bar)}" '
        f'style="--x:{_at(bar.age, last)};--w:{_at(1, last)};--h:{bar.count / most:.3f};'
        f'--o:{0.45 + 0.55 * min(max(bar.quality, 0), 1):.2f}"></i>'
        for bar in bars
    )
    ticks = "".join(
        f'<span style="--x:{_at(age, last)}">{age}</span>' for age in range(0, last + 1, 10 if last < 120 else 20)
    )
    said = summary(bars, name)
    helps = "".join(f"<li>{escape(hint)}</li>" for hint in hints[:HINTS])
    return f"""
<div class="ea-line" role="img" aria-label="{escape(said)}">
  <div class="ea-bars">{drawn}</div><div class="ea-axis" aria-hidden="true">{ticks}</div></div>
<ul class="ea-legend" aria-hidden="true"><li><i></i>Photos at this age, paler: of lower quality</li>
  {'<li><i class="ea-guess"></i>Mostly estimated ages</li>' if any(bar.guessed for bar in bars) else ""}
  {'<li><i class="ea-gap"></i>More photos would help</li>' if gaps else ""}</ul>
{f'<ul class="ea-hints">{helps}</ul>' if helps else ""}
{_table(bars)}"""


def summary(bars: Sequence[Bar], name: str) -> str:
    """The plot in one sentence."""
    total = sum(bar.count for bar in bars)
    ages = words.span((min(bar.age for bar in bars), max(bar.age for bar in bars)))
    return f"{words.count(total, 'photo')} of {name} at {ages}, most at {max(bars, key=lambda bar: bar.count).age}"


def _at(years: float, last: int) -> str:
    return f"{100 * years / last:.2f}"


def _bar_words(bar: Bar) -> str:
    guessed = f", {bar.guessed} with estimated age" if bar.guessed else ""
    return f"Age {bar.age}: {words.count(bar.count, 'photo')}{guessed}, quality {100 * bar.quality:.0f} %"


def _table(bars: Sequence[Bar]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{bar.age}</th><td>{bar.count}</td><td>{bar.guessed}</td>"
        f"<td>{100 * bar.quality:.0f} %</td></tr>"
        for bar in bars
    )
    return (
        '<details class="ea-fold" data-fold="table"><summary>As a table</summary><div><table class="ea-table"><thead>'
        '<tr><th scope="col">Age</th><th scope="col">Photos</th><th scope="col">Estimated</th>'
        f'<th scope="col">Quality</th></tr></thead><tbody>{rows}</tbody></table></div></details>'
    )
