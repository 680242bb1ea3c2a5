"""The panel in which Everyage learns how somebody ages, as HTML: the plan, how it goes, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from ui import plots
from ui import views as common
from ui.people import faces, words
from ui.pictures import data_uri

if TYPE_CHECKING:
    from photos.people import FaceView
    from pipelines.personalize import PersonalModel, TrainingView

LIKENESS = "How alike drawings are to photos that were held out, by everybody's aging and by this person's own"
PRESETS = {
    "everyage": ("Everyage", "What measures best here, and fast."),
    "official": ("As published", "The published MyTimeMachine training. Many times slower."),
}


@dataclass(frozen=True)
class Plan:
    """What training would use. problem: why it can't begin; unfinished: the step at which it was stopped."""

    name: str
    chosen: Sequence[FaceView] = ()
    hints: Sequence[str] = ()
    flagged: Sequence[FaceView] = ()
    problem: str = ""
    unfinished: int | None = None
    model: PersonalModel | None = None
    busy: bool = False


def panel(plan: Plan) -> str:
    """The plan as a form. Says "train" with preset and steps, and "evaluate"."""
    who = escape(plan.name)
    known = card(plan.model) if plan.model else ""
    return f'<div class="ea-section"><h3>How {who} ages</h3>{known}{_photos(plan)}{_form(plan)}</div>'


def _photos(plan: Plan) -> str:
    if plan.problem:
        return f'<p class="ea-note ea-info">{escape(plan.problem)}</p>'
    who = escape(plan.name)
    ages = [face.age for face in plan.chosen if face.age is not None]
    span = words.span((min(ages), max(ages)) if ages else None)
    hints = "".join(f"<li>{escape(hint)}</li>" for hint in plan.hints)
    flagged = ""
    if plan.flagged:
        flagged = (
            f'<details class="ea-fold" data-fold="flagged"><summary>{words.count(len(plan.flagged), "face")} left out '
            f"that you should look at</summary><div>{_choosable(plan.flagged)}</div></details>"
        )
    return f"""
<p>Everyage would learn from <b>{words.count(len(plan.chosen), "photo")}</b> of {who}, {span}, chosen for their quality
and spread over the years. Ages outside are carried on from there.</p>
{f'<ul class="ea-hints">{hints}</ul>' if hints else ""}
<details class="ea-fold" data-fold="chosen"><summary>The chosen photos, and why</summary>
  <div>{_choosable(plan.chosen)}</div></details>{flagged}"""


def _choosable(found: Sequence[FaceView]) -> str:
    return faces.choosable(found)


def _form(plan: Plan) -> str:
    if plan.problem and plan.unfinished is None:
        return ""
    presets = "".join(
        f'<label><input type="radio" name="preset" value="{key}"{" checked" if key == "everyage" else ""}>'
        f"<b>{title}</b><small>{about}</small></label>"
        for key, (title, about) in PRESETS.items()
    )
    label = "Learn anew" if plan.model or plan.unfinished is not None else f"Learn how {plan.name} ages"
    blocked = " disabled" if plan.busy else ""
    main, go_on = " ea-m-main", ""
    if plan.unfinished is not None:
        main = ""
        go_on = (
            f'<button type="submit" class="ea-m-button ea-m-main" name="go" value="on"{blocked}>'
            f"Go on from step {plan.unfinished:,}</button>"
        )
    return f"""
<form class="ea-form" data-act="train">
  <fieldset class="ea-presets"><legend class="ea-sr">How to train</legend>{presets}</fieldset>
  <details class="ea-fold" data-fold="steps"><summary>More</summary><div>
    <label class="ea-field" style="max-width:380px"><span>Steps <i>empty: as many as the preset has</i></span>
      <input type="number" name="steps" min="1" max="100000" step="1"></label></div></details>
  <div class="ea-row">{go_on}<button type="submit" class="ea-m-button{main}"{blocked}>{escape(label)}</button></div>
  <p class="ea-quiet">You can close the page meanwhile, and stop and go on whenever you like.</p></form>"""


def card(model: PersonalModel) -> str:
    """What was learnt: the ages covered, the figures, and what can be done with it."""
    return f"""
<div class="ea-panel"><p><b>Everyage knows how {escape(model.person)} ages.</b> Choose {escape(model.person)} on the Age
  page to use it.</p>{common.figures(figures(model.card))}
  <div class="ea-row"><button type="button" class="ea-m-button" data-act="evaluate">Measure how good it
    is</button></div></div>"""


def figures(given: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The figures of a model's card that tell a person something: name, value, what it means."""
    found: list[tuple[str, str, str]] = []
    ages = given.get("ages")
    if isinstance(ages, list | tuple) and len(ages) == 2:
        span = f"{words.years(float(ages[0]))} to {words.years(float(ages[1]))}"
        found.append(("Ages learnt", span, "Beyond these ages it is extrapolated"))
    if isinstance(given.get("photos"), int):
        found.append(("Photos", f"{given['photos']:,}", "As many photos were learnt from"))
    quality = given.get("quality")
    if isinstance(quality, dict):
        for key, title in (("likeness_global", "Likeness before"), ("likeness_own", "Likeness now")):
            if isinstance(quality.get(key), float):
                found.append((title, f"{100 * max(quality[key], 0):.0f} %", LIKENESS))
    if isinstance(given.get("seconds"), int | float):
        took = common.duration(float(given["seconds"])).removeprefix("about ")
        found.append(("Took", took, "The time that learning took"))
    return found


def going(view: TrainingView | None, name: str) -> str:
    """How training goes: the newest pictures of fixed photos, and a curve for each term of the loss."""
    if view is None:
        return ""
    preview = ""
    if view.preview is not None:
        preview = (
            f'<figure class="ea-preview"><img src="{data_uri(view.preview, 1200, 88)}" alt="{escape(name)} at several '
            f'ages, as learnt so far"><figcaption>As learnt by step {view.step:,}</figcaption></figure>'
        )
    title = f"Learning: step {view.step:,} of {view.steps:,}"
    return f'<div class="ea-section"><h3>{title}</h3>{preview}{plots.curves(view.losses)}</div>'
