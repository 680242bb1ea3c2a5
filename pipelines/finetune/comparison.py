"""What a comparison of methods found: a row a training, means and spreads, a grid of pictures."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

FIGURES = ("distance", "likeness", "drift", "loss", "seconds", "memory", "bytes", "weights")


@dataclass(frozen=True)
class Row:
    """One training. memory: bytes of the device at its largest, above what it held before; None but on CUDA, because a
    process that trained before keeps what it took.
    """

    method: str
    strength: str
    seed: int
    distance: float
    likeness: float
    drift: float
    loss: float
    seconds: float
    memory: int | None
    bytes: int
    weights: int


@dataclass(frozen=True)
class Comparison:
    """rows: of every training; grid: methods down, prompts across, the bare model first."""

    rows: tuple[Row, ...]
    grid: Image.Image

    def table(self) -> list[dict[str, Any]]:
        """Mean and spread (standard deviation over seeds) of each method at each strength."""
        found = []
        for method, strength in dict.fromkeys((row.method, row.strength) for row in self.rows):
            of = [row for row in self.rows if (row.method, row.strength) == (method, strength)]
            told: dict[str, Any] = {"method": method, "strength": strength, "seeds": len(of)}
            for name in FIGURES:
                values = [float(getattr(row, name)) for row in of if getattr(row, name) is not None]
                if not values:
                    continue
                told[name] = round(statistics.mean(values), 5)
                told[f"{name}_spread"] = round(statistics.stdev(values), 5) if len(values) > 1 else 0.0
            found.append(told)
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"table": self.table(), "rows": [asdict(row) for row in self.rows]}


def keep(place: Path, row: Row, shown: Sequence[Image.Image]) -> None:
    """Write a row and its pictures, so that `kept` finds them."""
    for i, image in enumerate(shown):
        image.save(place / f"{i}.png")
    (place / "row.json").write_text(json.dumps(asdict(row)))


def kept(place: Path) -> tuple[Row | None, list[Image.Image]]:
    """A row of an earlier run of the same comparison."""
    if not (place / "row.json").is_file():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return None, []
    row = Row(**json.loads((place / "row.json").read_text()))
    return row, [Image.open(path).convert("RGB") for path in sorted(place.glob("*.png"))]


def draw_grid(pictures: Mapping[str, list[Image.Image]], prompts: Sequence[str]) -> Image.Image:
    """Methods down; two drawings of the pictures' caption and two of an unrelated prompt across."""
    side, left, top, gap = 128, 130, 22, 4
    columns = max(map(len, pictures.values()))
    sheet = Image.new("RGB", (left + columns * (side + gap), top + len(pictures) * (side + gap)), "#faf9f6")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for i, words in enumerate(prompts):
        pen.text((left + 2 * i * (side + gap), top / 2), words[:34] or "no words", "black", font, "lm")
    for row, (name, images) in enumerate(pictures.items()):
        y = top + row * (side + gap)
        pen.text((6, y + side / 2), name, "black", font, "lm")
        for column, image in enumerate(images):
            sheet.paste(image.convert("RGB").resize((side, side)), (left + column * (side + gap), y))
    return sheet
