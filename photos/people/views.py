"""What `People` tells others: plain values, detached from the database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from photos.library.tables import AgeSource, Belonging, Use


@dataclass(frozen=True)
class PersonView:
    """A person. folder: the token of their folder; ages: the youngest and oldest known; cover: a crop to show.

    faces: all that are theirs, of which `confirmed` are sure and `doubtful` should be looked at.
    """

    id: int
    name: str
    folder: str
    born: date | None
    faces: int
    confirmed: int
    doubtful: int
    ages: tuple[float, float] | None
    cover: Path | None
    consent: datetime | None


@dataclass(frozen=True)
class FaceView:
    """A face of a photo (its name and id). training: whether it would train the person's model as things stand."""

    id: int
    photo_id: int
    photo: str
    crop: Path
    age: float | None
    age_source: AgeSource | None
    belonging: Belonging
    confidence: float | None
    quality: float
    reasons: tuple[str, ...]
    taken: datetime | None
    use: Use
    training: bool = False


@dataclass(frozen=True)
class Group:
    """Faces of nobody yet that look like one person."""

    id: str
    size: int
    cover: Path


@dataclass(frozen=True)
class Question:
    """Something that only a person can know. kind: "age", or "identity" for whether it is the person at all."""

    kind: Literal["age", "identity"]
    face: FaceView
    text: str


@dataclass(frozen=True)
class Year:
    """The photos of one year of age: how many, their mean quality, how many ages are estimates."""

    age: int
    count: int
    quality: float
    estimated: int


@dataclass(frozen=True)
class Timeline:
    """Which ages the photos cover. gaps: spans of years without photos; sentences: where more would help."""

    years: tuple[Year, ...]
    covered: tuple[float, float] | None
    gaps: tuple[tuple[float, float], ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """The faces that train. flagged: those left out for a reason that the person should see."""

    chosen: tuple[FaceView, ...]
    flagged: tuple[FaceView, ...]


@dataclass(frozen=True)
class TrainingPhoto:
    """What training needs of a face. points: (5, 2) float32, landmarks in pixels of the 512 px crop."""

    face_id: int
    sha256: str
    crop: Path
    points: np.ndarray = field(compare=False)
    age: float
    age_source: AgeSource
    quality: float
