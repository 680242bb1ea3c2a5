"""Fit the mapping network: random z must become codes like those that the encoder gives to heads.

The w of a head is the mean over layers of its w+ (part of the prior's training decodes exactly these). The mapping
network is fitted to their distribution by the sliced Wasserstein distance: sorted projections on random directions
must agree. It takes a minute on a CPU and leaves the synthesis network alone.

    python -m training.mapping --run RUN --data SET/same_view --out RUN/mapping.pt
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from models.aging import AgeEncoder, with_age
from models.stylegan2 import MappingNetwork, pool_to

from .export import load_run
from .rendered import RenderedHeads

DIRECTIONS = 256
# The network's own multiplier of 0.01 takes most of it away again.
LEARNING_RATE = 0.6


@torch.no_grad()
def collect_codes(encoder: AgeEncoder, heads: RenderedHeads, batch: int = 32) -> Tensor:
    """One w (M, w_dim) for each picture, at its true age."""
    codes = []
    for start in range(0, len(heads), batch):
        indices = torch.arange(start, min(start + batch, len(heads)))
        crops = pool_to(heads.pictures(indices), encoder.resolution)
        codes.append(encoder(with_age(crops, heads.ages[indices])).mean(dim=1))
    return torch.cat(codes)


def sliced_distance(a: Tensor, b: Tensor, generator: torch.Generator) -> Tensor:
    """Squared sliced Wasserstein distance of two equally large sets (N, D), over random unit directions."""
    directions = torch.randn(a.shape[1], DIRECTIONS, generator=generator)
    directions = directions / directions.norm(dim=0)
    return ((a @ directions).sort(dim=0).values - (b @ directions).sort(dim=0).values).square().mean()


def fit(mapping: MappingNetwork, codes: Tensor, steps: int, seed: int = 0, batch: int = 512) -> Iterator[float]:
    """Fit the mapping in place to codes (M, D); yields the distance of each step, ends with `w_avg` set."""
    random = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(mapping.parameters(), LEARNING_RATE, betas=(0.9, 0.99))
    z_dim = mapping.get_parameter("fc0.weight").shape[1]
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, 2 * (1 - step / steps))
        real = codes[torch.randint(len(codes), (batch,), generator=random)]
        made = mapping(torch.randn(batch, z_dim, generator=random))[:, 0]
        loss = sliced_distance(made, real, random)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        yield loss.item()
    mapping.w_avg.copy_(codes.mean(dim=0))


def main(
    run: Annotated[Path, typer.Option(help="Folder of training.prior.")],
    data: Annotated[list[Path], typer.Option(help="Folders of rendered heads.")],
    out: Annotated[Path, typer.Option(help="Where the mapping's weights go.")],
    steps: int = 1500,
) -> None:
    """Fit and save the mapping network of a run."""
    models, _ = load_run(run)
    generator = models.generator_ema
    codes = collect_codes(models.encoder_ema, RenderedHeads(data, generator.resolution))
    mapping = generator.mapping.requires_grad_(True)
    for step, distance in enumerate(fit(mapping, codes, steps)):
        if step % 100 == 0:
            typer.echo(f"{step} {distance:.5f}")
    torch.save(mapping.state_dict(), out)


if __name__ == "__main__":
    typer.run(main)
