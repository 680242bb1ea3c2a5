"""Making pictures: the generator's events, turned into what the page shows step by step. No Gradio in here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from photos.results import save_image
from pipelines.errors import Cancelled, EveryageError
from ui import views
from ui.generate.result import Shelf
from ui.generate.state import Form
from ui.services import Run, Services

if TYPE_CHECKING:
    from pipelines.generate.compare import Grid
    from pipelines.generate.generator import Generated


@dataclass(frozen=True)
class Step:
    """One change of the page. None leaves a part as it is; `busy` says whether the work goes on."""

    status: str
    busy: bool = True
    preview: list[Image.Image] | None = None
    shelf: Shelf | None = None
    grid: tuple[Grid, Path] | None = None


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
    except EveryageError as error:
        ending = views.note(str(error), "error")
    except Exception as error:  # a defect; the page says so in a sentence, and the terminal keeps the trace
        services.report(error)
        ending = views.note(f"Something went wrong ({type(error).__name__}); the terminal says more.", "error")
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


def _grid(services: Services, run: Run, form: Form, axes: str) -> Iterator[Step]:
    from pipelines.generate.axes import parse_axes
    from pipelines.generate.compare import grid

    for event in grid(services.generator, form.settings(), parse_axes(axes), run.cancel):
        if event.stage == "done":
            made: Grid = event.value
            path = services.new_file("comparison", ".png")
            save_image(made.image, path, {"kind": "grid", "axes": axes, "table": made.table()[:50]})
            yield Step(views.note("The comparison is done.", "good"), busy=False, grid=(made, path))
        else:
            preview = event.value if event.stage == "sample" else None
            yield Step(views.progress(event.message, event.fraction, event.seconds_left), preview=preview)


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
