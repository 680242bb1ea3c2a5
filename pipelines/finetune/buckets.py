"""Sizes for pictures of all shapes: each is trained in a shape near its own, and each batch has one shape."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

WIDEST = 2.0
"""The longest shape, as width over height or the other way round."""


@dataclass(frozen=True)
class Crop:
    """How a picture becomes one of its bucket: the part (left, upper, right, lower) in its pixels, then `size`."""

    box: tuple[float, float, float, float]
    size: tuple[int, int]

    def apply(self, image: Image.Image, mirrored: bool = False) -> Image.Image:
        """The part at its size, PIL RGB."""
        made = image.convert("RGB").resize(self.size, Image.Resampling.LANCZOS, box=self.box)
        return made.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else made


def bucket_sizes(side: int, multiple: int, widest: float = WIDEST) -> list[tuple[int, int]]:
    """Sizes (width, height) with at most side x side pixels and sides in multiples, from tall to wide.

    The square is among them. Raises ValueError where the side is no multiple.
    """
    if side % multiple or side < multiple:
        raise ValueError(f"the side {side} must be a multiple of {multiple}")
    found = set()
    for width in range(multiple, int(side * math.sqrt(widest)) + multiple, multiple):
        height = side * side // width // multiple * multiple
        if height and 1 / widest <= width / height <= widest:
            found |= {(width, height), (height, width)}
    # One that fits into another wastes pixels.
    best = [s for s in found if not any(s != o and s[0] <= o[0] and s[1] <= o[1] for o in found)]
    return sorted(best, key=lambda size: (size[0] / size[1], size))


def nearest(size: tuple[int, int], buckets: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The bucket whose shape is nearest, by ratio; of equal ones the largest."""
    shape = math.log(size[0] / size[1])
    return min(buckets, key=lambda b: (round(abs(math.log(b[0] / b[1]) - shape), 9), -b[0] * b[1]))


def crop_to(size: tuple[int, int], bucket: tuple[int, int], across: float = 0.5, down: float = 0.5) -> Crop:
    """The largest part of the bucket's shape; across, down: where it lies in what is left over, 0 to 1."""
    scale = min(size[0] / bucket[0], size[1] / bucket[1])
    width, height = bucket[0] * scale, bucket[1] * scale
    left, upper = (size[0] - width) * across, (size[1] - height) * down
    return Crop((left, upper, min(left + width, size[0]), min(upper + height, size[1])), bucket)


def batches(buckets: Sequence[tuple[int, int]], size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """One pass over all pictures, in random order: places in `buckets`, which names each picture's; one a batch.

    A bucket's last batch may be smaller; no picture is left out or seen twice.
    """
    order = torch.randperm(len(buckets), generator=generator).tolist()
    groups: dict[tuple[int, int], list[int]] = {}
    for place in order:
        groups.setdefault(buckets[place], []).append(place)
    made = [group[i : i + size] for group in groups.values() for i in range(0, len(group), size)]
    for i in torch.randperm(len(made), generator=generator).tolist():
        yield made[i]
