"""From a person's photos to their own aging model: read, encode, train, keep the best, write it down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from PIL import Image

from models.errors import Cancelled, InputError
from models.faces.age import load_age_net
from models.faces.identity import load_identity_net
from photos.files import make_folder, write_atomically
from photos.library import Library
from photos.people import People, PersonView
from pipelines.aging.loading import AgingModels
from pipelines.aging.nets import AgingNets
from pipelines.aging.personal import ADAPTER
from pipelines.events import CancelToken, Eta, Event
from pipelines.runtime import Runtime

from .album import Album, read_album
from .evaluation import Eyes, evaluate
from .everyage import Everyage
from .judges import make_judges
from .method import Method, Setting
from .official import Official
from .options import PersonalizeOptions
from .preview import preview
from .report import report
from .store import PersonalModel, PersonFolder, to_cpu
from .student import Student
from .training import Trainer, load_state, save_state
from .validation import Validation, hold_out

METHODS: dict[str, type[Method]] = {"everyage": Everyage, "official": Official}
SAVE_EVERY_S = 20.0
EVALUATED_AGES = [float(age) for age in range(0, 101, 10)]
MEASURING = "Measuring on photos that were held out"
CHECKS = 10  # how often in a training the held-out photos are looked at, and a preview is drawn


@dataclass(frozen=True)
class TrainingView:
    """How far training is. losses: each term's value at every step so far; preview: the newest one, or None."""

    step: int
    steps: int
    losses: dict[str, list[float]] = field(default_factory=dict)
    preview: Image.Image | None = None


