"""A folder of rendered heads in memory: pictures with true age, and pairs of one person in one photo situation.

Format: WebP or PNG files beside `meta.jsonl`, one JSON object a line with at least `file`, `seed` (the person),
`view_seed` (the photo situation: pose, expression, light, background) and `age` in years.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass
class Batch:
    """Pairs of one person: `source` at `source_age`, `target` at `target_age`, both (N, 3, R, R) in [-1, 1].

    `landmarks` (N, 5, 2) in pixels belong to both.
    """

    source: Tensor
    target: Tensor
    source_age: Tensor
    target_age: Tensor
    landmarks: Tensor


class RenderedHeads:
    """All pictures of several folders as uint8, indexed by person and photo situation."""

    def __init__(
        self,
        folders: list[Path],
        resolution: int,
        first_seed: int = 0,
        last_seed: int = 10**9,
        max_turn: float = 180.0,
        device: torch.device | str = "cpu",
    ):
        """People from `first_seed` to `last_seed`, heads turned or tilted by at most `max_turn` degrees.

        device: where the pictures are kept and batches come from. Raises ValueError if nothing is left.
        """
        rows = []
        for folder in folders:
            with (folder / "meta.jsonl").open() as lines:
                rows += [(folder, json.loads(line)) for line in lines]
        rows = [(folder, row) for folder, row in rows if first_seed <= row["seed"] <= last_seed]
        rows = [(folder, row) for folder, row in rows if _turn(row) <= max_turn]
        if not rows:
            raise ValueError(f"No rendered heads with seeds {first_seed} to {last_seed} in {folders}.")
        self.images = torch.empty(len(rows), resolution, resolution, 3, dtype=torch.uint8)
        self.ages = torch.tensor([float(row["age"]) for _, row in rows])
        self.seeds = torch.tensor([int(row["seed"]) for _, row in rows])
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, (folder, row) in enumerate(rows):
            self.images[index] = read_picture(folder / row["file"], resolution)
            groups[row["seed"], row["view_seed"]].append(index)
        self.images, self.ages = self.images.to(device), self.ages.to(device)
        self.groups = list(groups.values())
        # A group counts as often as it has pictures, so that every picture is drawn equally often.
        self.weights = torch.tensor([float(len(group)) for group in self.groups])

    def __len__(self) -> int:
        return len(self.ages)

    def pictures(self, indices: list[int] | Tensor) -> Tensor:
        """(N, 3, R, R) float32 in [-1, 1], channels last in memory."""
        return self.images[indices].permute(0, 3, 1, 2).float() / 127.5 - 1

    def pairs(self, count: int, same_share: float, generator: torch.Generator, landmarks: Tensor) -> Batch:
        """Draw pairs by a generator on the CPU; in `same_share` of those that could differ the target is the source.

        landmarks: (5, 2), on the device of the pictures.
        """
        source, target = [], []
        for group in torch.multinomial(self.weights, count, replacement=True, generator=generator).tolist():
            members = self.groups[group]
            draw = torch.randint(len(members), (2,), generator=generator).tolist()
            keep = torch.rand((), generator=generator).item() < same_share
            source.append(members[draw[0]])
            target.append(members[draw[0] if keep else draw[1]])
        points = landmarks.expand(count, -1, -1)
        return Batch(self.pictures(source), self.pictures(target), self.ages[source], self.ages[target], points)


def _turn(row: dict[str, Any]) -> float:
    pose = row.get("pose", {})
    return max(abs(pose.get("yaw", 0.0)), abs(pose.get("pitch", 0.0)))


def read_picture(path: Path, resolution: int) -> Tensor:
    """One picture as (R, R, 3) uint8 RGB."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
        if rgb.size != (resolution, resolution):
            rgb = rgb.resize((resolution, resolution), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(rgb))
