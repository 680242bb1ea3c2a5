"""A finished adapter as a folder: peft's two files, a card that says how it was made, and the strip of samples."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from models.errors import InputError
from photos.files import check_output, make_folder, write_atomically
from photos.results import save_image
from pipelines.finetune.methods import METHODS
from pipelines.finetune.settings import FinetuneSettings
from pipelines.models.adapters import CARD, CONFIG, WEIGHTS

STRIP = "samples.webp"
CAPTIONS = 5
"""Of the pictures' captions that a card names, as examples of prompts."""


def check_folder(out: Path) -> None:
    """Raises InputError if an adapter can't be written there: a file of that name, or a folder of something else."""
    if out.is_file():
        raise InputError(f"--out {out} is a file; give the name of a folder.")
    if out.is_dir() and any(out.iterdir()) and not (out / CONFIG).is_file():
        raise InputError(f"The folder {out} holds something else; give a new or an empty one.")
    check_output(out / CONFIG) if out.is_dir() else check_output(out)


def write_folder(out: Path, files: Mapping[str, bytes], card: dict[str, Any], strip: Image.Image | None) -> Path:
    """Write all of it; the settings come last, so that a folder with them is whole."""
    make_folder(out)
    for name in (CONFIG, CARD, STRIP):
        (out / name).unlink(missing_ok=True)
    if strip is not None:
        save_image(strip, out / STRIP, {"kind": "samples", "title": card["title"]})
    contents = {**files, CARD: json.dumps(card, indent=1, sort_keys=True).encode()}
    for name in (WEIGHTS, CARD, CONFIG):
        content = contents[name]
        write_atomically(out / name, lambda file, c=content: file.write(c))  # type: ignore[misc]
    return out


def read_card(out: Path) -> dict[str, Any]:
    """What the card of an adapter in this folder says; nothing where there is none, or none that can be read."""
    try:
        card = json.loads((out / CARD).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return card if isinstance(card, dict) else {}


def remove_folder(out: Path) -> None:
    """Delete what `write_folder` wrote."""
    shutil.rmtree(out, ignore_errors=True)


def make_card(title: str, settings: FinetuneSettings, facts: dict[str, Any]) -> dict[str, Any]:
    """How an adapter was made; without the folder's path and the files' names, which may tell of people."""
    return {
        "title": title,
        "method": METHODS[settings.method].title,
        "base": settings.model,
        "settings": settings.model_dump(mode="json"),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "licence": "Yours; the licence of the base model holds, too.",
    } | facts
