"""What a training draws from: pictures as latents and captions as the network reads them, made once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from photos.opening import open_photo
from pipelines.events import CancelToken, Event
from pipelines.finetune.buckets import batches, bucket_sizes, crop_to, nearest
from pipelines.finetune.folder import TrainingPicture
from pipelines.generate.families.base import Family, Texts


@dataclass
class Lessons:
    """latents[i][side]: (1, C, h, w) float32 of picture i and, with flips, its mirror image. texts: by caption and
    size, which some networks are told, too. buckets[i]: (width, height).
    """

    latents: list[list[Tensor]]
    captions: list[str]
    texts: dict[tuple[str, tuple[int, int]], Texts]
    buckets: list[tuple[int, int]]

    def plan(self, epoch: int, batch: int, seed: int) -> list[list[int]]:
        """The batches of one pass over the pictures: the same for the same numbers."""
        return list(batches(self.buckets, batch, torch.Generator().manual_seed(seed * 1_000_003 + epoch)))

    def batch_at(self, step: int, batch: int, seed: int) -> list[int]:
        """The pictures of a step, counted from 0: it follows from the step alone, so that a run can go on anywhere."""
        count = len(self.plan(0, batch, seed))  # the same in every pass: buckets stay as they are
        epoch, place = divmod(step, count)
        return self.plan(epoch, batch, seed)[place]

    def draw(self, places: Sequence[int], drop: float, generator: torch.Generator) -> tuple[Tensor, Texts]:
        """(latents (N, C, h, w), texts) of these pictures, each as it is or mirrored, some without their caption."""
        chosen, said = [], []
        for place in places:
            sides = self.latents[place]
            chosen.append(sides[int(torch.randint(len(sides), (), generator=generator))])
            left_out = float(torch.rand((), generator=generator)) < drop
            said.append(self.texts["" if left_out else self.captions[place], self.buckets[place]])
        return torch.cat(chosen), joined(said)


def joined(texts: Sequence[Texts]) -> Texts:
    """Several rows as one batch; sequences of different lengths are filled up with zeros."""
    made: Texts = {}
    for name in texts[0]:
        rows = [text[name] for text in texts]
        longest = max(row.shape[1] for row in rows) if rows[0].dim() > 1 else 0
        made[name] = torch.cat([_filled(row, longest) for row in rows])
    return made


def _filled(row: Tensor, length: int) -> Tensor:
    missing = length - row.shape[1] if row.dim() > 1 else 0
    return torch.cat([row, row.new_zeros(len(row), missing, *row.shape[2:])], dim=1) if missing else row


def prepare(
    family: Family,
    pictures: Sequence[TrainingPicture],
    side: int,
    flips: bool,
    cache: Path | None,
    cancel: CancelToken,
) -> Iterator[Event]:
    """Encode everything once. Events "prepare"; the last one's value is the Lessons.

    cache: a folder in which latents are kept by the picture's sha256, its size and the autoencoder's own.
    """
    sizes = bucket_sizes(max(side // family.multiple, 1) * family.multiple, family.multiple)
    mark = autoencoder_mark(family) if cache is not None else ""
    latents, buckets = [], []
    for i, picture in enumerate(pictures):
        cancel.check()
        bucket = nearest(picture.size, sizes)
        buckets.append(bucket)
        latents.append(_encoded(family, picture, bucket, flips, cache / mark if cache is not None else None))
        yield Event("prepare", "Reading the pictures", i + 1, len(pictures))
    captions = [p.caption for p in pictures]
    texts: dict[tuple[str, tuple[int, int]], Texts] = {}
    for caption, bucket in {*zip(captions, buckets, strict=True), *(("", bucket) for bucket in buckets)}:
        cancel.check()
        told, _ = family.encode([caption], [""], bucket)
        texts[caption, bucket] = {name: value.cpu() for name, value in told.items()}
    lessons = Lessons(latents, captions, texts, buckets)
    yield Event("prepare", "The pictures are read", len(pictures), len(pictures), value=lessons)


def _encoded(
    family: Family, picture: TrainingPicture, bucket: tuple[int, int], flips: bool, cache: Path | None
) -> list[Tensor]:
    path = cache / f"{picture.sha256}_{bucket[0]}x{bucket[1]}.safetensors" if cache is not None else None
    if path is not None and path.is_file():
        stored = load_file(path)
        if "plain" in stored and ("mirrored" in stored or not flips):
            return [stored["plain"], stored["mirrored"]][: 1 + flips]
    image = open_photo(picture.path).image
    crop = crop_to(image.size, bucket)
    made = [
        family.encode_picture(_tensor(crop.apply(image, mirrored))).cpu() for mirrored in (False, True)[: 1 + flips]
    ]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = path.with_suffix(".part")
        save_file(dict(zip(("plain", "mirrored"), (m.contiguous() for m in made), strict=False)), waiting)
        waiting.replace(path)
    return made


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


def autoencoder_mark(family: Family) -> str:
    """A short name for this very autoencoder: latents of another one are of no use."""
    digest = hashlib.sha256()
    vae: Any = family.pipe.vae
    for name, value in sorted(vae.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().float().sum().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
