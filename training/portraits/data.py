"""Captioned pictures of rendered heads, as latents: encoded once, kept in one file."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.captions import Attributes, attributes_of_render, background_word, caption
from training.portraits.networks import PICTURE
from training.rendered import read_picture

CORNER = (20, 14)
"""Rows and columns at the upper corners in which the background is looked at: hair rarely reaches them."""


@dataclass
class Captioned:
    """latents (N, 2, C, 16, 16) float16, of each picture and of its mirror image; scale: what they were multiplied by.

    `attributes` and `seeds` (the people) belong to the N pictures.
    """

    latents: Tensor
    scale: float
    attributes: list[Attributes]
    seeds: Tensor

    def draw(self, among: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, list[str]]:
        """`count` of the pictures `among`, half of them mirrored, with a new caption each."""
        chosen = among[torch.randint(len(among), (count,), generator=generator)]
        sides = torch.randint(2, (count,), generator=generator)
        rng = random.Random(int(torch.randint(2**31, (), generator=generator)))
        captions = []
        for index, side in zip(chosen.tolist(), sides.tolist(), strict=True):
            known = self.attributes[index]
            captions.append(caption(known.mirrored() if side else known, rng))
        return self.latents[chosen, sides].float(), captions


def read_rows(folders: list[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """(file, its line of meta.jsonl) of all pictures in the folders."""
    rows = []
    for folder in folders:
        with (folder / "meta.jsonl").open() as lines:
            rows += [(folder / row["file"], row) for row in map(json.loads, lines)]
    return rows


def background_of(picture: Tensor) -> str:
    """The word for the background of a picture (H, W, 3) uint8."""
    rows, columns = CORNER
    corners = torch.cat([picture[:rows, :columns].reshape(-1, 3), picture[:rows, -columns:].reshape(-1, 3)])
    red, green, blue = (corners.float().median(dim=0).values / 255).tolist()
    return background_word((red, green, blue))


def captioned(folders: list[Path], autoencoder: Any, cache: Path, batch: int = 32) -> Captioned:
    """All pictures of the folders with their latents, read from `cache` or encoded into it (minutes)."""
    rows = read_rows(folders)
    if not cache.exists():
        _encode(rows, autoencoder, cache, batch)
    saved = torch.load(cache, weights_only=True)
    attributes = [
        attributes_of_render(row, background) for (_, row), background in zip(rows, saved["backgrounds"], strict=True)
    ]
    seeds = torch.tensor([int(row["seed"]) for _, row in rows])
    return Captioned(saved["latents"], saved["scale"], attributes, seeds)


@torch.no_grad()
def _encode(rows: list[tuple[Path, dict[str, Any]]], autoencoder: Any, cache: Path, batch: int) -> None:
    """The latents have a standard deviation of 1 over all numbers of all pictures."""
    parts, backgrounds = [], []
    for start in range(0, len(rows), batch):
        pictures = torch.stack([read_picture(path, PICTURE) for path, _ in rows[start : start + batch]])
        backgrounds += [background_of(picture) for picture in pictures]
        images = pictures.permute(0, 3, 1, 2).float() / 127.5 - 1
        both = torch.cat([images, images.flip(3)]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            mean = autoencoder.encode(both).latent_dist.mean.float()
        parts.append(mean.unflatten(0, (2, len(images))).transpose(0, 1))
        if start // batch % 50 == 0:
            print(f"encoded {start} of {len(rows)}", flush=True)
    latents = torch.cat(parts)
    scale = 1 / latents.std().item()
    temporary = cache.with_suffix(".part")
    torch.save({"latents": (latents * scale).half(), "scale": scale, "backgrounds": backgrounds}, temporary)
    temporary.replace(cache)
