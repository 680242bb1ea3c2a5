"""Turn a finished run into the embedded files: fp16 safetensors, JSON card, contact sheet.

python -m training.export --run RUN --out assets/heads --data SET/same_view
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from models.aging import AgeEncoder, save_encoder
from models.stylegan2 import Generator, save_generator

from .config import PriorConfig
from .networks import Models, build_models
from .sheets import samples, save_sheet


def load_run(run: Path) -> tuple[Models, dict[str, Any]]:
    """The networks of a run's checkpoint, and the checkpoint."""
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    models = build_models(PriorConfig(**state["config"]))
    for name, module in models.all().items():
        module.load_state_dict(state["models"][name])
    return models, state


@torch.no_grad()
def move_mean_to_generator(encoder: AgeEncoder, generator: Generator) -> None:
    """Take `mapping.w_avg` out of the encoder's biases, so that w+ = encoder(x) + w_avg as published models have it."""
    for name, bias in encoder.named_parameters():
        if name.endswith("linear.bias"):
            bias.sub_(generator.mapping.w_avg)


def card(path: Path, title: str, state: dict[str, Any], quality: dict[str, Any]) -> dict[str, Any]:
    """What the card of one file says."""
    return {
        "title": title,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "dtype": "float16",
        "made_by": "python -m training.prior, training.mapping, training.export",
        "config": state["config"],
        "steps": state["step"],
        "data": "rendered heads of made-up people (MakeHuman community assets, CC0); no photograph of a person",
        "quality": quality,
        "licence": "Apache-2.0",
        "notice": "assets/NOTICE.md",
    }


def main(
    run: Annotated[Path, typer.Option(help="Folder of training.prior with checkpoint.pt.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("assets/heads"),
    mapping: Annotated[Path | None, typer.Option(help="Weights of training.mapping.")] = None,
    quality: Annotated[Path | None, typer.Option(help="JSON of training.evaluate.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Where a picture of random heads goes.")] = None,
) -> None:
    """Write generator.safetensors and encoder.safetensors with their cards."""
    models, state = load_run(run)
    generator, encoder = models.generator_ema, models.encoder_ema
    if mapping is not None:
        generator.mapping.load_state_dict(torch.load(mapping, map_location="cpu", weights_only=True))
        move_mean_to_generator(encoder, generator)
    figures = json.loads(quality.read_text()) if quality is not None else {}
    out.mkdir(parents=True, exist_ok=True)
    save_generator(generator, out / "generator.safetensors")
    save_encoder(encoder, out / "encoder.safetensors")
    if sheet is not None:
        save_sheet(samples(generator, 4, 10), sheet)
    for name, title in (("generator", "StyleGAN2 of rendered heads"), ("encoder", "Age encoder of rendered heads")):
        path = out / f"{name}.safetensors"
        text = json.dumps(card(path, f"{title}, {generator.resolution} px", state, figures), indent=2)
        path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
