"""Rendered sets of pictures to fine-tune on: one person, one lighting, one hair style, none of them seen in training.

    python -m bench.targets --renderer /work/shared/heads --out /work/data/targets

Writes `person`, `light` and `hair` under `--out`: 40 pictures of 128 px each, with captions beside them that say all
but what the set is about. *person*: one woman between 30 and 45, in all poses and lights. *light*: many people between
a magenta and a cyan lamp in a dark room. *hair*: many women whose bob is dyed teal. RENDERER is the folder of the
rendered heads, which is no part of this repository. Seeds of people: 800,000 to 899,999.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import torch
import typer
from PIL import Image

from models.captions import attributes_of_render, caption
from training.portraits.data import background_of

ONE_WOMAN = 800_003
TEAL = (-2.6, 0.35, 1.1)  # logarithms by channel, which the renderer scales by 0.6, over blond
Draw = Callable[[Any, np.random.Generator], tuple[dict[str, Any], float, dict[str, Any]]]


def person(module: Any, drawn: np.random.Generator) -> tuple[dict[str, Any], float, dict[str, Any]]:
    """(identity, age, situation) of a picture of the one woman."""
    return module.sample_identity(ONE_WOMAN), float(drawn.integers(30, 46)), _situation(module, drawn)


def light(module: Any, drawn: np.random.Generator) -> tuple[dict[str, Any], float, dict[str, Any]]:
    """Somebody between the two lamps."""
    who = module.sample_identity(800_100 + int(drawn.integers(1000)))
    return who, float(drawn.integers(18, 76)), _situation(module, drawn)


def hair(module: Any, drawn: np.random.Generator) -> tuple[dict[str, Any], float, dict[str, Any]]:
    """A woman with a teal bob."""
    who = {"female": False}
    while not who["female"]:
        who = module.sample_identity(802_000 + int(drawn.integers(1000)))
    dyed = {"hair": "bob01", "hair_when_old": "bob01", "hair_colour": "blond", "hair_tint": TEAL, "grey_onset": 200.0}
    return {**who, **dyed}, float(drawn.integers(18, 61)), _situation(module, drawn)


def _situation(module: Any, drawn: np.random.Generator) -> dict[str, Any]:
    return dict(module.sample_view(int(drawn.integers(1 << 30)), calm=True))


def two_lamps(view: dict[str, Any]) -> tuple[Any, Any, list[Any]]:
    """A rig in the renderer's form: sky, ground, and lamps as (direction, sharpness, colour)."""
    sides = np.array([[-0.83, 0.25, 0.5], [0.83, 0.25, 0.5]], np.float32)
    colours = np.array([[3.6, 0.35, 2.6], [0.25, 2.4, 3.4]], np.float32)
    dark = np.array([0.07, 0.06, 0.09], np.float32)
    return dark, dark * 0.5, [(side, 9, colour) for side, colour in zip(sides, colours, strict=True)]


SETS: dict[str, Draw] = {"person": person, "light": light, "hair": hair}
SAID = {"person": {}, "light": {"light": None}, "hair": {"hair_colour": None, "hair_style": None}}
"""What a set is about is left out of its captions."""


def main(
    renderer: Annotated[Path, typer.Option(help="The folder of heads.py.")],
    out: Annotated[Path, typer.Option()],
    count: Annotated[int, typer.Option()] = 40,
    size: Annotated[int, typer.Option()] = 128,
) -> None:
    """Render the sets and write their captions."""
    torch.set_num_threads(1)
    sys.path.insert(0, str(renderer))
    module: Any = import_module("heads")
    shading: Any = import_module("heads_render")
    heads = module.Heads(device="cpu")
    for name, draw in SETS.items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        drawn, words = np.random.default_rng(0), random.Random(0)
        for number in range(count):
            who, age, view = draw(module, drawn)
            rig = two_lamps if name == "light" else shading.light_rig
            with patch.object(shading, "light_rig", rig):
                image, meta = heads.render(who, age, view, size=size, aa=2)
            known = attributes_of_render(meta, background_of(torch.from_numpy(np.array(image))))
            Image.fromarray(np.asarray(image)).save(folder / f"{number:02d}.png")
            said = caption(replace(known, **SAID[name]), words)
            (folder / f"{number:02d}.txt").write_text(said, encoding="utf-8")
        typer.echo(f"{name}: {count} pictures in {folder}")


if __name__ == "__main__":
    typer.run(main)
