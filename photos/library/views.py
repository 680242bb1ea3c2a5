"""What the library tells others about its photos: plain values, detached from the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from photos.library.tables import Decision


@dataclass(frozen=True)
class PhotoView:
    """A photo of the collection.

    path: a file that can be opened now (the original or the app's own copy), or None if the original moved away.
    crop: the best face's picture, or None; faces: how many there are; quality: the best face's, 0 to 1.
    """

    id: int
    name: str
    sha256: str
    path: Path | None
    taken: datetime | None
    taken_source: str | None
    width: int
    height: int
    bytes: int
    hidden: bool
    faces: int
    crop: Path | None
    quality: float | None


@dataclass(frozen=True)
class LikenessView:
    """Two photos that look alike, the better one first. distance: of 64 bits; cosine: of their faces, or None."""

    id: int
    first: PhotoView
    second: PhotoView
    distance: int
    cosine: float | None
    decision: Decision


@dataclass(frozen=True)
class Refused:
    """A file that could not be imported, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    added: new photos; known: files that the collection had already; refused: files that can't be used, with reasons
    (the first hundred; `Library.problems` has all); ignored: files that are no photos by their names.
    faces: in the new photos; faceless: new photos without a face.
    """

    import_id: int
    added: int = 0
    known: int = 0
    refused: int = 0
    ignored: int = 0
    faces: int = 0
    faceless: int = 0
    seconds: float = 0.0
    problems: tuple[Refused, ...] = ()

    def sentence(self) -> str:
        """The report for a person."""
        parts = [f"{_count(self.added, 'new photo')} with {_count(self.faces, 'face')}"]
        parts += [f"{_count(self.known, 'file')} known already"] if self.known else []
        parts += [f"{self.faceless} without a face"] if self.faceless else []
        parts += [f"{_count(self.refused, 'file')} refused"] if self.refused else []
        parts += [f"{_count(self.ignored, 'other file')} left alone"] if self.ignored else []
        return ", ".join(parts) + "."


@dataclass(frozen=True)
class ImportStep:
    """Progress of an import; the last step carries the report. total 0: not known yet."""

    done: int
    total: int
    message: str
    value: ImportReport | None = None


@dataclass(frozen=True)
class Forgotten:
    """What `forget` removed, in numbers by kind ("photos", "crops", ...), and sentences on what it could not reach."""

    name: str
    removed: dict[str, int] = field(default_factory=dict)
    kept: tuple[str, ...] = ()

    def sentence(self) -> str:
        """The report for a person."""
        found = [f"{number} {kind}" for kind, number in self.removed.items() if number]
        return f"Removed of {self.name}: {', '.join(found) or 'nothing but the name'}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
