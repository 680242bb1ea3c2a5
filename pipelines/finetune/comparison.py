"""What a comparison of methods found: a row a training, means and spreads, a grid of pictures."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from photos.files import read_json, write_file
from photos.results import save_image

HOME = "comparisons"  # in the data folder: finished ones that nobody asked to have elsewhere
TABLE, GRID = "comparison.json", "comparison.png"
FIGURES = ("distance", "likeness", "drift", "loss", "seconds", "memory", "bytes", "weights")


@dataclass(frozen=True)
class Row:
    """One training. memory: bytes of the device at its largest, above what it held before; None but on CUDA, because a
    process that trained before keeps what it took. curve: (drift, distance) at growing weights, from the bare model on.
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
    curve: tuple[tuple[float, float], ...] = ()


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
            told["distance_at_drift"] = round(statistics.mean(along(row.curve, self.drift(strength)) for row in of), 5)
            found.append(told)
        return found

    def drift(self, strength: str) -> float:
        """The largest drift that the adapters of this strength all reach: where distances can be compared."""
        return min(max(drift for drift, _ in row.curve) for row in self.rows if row.strength == strength)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"table": self.table(), "rows": [asdict(row) for row in self.rows]}


def write(found: Comparison, out: Path, **facts: str) -> dict[str, Any]:
    """Write the grid and then the table, with `facts`, to a folder. Returns what JSON can hold, with "files"."""
    told = found.as_dict() | facts
    save_image(found.grid, out / GRID, {"kind": "comparison", "table": found.table()})
    write_file(out / TABLE, json.dumps(told, indent=1).encode())
    return told | {"files": [str(out / TABLE), str(out / GRID)]}


@dataclass(frozen=True)
class Stored:
    """A finished comparison in the data folder. told: what `write` wrote. Its adapters lie in `folder / NAME /
    "adapter"`; for NAME see `names`.
    """

    folder: Path
    told: dict[str, Any]

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def title(self) -> str:
        return str(self.told.get("title", ""))

    @property
    def person(self) -> str:
        """The token of whose pictures they are, or nothing."""
        return str(self.told.get("person", ""))

    @property
    def names(self) -> list[tuple[str, str]]:
        """(folder, method) of one training of each method."""
        first = [row for row in self.told["rows"] if row["seed"] == 0]
        return [(f"{row['method']}-{row['strength']}-{row['seed']}", row["method"]) for row in first]

    @property
    def grid(self) -> Image.Image | None:
        """The pictures side by side; None if they are gone."""
        try:
            with Image.open(self.folder / GRID) as grid:
                return grid.convert("RGB")
        except OSError:
            return None

    def remove(self) -> None:
        """Delete all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def stored(data: Path) -> list[Stored]:
    """The finished comparisons, newest first."""
    found = [(path, read_json(path)) for path in (data / HOME).glob(f"*/{TABLE}")]
    found.sort(key=lambda one: one[0].stat().st_mtime, reverse=True)
    return [Stored(path.parent, told) for path, told in found if told and "rows" in told and "table" in told]


def along(curve: Sequence[tuple[float, float]], drift: float) -> float:
    """The distance at a drift, by straight lines between the points, which are put in order of their drift.

    Beyond the ends the last point's.
    """
    points = sorted(curve)
    for (left, low), (right, high) in pairwise(points):
        if left <= drift <= right:
            return low + (high - low) * (drift - left) / (right - left) if right > left else high
    return points[-1][1] if drift > points[-1][0] else points[0][1]


def keep(place: Path, row: Row, shown: Sequence[Image.Image], key: str) -> None:
    """Write a row and its pictures, so that `kept` finds them by the key of what was asked for."""
    for i, image in enumerate(shown):
        image.save(place / f"{i}.png")
    write_file(place / "row.json", json.dumps(asdict(row) | {"key": key}).encode())
    shutil.rmtree(place / "state", ignore_errors=True)


def kept(place: Path, key: str) -> tuple[Row | None, list[Image.Image]]:
    """A row of an earlier run of the same comparison; what another one left there is removed."""
    told = read_json(place / "row.json") or {}
    if told and told.pop("key", None) != key:
        shutil.rmtree(place)
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "row.json").is_file():
        return None, []
    row = Row(**told | {"curve": tuple((drift, distance) for drift, distance in told["curve"])})
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
