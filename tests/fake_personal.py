"""A quick stand-in for the training of a personal model, for tests of what lies above it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from photos.people import People
from pipelines.errors import InputError
from pipelines.events import CancelToken, Event
from pipelines.personalize import PersonalizeOptions, PersonalModel, TrainingView
from pipelines.personalize.job import EvaluateJob, PersonalizeJob

STEPS = 6
LEARNERS: dict[Path, FakePersonalizer] = {}
"""Data folder -> the stand-in that its jobs use, see `stand_in`."""


def stand_in(patch: pytest.MonkeyPatch) -> None:
    """Jobs of this process learn with the stand-in of their data folder, if it has one."""
    real = PersonalizeJob.personalizer

    def personalizer(job: Any) -> Any:
        return LEARNERS.get(job.settings.data) or real(job)

    for kind in (PersonalizeJob, EvaluateJob):
        patch.setattr(kind, "personalizer", personalizer)


class FakePersonalizer:
    """As `Personalizer`: it keeps a stopped training, and its model is a card alone."""

    def __init__(self, data: Path, people: People, pause: float = 0.0) -> None:
        self.data, self.people, self.pause = data, people, pause
        self.reached: dict[str, int] = {}
        self.asked: list[PersonalizeOptions] = []
        self.begun: dict[str, PersonalizeOptions] = {}
        LEARNERS[data] = self

    def model(self, name: str) -> PersonalModel | None:
        person = self.people.get(name)
        card = self._folder(name) / "card.json"
        return PersonalModel(person.name, card, json.loads(card.read_text())) if card.exists() else None

    def unfinished(self, name: str) -> int | None:
        return self.reached.get(self.people.get(name).name)

    def unfinished_options(self, name: str) -> PersonalizeOptions | None:
        return self.begun.get(name) if self.unfinished(name) else None

    def run(
        self,
        name: str,
        options: PersonalizeOptions | None = None,
        cancel: CancelToken | None = None,
        mark: str = "",
    ) -> Iterator[Event]:
        options, cancel = options or PersonalizeOptions(), cancel or CancelToken()
        self.asked.append(options)
        person = self.people.get(name)
        photos = self.people.training_photos(name, options.photos)
        known = self.model(name)
        if mark and known is not None and known.card.get("mark") == mark:
            yield Event("done", "Learnt", 1, 1, 0.0, value=known)
            return
        yield Event("prepare", "Reading the photos")
        steps = options.steps or STEPS
        if self.begun.get(person.name) != options:
            self.reached.pop(person.name, None)
        self.begun[person.name] = options
        losses: dict[str, list[float]] = {"personal": [], "age": []}
        for step in range(self.reached.get(person.name, 0) + 1, steps + 1):
            time.sleep(self.pause)
            cancel.check()
            self.reached[person.name] = step
            for name, values in losses.items():
                values.append(1 / step + len(name) / 100)
            with Image.open(photos[step % len(photos)].crop) as crop:
                preview = crop.convert("RGB").resize((144, 144)) if step % 2 else None
            view = TrainingView(step, steps, {name: list(values) for name, values in losses.items()}, preview)
            yield Event("train", "Learning how this person ages", step, steps, (steps - step) * self.pause, value=view)
        yield Event("done", "Learnt", 1, 1, 0.0, value=self._finish(person.name, photos, mark))

    def _finish(self, name: str, photos: list[Any], mark: str) -> PersonalModel:
        ages = [photo.age for photo in photos]
        card = {
            "ages": [min(ages), max(ages)],
            "photos": len(photos),
            "quality": {"likeness_global": 0.41, "likeness_own": 0.63},
            "seconds": 75.0,
        } | ({"mark": mark} if mark else {})
        path = self._folder(name) / "card.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(card))
        del self.reached[name]
        return PersonalModel(name, path, card)

    def evaluate(self, name: str, cancel: CancelToken | None = None) -> Iterator[Event]:
        if self.model(name) is None:
            raise InputError(f"{name} has not been learnt yet; do that first.")
        page = self._folder(name) / "report.html"
        page.write_text(f"<h1>How {name} ages</h1>")
        yield Event("evaluate", "Measuring on photos that were held out", 1, 2)
        yield Event("done", "Measured", 1, 1, 0.0, value=(page, SimpleNamespace(as_dict=dict)))

    def _folder(self, name: str) -> Path:
        return self.data / "people" / self.people.get(name).folder / "model"
