"""The embedded portraits model under guidance: what each method does to colours, and whether prompts are followed.

    python -m bench.portraits --heads SET/free_view --out docs/portraits.json --sheet docs/portraits.webp

The same prompts and seeds for every method and scale. Saturation, contrast and clipped pixels are those of
`models.pictures`; prompts are checked by networks that know nothing of them (`pipelines.generate.measure`); the
distance to true pictures of people whom the training did not see is that of `models.realism`. What all of these say of
such true pictures stands beside them: no model can do better. Rows that `--out` holds already are not made again.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image
from torch import Tensor

from models.captions import (
    EYES,
    HAIR_COLOURS,
    HAIR_STYLES,
    LIGHTS,
    SKINS,
    Attributes,
    attributes_of_render,
    caption,
)
from models.guidance import GuidanceSettings
from models.perceptual import load_perceptual
from models.pictures import figures
from models.realism import kernel_distance, picture_features
from pipelines.generate.axes import Axis
from pipelines.generate.generator import ImageGenerator, Made, finish
from pipelines.generate.measure import PortraitReader, met
from pipelines.generate.settings import GenerateSettings
from pipelines.generate.sheet import draw_sheet
from pipelines.runtime import Runtime
from pipelines.settings import load_settings
from training.portraits.data import read_rows
from training.portraits.denoiser import HELD_OUT


def prompts(count: int, seed: int = 7) -> list[str]:
    """Captions of made-up attributes, in the words of the training."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        female = rng.random() < 0.5
        known = Attributes(
            age=float(rng.randint(8, 88)),
            gender="female" if female else "male",
            skin=rng.choice(SKINS),
            hair_colour=rng.choice(HAIR_COLOURS),
            hair_style=rng.choice([s for s in HAIR_STYLES if s not in ("bald", "balding") or not female]),
            eyes=rng.choice(EYES),
            light=rng.choice(LIGHTS),
            background=rng.choice(("dark", "grey", "bright", "green")),
        )
        found.append(caption(known, rng))
    return found


def main(
    prompts_count: Annotated[int, typer.Option("--prompts")] = 200,
    scales: str = "1,2,4,8,12,20",
    methods: str = "apg,cfg,rescale,threshold,fdg,cfgpp,zero_star",
    steps: int = 20,
    heads: Annotated[Path | None, typer.Option(help="A folder of rendered heads with meta.jsonl.")] = None,
    device: str = "cpu",
    out: Path | None = None,
    sheet: Path | None = None,
) -> None:
    """Print one JSON line with a row for each method and scale."""
    settings = load_settings(device=device)
    runtime = Runtime(settings)
    generator, reader = ImageGenerator(runtime, settings.data), PortraitReader(runtime)
    texts = prompts(prompts_count)
    found: dict[str, Any] = {"prompts": len(texts), "steps": steps, "rows": []}
    if out is not None and out.is_file():
        before = json.loads(out.read_text(encoding="utf-8"))
        found = before if (before["prompts"], before["steps"]) == (len(texts), steps) else found
    truth = None
    if heads is not None:
        truth, found["true_pictures"] = of_folder(heads, reader)
    shown: dict[tuple[str, float], Made] = {}
    for scale in map(float, scales.split(",")):
        for method in methods.split(",") if scale > 1 else ["cfg"]:
            shown[method, scale] = first_picture(generator, texts[0], method, scale, steps)
            if any((row["method"], row["scale"]) == (method, scale) for row in found["rows"]):
                continue
            row = measure(generator, reader, texts, method, scale, steps, truth)
            found["rows"] = sorted([*found["rows"], row], key=lambda one: one["scale"])
            typer.echo(json.dumps(row), err=True)
            if out is not None:
                out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if sheet is not None:
        save_sheet(shown, sheet)
    typer.echo(json.dumps(found))


