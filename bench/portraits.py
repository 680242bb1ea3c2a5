"""The embedded portraits model under guidance: what each method does to colours, and whether prompts are followed.

    python -m bench.portraits --prompts 200 --scales 1,2,4,8,12,20 --out docs/portraits.json --sheet docs/portraits.webp

The same prompts and seeds for every method and scale. Saturation, contrast and clipped pixels are those of
`models.pictures`; the training pictures' own stand beside them. Prompts are checked by networks that know nothing of
them (`pipelines.generate.measure`). `matched` compares APG with the CFG scale that pushes as far.
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

from models.captions import EYES, HAIR_COLOURS, HAIR_STYLES, LIGHTS, SKINS, Attributes, caption
from models.guidance import GuidanceSettings
from models.pictures import figures
from pipelines.generate.axes import Axis
from pipelines.generate.generator import ImageGenerator, Made, finish
from pipelines.generate.measure import PortraitReader, met
from pipelines.generate.settings import GenerateSettings
from pipelines.generate.sheet import draw_sheet
from pipelines.runtime import Runtime
from pipelines.settings import load_settings


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
    methods: str = "cfg,apg,rescale,threshold,fdg,cfgpp,zero_star",
    steps: int = 20,
    heads: Annotated[Path | None, typer.Option(help="A folder of training pictures to compare with.")] = None,
    device: str = "cpu",
    out: Path | None = None,
    sheet: Path | None = None,
) -> None:
    """Print one JSON line with a row for each method and scale."""
    settings = load_settings(device=device)
    runtime = Runtime(settings)
    generator, reader = ImageGenerator(runtime, settings.data), PortraitReader(runtime)
    texts = prompts(prompts_count)
    rows: list[dict[str, Any]] = []
    shown: dict[tuple[str, float], Made] = {}
    for scale in map(float, scales.split(",")):
        for method in methods.split(",") if scale > 1 else ["cfg"]:
            row, first = measure(generator, reader, texts, method, scale, steps)
            rows.append(row)
            shown[method, scale] = first
            typer.echo(json.dumps(row), err=True)
    found = {"prompts": len(texts), "steps": steps, "rows": rows}
    if heads is not None:
        found["training_pictures"] = of_folder(heads)
    if out is not None:
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if sheet is not None:
        save_sheet(shown, sheet)
    typer.echo(json.dumps(found))


def measure(
    generator: ImageGenerator, reader: PortraitReader, texts: list[str], method: str, scale: float, steps: int
) -> tuple[dict[str, Any], Made]:
    """One row of the table, and the picture of the first prompt."""
    guidance = GuidanceSettings(method, scale)
    base = GenerateSettings(guidance=guidance, steps=steps, sampler="ddim")
    made: list[Made] = []
    checks: dict[str, list[bool]] = {}
    began = time.monotonic()
    for i, text in enumerate(texts):
        chosen = base.with_changes(prompt=text, seed=1000 + i, guidance=guidance)
        result = finish(generator.run(chosen, previews=False)).pictures[0]
        made.append(result)
        # One limit for all pictures, measured on the first: the setting that a person would keep.
        guidance = result.settings.guidance
        for name, ok in met(text, reader.read(result.image)).items():
            checks.setdefault(name, []).append(ok)
    row: dict[str, Any] = {"method": method, "scale": scale, "norm_threshold": guidance.norm_threshold}
    row |= {name: round(statistics.mean(m.figures[name] for m in made), 4) for name in made[0].figures}
    row |= {f"{name}_met": round(float(np.mean(values)), 4) for name, values in checks.items()}
    row["push"] = round(statistics.mean(p.push for m in made for p in m.probes), 3)
    row["seconds_a_picture"] = round((time.monotonic() - began) / len(texts), 2)
    return row, made[0]


def of_folder(folder: Path, count: int = 500) -> dict[str, float]:
    """The same figures of pictures in a folder."""
    found: list[dict[str, float]] = []
    for path in sorted(folder.glob("*.webp"))[:count]:
        with Image.open(path) as image:
            pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 127.5 - 1
        found += figures(pixels)
    return {name: round(statistics.mean(one[name] for one in found), 4) for name in found[0]}


def save_sheet(shown: dict[tuple[str, float], Made], path: Path) -> None:
    """The first prompt under every method (across) and scale (down)."""
    methods = tuple(dict.fromkeys(method for method, _ in shown))
    scales = tuple(dict.fromkeys(scale for _, scale in shown if scale > 1))
    rows = [[shown[method, scale] for method in methods] for scale in scales]
    draw_sheet([Axis("guidance", methods), Axis("scale", scales)], rows).save(path, quality=90)


if __name__ == "__main__":
    typer.run(main)
