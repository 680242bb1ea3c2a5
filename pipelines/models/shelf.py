"""What models there are and how things stand with each; and which licences the person has accepted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from models import catalog
from models.catalog import ModelRecord
from models.errors import EveryageError, InputError
from photos.files import make_folder, write_atomically
from pipelines.models.hub import is_repository
from pipelines.models.names import ID, how_to_add, own_record, slug
from pipelines.models.stored import Entry, State, StoredFile, StoredModel

Models = list[StoredModel]  # in the class below, `list` is a method
LICENCES, DOWNLOADS, REPOSITORY = "licences.json", ".downloads", "repository.txt"


class Shelf:
    """The read side of `data / "models"`. Looks only; nothing is made until a licence is accepted."""

    def __init__(self, data: Path) -> None:
        self.folder = Path(data) / "models"

    def list(self) -> list[Entry]:
        """Every model of the catalog and every model of the person's own, with how things stand with it."""
        accepted = self._accepted()
        known = [self._entry(record, accepted) for record in catalog.records()]
        ids = {entry.id for entry in known}
        own = {path.name: self._own_record(path.name) for path in self._folders()}
        for place in self.folder.glob(f"{DOWNLOADS}/*/{REPOSITORY}"):  # unfinished ones of the person's own choice
            repository, id = place.read_text(encoding="utf-8"), place.parent.name
            if is_repository(repository):
                own.setdefault(id, catalog.hub_record(repository, id))
        return known + [self._entry(own[id], accepted) for id in sorted(own) if id not in ids]

    def get(self, id: str) -> Entry:
        """One model, by its id, or as OWNER/NAME of the Hugging Face Hub. Raises InputError if there is none."""
        if is_repository(id):
            return self._entry(self._record_or_hub(id), self._accepted())
        record = catalog.find_record(id)
        if record is None and (not ID.fullmatch(id) or not (self.folder / id).is_dir()):
            raise InputError(f"There is no model {id!r}; `python app.py models list` shows all.")
        return self._entry(record or self._own_record(id), self._accepted())

    def path(self, id: str) -> Path:
        """What a loader is given: the safetensors file, or the folder of a Diffusers pipeline.

        Raises InputError that says what to do where the model is not here, its licence was not accepted, or it is
        damaged.
        """
        entry = self.get(id)
        if entry.usable and entry.stored:
            return entry.stored.path
        if entry.state is State.NEEDS_LICENCE:
            raise InputError(
                f"The licence of {entry.record.title} has not been accepted; read and accept it on the Models page, "
                f"or with `python app.py models accept {id}`."
            )
        if entry.state is State.DAMAGED:
            raise InputError(f"{entry.record.title} is damaged ({entry.problem}); remove it and add it again.")
        raise InputError(f"{entry.record.title} is not here; {how_to_add(entry.record)}.")

    def ready(self, what: str | None = None) -> Models:
        """The models that can be used now, of this kind ("everyage-sam") or task ("aging"), or all."""
        models = [entry.stored for entry in self.list() if entry.usable and entry.stored]
        return [model for model in models if what is None or what in (model.kind, model.task)]

    def disk_used(self) -> int:
        """Bytes in the folder, unfinished downloads included."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def disk_free(self) -> int:
        """Bytes free where the folder is or will be."""
        there = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        return shutil.disk_usage(there).free

    def accept(self, id: str) -> Entry:
        """Write down that the person accepts this model's licence now. `id` may be OWNER/NAME of the Hub."""
        record = self._record_or_hub(id)
        known = self._accepted()
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        known[record.id] = {"licence": record.licence.id, "title": record.licence.title, "accepted": now}
        content = json.dumps(known, indent=2).encode()
        make_folder(self.folder)
        write_atomically(self.folder / LICENCES, lambda file: _write(file, content))
        return self._entry(record, known)

    def _accepted(self) -> dict[str, dict[str, str]]:
        try:
            known = json.loads((self.folder / LICENCES).read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            where = self.folder / LICENCES
            raise EveryageError(f"{where} can't be read ({error}); remove it and accept the licences anew.") from error
        return {id: entry for id, entry in known.items() if isinstance(entry, dict)} if isinstance(known, dict) else {}

    def _record_or_hub(self, id: str) -> ModelRecord:
        if is_repository(id):
            known = next((record for record in catalog.records() if record.source.where == id), None)
            return known or catalog.hub_record(id, slug(id))
        return self.get(id).record

    def _folders(self) -> tuple[Path, ...]:
        if not self.folder.is_dir():
            return ()
        return tuple(sorted(path for path in self.folder.iterdir() if path.is_dir() and ID.fullmatch(path.name)))

    def _entry(self, record: ModelRecord, accepted: dict[str, dict[str, str]]) -> Entry:
        if record.source.kind == "shipped":
            return _shipped(record)
        when = accepted.get(record.id, {}).get("accepted", "")
        waiting = self.folder / DOWNLOADS / record.id
        entry = Entry(record, State.ADDABLE, accepted=when, arrived=bytes_in(waiting) if waiting.is_dir() else 0)
        folder = self.folder / record.id
        if not folder.is_dir():
            return entry
        try:
            stored = StoredModel.read(folder)
        except EveryageError as error:
            return replace(entry, state=State.DAMAGED, problem=str(error))
        problem = stored.problem or stored.missing()
        if problem:
            return replace(entry, state=State.DAMAGED, stored=stored, problem=problem)
        allowed = when or not record.licence.ask
        return replace(entry, state=State.READY if allowed else State.NEEDS_LICENCE, stored=stored)

    def _own_record(self, id: str) -> ModelRecord:
        """A record for what the person added; one whose own record is damaged still has its name."""
        try:
            stored = StoredModel.read(self.folder / id)
        except EveryageError:
            return own_record(id, id)
        if "hub" in stored.origin:
            return catalog.hub_record(stored.origin["hub"], id)
        record = own_record(id, stored.title, stored.origin.get("file", ""))
        return replace(record, task=stored.task, kind=stored.kind, resolution=stored.resolution)


def _shipped(record: ModelRecord) -> Entry:
    path = catalog.embedded_path(record)
    files = tuple(StoredFile(file.name, file.bytes or 0, file.sha256 or "") for file in record.files)
    origin = {"file": record.source.where}
    stored = StoredModel(
        record.id, record.title, record.task, record.kind or "", record.licence.id, path, files, origin
    )
    return Entry(record, State.EMBEDDED, replace(stored, resolution=record.resolution))


def bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