def first_picture(generator: ImageGenerator, text: str, method: str, scale: float, steps: int) -> Made:
    """The picture of the first prompt, with the norm limit measured where the method has one."""
    chosen = GenerateSettings(
        guidance=GuidanceSettings(method, scale), steps=steps, sampler="ddim", prompt=text, seed=1000
    )
    return finish(generator.run(chosen, previews=False)).pictures[0]


def measure(
    generator: ImageGenerator,
    reader: PortraitReader,
    texts: list[str],
    method: str,
    scale: float,
    steps: int,
    truth: Tensor | None,
) -> dict[str, Any]:
    """One row of the table. truth: features of true pictures."""
    # One limit for all pictures, measured on the first: the setting that a person would keep.
    base = first_picture(generator, texts[0], method, scale, steps).settings
    made: list[Made] = []
    checks: dict[str, list[bool]] = {}
    began = time.monotonic()
    for i, text in enumerate(texts):
        made += finish(generator.run(base.with_changes(prompt=text, seed=1000 + i), previews=False)).pictures
    seconds = (time.monotonic() - began) / len(texts)
    for text, one in zip(texts, made, strict=True):
        for name, ok in met(text, reader.read(one.image)).items():
            checks.setdefault(name, []).append(ok)
    row: dict[str, Any] = {"method": method, "scale": scale, "norm_threshold": base.guidance.norm_threshold}
    row |= {name: round(statistics.mean(m.figures[name] for m in made), 4) for name in made[0].figures}
    row |= {f"{name}_met": round(float(np.mean(values)), 4) for name, values in checks.items()}
    row["all_met"] = round(float(np.mean([ok for values in checks.values() for ok in values])), 4)
    row["push"] = round(statistics.mean(p.push for m in made for p in m.probes), 3)
    if truth is not None:
        row["distance"] = round(kernel_distance(features([m.image for m in made], reader.runtime), truth), 2)
    return row | {"seconds_a_picture": round(seconds, 2)}


def of_folder(folder: Path, reader: PortraitReader) -> tuple[Tensor, dict[str, float]]:
    """(features of half of the true pictures, the same figures of them, their distance from the other half)."""
    rows = [(path, meta) for path, meta in read_rows([folder]) if HELD_OUT[0] <= meta["seed"] <= HELD_OUT[1]]
    rng, images, checks = random.Random(1), [], []
    for path, meta in rows:
        with Image.open(path) as image:
            images.append(image.convert("RGB"))
        checks.append(met(caption(attributes_of_render(meta), rng), reader.read(images[-1])))
    told = figures(torch.cat([tensor_of(image) for image in images]))
    found = {name: round(statistics.mean(one[name] for one in told), 4) for name in told[0]}
    for name in ("face", "gender", "age", "skin", "hair"):
        found[f"{name}_met"] = round(statistics.mean(float(one[name]) for one in checks if name in one), 4)
    seen = features(images, reader.runtime)
    # Whole people in each half, not views of the same ones.
    people = torch.tensor([meta["seed"] for _, meta in rows]) % 2 == 0
    found["distance"] = round(kernel_distance(seen[people], seen[~people]), 2)
    return seen, found | {"pictures": len(rows)}


def features(images: list[Image.Image], runtime: Runtime) -> Tensor:
    """One row a picture: see `models.realism`."""
    net = runtime.pool.get("faces/stlpips", lambda: load_perceptual(runtime.device))
    return torch.cat([picture_features(net, tensor_of(image).to(runtime.device)).cpu() for image in images])


def tensor_of(image: Image.Image) -> Tensor:
    """(1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


def save_sheet(shown: dict[tuple[str, float], Made], path: Path) -> None:
    """The first prompt under every method (across) and scale (down)."""
    methods = tuple(dict.fromkeys(method for method, _ in shown))
    scales = tuple(sorted({scale for _, scale in shown if scale > 1}))
    rows = [[shown[method, scale] for method in methods] for scale in scales]
    draw_sheet([Axis("guidance", methods), Axis("scale", scales)], rows).save(path, quality=90)


if __name__ == "__main__":
    typer.run(main)
