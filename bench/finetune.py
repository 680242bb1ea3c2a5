"""Methods of fine-tuning on several sets of pictures: who comes nearest to the pictures, at what drift and cost.

    python -m bench.finetune --set person=DIR --set light=DIR --work DIR --out docs/finetune.json --grid docs/grids.webp

Each folder has captions beside its pictures. Every method trains the same number of weights at each strength; finished
trainings are kept in `--work`, so that a run that was stopped goes on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from pipelines.events import Event
from pipelines.finetune.comparing import compare
from pipelines.finetune.comparison import Comparison
from pipelines.finetune.finetuner import Finetuner
from pipelines.finetune.settings import FinetuneSettings
from pipelines.runtime import Runtime
from pipelines.settings import load_settings

METHODS = "sara,wara,lora,dora,shira,waveft"


def main(
    sets: Annotated[list[str], typer.Option("--set", metavar="NAME=DIR")],
    work: Annotated[Path, typer.Option(help="Keeps finished trainings.")],
    out: Annotated[Path, typer.Option()],
    grid: Annotated[Path | None, typer.Option()] = None,
    methods: Annotated[str, typer.Option()] = METHODS,
    strengths: Annotated[str, typer.Option()] = "subtle,medium",
    seeds: Annotated[int, typer.Option()] = 3,
    steps: Annotated[int, typer.Option()] = 80,
    drawn: Annotated[int, typer.Option(help="Pictures a figure.")] = 16,
    drawing: Annotated[int, typer.Option(help="Steps of a drawing; more hardly change it.")] = 10,
    device: Annotated[str, typer.Option()] = "auto",
) -> None:
    """Compare the methods on each set and write the table."""
    settings = load_settings(data=work / "data", device=device)
    tuner = Finetuner(Runtime(settings), settings.data)
    found: dict[str, Comparison] = {}
    for name, _, folder in (each.partition("=") for each in sets):
        asked = FinetuneSettings(steps=steps)
        for event in compare(
            tuner, folder, asked, methods.split(","), range(seeds), work / name, strengths.split(","), drawn, drawing
        ):
            if event.stage in ("compare", "done"):
                found[name] = event.value
                _say(name, event)
                out.write_text(json.dumps({n: c.as_dict() for n, c in found.items()}, indent=1))
    if grid is not None:
        _stack([found[name].grid for name in found]).save(grid, quality=85)


def _say(name: str, event: Event) -> None:
    last = event.value.rows[-1]
    print(
        f"{name} {event.done}/{event.total} {last.method} {last.strength} seed {last.seed}: distance "
        f"{last.distance:.1f}, drift {last.drift:.4f}, {last.seconds:.0f} s",
        flush=True,
    )


def _stack(images: list[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (max(i.width for i in images), sum(i.height for i in images)), "#faf9f6")
    top = 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height
    return sheet


if __name__ == "__main__":
    typer.run(main)
