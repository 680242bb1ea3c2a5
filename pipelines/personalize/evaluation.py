"""The paper's protocol on photos that the model did not learn from: is it this person, and at that age?

Input: the photo at one end of the ages; targets: every tenth year. ID_sim is the best cosine to held-out photos within
3 years of the target (section 4 of the paper), by SFace; the age error is what the age network reads against the
target. SFace has judged nothing in training. Each figure stands beside that of the global prior.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.aging.personal import WINDOW
from models.faces.age import AgeNet, age_chip
from models.faces.identity import IdentityNet, identity_chip
from pipelines.aging.compose import enlarge
from pipelines.aging.nets import AgingNets

from .album import Album
from .method import small

SIDE = 256  # pixels at which faces are judged, whatever the generator's size


@dataclass(frozen=True)
class Eyes:
    """The networks that judge results, and nothing else."""

    identity: IdentityNet
    age: AgeNet

    @torch.no_grad()
    def look(self, images: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (N, 3, S, S) and landmarks (N, 5, 2) in their pixels -> unit vectors (N, 128) and years (N,)."""
        large = enlarge(images, SIDE)
        points = (points + 0.5) * (SIDE / images.shape[-1]) - 0.5
        return self.identity(identity_chip(large, points)), self.age(age_chip(large, points))


@dataclass(frozen=True)
class Row:
    """One target age: likeness and read age of the global prior's drawings and of the personal ones, means over inputs.

    bound: the best likeness that two true photos of that age reach, None where there are fewer than two; truth: the age
    that the network reads in the true photos, None without any.
    """

    target: float
    likeness_global: float | None
    likeness_own: float | None
    age_global: float
    age_own: float
    bound: float | None
    truth: float | None


@dataclass(frozen=True)
class Evaluation:
    """All targets; `inputs` are the ages of the input photos, `drawings` the tiles of the sheet."""

    inputs: list[float]
    rows: list[Row]
    drawings: list[list[Tensor]]

    def mean(self, name: str) -> float | None:
        """The mean over the targets that have this figure."""
        values = [getattr(row, name) for row in self.rows if getattr(row, name) is not None]
        return sum(values) / len(values) if values else None

    def age_error(self, which: str) -> float:
        """Mean distance in years between what is read in the drawings and the target; which: "global" or "own"."""
        return sum(abs(getattr(row, f"age_{which}") - row.target) for row in self.rows) / len(self.rows)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "inputs": self.inputs,
            "targets": [vars(row) for row in self.rows],
            "likeness_global": self.mean("likeness_global"),
            "likeness_own": self.mean("likeness_own"),
            "bound": self.mean("bound"),
            "age_error_global": self.age_error("global"),
            "age_error_own": self.age_error("own"),
        }


@torch.no_grad()
def evaluate(
    before: AgingNets,
    own: AgingNets,
    inputs: Album,
    truth: Album,
    targets: Sequence[float],
    eyes: Eyes,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Evaluation]:
    """Age every photo of `inputs` to every target by both networks, and compare with the photos of `truth`.

    Gives what is known after each target; the last one is whole. What `check` raises between two ages ends it.
    """
    count = len(truth)
    vectors, years = eyes.look(truth.crops[:count], truth.points[:count])
    ages = truth.ages[:count]
    rows, tiles = [], [[inputs.crops[place : place + 1]] for place in range(len(inputs)) for _ in range(2)]
    for target in targets:
        near = (ages - target).abs() <= WINDOW
        figures = []
        for offset, nets in enumerate((before, own)):
            check()
            images = drawn(nets, inputs, target)
            for place, image in enumerate(images.split(1)):
                tiles[2 * place + offset].append(image.cpu())
            seen, read = eyes.look(images, inputs.points[: len(inputs)])
            best = (seen @ vectors[near].T).max(dim=1).values.mean().item() if near.any() else None
            figures.append((best, read.mean().item()))
        (like_before, age_before), (like_own, age_own) = figures
        rows.append(
            Row(target, like_before, like_own, age_before, age_own, _bound(vectors, ages, target), _mean(years[near]))
        )
        yield Evaluation(inputs.ages[: len(inputs)].tolist(), list(rows), tiles)


def drawn(nets: AgingNets, album: Album, target: float) -> Tensor:
    """The faces of an album (M, 3, S, S) as drawn at an age; the drawing alone, as in the paper."""
    crops = album.crops[: len(album)]
    return small(nets.synthesis(nets.encode(crops, target, nets.origin(crops))))


def _bound(vectors: Tensor, ages: Tensor, target: float) -> float | None:
    """How alike true photos are: each at about the target, to its best match among the others there."""
    here = vectors[(ages - target).abs() <= WINDOW]
    if len(here) < 2:
        return None
    cosines = here @ here.T
    cosines.fill_diagonal_(-2)
    return cosines.max(dim=1).values.mean().item()


def _mean(values: Tensor) -> float | None:
    return values.mean().item() if len(values) else None
