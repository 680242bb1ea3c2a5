"""The same prompt and seeds under several settings, side by side: a grid with axes, and figures under each picture."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from pipelines.events import CancelToken, Event
from pipelines.generate.axes import MATCHED, Axis, cell, check_axes
from pipelines.generate.generator import Generated, ImageGenerator, Made
from pipelines.generate.loading import EMBEDDED
from pipelines.generate.settings import GenerateSettings
from pipelines.generate.sheet import draw_sheet

CLOSE, TRIES = 0.05, 4
"""How near the pushes of a matched picture must come, and how often that is tried."""


@dataclass(frozen=True)
class Grid:
    """The result: one `Made` for each cell, row by row; `image` is the whole sheet with labels and figures."""

    axes: tuple[Axis, ...]
    rows: tuple[tuple[Made, ...], ...]
    image: Image.Image

    def table(self) -> list[dict[str, Any]]:
        """One row a picture, as JSON can hold it: the values of the axes and the figures."""
        found = []
        across = self.axes[0].values
        down = self.axes[1].values if len(self.axes) > 1 else (None,)
        for value, row in zip(down, self.rows, strict=True):
            for other, made in zip(across, row, strict=True):
                place = {self.axes[0].name: other} | ({self.axes[1].name: value} if len(self.axes) > 1 else {})
                found.append(place | made.figures)
        return found


def grid(
    generator: ImageGenerator,
    settings: GenerateSettings,
    axes: Sequence[Axis],
    cancel: CancelToken | None = None,
    **start: Any,
) -> Iterator[Event]:
    """Make every cell. Events as `ImageGenerator.run` gives them, with the pictures counted; "cell" after each one
    (value: Made); "done" with the Grid. All cells are checked before the first is made.
    """  # fmt: skip
    axes = check_axes(axes)
    plan = plan_cells(one_seed(settings, axes), axes)
    total, rows, done = sum(len(line) for line in plan), [], 0
    for line in plan:
        row: list[Made] = []
        for chosen in line:
            for event in draw_cell(generator, chosen, cancel, **start):
                if event.stage == "cell":
                    row.append(event.value)
                else:
                    yield Event("sample", f"Picture {done + 1} of {total}", done, total, None, True, event.value)
            done += 1
            yield Event("cell", f"Picture {done} of {total}", done, total, value=row[-1])
        rows.append(tuple(row))
    yield Event("done", "Done", total, total, 0.0, value=whole_grid(axes, rows))


@dataclass(frozen=True)
class Cell:
    """What one picture of a grid is made with. match: by CFG at APG's push, see `matched`."""

    settings: GenerateSettings
    match: bool


def one_seed(settings: GenerateSettings, axes: Sequence[Axis]) -> GenerateSettings:
    """The settings with a seed for all cells, or there is nothing to compare."""
    if settings.seed >= 0 or "seed" in {axis.name for axis in axes}:
        return settings
    return settings.with_changes(seed=secrets.randbelow(2**32))


def plan_cells(settings: GenerateSettings, axes: Sequence[Axis]) -> list[list[Cell]]:
    """All cells, row by row. Raises InputError for a value out of range."""
    down = axes[1].values if len(axes) > 1 else (None,)
    return [[Cell(cell(settings, axes, (a, d)[: len(axes)]), MATCHED in (a, d)) for a in axes[0].values] for d in down]


def draw_cell(
    generator: ImageGenerator, chosen: Cell, cancel: CancelToken | None = None, **start: Any
) -> Iterator[Event]:
    """One picture: "sample" as `ImageGenerator.run` gives it, then "cell" with the Made."""
    read = _reader(generator, chosen.settings)
    draw = matched if chosen.match else _plain
    for event in draw(generator, chosen.settings, cancel, **start):
        if event.stage == "done":
            result: Generated = event.value
            yield Event("cell", "Done", 1, 1, value=read(result.pictures[0]))
        elif event.stage == "sample":
            yield event


def whole_grid(axes: Sequence[Axis], rows: Sequence[Sequence[Made]]) -> Grid:
    """The sheet of finished cells."""
    made = tuple(tuple(row) for row in rows)
    return Grid(tuple(axes), made, draw_sheet(axes, made))


def _plain(
    generator: ImageGenerator, settings: GenerateSettings, cancel: CancelToken | None = None, **start: Any
) -> Iterator[Event]:
    return generator.run(settings, cancel=cancel, **start)


def matched(
    generator: ImageGenerator, settings: GenerateSettings, cancel: CancelToken | None = None, **start: Any
) -> Iterator[Event]:
    """The picture of `settings` by CFG at the scale at which its mean push is APG's, to 5 % or after four tries.

    settings: with APG. Events as `ImageGenerator.run` gives them, with one "done" at the end.
    """
    goal, done = 0.0, None
    scale = settings.guidance.scale
    chosen = settings
    for attempt in range(TRIES + 1):
        for event in generator.run(chosen, cancel=cancel, **start):
            if event.stage != "done":
                yield event
            else:
                done = event
        assert done is not None
        push = mean_push(done.value.pictures[0])
        if attempt == 0:
            goal = push
        elif push <= 0 or abs(push / goal - 1) < CLOSE:
            break
        else:
            scale = 1 + (scale - 1) * goal / push  # the push of CFG grows about as scale - 1
        guided = settings.guidance.to_dict() | {"method": "cfg", "scale": min(max(scale, 1.0), 50.0)}
        chosen = settings.with_changes(guidance=guided)
    assert done is not None
    yield done


def mean_push(made: Made) -> float:
    """How far guidance moved the prediction, on average over the steps."""
    return sum(probe.push for probe in made.probes) / max(len(made.probes), 1)


def _reader(generator: ImageGenerator, settings: GenerateSettings) -> Callable[[Made], Made]:
    """Adds the share of the prompt that is met, for the embedded model: its words are known, and can be checked."""
    if settings.model != EMBEDDED:
        return lambda made: made
    from pipelines.generate.measure import PortraitReader, met

    reader = PortraitReader(generator.runtime)

    def read(made: Made) -> Made:
        checks = met(made.settings.prompt, reader.read(made.image))
        return replace(made, figures=made.figures | {"prompt": round(sum(checks.values()) / len(checks), 4)})

    return read
