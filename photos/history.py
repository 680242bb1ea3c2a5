"""The results that a person made, newest first, as plain files in the data folder.

Each result is `ID.png` (with its recipe inside), `ID.thumb.jpg` and `ID.json`. The JSON file is written last and
removed first: a result exists exactly if its JSON file does.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from models.errors import InputError
from photos.files import make_folder, write_file
from photos.results import save_image

ENTRY_ID = re.compile(r"\d{8}T\d{12}-[0-9a-f]{10}")
THUMBNAIL_SIDE = 256
ABANDONED_AFTER_S = 3600


@dataclass(frozen=True)
class HistoryEntry:
    """One result: `image` and `thumbnail` are files; `created` is in UTC."""

    id: str
    created: datetime
    recipe: dict[str, Any]
    image: Path
    thumbnail: Path


class History:
    """The results under `data / "history"`, or another folder. Several processes may use one folder at a time."""

    def __init__(self, data: Path, name: str = "history") -> None:
        """name: of the folder in `data`. Raises EveryageError if it can't be made."""
        self.folder = make_folder(Path(data) / name)
        self._sweep()

    def add(
        self,
        recipe: dict[str, Any],
        image: Image.Image,
        thumbnail: Image.Image | None = None,
        icc: bytes | None = None,
        parameters: str | None = None,
    ) -> HistoryEntry:
        """Keep a result; without a thumbnail one is made, at most 256 pixels wide and high. See `save_image`."""
        created = datetime.now(UTC)
        made_by = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode() + image.tobytes()).hexdigest()[:10]
        entry = self._entry(f"{created:%Y%m%dT%H%M%S%f}-{made_by}", created, recipe)
        small = (thumbnail or image).copy()
        small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        sidecar = json.dumps({"created": created.isoformat(), "recipe": recipe}, indent=1).encode()
        try:
            save_image(image, entry.image, recipe, icc, parameters)
            save_image(small, entry.thumbnail, {})
            write_file(self._sidecar(entry.id), sidecar)
        except BaseException:
            self._delete(entry.id)
            raise
        return entry

    def list(self, limit: int = 100) -> Sequence[HistoryEntry]:
        """The newest results, at most `limit`. Damaged ones are left out."""
        found: list[HistoryEntry] = []
        for path in sorted(self.folder.glob("*.json"), reverse=True):
            if len(found) >= limit:
                break
            entry = self._read(path)
            if entry is not None:
                found.append(entry)
        return found

    def get(self, entry_id: str) -> HistoryEntry:
        """The result of this id. Raises InputError if there is none."""
        entry = self._read(self._sidecar(entry_id)) if ENTRY_ID.fullmatch(entry_id) else None
        if entry is None:
            raise InputError(f"There is no result {entry_id!r} in the history.")
        return entry

    def remove(self, entry_id: str) -> None:
        """Delete a result and its files. Raises InputError if there is none of this id."""
        self._delete(self.get(entry_id).id)

    def _entry(self, entry_id: str, created: datetime, recipe: dict[str, Any]) -> HistoryEntry:
        image, thumbnail = self.folder / f"{entry_id}.png", self.folder / f"{entry_id}.thumb.jpg"
        return HistoryEntry(entry_id, created, recipe, image, thumbnail)

    def _sidecar(self, entry_id: str) -> Path:
        return self.folder / f"{entry_id}.json"

    def _read(self, path: Path) -> HistoryEntry | None:
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            created, recipe = datetime.fromisoformat(stored["created"]), stored["recipe"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not ENTRY_ID.fullmatch(path.stem) or not isinstance(recipe, dict):
            return None
        entry = self._entry(path.stem, created, recipe)
        return entry if entry.image.is_file() and entry.thumbnail.is_file() else None

    def _delete(self, entry_id: str) -> None:
        for suffix in (".json", ".png", ".thumb.jpg"):
            (self.folder / f"{entry_id}{suffix}").unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what a killed process left: pictures without a JSON file, once no writer can still be at them."""
        for path in self.folder.iterdir():
            entry_id = path.name.split(".")[0]
            try:
                young = time.time() - path.stat().st_mtime < ABANDONED_AFTER_S
                if not young and (not entry_id or not self._sidecar(entry_id).exists()):
                    path.unlink()
            except OSError:
                continue  # another process was quicker
