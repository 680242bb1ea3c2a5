"""Contact sheets: what the networks do at this moment, as one picture to look at."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from models.aging import AgeEncoder, with_age
from models.images import to_pil
from models.stylegan2 import Generator, pool_to

SHEET_AGES = (8.0, 20.0, 35.0, 50.0, 65.0, 80.0, 90.0)


@torch.no_grad()
def aging_rows(
    encoder: AgeEncoder, generator: Generator, crops: Tensor, present: Tensor, ages: Tensor, size: int | None = None
) -> Tensor:
    """(N, 2 + len(ages), 3, R, R): the crop, its reconstruction at the present age, then each age.

    `size`: decode only to this size and enlarge, as in the first parts of training.
    """
    columns = [crops]
    for age in [present, *(value.expand(len(crops)) for value in ages)]:
        ws = generator.mapping.w_avg + encoder(with_age(pool_to(crops, encoder.resolution), age))
        image = generator.synthesis(ws, "none", resolution=size).clamp(-1, 1)
        columns.append(F.interpolate(image, size=crops.shape[-2:], mode="bilinear"))
    return torch.stack(columns, dim=1)


def tile(pictures: Tensor) -> Tensor:
    """(rows, columns, 3, R, R) -> (3, rows R, columns R)."""
    return torch.cat([torch.cat(list(row), dim=2) for row in pictures], dim=1)


def save_sheet(pictures: Tensor, path: Path) -> None:
    """Write (rows, columns, 3, R, R) in [-1, 1] as one picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    to_pil(tile(pictures.float().cpu())).save(path)


@torch.no_grad()
def samples(generator: Generator, rows: int, columns: int, psi: float = 0.8, seed: int = 0) -> Tensor:
    """Heads of random z: (rows, columns, 3, R, R)."""
    z = torch.randn(rows * columns, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    images = generator.synthesis(generator.mapping(z, truncation_psi=psi), "none").clamp(-1, 1)
    return images.unflatten(0, (rows, columns))
