"""Steps a second of both presets, and of a faithful re-enactment of the published training's step, in one run.

    python -m bench.personal_speed --photos FOLDER --out docs/personal_speed.json

FOLDER holds pictures of one person and a `meta.jsonl` (see `bench.personal`). The published trainer decodes eight times
a step and runs an encoder eight times: in each of its two passes the model's own forward, the global model's forward,
the adapter's drawing, and a drawing of the global codes that most batches do not use. The re-enactment does the same on
the same networks; its losses are those of the "official" preset. The ways take turns, so that they share the machine's
moods.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import typer

from models.faces.detect import load_detector
from pipelines.aging.loading import AgingModels
from pipelines.personalize.everyage import Everyage
from pipelines.personalize.judges import make_judges
from pipelines.personalize.method import Batch, Method, Setting, Terms
from pipelines.personalize.official import Official
from pipelines.personalize.student import Student
from pipelines.personalize.training import Trainer
from pipelines.runtime import Runtime
from pipelines.settings import load_settings

from .personal import read_folder

ROUNDS, STEPS = 4, 5


class AsPublished(Official):
    """The "official" losses with the published trainer's work: four encoder runs and four decodes a pass."""

    def losses(self, setting: Setting, batch: Batch) -> Iterator[Terms]:
        images, back = setting.album.crops[batch.places], replace(batch, present=batch.target, target=batch.present)
        for each in (batch, back):
            codes = self._encode_four_times(setting, images, each)
            setting.draw_global(codes)  # the model's own forward draws before the adapter is applied
            # The global model's forward keeps a graph that nothing uses.
            with torch.enable_grad():
                setting.nets.synthesis(codes.requires_grad_(True))
            codes = codes.detach()
            own, drawn = setting.draw(codes, each.target)
            setting.draw_global(codes)
            yield self._terms(setting, each, codes, own, drawn)
            images = drawn.detach()

    def _encode_four_times(self, setting: Setting, images: torch.Tensor, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            return [setting.nets.encode(images, batch.target) for _ in range(4)][-1]


METHODS: dict[str, Method] = {"everyage": Everyage(), "official": Official(), "as published": AsPublished()}


def main(
    photos: Annotated[Path, typer.Option(help="One person's rendered photos.")],
    out: Annotated[Path, typer.Option(help="JSON.")],
) -> None:
    """Measure."""
    torch.set_flush_denormal(True)
    runtime = Runtime(load_settings())
    nets = AgingModels(runtime, photos).nets()
    album = read_folder(photos, load_detector(), min(nets.resolution, 256))
    trainers = {}
    for name, method in METHODS.items():
        student = Student(nets, method.tunes_generator, method.tiny_start, 0)
        setting = Setting(student, nets, make_judges(runtime, nets), album)
        for _ in setting.prepare():
            pass
        trainers[name] = Trainer(setting, method, 1000, 0)
        trainers[name].train_step()
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(ROUNDS):
        for name, trainer in trainers.items():
            began = time.monotonic()
            for _ in range(STEPS):
                trainer.train_step()
            seconds[name].append((time.monotonic() - began) / STEPS)
    figures = {name: {"seconds_a_step": round(median(values), 3)} for name, values in seconds.items()}
    slowest = figures["as published"]["seconds_a_step"]
    for figure in figures.values():
        figure["times_as_fast"] = round(slowest / figure["seconds_a_step"], 2)
    figures["machine"] = {"threads": torch.get_num_threads(), "device": str(nets.device)}  # type: ignore[dict-item]
    out.write_text(json.dumps(figures, indent=1))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    typer.run(main)
