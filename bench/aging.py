"""What aging does to real photos: estimated age, identity, likeness at the present age, time. With a contact sheet.

    python -m bench.aging --out docs/aging PHOTO [PHOTO ...]

Writes OUT.json (one row a photo, and the means) and OUT.webp (a row a photo: the photo, then each age).
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from models.faces.align import ffhq_quad, paste_mask
from photos.io import Photo, open_photo
from pipelines.aging import Aged, AgingOptions, AgingPipeline
from pipelines.runtime import Runtime
from pipelines.settings import load_settings

TILE = 192


def present_psnr(photo: Image.Image, result: Image.Image, mask: np.ndarray) -> float:
    """PSNR in dB between photo and result where the mask is above a half."""
    inside = mask > 0.5
    before, after = (np.asarray(each, dtype=np.float64)[inside] for each in (photo, result))
    error = float(((before - after) ** 2).mean())
    return 99.0 if error == 0 else 10 * float(np.log10(255**2 / error))


def measure(pipeline: AgingPipeline, photo: Photo, options: AgingOptions) -> tuple[dict[str, Any], list[Aged]]:
    """One photo: aged to 20, its present age, and 75; then one more age out of the cache."""
    found = pipeline.find_faces(photo.image)[0]
    began, preview, results, fit = time.monotonic(), 0.0, [], 0.0
    for event in pipeline.run(photo, (20.0, found.age, 75.0), options):
        if event.preview:
            preview = time.monotonic() - began
        if event.stage == "tune":
            fit = float(event.message.split(":")[1].split()[0])
        if event.stage == "age":
            results.append(event.value)
    tuned = time.monotonic() - began
    began = time.monotonic()
    further = [event.value for event in pipeline.run(photo, (60.0,), options) if event.stage == "age"]
    again = time.monotonic() - began
    mask = paste_mask(photo.image.size, ffhq_quad(found.face.landmarks))
    outside = [
        bool((np.asarray(photo.image)[mask == 0] == np.asarray(each.image)[mask == 0]).all()) for each in results
    ]
    young, same, old = results
    row = {
        "photo": photo.path.parent.parent.name + "/" + photo.path.stem,
        "present": found.age,
        "to_20": young.age,
        "to_75": old.age,
        "identity_20": young.identity,
        "identity_75": old.identity,
        "inversion_db": fit,
        "present_db": present_psnr(photo.image, same.image, mask),
        "outside_equal": all(outside),
        "preview_s": preview,
        "tuned_s": tuned,
        "further_s": again,
    }
    return row, [*results[:2], *further, old]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures that matter, over all photos."""
    older = [row["to_75"] - row["present"] for row in rows]
    younger = [row["present"] - row["to_20"] for row in rows if row["present"] > 30]
    identities = [row[key] for row in rows for key in ("identity_20", "identity_75")]
    return {
        "photos": len(rows),
        "older_by": statistics.mean(older),
        "younger_by_over_30": statistics.mean(younger) if younger else None,
        "identity_mean": statistics.mean(identities),
        "identity_least": min(identities),
        "inversion_db_least": min(row["inversion_db"] for row in rows),
        "present_db_least": min(row["present_db"] for row in rows),
        "outside_equal": all(row["outside_equal"] for row in rows),
        "preview_s_most": max(row["preview_s"] for row in rows),
        "tuned_s_most": max(row["tuned_s"] for row in rows),
        "further_s_most": max(row["further_s"] for row in rows),
    }


def main(
    photos: Annotated[list[Path], typer.Argument(help="Photos; the largest face of each is aged.")],
    out: Annotated[Path, typer.Option(help="Where the two files go, without suffix.")],
    steps: int | None = AgingOptions.tune_steps,
    strength: float = AgingOptions.strength,
) -> None:
    """Measure and draw."""
    with tempfile.TemporaryDirectory() as data:
        pipeline = AgingPipeline(Runtime(load_settings(data=Path(data))), Path(data))
        rows, tiles = [], []
        for path in photos:
            photo = open_photo(path)
            row, results = measure(pipeline, photo, AgingOptions(strength=strength, tune_steps=steps))
            rows.append({name: round(v, 3) if isinstance(v, float) else v for name, v in row.items()})
            tiles.append([pipeline.find_faces(photo.image)[0].thumbnail, *(each.crop for each in results)])
            typer.echo(json.dumps(rows[-1]))
    figures = {name: round(v, 3) if isinstance(v, float) else v for name, v in summary(rows).items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps({"mean": figures, "photos": rows}, indent=1) + "\n")
    sheet = Image.new("RGB", (TILE * len(tiles[0]), TILE * len(tiles)))
    for y, line in enumerate(tiles):
        for x, tile in enumerate(line):
            sheet.paste(tile.resize((TILE, TILE), Image.Resampling.LANCZOS), (x * TILE, y * TILE))
    sheet.save(out.with_suffix(".webp"), quality=88)
    typer.echo(json.dumps(figures))


if __name__ == "__main__":
    typer.run(main)
