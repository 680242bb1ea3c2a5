"""From a folder of pictures to an adapter: read, forecast, train, draw samples, write it down."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from PIL import Image

from models.errors import Cancelled, EveryageError, InputError
from photos.files import make_folder
from pipelines.events import CancelToken, Eta, Event
from pipelines.finetune import samples
from pipelines.finetune.folder import Problem, TrainingFolder, TrainingPicture, read_folder
from pipelines.finetune.forecast import Forecast, advice, forecast
from pipelines.finetune.lessons import Lessons, prepare
from pipelines.finetune.settings import FinetuneSettings
from pipelines.finetune.stored import HOME, TrainingFiles, Unfinished, training_key, unfinished
from pipelines.finetune.trainer import FinetuneTrainer
from pipelines.finetune.written import CAPTIONS, check_folder, make_card, read_card, remove_folder, write_folder
from pipelines.generate.families.base import Family
from pipelines.generate.families.registry import FAMILIES
from pipelines.generate.loading import DiffusionModels, ModelChoice
from pipelines.generate.parts import Parts, Swap
from pipelines.models import finish as finish_store
from pipelines.models import slug
from pipelines.models.adapters import CONFIG
from pipelines.runtime import Runtime, is_out_of_memory

SAVE_EVERY_S = 60.0
SMOOTHED = 50
"""Steps whose mean loss is told at the end."""


@dataclass(frozen=True)
class FinetuneView:
    """How far a training is. losses: of every step so far; strip: the samples over time, None while there are none."""

    step: int
    steps: int
    losses: Sequence[float]
    strip: Image.Image | None = None


@dataclass(frozen=True)
class Looked:
    """What a look at a folder and a model says before anything is trained."""

    folder: TrainingFolder
    forecast: Forecast
    advice: str
    step: int


@dataclass(frozen=True)
class Finetuned:
    """A finished adapter. path: its folder; id: in the store, None where it was written to a folder alone."""

    title: str
    path: Path
    id: str | None
    card: dict[str, Any]
    problems: tuple[Problem, ...] = field(default=())


class Finetuner:
    """What the Fine-tune page and `app.py finetune` call."""

    def __init__(self, runtime: Runtime, data: Path) -> None:
        self.runtime, self.data = runtime, Path(data)
        self.models = DiffusionModels(runtime, self.data)

    def unfinished(self) -> list[Unfinished]:
        """Trainings that were stopped and can go on."""
        return unfinished(self.data)

    def forget(self, key: str) -> None:
        """Delete an unfinished training. Raises InputError while it is going on."""
        if not key.isalnum():
            raise InputError("There is no such training.")
        with self._alone(key):
            TrainingFiles(self.data, key).remove()

    def look(self, folder: str | Path, settings: FinetuneSettings) -> Looked:
        """Read the folder and count the memory. Raises InputError for a folder or a model that can't be used."""
        choice = self.models.choice(settings.model)
        with self.models.use(choice, purpose="training") as (pipe,):
            family = _family(pipe, self.runtime.device)
            found = read_folder(folder, settings.phrase, settings.side or min(family.own_size))
            told = forecast(family, settings, self.runtime.device)
        newest = next(iter(TrainingFiles(self.data, training_key(settings, found.pictures)).states), None)
        return Looked(found, told, advice(told, settings), int(newest.stem[-8:]) if newest else 0)

    def run(
        self,
        folder: str | Path,
        settings: FinetuneSettings,
        title: str | None = None,
        out: Path | None = None,
        cancel: CancelToken | None = None,
        person: str = "",
        mark: str = "",
        state: Path | None = None,
    ) -> Iterator[Event]:
        """Train an adapter on a folder of pictures, or go on where the same training was stopped.

        title: of the adapter in the store, by default after the folder and the method. out: a folder to write it to in
        place of the store. person: the folder of the person in the collection whose pictures they are, so that all of
        it goes when they are forgotten; see `collected`. mark: kept in the adapter's card; an adapter with the same
        mark is there already, and is not trained again. state: a folder for what a stopped training goes on from, in
        place of the app's own, which lists it as unfinished.
        Events: "load"; "check" (value: TrainingFolder); "prepare"; "train" a step, with a FinetuneView; "done" with a
        Finetuned, or None in all processes but the first. A cancelled training keeps its state. Raises InputError for
        what can't be used, EveryageError where memory is too small.
        """
        cancel = cancel or CancelToken()
        if out is not None:
            check_folder(out)
        choice = self.models.choice(settings.model)
        yield Event("load", f"Loading {choice.title}")
        with self.models.use(choice, purpose="training") as (pipe,):
            family = _family(pipe, self.runtime.device)
            found = read_folder(folder, settings.phrase, settings.side or min(family.own_size))
            yield Event("check", f"{len(found.pictures)} pictures to learn from", 1, 1, value=found)
            title = title or f"{Path(folder).expanduser().resolve().name} {settings.method}"
            key = training_key(settings, found.pictures)
            with self._alone(key):
                files = TrainingFiles(state or self.data, key)
                done = self._finished(mark, out, files, found)
                if done is None:
                    asked = {"title": title, "folder": str(folder), "person": person, "mark": mark}
                    work = _Work(family, choice, settings, found, files, asked)
                    if person:
                        files.mark(person)
                    yield from self._guarded(work, cancel)
                    yield Event("save", "Writing the adapter")
                    # Of several processes one writes; the others have nothing to say of it.
                    done = self._keep(work, title, out) if work.main else None
        yield Event("done", f"{title} is learnt", 1, 1, 0.0, value=done)

    def _guarded(self, work: _Work, cancel: CancelToken) -> Iterator[Event]:
        """The training; memory that runs out becomes a sentence that says what to change."""
        try:
            yield from work.run(cancel)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            told = forecast(work.family, work.settings, self.runtime.device)
            words = advice(told, work.settings) or "Switch gradient checkpointing on, or take smaller pictures."
            raise EveryageError(f"The device has too little memory for this training. {words}") from error
        finally:
            work.close()

    def _finished(self, mark: str, out: Path | None, files: TrainingFiles, found: TrainingFolder) -> Finetuned | None:
        """The adapter that a process with this mark wrote and could not tell of any more."""
        if not mark:
            return None
        places = [(None, out)] if out is not None else [(s.id, s.path) for s in self.models.store.ready("adapter")]
        for id, path in places:
            card = read_card(path)
            if card.get("mark") == mark and (path / CONFIG).is_file():  # the last one that is written
                files.remove()
                return Finetuned(str(card["title"]), path, id, card, found.problems)
        return None

    def _keep(self, work: _Work, title: str, out: Path | None) -> Finetuned:
        """Write the adapter to its folder, or into the store under an id that is free."""
        content, card = work.result
        strip = samples.strip(work.files.drawn(), work.prompts)
        if out is not None:
            write_folder(out, content, card | {"title": title}, strip)
            work.files.remove()
            return Finetuned(title, out, None, card, work.found.problems)
        title, id = self._free(title)
        place = work.files.folder / slug(title)
        card |= {"title": title}
        write_folder(place, content, card, strip)
        stored = finish_store(self.models.store.add(place, id=id, name=title))
        remove_folder(place)
        work.files.remove()
        return Finetuned(title, stored.path, stored.id, card, work.found.problems)

    def keep(self, folder: Path, title: str) -> str:
        """Take a finished adapter into the store, under a title that is free; its id. Raises InputError without one."""
        title, id = self._free(title)
        return str(finish_store(self.models.store.add(folder, id=id, name=title)).id)

    def _free(self, title: str) -> tuple[str, str]:
        """A title and its id that no model here has: "faces sara", "faces sara 2", ..."""
        taken = {entry.id for entry in self.models.store.list()}
        wanted, number = " ".join(title.split())[:60] or "adapter", 1
        while True:
            named = wanted if number == 1 else f"{wanted} {number}"
            id = slug(named) or f"adapter-{number}"
            if id not in taken:
                return named, id
            number += 1

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """One training of a kind at a time; the processes of one launch count as one."""
        if int(os.environ.get("RANK", "0")) > 0:
            yield
            return
        place = make_folder(self.data / HOME)
        # The steps of one generator may run in different threads, so the lock must not belong to a thread.
        lock = FileLock(place / f"{key}.lock", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError("This very training is going on already; wait for that to end, or stop it.") from None
        try:
            yield
        finally:
            lock.release()


def _family(pipe: Any, device: torch.device) -> Family:
    """Text encoders leave a device with a memory of its own once they have read: training needs the room."""
    swap: Swap = "text" if device.type == "cuda" else "none"
    return FAMILIES[type(pipe).__name__](pipe, pipe.scheduler, Parts(pipe, device, swap))


class _Work:
    """One training: its trainer, its samples, its state on disk."""

    def __init__(
        self,
        family: Family,
        choice: ModelChoice,
        settings: FinetuneSettings,
        found: TrainingFolder,
        files: TrainingFiles,
        asked: dict[str, Any],
    ) -> None:
        self.family, self.choice, self.settings, self.found = family, choice, settings, found
        self.files, self.asked = files, asked
        self.prompts = samples.prompts_for(settings, found.pictures)
        self.trainer: FinetuneTrainer | None = None
        self.result: tuple[dict[str, bytes], dict[str, Any]] = ({}, {})
        self.main = int(os.environ.get("RANK", "0")) == 0
        self._strip: Image.Image | None = None

    def run(self, cancel: CancelToken) -> Iterator[Event]:
        """Everything up to the adapter's tensors."""
        lessons: Lessons | None = None
        for event in self._prepare(self.found.pictures, cancel):
            lessons = event.value or lessons
            yield Event(event.stage, event.message, event.done, event.total, event.seconds_left)
        assert lessons is not None
        self.family.parts.bring("network")
        self.trainer = FinetuneTrainer(self.family, lessons, self.settings)
        began = self.files.resume(self.trainer)
        if began:
            self._strip = samples.strip(self.files.drawn(), self.prompts)
            yield Event("prepare", f"Going on from step {began}")
        yield from self._train(self.trainer, cancel)
        self.result = self._result(self.trainer)

    def close(self) -> None:
        """The network as it was before."""
        if self.trainer is not None:
            self.trainer.close()
            self.trainer = None

    def _prepare(self, pictures: Sequence[TrainingPicture], cancel: CancelToken) -> Iterator[Event]:
        settings, family = self.settings, self.family
        side = settings.side or min(family.own_size)
        eta = Eta()
        for event in prepare(family, pictures, side, settings.flips, self.files.latents if self.main else None, cancel):
            left = eta.update(event.done, event.total)
            yield Event(event.stage, event.message, event.done, event.total, left, value=event.value)

    def _train(self, trainer: FinetuneTrainer, cancel: CancelToken) -> Iterator[Event]:
        eta, saved, steps = Eta(smoothing=0.95), time.monotonic(), self.settings.steps
        if trainer.step == 0:
            self._sample(trainer, cancel)
            yield self._event(trainer, None)
        while trainer.step < steps:
            try:
                cancel.check()
            except Cancelled:
                self._save(trainer)
                raise
            trainer.train_step()
            if samples.due(self.settings, trainer.step):
                # Before the pictures: a stop meanwhile must not cost the steps that led to them.
                self._save(trainer)
                self._sample(trainer, cancel)
            elif trainer.step % self.settings.save_every == 0 or time.monotonic() - saved > SAVE_EVERY_S:
                self._save(trainer)
                saved = time.monotonic()
            yield self._event(trainer, eta.update(trainer.step, steps))

    def _save(self, trainer: FinetuneTrainer) -> None:
        if self.main:
            self.files.save(trainer, self.asked)

    def _sample(self, trainer: FinetuneTrainer, cancel: CancelToken) -> None:
        if not samples.due(self.settings, trainer.step) or not self.main:
            return
        with trainer.averaged():
            images = samples.draw(self.family, self.choice.guidance(), self.prompts, self.settings.seed, cancel)
        self.family.parts.bring("network")  # where memory was short, drawing sent it away
        self.files.add_samples(trainer.step, images)
        self._strip = samples.strip(self.files.drawn(), self.prompts)

    def _event(self, trainer: FinetuneTrainer, left: float | None) -> Event:
        view = FinetuneView(trainer.step, self.settings.steps, list(trainer.losses), self._strip)
        return Event("train", "Learning from the pictures", trainer.step, self.settings.steps, left, value=view)

    def _result(self, trainer: FinetuneTrainer) -> tuple[dict[str, bytes], dict[str, Any]]:
        """The adapter's files, and its card."""
        from models.adapters import adapter_files

        config, state = trainer.result()
        content = adapter_files(config, state, self.settings.model)
        losses = trainer.losses
        card = make_card(
            str(self.asked["title"]),
            self.settings,
            {
                "pictures": len(self.found.pictures),
                "prompts": [p for p in dict.fromkeys(p.caption for p in self.found.pictures) if p][:CAPTIONS],
                "weights": trainer.weights,
                "share": round(trainer.weights / trainer.base_weights, 5),
                "rate": trainer.rate,
                "loss": [round(_mean(losses[:SMOOTHED]), 5), round(_mean(losses[-SMOOTHED:]), 5)],
                "bytes": sum(len(part) for part in content.values()),
            }
            | {name: self.asked[name] for name in ("person", "mark") if self.asked[name]},
        )
        return content, card


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)


def finish(events: Iterator[Event]) -> Finetuned:
    """Run to the end and give back the result."""
    result: Finetuned | None = None
    for event in events:
        result = event.value if event.stage == "done" else result
    assert result is not None
    return result
