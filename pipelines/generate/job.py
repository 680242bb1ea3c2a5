"""One call for pictures: everything checked and rounded to what the model takes, then made batch by batch."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from models.errors import InputError
from models.guidance import Guidance, GuidanceSettings, StepProbe
from models.images import to_pil
from models.pictures import figures
from pipelines.events import CancelToken, Eta, Event
from pipelines.generate import memory
from pipelines.generate.families.base import Family, Texts
from pipelines.generate.families.registry import FAMILIES
from pipelines.generate.memory import Fit
from pipelines.generate.parts import Parts, Swap
from pipelines.generate.samplers import make_scheduler
from pipelines.generate.sampling import Run, Sampled, check_guidance, denoise, draw_noise, measured_limit
from pipelines.generate.settings import GenerateSettings
from pipelines.generate.start import Picture, begin, prepare_picture

LARGEST = 4 * 1024 * 1024
"""Pixels of the largest picture."""
PREVIEW_PLACES = 32 * 32
"""Latents up to this size are decoded for a preview: larger ones cost too much at each step."""


@dataclass(frozen=True)
class Made:
    """One picture. settings: all that made it, with its own seed and count 1; figures: see `models.pictures`."""

    image: Image.Image
    settings: GenerateSettings
    figures: dict[str, float]
    probes: tuple[StepProbe, ...]


class Job:
    """See above. Raises InputError where settings and model do not go together. notes: what a person should know."""

    def __init__(
        self,
        pipe: Any,
        device: torch.device,
        settings: GenerateSettings,
        cancel: CancelToken,
        init: Image.Image | None,
        mask: Image.Image | None,
        previews: bool,
        weak: Any = None,
    ) -> None:
        self.pipe, self.device, self.cancel, self.previews = pipe, device, cancel, previews
        self.kind = FAMILIES[type(pipe).__name__]
        self.notes: list[str] = []
        family = self.family(settings, "none")
        check_guidance(family, settings.guidance)
        self.weak = weak
        if weak is not None:
            self._check_weak(family)
        self.size = self._size(family, settings, init)
        seed = settings.seed if settings.seed >= 0 else secrets.randbelow(2**32)
        self.settings = settings.with_changes(seed=seed, width=self.size[0], height=self.size[1])
        self.picture: Picture | None = prepare_picture(init, mask, self.size) if init is not None else None
        rest = family.cut(settings.prompt)
        if rest:
            self.notes.append(f"The model reads only the first part of the prompt; left out: {rest[:200]}.")
        self.eta = Eta()
        self.steps_done = 0  # of finished batches

    def family(self, settings: GenerateSettings, swap: Swap) -> Family:
        """The pipeline with a scheduler of its own, for one run."""
        return self.kind(self.pipe, self._scheduler(settings), Parts(self.pipe, self.device, swap))

    def _check_weak(self, family: Family) -> None:
        """Raises InputError for a weaker model that can't push this one."""
        if type(self.weak) is type(self.pipe):
            weak = self.kind(self.weak, self.weak.scheduler)
            if (weak.channels, weak.factor, weak.kind()) == (family.channels, family.factor, family.kind()):
                return
        raise InputError("Autoguidance needs a weaker version of the same model; the one given is of another kind.")

    def _weaker(self, family: Family, count: int) -> tuple[Family, Texts] | None:
        if self.weak is None:
            return None
        weak = self.kind(self.weak, family.scheduler, Parts(self.weak, self.device, family.parts.swap))
        told, _ = weak.encode([self.settings.prompt] * count, [""] * count, self.size)
        return weak, told

    def _scheduler(self, settings: GenerateSettings) -> Any:
        return make_scheduler(self.pipe.scheduler, self.kind.flow, settings.sampler, settings.schedule)

    def _size(self, family: Family, settings: GenerateSettings, init: Image.Image | None) -> tuple[int, int]:
        own = family.own_size
        wanted = (settings.width or own[0], settings.height or own[1])
        if init is not None and settings.width is None and settings.height is None:
            # The model's own number of pixels in the start picture's shape.
            ratio = (init.width / init.height) ** 0.5
            wanted = (round(own[0] * ratio), round(own[1] / ratio))
        step = family.multiple
        width, height = (max(step, round(side / step) * step) for side in wanted)
        if width * height > LARGEST:
            raise InputError(f"{width} x {height} pixels are too many; {LARGEST} in all are the most.")
        if (settings.width, settings.height) not in ((None, None), (width, height)):
            self.notes.append(f"The size is {width} x {height}: this model takes multiples of {step} pixels.")
        return width, height

    @torch.no_grad()  # as a decorator: it holds in whichever thread takes the next step, and in no other
    def batch(self, done: int, fit: Fit) -> Iterator[Event | list[Made]]:
        """Pictures `done`, `done` + 1, ... as many as fit: events, then the pictures."""
        settings, count = self.settings, min(fit.batch, self.settings.count - done)
        memory.prepare(self.pipe, fit)
        family = self.family(settings, fit.swap)
        seeds = [settings.seed + done + i for i in range(count)]
        told, free = family.encode([settings.prompt] * count, [settings.negative] * count, self.size)
        shape = (family.channels, self.size[1] // family.factor, self.size[0] // family.factor)
        noise, generators = draw_noise(seeds, shape, family)
        start = begin(family, self.picture, settings.strength, count)
        run = Run(family, told, free, noise, generators, settings.steps, start, fit.split, self._weaker(family, count))
        self.cancel.check()
        guidance = self._measured(run)
        guided = Guidance(guidance)
        state: Sampled | None = None
        for state in denoise(run, guided):
            yield self._progress(family, state, done, count)
            self.cancel.check()
        assert state is not None
        yield Event("decode", "Developing", done + count, settings.count)
        images = family.decode(state.clean)
        if self.picture is not None:
            images = self.picture.keep(images)
        self.cancel.check()
        self.steps_done += state.total
        yield self._made(images, seeds, guidance, state.probes)

    def _measured(self, run: Run) -> GuidanceSettings:
        """An "auto" norm limit as a number: measured once for a call, so that all its pictures are made alike."""
        if self.settings.guidance.norm_threshold == "auto":
            found = measured_limit(run, self.settings.guidance, self._scheduler(self.settings))
            self.settings = self.settings.with_changes(guidance=found)
        return self.settings.guidance

    def _progress(self, family: Family, state: Sampled, done: int, count: int) -> Event:
        batches = -(-(self.settings.count - done) // count)
        now, whole = self.steps_done + state.done, self.steps_done + state.total * batches
        left = self.eta.update(now, whole)
        value = preview(family, state.clean) if self.previews else None
        message = "Making the picture" if self.settings.count == 1 else f"Making {self.settings.count} pictures"
        return Event("sample", message, now, whole, left, preview=True, value=value)

    def _made(
        self, images: Tensor, seeds: list[int], guidance: GuidanceSettings, probes: tuple[list[StepProbe], ...]
    ) -> list[Made]:
        measured = figures(images)
        return [
            Made(
                to_pil(images[i]),
                self.settings.with_changes(seed=seed, count=1, guidance=guidance),
                measured[i],
                tuple(probes[i]) if i < len(probes) else (),
            )
            for i, seed in enumerate(seeds)
        ]


def preview(family: Family, clean: Tensor) -> list[Image.Image]:
    """Rough pictures of a step. Large latents are decoded at a smaller size."""
    rows, columns = clean.shape[-2:]
    if rows * columns > PREVIEW_PLACES:
        share = (PREVIEW_PLACES / (rows * columns)) ** 0.5
        size = (max(int(rows * share), 1), max(int(columns * share), 1))
        clean = torch.nn.functional.interpolate(clean, size=size, mode="area")
    return [to_pil(image) for image in family.decode(clean)]
