"""A training on disk: checkpoints, samples and what was asked for, until its adapter is made.

`data / "finetune" / KEY`: `state-00000100.pt` (the last few), `samples/00000100-0.png`, `latents/`, `progress.json`.
`person.json` names the folder of the person whose pictures they are, if they come from the collection.
KEY follows from the settings and the pictures, so that asking for the same again goes on.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from models.errors import InputError
from photos.files import make_folder, write_atomically, write_file
from pipelines.finetune.folder import TrainingPicture
from pipelines.finetune.settings import FinetuneSettings, finetune_settings
from pipelines.finetune.trainer import FinetuneTrainer

HOME = "finetune"
GIVEN = "given-"
"""How folders of pictures that were handed over begin, beside the trainings; they go when the adapter is made."""
PROGRESS, PERSON = "progress.json", "person.json"


@dataclass(frozen=True)
class Unfinished:
    """A training that was stopped. folder: of the pictures, as text; title: of the adapter to be."""

    key: str
    title: str
    folder: str
    step: int
    settings: FinetuneSettings
    person: str = ""


class TrainingFiles:
    """The files of one training."""

    def __init__(self, data: Path, key: str) -> None:
        self.key, self.folder = key, Path(data) / HOME / key
        self.latents, self.samples = self.folder / "latents", self.folder / "samples"

    @property
    def states(self) -> list[Path]:
        """The checkpoints, newest first."""
        return sorted(self.folder.glob("state-*.pt"), reverse=True)

    def mark(self, person: str) -> None:
        """Write whose pictures they are, before anything of them lies here."""
        make_folder(self.folder)
        content = json.dumps({"person": person}).encode()
        write_file(self.folder / PERSON, content)

    def save(self, trainer: FinetuneTrainer, asked: dict[str, Any]) -> None:
        """Write a checkpoint, then let go of those that are too many. asked: title and folder, for a later list."""
        make_folder(self.folder)
        trainer.save(self.folder / f"state-{trainer.step:08d}.pt")
        progress = asked | {"step": trainer.step, "settings": trainer.settings.model_dump(mode="json")}
        text = json.dumps(progress, indent=1).encode()
        write_atomically(self.folder / PROGRESS, lambda file: file.write(text))
        for old in self.states[trainer.settings.keep :]:
            old.unlink(missing_ok=True)

    def resume(self, trainer: FinetuneTrainer) -> int:
        """Go on from the newest checkpoint that can be read; the step reached, 0 without any.

        Pictures drawn after that step are taken away: they will be drawn again.
        """
        for state in self.states:
            try:
                trainer.load(state)
                break
            except InputError:  # damaged while it was copied, perhaps: the one before will do
                state.unlink(missing_ok=True)
        for picture in self.samples.glob("*.png"):
            if int(picture.name.partition("-")[0]) > trainer.step:
                picture.unlink(missing_ok=True)
        return trainer.step

    def add_samples(self, step: int, images: Sequence[Image.Image]) -> None:
        """Keep what was drawn at a step."""
        make_folder(self.samples)
        for i, image in enumerate(images):
            picture = image.convert("RGB")
            write_atomically(self.samples / f"{step:08d}-{i}.png", lambda file, p=picture: p.save(file, "PNG"))  # type: ignore[misc]

    def drawn(self) -> dict[int, list[Path]]:
        """Step -> its pictures, in the order of the prompts."""
        found: dict[int, list[Path]] = {}
        for path in sorted(self.samples.glob("*-*.png")):
            found.setdefault(int(path.name.partition("-")[0]), []).append(path)
        return found

    def remove(self) -> None:
        """Delete all of it; pictures and latents of people do not stay behind."""
        shutil.rmtree(self.folder, ignore_errors=True)


def is_given(data: Path, pictures: Path) -> bool:
    """Whether the app itself keeps these pictures, for a training alone."""
    return pictures.parent == Path(data) / HOME and pictures.name.startswith(GIVEN)


def remove_given(data: Path, pictures: Path) -> None:
    """Delete pictures that were handed over; a folder of the person's own stays."""
    if is_given(data, pictures):
        shutil.rmtree(pictures, ignore_errors=True)


def training_key(settings: FinetuneSettings, pictures: Sequence[TrainingPicture]) -> str:
    """A training is the same one if its settings and pictures are, with their words."""
    asked = settings.model_dump(mode="json", exclude={"samples", "sample_every", "save_every", "keep"})
    told = sorted((picture.sha256, picture.caption) for picture in pictures)
    return hashlib.sha256(json.dumps([asked, told], sort_keys=True).encode()).hexdigest()[:20]


def unfinished(data: Path) -> list[Unfinished]:
    """The trainings that were stopped and can go on, newest first."""
    found = []
    for path in sorted((Path(data) / HOME).glob(f"*/{PROGRESS}"), key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            told = json.loads(path.read_bytes())
            settings = finetune_settings(told["settings"])
            one = Unfinished(
                path.parent.name,
                str(told["title"]),
                str(told["folder"]),
                int(told["step"]),
                settings,
                str(told.get("person", "")),
            )
        except (OSError, ValueError, KeyError, TypeError, InputError):
            continue  # from another version: it can be begun anew, and is not offered
        if TrainingFiles(data, one.key).states:
            found.append(one)
    return found
