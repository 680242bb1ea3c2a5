"""The tables of the photo collection, in `data / "people" / "collection.sqlite"`.

A photo is known by the SHA-256 of its file, wherever it lies; a face belongs to a photo, and to a person once somebody
or something said so. Embeddings are biometric data and have a table of their own, so that they can go alone.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import JSON, Column, DateTime, ForeignKey, Integer, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel


class Belonging(StrEnum):
    """How sure it is that a face is its person's."""

    UNKNOWN = "unknown"
    SUGGESTED = "suggested"
    CONFIRMED = "confirmed"


class AgeSource(StrEnum):
    """Where a face's age comes from; the surest first."""

    TYPED = "typed"
    BIRTH_DATE = "birth date"
    FILE_NAME = "file name"
    FOLDER = "folder"
    ESTIMATED = "estimated"


class Use(StrEnum):
    """Whether a face may train the person's model: as the app chooses, or as the person said."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Decision(StrEnum):
    """What the person said about two photos that look alike."""

    OPEN = "open"
    KEEP_BOTH = "keep both"
    KEEP_FIRST = "keep first"
    KEEP_SECOND = "keep second"


def _belongs_to(table: str, primary_key: bool = False, nullable: bool = False, empties: bool = False) -> Column[int]:
    """A column that goes with the row it points to; one that `empties` stays, and is emptied instead."""
    reference = ForeignKey(f"{table}.id", ondelete="SET NULL" if empties else "CASCADE")
    return Column(Integer, reference, primary_key=primary_key, nullable=nullable or empties, index=not primary_key)


class Photo(SQLModel, table=True):
    """A stored file. taken: in the camera's own time; phash: 64 bits, hexadecimal; hidden: a duplicate put aside."""

    id: int | None = Field(default=None, primary_key=True)
    sha256: str = Field(unique=True, index=True)
    name: str
    format: str
    bytes: int
    width: int
    height: int
    taken: datetime | None = Field(default=None, sa_column=Column(DateTime))
    taken_source: str | None = None  # "exif", "file name"
    phash: str
    hidden: bool = False
    imported: datetime


class Source(SQLModel, table=True):
    """A place where a photo was found.

    path: of the file, "ARCHIVE.zip!member", or "upload!SHA256/folder/name" of a file that was handed over.
    kept: what was found there is no longer there, or never was a file: the app keeps its own copy.
    stamp: size and time (of an archive's member: size and checksum), by which an unchanged file is known unread.
    """

    id: int | None = Field(default=None, primary_key=True)
    photo_id: int = Field(sa_column=_belongs_to("photo"))
    path: str = Field(unique=True)
    stamp: str
    kept: bool = False


class Import(SQLModel, table=True):
    """One import: what was asked for and what came of it. finished: None while it runs, or when it was cut off.

    known: files that the collection had already; ignored: files that are no photos by their names.
    """

    id: int | None = Field(default=None, primary_key=True)
    person_id: int | None = Field(default=None, sa_column=_belongs_to("person", empties=True))
    asked: list[str] = Field(sa_column=Column(JSON, nullable=False))
    started: datetime
    finished: datetime | None = None
    added: int = 0
    known: int = 0
    refused: int = 0
    ignored: int = 0


class Refusal(SQLModel, table=True):
    """A file that could not be imported, and why."""

    id: int | None = Field(default=None, primary_key=True)
    import_id: int = Field(sa_column=_belongs_to("import"))
    path: str
    reason: str


class Person(SQLModel, table=True):
    """A named group of faces. Everything under `data / "people" / folder` is theirs and goes with them."""

    id: int | None = Field(default=None, primary_key=True)
    name: str
    key: str = Field(unique=True)  # the name as it is compared: casefolded, spaces collapsed
    folder: str = Field(unique=True)
    born: date | None = None
    created: datetime


class Consent(SQLModel, table=True):
    """That faces may be told apart, given for one person or, without a person, for the whole collection.

    It goes with its person: an emptied `person_id` would turn it into a consent for everybody.
    """

    id: int | None = Field(default=None, primary_key=True)
    person_id: int | None = Field(default=None, sa_column=_belongs_to("person", nullable=True))
    text: str
    given: datetime
    withdrawn: datetime | None = None


class Meant(SQLModel, table=True):
    """A photo that was imported as one of this person's, whichever of its faces that is, if any."""

    photo_id: int = Field(sa_column=_belongs_to("photo", primary_key=True))
    person_id: int = Field(sa_column=_belongs_to("person", primary_key=True))


class Face(SQLModel, table=True):
    """One face of a photo, in pixels of the upright photo.

    points: five landmarks as ten numbers; crop: name of the FFHQ-aligned file in `data / "people" / "crops"`;
    estimate: what the age network reads, years; sharpness, exposure, turn, inside, eyes: see `photos.library.quality`;
    quality: 0 (useless) to 1; reasons: what is wrong with it, in sentences.
    age: years at the time of the photo; early_loss: how hard the face was to learn while its model was trained;
    cluster: of nobody's faces, the lowest id of those that look like one person, or -1 where nobody is to be asked.
    """

    id: int | None = Field(default=None, primary_key=True)
    photo_id: int = Field(sa_column=_belongs_to("photo"))
    box: list[float] = Field(sa_column=Column(JSON, nullable=False))
    points: list[float] = Field(sa_column=Column(JSON, nullable=False))
    score: float
    crop: str
    estimate: float
    gender: str
    sharpness: float
    exposure: float
    turn: float
    inside: float
    eyes: float
    quality: float
    reasons: list[str] = Field(sa_column=Column(JSON, nullable=False))
    person_id: int | None = Field(default=None, sa_column=_belongs_to("person", empties=True))
    belonging: Belonging = Belonging.UNKNOWN
    confidence: float | None = None
    age: float | None = None
    age_source: AgeSource | None = None
    use: Use = Use.AUTO
    early_loss: float | None = None
    cluster: int | None = None


class Embedding(SQLModel, table=True):
    """SFace's unit vector of a face: 128 numbers, float32, little-endian."""

    face_id: int = Field(sa_column=_belongs_to("face", primary_key=True))
    vector: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class Rejection(SQLModel, table=True):
    """This face is not this person's: somebody said so."""

    face_id: int = Field(sa_column=_belongs_to("face", primary_key=True))
    person_id: int = Field(sa_column=_belongs_to("person", primary_key=True))


class Likeness(SQLModel, table=True):
    """Two photos that look alike. first is the better one; distance: bits of `phash`; cosine: of their faces."""

    __table_args__ = (UniqueConstraint("first_id", "second_id"),)

    id: int | None = Field(default=None, primary_key=True)
    first_id: int = Field(sa_column=_belongs_to("photo"))
    second_id: int = Field(sa_column=_belongs_to("photo"))
    distance: int
    cosine: float | None = None
    decision: Decision = Decision.OPEN
