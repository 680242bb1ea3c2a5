"""Making results: the pipeline's events, turned into what the page shows step by step. No Gradio in here."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photos.io import open_photo, save_image
from pipelines.errors import Cancelled
from pipelines.events import Event
from ui import views
from ui.age.state import GLOBAL, Choices, Made, PhotoState, Shelf
from ui.pictures import close_up, collage, data_uri
from ui.services import Run, Services

if TYPE_CHECKING:
    from photos.io import Photo
    from pipelines.aging import Aged

THUMBNAIL = 192
SUFFIX = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp"}
NO_PHOTO = "First give a photo: drop it, paste it, choose a file or use the camera."


@dataclass(frozen=True)
class Step:
    """One change of the page. None leaves a part as it is; `busy` says whether the work goes on."""

    status: str
    busy: bool = True
    shelf: Shelf | None = None
    history: bool = False


def ages_of(text: str) -> list[float]:
    """The ages of a strip, rising and each once. Raises InputError for what is no age."""
    from pipelines.aging import parse_age

    parts = [part for part in re.split(r"[,;\s]+", text) if part]
    return sorted({parse_age(part) for part in parts}) or ages_of(Choices().ages)


def make(
    services: Services,
    run: Run,
    state: PhotoState,
    shelf: Shelf,
    targets: Sequence[float],
    choices: Choices,
    style: Path | None = None,
) -> Iterator[Step]:
    """Age the chosen face to every target. Errors and cancellation end it with a sentence and the earlier results.

    The last step has `busy=False`. Nothing is yielded once the run was replaced: the tab then shows something else.
    """
    if state.photo is None:
        yield Step(views.note(NO_PHOTO, "error"), busy=False)
        return
    before = shelf
    try:
        for step in _steps(services, run, state, shelf, targets, choices, style):
            shelf = step.shelf or shelf
            if run.replaced:
                return
            yield step
    except Cancelled:
        ending = views.note("Stopped. " + ("Earlier results are still here." if before.finished else ""), "info")
    except Exception as error:
        ending = views.note(services.sentence(error), "error")
    else:
        return
    if not run.replaced:
        yield Step(ending, busy=False, shelf=settle(before, shelf), history=True)


def settle(before: Shelf, after: Shelf) -> Shelf:
    """The shelf when work ended early: every finished result, and a preview only where there is nothing better."""
    kept = {views.years(m.target): m for m in (*before.finished, *after.finished)}
    if not kept:
        return after
    row = tuple(sorted(kept.values(), key=lambda m: m.target))
    shown = next((m for m in (after.current, before.current) if m in row), row[-1])
    return replace(after, made=row, shown=row.index(shown))


def _steps(
    services: Services,
    run: Run,
    state: PhotoState,
    shelf: Shelf,
    targets: Sequence[float],
    choices: Choices,
    style: Path | None,
) -> Iterator[Step]:
    assert state.photo is not None
    run.cancel.check()
    yield Step(views.progress("Getting ready", None, None))
    options = choices.options()
    other = open_photo(style, services.settings.max_pixels) if style and options.mix_layers else None
    aged: list[Aged] = []
    began = time.monotonic()
    rivals: dict[float, tuple[str, str]] = {}
    if choices.both:
        yield from _everybody(services, run, state, targets, choices, other, rivals)
    events = services.pipeline.run(state.photo, targets, options, face=state.chosen, cancel=run.cancel, style=other)
    for event in events:
        run.cancel.check()
        status = views.progress(event.message, event.fraction, event.seconds_left)
        if event.stage == "done" or event.value is None:
            yield Step(status)
            continue
        shelf = shelf.put(replace(shown(state, event), rival=rivals.get(float(event.value.target))))
        yield Step(status, shelf=shelf)
        if not event.preview:
            aged.append(event.value)
            path = _keep(services, state, event.value, choices, in_history=len(targets) == 1)
            shelf = shelf.put(replace(_last(shelf, event), path=path))
            yield Step(status, shelf=shelf)
    if len(aged) > 1:
        yield Step(views.progress("Putting the strip together", None, None))
        shelf = replace(shelf, strip_path=_keep_strip(services, state, aged, choices))
    yield Step(views.note(_summary(aged, time.monotonic() - began), "good"), busy=False, shelf=shelf, history=True)


def _everybody(
    services: Services,
    run: Run,
    state: PhotoState,
    targets: Sequence[float],
    choices: Choices,
    style: Photo | None,
    rivals: dict[float, tuple[str, str]],
) -> Iterator[Step]:
    """Age by everybody's aging first, into `rivals`: the pictures, whole and near, by target."""
    assert state.photo is not None
    options = replace(choices, whose=GLOBAL).options()
    box = state.faces[state.chosen].face.box
    for event in services.pipeline.run(state.photo, targets, options, state.chosen, run.cancel, style):
        run.cancel.check()
        yield Step(views.progress(f"Everybody's aging: {event.message}", event.fraction, event.seconds_left))
        if event.stage != "done" and event.value is not None and not event.preview:
            image = event.value.image
            rivals[float(event.value.target)] = (data_uri(image), data_uri(close_up(image, box)))


def shown(state: PhotoState, event: Event) -> Made:
    """The event's `Aged` as the page shows it."""
    aged: Aged = event.value
    box = state.faces[state.chosen].face.box
    return Made(
        target=float(aged.target),
        whole=data_uri(aged.image),
        near=data_uri(close_up(aged.image, box)),
        thumbnail=data_uri(aged.crop, THUMBNAIL),
        age=aged.age,
        identity=aged.identity,
        preview=event.preview,
        extrapolated=aged.extrapolated,
    )


def _last(shelf: Shelf, event: Event) -> Made:
    return next(m for m in shelf.made if m.target == float(event.value.target))


def _keep(services: Services, state: PhotoState, aged: Aged, choices: Choices, in_history: bool) -> Path:
    """Write the result where the browser may fetch it, and into the history. Returns the file to fetch."""
    assert state.photo is not None
    out = services.new_file(f"{state.name} at {views.years(aged.target)}", SUFFIX[choices.format])
    recipe = dict(aged.recipe)
    if not in_history:
        save_image(aged.image, out, recipe, state.photo.icc)
        return out
    entry = services.history.add(recipe, aged.image, aged.crop, state.photo.icc)
    services.originals.keep(state.photo)  # after the entry, without which it would count as unwanted
    if out.suffix == ".png":
        shutil.copyfile(entry.image, out)
    else:
        save_image(aged.image, out, recipe, state.photo.icc)
    return out


def _keep_strip(services: Services, state: PhotoState, aged: Sequence[Aged], choices: Choices) -> Path:
    from pipelines.aging import strip

    assert state.photo is not None
    recipe: dict[str, Any] = dict(aged[0].recipe) | {"strip": [a.target for a in aged]}
    out = services.new_file(f"{state.name} through the years", SUFFIX[choices.format])
    picture = strip(aged)
    save_image(picture, out, recipe)
    services.history.add(recipe, picture, collage([a.crop for a in aged]))
    services.originals.keep(state.photo)
    return out


def _summary(aged: Sequence[Aged], seconds: float) -> str:
    ages = ", ".join(views.years(a.target) for a in aged)
    if not aged:
        return "Done."
    done = f"Done: {'ages' if len(aged) > 1 else 'age'} {ages}, in {seconds:.0f} s."
    beyond = ", ".join(views.years(a.target) for a in aged if a.extrapolated)
    return done + (f" Extrapolated, beyond the ages of this person's photos: {beyond}." if beyond else "")
