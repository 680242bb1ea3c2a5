"""Learn one person in one shot: a generator over many of its frames, one age, one movement for each target age."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pipelines.aging.compose import enlarge
from pipelines.aging.invert import Inversion, tune
from pipelines.aging.nets import AgingNets
from pipelines.aging.subject import LEAST_LIKENESS, LIKENESS_SHARES, SEEN_SHARE, Readers
from pipelines.events import CancelToken, Event
from pipelines.video.options import Subject, VideoOptions

from .drawing import Crops, draw_aged, drawings
from .masks import Masks, at_edges, of_points
from .tuned import Tuned

AGE_STEP = 5.0
"""Years from one entry of the movements to the next; between them they are straight lines."""
FINE_FROM = 7
"""The layer of w+ from which on (64 px) all frames of a shot share one style: hair and skin hold still."""
BATCH = 2
"""Samples that a step of tuning looks at."""
JUDGED = 4
"""Samples that say how much of a change leaves the person recognisable."""


def targets(subject: Subject, present: float) -> list[float]:
    """The ages that need a movement, rising: every AGE_STEP years over the range of the keyframes, its ends, and the
    present age, where nothing moves, if it lies between."""
    wanted = [age for _, age in subject.ages]
    low, high = min(wanted), max(wanted)
    steps = np.arange(np.ceil(low / AGE_STEP), high / AGE_STEP) * AGE_STEP
    inside = [present] if low < present < high else []
    return sorted({low, high, *steps.tolist(), *inside})


@torch.no_grad()
def codes_of(nets: AgingNets, crops: Tensor, age: float, mean: Tensor | None = None) -> Tensor:
    """w+ of crops (N, 3, S, S) that show `age`; the fine layers from `mean` (num_ws, w_dim)."""
    codes = nets.encode(crops, age, nets.origin(crops))
    if mean is not None:
        codes = torch.cat([codes[:, :FINE_FROM], mean[FINE_FROM:].expand(len(codes), -1, -1)], dim=1)
    return codes


@torch.no_grad()
def movement(nets: AgingNets, crops: Tensor, present: float, age: float) -> Tensor:
    """Where w+ moves (num_ws, w_dim) from the present age to another: the mean over crops and their mirror images."""
    pace = nets.younger_pace if age < present else 1.0
    moved = []
    for each in (crops, crops.flip(3)):
        origin = nets.origin(each)
        moved.append(nets.encode(each, age, origin) - nets.encode(each, present, origin))
    return pace * torch.cat(moved).mean(dim=0)


def unseen(nets: AgingNets, subject: Subject) -> Tuned:
    """What stands for somebody who is aged nowhere in a shot: nothing moves."""
    mean = nets.center.expand(nets.generator.num_ws, -1)
    age = torch.tensor([subject.ages[0][1]], device=nets.device)
    return Tuned(
        nets.synthesis, False, float(age), mean, age, torch.zeros_like(mean)[None], torch.ones_like(age), 0.0, False
    )


class Learner:
    """Learns from sampled crops: (N, 3, S, S) with their landmarks (N, 5, 2) in crop pixels."""

    def __init__(self, nets: AgingNets, readers: Readers, masks: Masks, subject: Subject, options: VideoOptions):
        self.nets, self.readers, self.masks, self.subject, self.options = nets, readers, masks, subject, options

    def learn(self, crops: Tensor, points: Tensor, known_age: float, cancel: CancelToken) -> Iterator[Event]:
        """known_age: of the person over the whole video, NaN if nobody knows. Events "tune"; the last one's value is
        the Tuned."""
        steps = self.nets.tune_steps if self.options.tune_steps is None else self.options.tune_steps
        yield Event("tune", "Looking at samples of this shot", 0, steps)
        start = self._start(crops, points, known_age, cancel)
        cancel.check()
        inversion = None
        if steps:
            # The mirror images keep the two sides of the face from being learnt apart; they cost no frame anything.
            both = torch.cat([crops, crops.flip(3)])
            pivots = codes_of(self.nets, both, start.present, start.mean)
            pictures = enlarge(both, self.nets.resolution)
            for event in tune(self.nets, pictures, pivots, steps, cancel, BATCH):
                inversion = event.value
                yield dataclasses.replace(event, value=None)
        tuned = start if inversion is None else _with(start, inversion)
        kept = torch.ones_like(tuned.ages)
        some = slice(None, None, -(-len(crops) // JUDGED))
        for i, age in enumerate(tuned.ages.tolist()):
            cancel.check()
            kept[i] = self._likeness(tuned, crops[some], points[some], age)
        done = dataclasses.replace(tuned, kept=kept)
        yield Event("tune", "This shot is learnt", steps, steps, 0.0, value=done)

    @torch.no_grad()
    def _start(self, crops: Tensor, points: Tensor, known_age: float, cancel: CancelToken) -> Tuned:
        """Everything but the tuned generator and what likeness allows."""
        nets = self.nets
        present = known_age if np.isfinite(known_age) else self._read_age(crops, points)
        mean = codes_of(nets, crops, present).mean(dim=0)
        ages = targets(self.subject, present)
        moves = []
        for age in ages:
            cancel.check()
            moves.append(movement(nets, crops, present, age))
        person = at_edges(self.masks.look(crops)[:, :1], crops)
        skin, _ = of_points(points, crops.shape[-1])
        seen = ((person * skin).sum(dim=(1, 2, 3)) / skin.sum(dim=(1, 2, 3))).median()
        table, bounded = torch.tensor(ages, device=crops.device), float(seen) > SEEN_SHARE
        return Tuned(
            nets.synthesis, False, present, mean, table, torch.stack(moves), torch.ones_like(table), 0.0, bounded
        )

    def _read_age(self, crops: Tensor, points: Tensor) -> float:
        ages = [self.readers.read_age(crops[i : i + 1], points[i : i + 1]) for i in range(len(crops))]
        return float(np.median(ages))

    @torch.no_grad()
    def _likeness(self, tuned: Tuned, crops: Tensor, points: Tensor, age: float) -> float:
        """How much of the change leaves most samples recognisable, as `keep_likeness` finds it for one photo."""
        ages = torch.full((1,), age, device=crops.device)
        aged = []
        for i in range(len(crops)):
            crop, place = crops[i : i + 1], points[i : i + 1]
            codes = codes_of(self.nets, crop, tuned.present, tuned.mean)
            now, then = drawings(tuned, codes, ages, self.options.strength)
            looked = self.masks.look(crop)
            aged.append(draw_aged(tuned, Crops(crop, place, looked), now, then, ages, self.options)[0])
        own, result = self.readers.embed(crops, points), torch.cat(aged)
        for share in LIKENESS_SHARES:
            cosine = (self.readers.embed(torch.lerp(crops, result, share), points) * own).sum(dim=1).median()
            if cosine >= LEAST_LIKENESS:
                break
        return share


def _with(tuned: Tuned, inversion: Inversion) -> Tuned:
    return dataclasses.replace(tuned, synthesis=inversion.synthesis, own=True, psnr=inversion.psnr)
