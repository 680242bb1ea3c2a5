"""The same prompt and seeds under several settings, side by side: a grid with axes, and figures under each picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from models.errors import InputError
from models.guidance.settings import METHODS
from pipelines.events import CancelToken, Event
from pipelines.generate.generator import Generated, ImageGenerator, Made
from pipelines.generate.loading import EMBEDDED
from pipelines.generate.settings import GenerateSettings

MOST_PICTURES = 100
MATCHED = "matched"
"""A value of the axis "guidance": CFG at the lower scale at which it pushes as far as APG does at the cell's scale. At
equal scales a weaker push alone looks like less burn; this comparison leaves that out."""
CLOSE, TRIES = 0.05, 4
GUIDED = ("scale", "eta", "norm_threshold", "momentum", "rescale", "percentile", "low_scale", "norm_units")
AXES = ("guidance", *GUIDED, "steps", "sampler", "schedule", "seed", "prompt", "negative", "strength")
"""What an axis can be: settings, and "guidance" for its method."""


@dataclass(frozen=True)
class Axis:
    """One direction of a grid: the setting that changes, and its values."""

    name: str
    values: tuple[Any, ...]


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


def parse_axes(text: str) -> tuple[Axis, ...]:
    """Axes as they are typed: "guidance=cfg,apg;scale=4,8,12": the first runs across, the second down.

    Raises InputError, one sentence, for what is no axis or has no values.
    """
    axes = []
    for part in text.split(";"):
        name, equals, values = part.partition("=")
        name = name.strip()
        if name not in AXES or not equals or not values.strip():
            raise InputError(f"{part.strip()[:60]!r} is no axis; write for example guidance=cfg,apg;scale=4,8,12.")
        axes.append(Axis(name, tuple(_value(name, text.strip()) for text in values.split(","))))
    if not 1 <= len(axes) <= 2 or len({axis.name for axis in axes}) < len(axes):
        raise InputError(f"A grid has one or two different axes; {text[:60]!r} has {len(axes)}.")
    return check_axes(axes)


def check_axes(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Raises InputError for too many pictures or guidance that is not known."""
    count = 1
    for axis in axes:
        count *= len(axis.values)
        for value in axis.values if axis.name == "guidance" else ():
            if value not in (*METHODS, MATCHED):
                raise InputError(f"There is no guidance {value!r}; choose among {', '.join((*METHODS, MATCHED))}.")
    if not 1 <= count <= MOST_PICTURES:
        raise InputError(f"This grid has {count} pictures; {MOST_PICTURES} are the most.")
    return tuple(axes)


def _value(name: str, text: str) -> Any:
    if name in ("guidance", "sampler", "schedule", "prompt", "negative", "norm_units"):
        return text
    try:
        return json.loads(text) if text != "auto" else text
    except ValueError as error:
        raise InputError(f"{text[:40]!r} is no number for {name}.") from error


def cell(settings: GenerateSettings, axes: Sequence[Axis], values: Sequence[Any]) -> GenerateSettings:
    """The settings of one cell. Raises InputError for a value out of range."""
    guided = settings.guidance.to_dict()
    plain: dict[str, Any] = {}
    for axis, value in zip(axes, values, strict=True):
        if axis.name == "guidance":
            guided["method"] = "apg" if value == MATCHED else value
        elif axis.name in GUIDED:
            guided[axis.name] = value
        else:
            plain[axis.name] = value
    return settings.with_changes(**{**plain, "guidance": guided, "count": 1})


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
    across = axes[0].values
    down = axes[1].values if len(axes) > 1 else (None,)
    if settings.seed < 0 and "seed" not in {axis.name for axis in axes}:
        # One seed for all cells, or there is nothing to compare.
        import secrets

        settings = settings.with_changes(seed=secrets.randbelow(2**32))
    plan = [[(cell(settings, axes, (a, d)[: len(axes)]), MATCHED in (a, d)) for a in across] for d in down]
    total, rows, done = len(across) * len(down), [], 0
    read = _reader(generator, settings)
    for line in plan:
        row: list[Made] = []
        for chosen, match in line:
            cells = (
                matched(generator, chosen, cancel, **start) if match else generator.run(chosen, cancel=cancel, **start)
            )
            for event in cells:
                if event.stage == "done":
                    result: Generated = event.value
                    row.append(read(result.pictures[0]))
                elif event.stage == "sample":
                    yield Event("sample", f"Picture {done + 1} of {total}", done, total, None, True, event.value)
            done += 1
            yield Event("cell", f"Picture {done} of {total}", done, total, value=row[-1])
        rows.append(tuple(row))
    made = tuple(rows)
    yield Event("done", "Done", total, total, 0.0, value=Grid(axes, made, draw(axes, made)))


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


def draw(axes: Sequence[Axis], rows: Sequence[Sequence[Made]]) -> Image.Image:
    """The sheet: labels above and at the left, pictures, and under each its figures."""
    width = max(made.image.width for row in rows for made in row)
    height = max(made.image.height for row in rows for made in row)
    side = max(width, 128)
    size = max(11, side // 12)
    font = ImageFont.load_default(size)
    left, top, foot, gap = (size * 8 if len(axes) > 1 else 0), size * 2, round(size * 2.6), 4
    sheet = Image.new(
        "RGB", (left + len(rows[0]) * (side + gap), top + len(rows) * (height + foot + gap)), (250, 249, 246)
    )
    pen = ImageDraw.Draw(sheet)
    for j, value in enumerate(axes[0].values):
        pen.text((left + j * (side + gap) + side / 2, top / 2), label(axes[0].name, value), "black", font, "mm")
    for i, row in enumerate(rows):
        y = top + i * (height + foot + gap)
        if len(axes) > 1:
            pen.text((left - size / 2, y + height / 2), label(axes[1].name, axes[1].values[i]), "black", font, "rm")
        for j, made in enumerate(row):
            x = left + j * (side + gap)
            sheet.paste(made.image, (x + (side - made.image.width) // 2, y))
            small = ImageFont.load_default(max(9, round(size * 0.85)))
            told = made.figures
            prompt = f", prompt {told['prompt']:.0%}" if "prompt" in told else ""
            pen.text((x + 2, y + height + 1), f"saturation {told['saturation']:.3f}{prompt}", (70, 70, 70), small)
            pen.text(
                (x + 2, y + height + 1 + size * 1.2),
                f"contrast {told['contrast']:.3f}, clipped {told['clipped']:.1%}",
                (70, 70, 70),
                small,
            )
    return sheet


def label(name: str, value: Any) -> str:
    """ "scale 8", "APG", ..."""
    if name == "guidance":
        return {"apg": "APG", "cfg": "CFG", "fdg": "FDG", "cfgpp": "CFG++", MATCHED: "CFG matched"}.get(
            str(value), str(value)
        )
    text = str(value)
    return f"{name.replace('_', ' ')} {text if len(text) < 18 else text[:17] + '…'}"
