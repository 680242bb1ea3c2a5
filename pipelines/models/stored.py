"""What lies in the data folder: `data / "models" / ID` with the converted weights and a record of our own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from models.catalog import ModelRecord
from models.errors import EveryageError
from photos.files import write_atomically

RECORD = "record.json"
WEIGHTS = "model.safetensors"
PIPELINE, ADAPTER = "pipeline", "adapter"
FOLDERS = (PIPELINE, ADAPTER)


class State(StrEnum):
    """How things stand with a model."""

    EMBEDDED = "embedded"
    READY = "ready"
    ADDABLE = "can be added"
    NEEDS_LICENCE = "needs licence"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class StoredFile:
    """One file of a stored model; `name` with / between folders."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class StoredModel:
    """A model that is here.

    path: what a loader is given: the safetensors file, or the folder that Diffusers or peft opens.
    origin: where it came from: {"file" or "url" or "hub", "sha256"}. contained: what the source held.
    added, verified: dates as ISO text. problem: what is wrong with it, or "".
    """

    id: str
    title: str
    task: str
    kind: str
    licence: str
    path: Path
    files: tuple[StoredFile, ...]
    origin: dict[str, str]
    added: str = ""
    contained: tuple[str, ...] = ()
    resolution: int | None = None
    variant: str | None = None
    verified: str = ""
    problem: str = ""

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files)

    @property
    def base(self) -> Path:
        """The folder that the files' names start from."""
        return self.path if self.path.name in FOLDERS else self.path.parent

    def missing(self) -> str:
        """What a look at names and sizes finds wrong, or ""; the content is for `ModelStore.verify`."""
        for file in self.files:
            path = self.base / file.name
            if not path.is_file():
                return f"the file {file.name} is missing"
            if path.stat().st_size != file.bytes:
                return f"the file {file.name} has {path.stat().st_size:,} bytes instead of {file.bytes:,}"
        return ""

    def write(self, folder: Path) -> None:
        """Write the record into the model's folder."""
        data = asdict(self) | {"path": self.path.name}
        content = json.dumps(data, indent=2).encode()

        def fill(file: BinaryIO) -> None:
            file.write(content)

        write_atomically(folder / RECORD, fill)

    @classmethod
    def read(cls, folder: Path) -> StoredModel:
        """The record in this folder. Raises EveryageError if it is missing or damaged."""
        try:
            data: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            name = data.pop("path")
            if name not in (WEIGHTS, *FOLDERS) or data["id"] != folder.name:
                raise ValueError(f"it does not belong to {folder.name}")
            files = tuple(StoredFile(**file) for file in data.pop("files"))
            contained = tuple(data.pop("contained"))
            return cls(path=folder / name, files=files, contained=contained, **data)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise EveryageError(
                f"The record of the model {folder.name} is damaged ({error}); remove the model and add it again."
            ) from error

    def marked(self, problem: str, verified: str) -> StoredModel:
        """With the outcome of a check."""
        return replace(self, problem=problem, verified=verified)


@dataclass(frozen=True)
class Entry:
    """One row of the list: a model of the catalog or of the person's own, and how things stand with it.

    accepted: when the licence was accepted, as ISO text, or "". arrived: bytes of an unfinished download.
    problem: what is wrong, in words, or "".
    """

    record: ModelRecord
    state: State
    stored: StoredModel | None = None
    accepted: str = ""
    arrived: int = 0
    problem: str = ""

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def usable(self) -> bool:
        """Whether a pipeline may load it."""
        return self.state in (State.EMBEDDED, State.READY)

    @property
    def here(self) -> bool:
        """Whether it takes room in the data folder."""
        return self.stored is not None and self.state is not State.EMBEDDED

    @property
    def bytes(self) -> int | None:
        """Its size: of what is here, or else of what would be fetched, if that is known."""
        return self.stored.bytes if self.stored else self.record.bytes

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        record = self.record
        return {
            "id": record.id,
            "title": record.title,
            "task": record.task,
            "kind": self.stored.kind if self.stored else record.kind,
            "state": str(self.state),
            "bytes": self.bytes,
            "resolution": record.resolution,
            "memory_bytes": record.memory_bytes,
            "licence": {"title": record.licence.title, "use": record.licence.use, "url": record.licence.url},
            "licence_accepted": self.accepted or None,
            "source": {"kind": record.source.kind, "where": record.source.where, "page": record.source.page},
            "download": record.source.direct,
            "arrived_bytes": self.arrived,
            "path": str(self.stored.path) if self.stored and self.usable else None,
            "problem": self.problem or None,
        }
