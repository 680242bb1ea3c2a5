"""A person's model on disk, in the person's own folder of the collection, which goes when the person is forgotten.

`model/adapter.safetensors` (fp16, at most 23 MB), `model/generator.safetensors` if the generator learnt too,
`model/card.json`, written last and removed first: a model exists exactly if its card does.
`training/state.pt` and `training/progress.json` while training is unfinished; `previews/`.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from models.aging import save_adapter
from photos.files import make_folder, write_atomically
from pipelines.aging.personal import ADAPTER, CARD, GENERATOR, read_card

from .student import Student


@dataclass(frozen=True)
class PersonalModel:
    """What has been learnt of one person. path: the adapter's file; card: how it was made and how good it is."""

    person: str
    path: Path
    card: dict[str, Any]

    @property
    def ages(self) -> tuple[float, float]:
        """The youngest and oldest age of the photos that it was learnt from; beyond them it extrapolates."""
        low, high = self.card["ages"]
        return low, high


class PersonFolder:
    """The files of one person. `folder` is `data / "people" / TOKEN`."""

    def __init__(self, folder: Path):
        self.model, self.training, self.previews = (folder / name for name in ("model", "training", "previews"))

    @property
    def state(self) -> Path:
        return self.training / "state.pt"

    def read_card(self) -> dict[str, Any] | None:
        """The card of the finished model, or None."""
        return read_card(self.model)

    def read_progress(self) -> dict[str, Any] | None:
        """What is known of an unfinished training, or None."""
        return _read_json(self.training / "progress.json") if self.state.is_file() else None

    def write_progress(self, progress: dict[str, Any]) -> None:
        _write_json(make_folder(self.training) / "progress.json", progress)

    def end_training(self) -> None:
        """Remove what only an unfinished training needs."""
        shutil.rmtree(self.training, ignore_errors=True)

    def save(self, student: Student, card: dict[str, Any]) -> None:
        """Replace the model by what the student has learnt."""
        make_folder(self.model)
        (self.model / CARD).unlink(missing_ok=True)
        save_adapter(student.adapter, self.model / ADAPTER)
        if student.tunes_generator:
            tensors = {name: value.half().cpu().contiguous() for name, value in student.synthesis.state_dict().items()}
            write_atomically(self.model / GENERATOR, lambda file: file.write(save(tensors)))
        else:
            (self.model / GENERATOR).unlink(missing_ok=True)
        _write_json(self.model / CARD, card)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _write_json(path: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=1, sort_keys=True)
    write_atomically(path, lambda file: file.write(text.encode()))


def to_cpu(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies that further training does not change."""
    return {name: value.detach().cpu().clone() for name, value in tensors.items()}
