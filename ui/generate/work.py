"""Making pictures: the generator's events, turned into what the page shows step by step. No Gradio in here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from pipelines.errors import Cancelled
from ui import views
from ui.following import Followed, follow, line
from ui.generate.result import Shelf
from ui.generate.state import Form
from ui.handout import hand_out
from ui.services import Run, Services

if TYPE_CHECKING:
    from pipelines.generate.generator import Generated


STOPPED = "Stopped. The pictures that are made are kept, and the same comparison goes on from there."


@dataclass(frozen=True)
class Sheet:
    """A comparison: one picture, its figures, and the file that the browser may fetch."""

    image: Image.Image
    table: list[dict[str, Any]]
    file: Path


@dataclass(frozen=True)
class Step:
    """One change of the page. None leaves a part as it is; `busy` says whether the work goes on."""

    status: str
    busy: bool = True
    preview: list[Image.Image] | None = None
    shelf: Shelf | None = None
    grid: Sheet | None = None


def make(
    services: Services, run: Run, form: Form, start: tuple[Image.Image, Image.Image | None] | None
) -> Iterator[Step]:
    """Make the pictures of the form. start: a picture and its mask. The last step has `busy=False`."""
    yield from _guarded(services, run, lambda: _pictures(services, run, form, start))


def compare(services: Services, run: Run, form: Form, axes: str) -> Iterator[Step]:
    """Make a grid of the form's picture over some axes."""
    yield from _guarded(services, run, lambda: _grid(services, run, form, axes))


def _guarded(services: Services, run: Run, begin: Any) -> Iterator[Step]:
    """The steps, ending in a sentence whatever happens. Silent once the run was replaced."""
    try:
        run.cancel.check()
        yield Step(views.progress("Getting ready", None, None))
        for step in begin():
            if run.replaced:
                return
            yield step
    except Cancelled:
        ending = views.note("Stopped.", "info")
    except Exception as error:
        ending = views.note(services.sentence(error), "error")
    else:
        return
    if not run.replaced:
        yield Step(ending, busy=False)


def _pictures(
    services: Services, run: Run, form: Form, start: tuple[Image.Image, Image.Image | None] | None
) -> Iterator[Step]:
    init, mask = start or (None, None)
    for event in services.generator.run(form.settings(), init=init, mask=mask, cancel=run.cancel):
        if event.stage == "done":
            result: Generated = event.value
            entries = services.gallery.add(result)
            paths = tuple(_served(services, form.prompt, entry.image) for entry in entries)
            seed = result.pictures[0].settings.seed
            words = " ".join([f"Done in {result.seconds:.0f} s, seed {seed}.", *result.notes])
            yield Step(views.note(words, "good"), busy=False, shelf=Shelf(result, paths))
        else:
            yield Step(views.progress(event.message, event.fraction, event.seconds_left), preview=event.value)


def following(services: Services, run: Run) -> Iterator[Step]:
    """The comparison that goes on, or the last one, for a tab that was opened meanwhile; nothing if there is none."""
    found = services.grid_jobs.current
    if found is not None:
        yield from _guarded(services, run, lambda: _followed(services, run, found))


def _grid(services: Services, run: Run, form: Form, axes: str) -> Iterator[Step]:
    """A job, so that it goes on without the page."""
    request = {"settings": form.settings().model_dump(mode="json"), "axes": axes}
    return _followed(services, run, services.grid_jobs.begin("generate", request))


def _followed(services: Services, run: Run, begun: Followed) -> Iterator[Step]:
    for found in follow(services.grid_jobs, begun, run):
        told = line(found, lambda _: "The comparison is done.", "Waiting for its turn", STOPPED)
        preview = found.job.told.preview
        shown = [_opened(preview)] if preview is not None and preview.is_file() and not found.job.over else None
        grid = None
        if found.ended == "done":
            path = Path(found.result["files"][0])
            grid = Sheet(_opened(path), found.result["table"], hand_out(services, path))
        yield Step(told, busy=found.ended is None, preview=shown, grid=grid)


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _served(services: Services, prompt: str, image: Path) -> Path:
    """A copy that the browser may fetch, named after the prompt."""
    path = services.new_file(prompt[:60], image.suffix)
    shutil.copyfile(image, path)
    return path


def drawn(value: dict[str, Any] | None) -> tuple[Image.Image, Image.Image | None] | None:
    """The start picture of the editor and, if something was brushed, the mask."""
    if not value or value.get("background") is None:
        return None
    picture: Image.Image = value["background"]
    mask = None
    for layer in value.get("layers") or ():
        alpha = layer.convert("RGBA").getchannel("A")
        if alpha.getextrema()[1] > 0:
            mask = alpha
    return picture.convert("RGB"), mask