class Personalizer:
    """What the People page and `app.py personalize` call."""

    def __init__(self, runtime: Runtime, data: Path, people: People | None = None):
        self.runtime, self.data = runtime, Path(data)
        self.models = AgingModels(runtime, self.data)
        self.people = people or People(Library(self.data))

    def folder(self, person: PersonView) -> PersonFolder:
        """Where this person's model and training lie."""
        return PersonFolder(self.data / "people" / person.folder)

    def model(self, name: str) -> PersonalModel | None:
        """The finished model of a person, or None. Raises InputError if there is nobody of that name."""
        person = self.people.get(name)
        folder = self.folder(person)
        card = folder.read_card()
        return PersonalModel(person.name, folder.model / ADAPTER, card) if card else None

    def unfinished(self, name: str) -> int | None:
        """The step that an unfinished training of this person has reached, or None."""
        progress = self.folder(self.people.get(name)).read_progress()
        return int(progress["step"]) if progress else None

    def unfinished_options(self, name: str) -> PersonalizeOptions | None:
        """What was asked of the unfinished training of this person: the same again goes on with it. Else None."""
        progress = self.folder(self.people.get(name)).read_progress()
        return PersonalizeOptions(**progress["options"]) if progress and "options" in progress else None

    def run(
        self,
        name: str,
        options: PersonalizeOptions | None = None,
        cancel: CancelToken | None = None,
        mark: str = "",
    ) -> Iterator[Event]:
        """Train a person's model, or go on where the same training was stopped.

        mark: kept in the model's card; a model with the same mark is there already, and is not trained again.
        Events: "prepare"; "train" a step, with a TrainingView; "done" with the PersonalModel. A cancelled training
        keeps its state. Raises InputError for a person whose photos do not suffice, or if they are being trained by
        another window already.
        """
        options, cancel = options or PersonalizeOptions(), cancel or CancelToken()
        person = self.people.get(name)
        folder = self.folder(person)
        lock = FileLock(make_folder(self.data / "people" / person.folder) / "training.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{person.name} is being learnt already; wait for that to end, or stop it.") from None
        try:
            card = folder.read_card()
            if mark and card is not None and card.get("mark") == mark:
                folder.end_training()  # a kill may have come between the two
                yield self._learnt(person, folder, card)
            else:
                yield from self._run(person, folder, options, cancel, mark)
        finally:
            lock.release()

    def _run(
        self, person: PersonView, folder: PersonFolder, options: PersonalizeOptions, cancel: CancelToken, mark: str
    ) -> Iterator[Event]:
        yield Event("prepare", "Reading the photos")
        nets = self.models.nets(options.model)
        album = read_album(self.people.training_photos(person.name, options.photos), nets)
        method = METHODS[options.preset]()
        steps = options.steps or method.steps
        train, held = hold_out(album)
        setting = self._setting(nets, train, method, options.seed)
        yield from self._prepare(setting, cancel)
        validation = Validation(setting, held)
        trainer = Trainer(setting, method, steps, options.seed)
        work = _Work(trainer, validation, folder, _key(options, steps, nets, album), options)
        began = work.resume(nets.device)
        if began:
            yield Event("prepare", f"Going on from step {began}")
        yield from work.train(cancel)
        card = self._card(person, options, setting, album, work) | ({"mark": mark} if mark else {})
        folder.save(setting.student, card)
        self.people.set_early_losses(trainer.early_losses())
        folder.end_training()
        yield self._learnt(person, folder, card)

    def _learnt(self, person: PersonView, folder: PersonFolder, card: dict[str, Any]) -> Event:
        model = PersonalModel(person.name, folder.model / ADAPTER, card)
        return Event("done", f"{person.name} is learnt", 1, 1, 0.0, value=model)

    def evaluate(self, name: str, cancel: CancelToken | None = None) -> Iterator[Event]:
        """Measure the finished model on the photos that it did not learn from.

        The input is the held-out photo at the age of whose end most others lie on the other side; targets are every
        tenth year. Events: "evaluate" an age; "done" (value: the report's path, and the Evaluation). Raises InputError
        where there is no model, or where all photos were needed for learning.
        """
        yield Event("evaluate", MEASURING, 0, len(EVALUATED_AGES))
        model = self.model(name)
        if model is None:
            raise InputError(f"{self.people.get(name).name} has not been learnt yet; do that first.")
        settings = model.card["settings"]
        base = self.models.nets(settings["model"])
        own = self.models.nets(settings["model"], person=name)
        album = read_album(self.people.training_photos(name, settings["photos"]), base)
        held = [album.ids.index(id) for id in model.card["held_out"] if id in album.ids]
        if len(held) < 2:
            raise InputError(f"All photos of {model.person} were needed for learning; import more to measure it.")
        order = sorted(held, key=lambda face: float(album.ages[face]))
        pool = self.runtime.pool
        eyes = Eyes(
            pool.get("faces/identity", lambda: load_identity_net(self.runtime.device)),
            pool.get("faces/age", lambda: load_age_net(self.runtime.device)),
        )
        ends = album.part([order[0], order[-1]])
        check, eta, result = (cancel or CancelToken()).check, Eta(), None
        for result in evaluate(base, own, ends, album.part(held), EVALUATED_AGES, eyes, check):
            left = eta.update(len(result.rows), len(EVALUATED_AGES))
            yield Event("evaluate", MEASURING, len(result.rows), len(EVALUATED_AGES), left)
        assert result is not None
        page = self.folder(self.people.get(name)).model / "report.html"
        write_atomically(page, lambda file: file.write(report(model.person, model.card, result).encode()))
        yield Event("done", "Measured", 1, 1, 0.0, value=(page, result))

    def _setting(self, nets: AgingNets, album: Album, method: Method, seed: int) -> Setting:
        student = Student(nets, method.tunes_generator, method.tiny_start, seed)
        dtype = self.runtime.dtype if nets.device.type == "cuda" else torch.float32
        return Setting(student, nets, make_judges(self.runtime, nets), album, dtype)

    def _prepare(self, setting: Setting, cancel: CancelToken) -> Iterator[Event]:
        """Everything of the photos that stays the same while training."""
        total, eta = 2 * len(setting.album), Eta()
        for done in setting.prepare():
            cancel.check()
            yield Event("prepare", "Reading the faces", done, total, eta.update(done, total))

    def _card(
        self, person: PersonView, options: PersonalizeOptions, setting: Setting, album: Album, work: _Work
    ) -> dict[str, Any]:
        """How the model was made; it names the person by the folder's token alone, so that it says nothing outside."""
        ages = album.ages[: len(album)]
        return {
            "title": "Personal aging adapter",
            "person": person.folder,
            "ages": [round(float(ages.min()), 1), round(float(ages.max()), 1)],
            "photos": len(album),
            "held_out": list(work.validation.held.ids) if len(setting.album) < len(album) else [],
            "base": {"model": options.model, "fingerprint": setting.nets.fingerprint},
            "settings": options.as_dict() | {"steps": work.trainer.steps, "method": asdict(work.trainer.method)},  # type: ignore[call-overload]
            "quality": work.quality(),
            "seconds": round(work.seconds, 1),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def _key(options: PersonalizeOptions, steps: int, nets: AgingNets, album: Album) -> str:
    """A training is the same one if all of this is."""
    return f"{options.preset} {steps} {options.seed} {nets.fingerprint} {album.fingerprint}"


class _Work:
    """One training: its state on disk, its previews, its best weights so far."""

    def __init__(
        self,
        trainer: Trainer,
        validation: Validation,
        folder: PersonFolder,
        key: str,
        options: PersonalizeOptions,
    ):
        self.trainer, self.validation, self.folder, self.key = trainer, validation, folder, key
        self.options = options
        self.best: dict[str, torch.Tensor] = {}
        self.scores: list[tuple[int, float]] = []
        self.seconds = 0.0
        self._saved = time.monotonic()

    def resume(self, device: torch.device) -> int:
        """Go on from what is on disk if it is the same training; the step reached."""
        state = load_state(self.folder.state, device)
        if state is None or state["key"] != self.key:
            return 0
        self.trainer.restore(state["trainer"])
        self.best, self.seconds = state["best"], state["seconds"]
        self.scores = [(int(step), float(score)) for step, score in state["scores"]]
        return self.trainer.step

    def train(self, cancel: CancelToken) -> Iterator[Event]:
        """The steps that are left; the student ends as the best of what was seen."""
        trainer, eta = self.trainer, Eta(smoothing=0.95)
        every = max(trainer.steps // CHECKS, 1)
        if trainer.step == 0:
            yield self._event(None, preview(trainer.setting))
        while trainer.step < trainer.steps:
            try:
                cancel.check()
            except Cancelled:
                self.save()
                raise
            began = time.monotonic()
            trainer.train_step()
            shown = None
            if trainer.step % every == 0 or trainer.step == trainer.steps:
                self._check()
                shown = preview(trainer.setting)
            self.seconds += time.monotonic() - began
            if time.monotonic() - self._saved > SAVE_EVERY_S:
                self.save()
            yield self._event(eta.update(trainer.step, trainer.steps), shown)
        trainer.setting.student.load_state_dict(self.best, strict=False)

    def _check(self) -> None:
        """Score the student on the held-out photos; the best weights are kept."""
        score = self.validation.score()
        if not self.scores or score >= max(value for _, value in self.scores):
            self.best = to_cpu(self.trainer.setting.student.learnt())
        self.scores.append((self.trainer.step, score))

    def save(self) -> None:
        """Write everything needed to go on."""
        make_folder(self.folder.training)
        state = {"key": self.key, "trainer": self.trainer.state(), "best": self.best, "seconds": self.seconds}
        save_state(state | {"scores": self.scores}, self.folder.state)
        progress = {"step": self.trainer.step, "steps": self.trainer.steps, "options": self.options.as_dict()}
        self.folder.write_progress(progress)
        self._saved = time.monotonic()

    def _event(self, left: float | None, shown: Image.Image | None) -> Event:
        trainer = self.trainer
        losses = {name: list(values) for name, values in trainer.losses.items()}
        view = TrainingView(trainer.step, trainer.steps, losses, shown)
        return Event("train", "Learning how this person ages", trainer.step, trainer.steps, left, value=view)

    def quality(self) -> dict[str, Any]:
        """Likeness to the held-out photos, before and after."""
        after = max((score for _, score in self.scores), default=None)
        best = next((step for step, score in self.scores if score == after), None)
        return {
            "likeness_global": round(self.validation.start, 4),
            "likeness_own": None if after is None else round(after, 4),
            "best_step": best,
            "scores": [[step, round(score, 4)] for step, score in self.scores],
        }
