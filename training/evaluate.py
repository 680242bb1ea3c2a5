"""Measure a run on people that it was not trained on: likeness, age as read by a network, identity.

    python -m training.evaluate --run RUN --data SET/same_view --first-seed 540 --out RUN/quality.json

The table `reading` says what the dlib age network reads in pictures decoded for each asked age. The app needs it:
renders show less age than photos, so the asked age that matches a photo is not the age that is read in it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from models.aging import with_age
from models.faces.age import AgeNet, age_chip, load_age_net
from models.faces.align import canonical_landmarks
from models.faces.identity import identity_chip, load_identity_net
from models.perceptual import load_perceptual
from models.stylegan2 import pool_to

from .export import load_run
from .networks import Models
from .rendered import RenderedHeads

ASKED = (5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0)


@torch.no_grad()
def redraw(models: Models, crops: Tensor, ages: Tensor) -> Tensor:
    """Pictures (N, 3, R, R) decoded for crops at the asked ages (N,)."""
    encoder, generator = models.encoder_ema, models.generator_ema
    codes = encoder(with_age(pool_to(crops, encoder.resolution), ages))
    images: Tensor = generator.synthesis(codes + generator.mapping.w_avg, "none")
    return images.clamp(-1, 1)


@torch.no_grad()
def reading_table(models: Models, age_net: AgeNet, crops: Tensor) -> dict[str, list[float]]:
    """Mean age that is read in the crops (adults, say) redrawn at each asked age; never falling."""
    points = torch.from_numpy(canonical_landmarks(crops.shape[-1])).expand(len(crops), -1, -1)
    read: list[float] = []
    for age in ASKED:
        images = redraw(models, crops, torch.full((len(crops),), age))
        mean = age_net(age_chip(images, points)).mean().item()
        read.append(round(max([mean, *read]), 2))
    return {"asked": list(ASKED), "read": read}


@torch.no_grad()
def pair_figures(models: Models, heads: RenderedHeads, count: int, seed: int = 0) -> dict[str, float]:
    """Reconstruction and aging of `count` pairs against the true renders."""
    size = heads.images.shape[1]
    landmarks = torch.from_numpy(canonical_landmarks(size))
    batch = heads.pairs(count, 0.0, torch.Generator().manual_seed(seed), landmarks)
    perceptual, identity, age_net = load_perceptual(), load_identity_net(), load_age_net()
    same, aged = redraw(models, batch.source, batch.source_age), redraw(models, batch.source, batch.target_age)
    error = (same - batch.source).square().mean((1, 2, 3))

    def embed(images: Tensor) -> Tensor:
        vectors: Tensor = identity(identity_chip(images, batch.landmarks))
        return vectors

    true, made = (age_net(age_chip(x, batch.landmarks)) for x in (batch.target, aged))
    return {
        "people_held_out": float(len(heads.seeds.unique())),
        "reconstruction_psnr_db": (10 * (4 / error).log10()).mean().item(),
        "reconstruction_stlpips": perceptual(same, batch.source).mean().item(),
        "aged_stlpips_to_true_render": perceptual(aged, batch.target).mean().item(),
        "aged_l1_to_true_render": F.l1_loss(aged, batch.target).item(),
        "age_read_difference_to_true_render": (made - true).abs().mean().item(),
        "sface_cosine_to_true_render": (embed(aged) * embed(batch.target)).sum(1).mean().item(),
    }


def main(
    run: Annotated[Path, typer.Option(help="Folder of training.prior.")],
    data: Annotated[list[Path], typer.Option(help="Folders of rendered heads.")],
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")],
    first_seed: Annotated[int, typer.Option(help="People from this seed up were not trained on.")] = 540,
    max_turn: float = 180.0,
    count: int = 128,
) -> None:
    """Write the figures of a run."""
    models, state = load_run(run)
    heads = RenderedHeads(data, models.generator_ema.resolution, first_seed=first_seed, max_turn=max_turn)
    adults = [i for i, age in enumerate(heads.ages.tolist()) if 25 <= age <= 70][:: max(1, len(heads) // 64)]
    quality: dict[str, Any] = pair_figures(models, heads, count)
    quality = {name: round(value, 4) for name, value in quality.items() if math.isfinite(value)}
    quality["reading"] = reading_table(models, load_age_net(), heads.pictures(adults))
    quality["steps"] = state["step"]
    out.write_text(json.dumps(quality, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps(quality))


if __name__ == "__main__":
    typer.run(main)
