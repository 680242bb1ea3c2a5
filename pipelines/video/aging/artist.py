"""Draws one person, frame after frame, with codes and masks that are means over neighbouring frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.aging.nets import AgingNets
from pipelines.runtime import with_backoff
from pipelines.video.options import Subject, VideoOptions

from .drawing import Crops, draw_aged, drawings
from .masks import KEY_EVERY, Masks, laid_weights
from .smoothing import between, is_key, neighbours, reach_of
from .track import Track
from .tuned import Tuned
from .tuning import codes_of

BATCH_CPU, BATCH_GPU = 8, 32
WHOLE = 4
"""Networks give a picture the same bits in every batch that is a multiple of this."""


@dataclass(frozen=True, eq=False)
class Cast:
    """One person of a chunk, with all that draws them."""

    subject: Subject
    track: Track
    tuned: Tuned
    nets: AgingNets


@dataclass(frozen=True, eq=False)
class Drawn:
    """One person in the frames `numbers`; all tensors have as many rows. now, then: the generator's pictures."""

    cast: Cast
    numbers: list[int]
    crops: Crops
    now: Tensor
    then: Tensor
    ages: Tensor

    def rows(self, first: int, stop: int) -> Drawn:
        """Some of the frames."""
        some = slice(first, stop)
        crops = Crops(self.crops.pictures[some], self.crops.points[some], self.crops.looked[some])
        return Drawn(self.cast, self.numbers[some], crops, self.now[some], self.then[some], self.ages[some])


class Artist:
    """`see` crops in order of their frames, `draw` those that have been seen with all their neighbours."""

    def __init__(self, cast: Cast, masks: Masks, options: VideoOptions, rate: float) -> None:
        self.cast, self.masks, self.options, self.rate = cast, masks, options, rate
        self.margin = max(reach_of(rate), KEY_EVERY)
        self._crops: dict[int, Tensor] = {}
        self._codes: dict[int, Tensor] = {}
        self._looked: dict[int, Tensor] = {}

    def see(self, numbers: list[int], crops: Tensor) -> None:
        """Encode crops (N, 3, S, S) of frames, and look at those that are keys of the masks."""
        cast = self.cast
        codes = in_batches(lambda x: codes_of(cast.nets, x, cast.tuned.present, cast.tuned.mean), crops)
        self._codes.update(zip(numbers, codes, strict=True))
        self._crops.update(zip(numbers, crops, strict=True))
        keys = [i for i, number in enumerate(numbers) if is_key(cast.track, number, KEY_EVERY)]
        if keys:
            looked = in_batches(self.masks.look, crops[keys])
            self._looked.update(zip((numbers[i] for i in keys), looked, strict=True))

    def draw(self, numbers: list[int], ages: list[float]) -> Drawn | None:
        """The person at `ages`, one for each frame; None if there is none. Forgets what no later frame needs."""
        if not numbers:
            return None
        track, device = self.cast.track, self.cast.nets.device
        codes = torch.stack([self._code(number) for number in numbers])
        targets = torch.tensor(ages, dtype=torch.float32, device=device)
        now, then = self._drawings(codes, targets)
        points = torch.from_numpy(track.points[[number - track.first for number in numbers]]).to(device)
        looked = torch.stack([self._look(number) for number in numbers])
        crops = Crops(torch.stack([self._crops[number] for number in numbers]), points, looked)
        for memory in (self._crops, self._codes, self._looked):
            for number in [each for each in memory if each < numbers[-1] - self.margin]:
                del memory[number]
        return Drawn(self.cast, numbers, crops, now, then, targets)

    def _drawings(self, codes: Tensor, ages: Tensor) -> tuple[Tensor, Tensor]:
        def both(rows: Tensor) -> Tensor:
            pair = drawings(self.cast.tuned, codes[rows], ages[rows], self.options.strength)
            return torch.stack(pair, dim=1)

        now, then = in_batches(both, torch.arange(len(codes), device=codes.device)).unbind(dim=1)
        return now, then

    def _code(self, number: int) -> Tensor:
        """The mean of w+ over the frames around this one."""
        near, weights = neighbours(self.cast.track, number, self.rate)
        codes = torch.stack([self._codes[each] for each in near])
        return (codes * weights.to(codes).view(-1, 1, 1)).sum(dim=0)

    def _look(self, number: int) -> Tensor:
        low, high, way = between(self.cast.track, number, KEY_EVERY)
        return torch.lerp(self._looked[low], self._looked[high], way)


def in_batches(work: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """`work` over rows (N, ...) in batches that fit the memory, filled up to whole ones with the last row."""
    count = len(rows)
    whole = torch.cat([rows, rows[-1:].expand(-count % WHOLE, *rows.shape[1:])])
    limit = BATCH_CPU if rows.device.type == "cpu" else BATCH_GPU
    done = with_backoff(lambda batch: torch.cat([work(part) for part in whole.split(batch)]), limit)
    return done[:count]


def changes(drawn: Drawn, options: VideoOptions) -> tuple[Tensor, Tensor]:
    """What is laid over the frames: the change (N, S, S, 3) in levels of RGB, and weights (N, S, S) in [0, 1]."""
    cast, crops = drawn.cast, drawn.crops
    aged, person = draw_aged(cast.tuned, crops, drawn.now, drawn.then, drawn.ages, options)
    _, kept = cast.tuned.at(drawn.ages)
    change = (aged - crops.pictures) * (127.5 * kept.view(-1, 1, 1, 1))
    rows = [number - cast.track.first for number in drawn.numbers]
    shares = torch.from_numpy(cast.track.share[rows]).to(change)
    return change.permute(0, 2, 3, 1).contiguous(), laid_weights(crops.looked[:, 1:], person, shares)
