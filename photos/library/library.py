"""The photo collection as others see it: one object over the database, the crops and the app's own copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlmodel import Session, col, func, select

from photos.library import consent, forgetting, likeness, looking
from photos.library.database import Database
from photos.library.names import find_person
from photos.library.store import Store
from photos.library.tables import Consent, Decision, Import, Refusal
from photos.library.views import Forgotten, ImportStep, LikenessView, PhotoView

if TYPE_CHECKING:
    from photos.library.reading import FaceNets


def never() -> None:
    """The check of work that nobody cancels."""


class Library:
    """The collection under `data / "people"`. Threads and processes may share one folder.

    warnings: sentences about a damaged database that was put right at the start.
    """

    def __init__(self, data: Path) -> None:
        """Open or make the collection. Raises EveryageError if it can't be opened, InputError if it is too new."""
        self.data = Path(data)
        self.folder = self.data / "people"
        self.database = Database(self.folder)
        self.store = Store(self.folder)
        self.warnings: tuple[str, ...] = tuple(self.database.warnings)
        forgetting.resume(self)

    def session(self, write: bool = True) -> AbstractContextManager[Session]:
        """One transaction, see `Database.session`: committed at the end, rolled back by an error; do not nest."""
        return self.database.session(write)

    def import_photos(
        self,
        sources: Sequence[Path],
        nets: FaceNets,
        *,
        person: str | None = None,
        keep: bool = False,
        check: Callable[[], None] = never,
    ) -> Iterator[ImportStep]:
        """Import files, folders (with all below) and zip archives; originals are never changed.

        person: the photos are meant to show this person: each face that is alone in its photo is suggested to be
        theirs. keep: copy loose files, too, since they will not stay where they are (uploads).
        A file whose bytes are known is not imported again; one that can't be used is recorded with a reason, and the
        rest goes on. May be cut off at any moment: what was imported stays, and the same call takes up the rest.
        The last step carries an ImportReport. Raises InputError for a source that does not exist or a person who is
        not in the collection; what `check` raises ends the import.
        """
        from photos.library import importing  # here, since it brings torch along

        return importing.import_photos(self, sources, nets, person, keep, check)

    def embed(self, nets: FaceNets, person: str | None = None, check: Callable[[], None] = never) -> Iterator[int]:
        """Make the embeddings that consent allows and that are missing; yields how many faces are left, down to 0."""
        from photos.library import embedding

        return embedding.embed(self, nets, person, check)

    def photos(
        self, *, hidden: bool = False, person: int | None = None, offset: int = 0, limit: int | None = None
    ) -> list[PhotoView]:
        """Photos by the date they were taken (unknown ones last). hidden: those put aside as duplicates, too."""
        with self.session(write=False) as session:
            return looking.photos(session, self.store, hidden, person, offset, limit)

    def photo(self, photo_id: int) -> PhotoView:
        """One photo. Raises InputError if there is none of this number."""
        with self.session(write=False) as session:
            return looking.photo(session, self.store, photo_id)

    def count(self, *, hidden: bool = False, person: int | None = None) -> int:
        """How many photos `photos` has."""
        with self.session(write=False) as session:
            return looking.count(session, hidden, person)

    def crop(self, name: str) -> Path:
        """The file of a face's crop, by `Face.crop`."""
        return self.store.crops / name

    def problems(self, import_id: int | None = None) -> list[Refusal]:
        """The files that an import (the last one by default) refused."""
        with self.session(write=False) as session:
            wanted = import_id or session.exec(select(func.max(Import.id))).one()
            found = select(Refusal).where(Refusal.import_id == wanted).order_by(col(Refusal.id))
            return list(session.exec(found).all())

    def find_likenesses(self, check: Callable[[], None] = never) -> int:
        """Look for photos that look alike; returns how many pairs are new. Decisions stay."""
        return likeness.find(self, check)

    def likenesses(self, open_only: bool = True) -> list[LikenessView]:
        """Pairs of photos that look alike, those to be decided first; the better photo of each first."""
        return likeness.listed(self, open_only)

    def decide(self, likeness_id: int, decision: Decision) -> None:
        """Say what is to be done with a pair; the photo that is not kept is hidden, never deleted. Can be changed."""
        likeness.decide(self, likeness_id, decision)

    def consent(self, name: str | None = None) -> Consent | None:
        """The consent in force: a person's or, without a name, the whole collection's; None if there is none."""
        with self.session(write=False) as session:
            return consent.given(session, find_person(session, name).id if name else None)

    def give_consent(self, name: str | None = None, text: str | None = None) -> Consent:
        """Record consent with the text that was shown (by default consent.PERSON_TEXT or COLLECTION_TEXT)."""
        with self.session() as session:
            return consent.give(session, find_person(session, name) if name else None, text)

    def withdraw_consent(self, name: str | None = None) -> int:
        """Take consent back; returns how many embeddings were deleted, without a trace on the disk."""
        with self.session() as session:
            gone = consent.withdraw(session, find_person(session, name) if name else None)
        self.database.scrub()
        return gone

    def forget(self, name: str) -> Forgotten:
        """Remove everything about a person, and say what was removed and what could not be reached.

        Raises InputError if there is nobody of this name, EveryageError while an import is running.
        """
        return forgetting.forget(self, name)

    def check(self) -> list[str]:
        """What is wrong with the collection: the database's integrity, missing crops and copies. Empty is good."""
        return self.database.check(thorough=True) + looking.missing(self)
