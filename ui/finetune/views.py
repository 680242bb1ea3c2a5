"""The page's plain HTML: how a training goes, what a folder holds, and the adapters that came of it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ui import plots
from ui import views as common
from ui.pictures import data_uri

if TYPE_CHECKING:
    from pipelines.finetune.finetuner import FinetuneView, Looked
    from pipelines.finetune.stored import Unfinished
    from pipelines.jobs.job import Job

SHOWN = 40
"""Problems that are told one by one."""


def going(view: FinetuneView | None, wrong: Sequence[str], more: int = 0) -> str:
    """How training goes: samples over time, the loss, and what is wrong with the pictures (`more` are not named)."""
    if view is None:
        return f'<div class="ea-section">{problems(wrong, more)}</div>' if wrong else ""
    strip = ""
    if view.strip is not None:
        strip = (
            f'<figure class="ea-preview"><img src="{data_uri(view.strip, 2400, 90)}" alt="The same prompts drawn at '
            f'several steps of the training, the newest at the right"><figcaption>The same prompts and seeds, step '
            f"after step</figcaption></figure>"
        )
    curve = plots.curves({"loss": view.losses})
    title = f"Learning: step {view.step:,} of {view.steps:,}"
    return f'<div class="ea-section"><h3>{title}</h3>{strip}{curve}{problems(wrong, more)}</div>'


def problems(wrong: Sequence[str], more: int = 0) -> str:
    """What is wrong with the files of a folder, named one by one."""
    if not wrong:
        return ""
    items = "".join(f"<li>{escape(words)}</li>" for words in wrong[:SHOWN])
    rest = len(wrong) - SHOWN + more if len(wrong) > SHOWN else more
    left = f"<li>and {rest:,} more</li>" if rest > 0 else ""
    return (
        f'<div><b>About the pictures</b><ul class="ea-hints" aria-label="About the pictures">{items}{left}</ul></div>'
    )


def looked(found: Looked) -> str:
    """What a look at a folder says before anything is trained."""
    count = len(found.folder.pictures)
    words = [found.forecast.sentence(), found.advice]
    words += [f"It would go on from step {found.step:,}."] if found.step else []
    captions = list(dict.fromkeys(p.caption or "no caption" for p in found.folder.pictures))[:5]
    items = "".join(f"<li>{escape(caption[:200])}</li>" for caption in captions)
    wrong = [problem.words for problem in found.folder.problems]
    return f"""
<div class="ea-section"><h3>{count:,} {"picture" if count == 1 else "pictures"} to learn from</h3>
<p>{escape(" ".join(word for word in words if word))} About {found.forecast.trainable:,} weights would be trained.</p>
<div><b>Captions</b><ul class="ea-hints" aria-label="Captions">{items}</ul></div>{problems(wrong)}</div>"""


def waiting(trainings: Sequence[Unfinished], comparisons: Sequence[Job] = ()) -> str:
    """Trainings and comparisons that were stopped. Says "go_on" or "forget" with the key or the job's id."""
    if not trainings and not comparisons:
        return ""
    lines = [
        (one.key, one.title, f"{one.settings.method}, stopped at step {one.step:,} of {one.settings.steps:,}")
        for one in trainings
    ]
    lines += [(job.id, job.title, "stopped" if job.state == "cancelled" else "failed") for job in comparisons]
    items = "".join(
        f'<li class="ea-row ea-between"><span><b>{escape(title)}</b> {escape(where)}</span><span class="ea-row">'
        f'<button type="button" class="ea-m-button ea-m-main" data-act="go_on" data-id="{key}">Go on'
        f'</button><button type="button" class="ea-m-button" data-act="forget" data-id="{key}" '
        f'data-confirm="Really delete?" aria-label="Delete the training {escape(title)}">Delete</button>'
        f"</span></li>"
        for key, title, where in lines
    )
    return f'<div class="ea-section"><h3>Stopped trainings</h3><ul class="ea-trainings">{items}</ul></div>'


def adapters(cards: Sequence[tuple[str, str, dict[str, Any], str]]) -> str:
    """What was learnt: (id, title, card, address of the strip or ""). Says "remove" with the id."""
    if not cards:
        return (
            '<div class="ea-section"><h2>Your adapters</h2><p class="ea-quiet">What a model learns from your pictures '
            "is kept here, for use on the Generate page.</p></div>"
        )
    return f'<div class="ea-section"><h2>Your adapters</h2></div>{"".join(map(_adapter, cards))}'


def _adapter(one: tuple[str, str, dict[str, Any], str]) -> str:
    id, title, card, strip = one
    image = f'<figure class="ea-preview"><img src="{strip}" alt="What {escape(title)} draws"></figure>' if strip else ""
    prompts = card.get("prompts")
    first = str(prompts[0])[:200] if isinstance(prompts, list) and prompts else ""
    say = f"<p>Words that it knows: <b>{escape(first)}</b></p>" if first else ""
    return f"""
<div class="ea-section"><h3>{escape(title)}</h3>{image}{say}{common.figures(figures(card))}
<div class="ea-row"><button type="button" class="ea-m-button" data-act="remove" data-id="{escape(id)}"
  data-confirm="Really delete?" aria-label="Delete the adapter {escape(title)}">Delete</button>
  <span class="ea-quiet">On the Generate page, choose <b>{escape(id)}</b> under Adapters.</span></div></div>"""


def figures(card: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures of a card that tell a person something: name, value, what it means."""
    found: list[tuple[str, str, str]] = []
    settings = card.get("settings")
    for key, name, meaning in (
        ("method", "Method", "How it was trained"),
        ("base", "For", "The model that it belongs to"),
        ("pictures", "Pictures", "As many were learnt from"),
    ):
        if isinstance(card.get(key), str | int):
            told = str(card[key])
            found.append((name, Path(told).name[:60] if key == "base" else told[:60], meaning))
    if isinstance(settings, dict) and isinstance(settings.get("steps"), int):
        found.append(("Steps", f"{settings['steps']:,}", "Steps of training"))
    if isinstance(card.get("bytes"), int):
        found.append(("Size", f"{card['bytes'] / 1e6:.1f} MB", "Of the file"))
    return found
