"""Reading the collection: photos as values for pages and lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, col, func, select

from models.errors import InputError
from photos.library.store import Store
from photos.library.tables import Face, Photo, Source
from photos.library.views import PhotoView

if TYPE_CHECKING:
    from photos.library.library import Library


def photos(
    session: Session, store: Store, hidden: bool, person: int | None, offset: int, limit: int | None
) -> list[PhotoView]:
    """See `Library.photos`."""
    wanted = _wanted(select(Photo), hidden, person)
    wanted = wanted.order_by(col(Photo.taken).is_(None), col(Photo.taken), col(Photo.id)).offset(offset)
    return views(session, store, session.exec(wanted.limit(limit) if limit is not None else wanted).all())


def photo(session: Session, store: Store, photo_id: int) -> PhotoView:
    """See `Library.photo`."""
    found = session.get(Photo, photo_id)
    if found is None:
        raise InputError(f"There is no photo number {photo_id} in the collection.")
    return views(session, store, [found])[0]


def count(session: Session, hidden: bool, person: int | None) -> int:
    """See `Library.count`."""
    return int(session.exec(_wanted(select(func.count(col(Photo.id))), hidden, person)).one())


def views(session: Session, store: Store, rows: Sequence[Photo]) -> list[PhotoView]:
    """Rows as values, in the same order."""
    found = []
    for start in range(0, len(rows), 500):  # SQLite takes a limited number of values in one question
        part = rows[start : start + 500]
        ids = [row.id for row in part]
        faces: dict[int, list[Face]] = {}
        for face in session.exec(select(Face).where(col(Face.photo_id).in_(ids)).order_by(col(Face.quality).desc())):
            faces.setdefault(face.photo_id, []).append(face)
        sources: dict[int, list[Source]] = {}
        for source in session.exec(select(Source).where(col(Source.photo_id).in_(ids)).order_by(col(Source.id))):
            sources.setdefault(source.photo_id, []).append(source)
        found += [_view(store, row, faces.get(row.id or 0, []), sources.get(row.id or 0, [])) for row in part]
    return found


def file_of(store: Store, row: Photo, sources: Sequence[Source]) -> Path | None:
    """A file of the photo that can be opened now: the original if it is there, else the own copy."""
    paths = [Path(source.path) for source in sources if not source.kept]
    return next((path for path in [*paths, store.kept(row.sha256, row.format)] if path.is_file()), None)


def missing(library: Library) -> list[str]:
    """Sentences on crops and own copies that are not where they should be."""
    with library.session(write=False) as session:
        crops = session.exec(select(Face.crop)).all()
        kept = session.exec(select(Photo).join(Source).where(col(Source.kept))).unique().all()
        lost = sum(not library.crop(name).is_file() for name in crops)
        gone = sum(not library.store.kept(row.sha256, row.format).is_file() for row in kept)
    found = [f"{lost} of {len(crops)} face pictures are missing; import their photos again."] if lost else []
    return found + ([f"{gone} own copies of photos are missing; import their archives again."] if gone else [])


def _wanted(query: Any, hidden: bool, person: int | None) -> Any:
    if not hidden:
        query = query.where(col(Photo.hidden).is_(False))
    if person is not None:
        query = query.where(col(Photo.id).in_(select(Face.photo_id).where(Face.person_id == person)))
    return query


def _view(store: Store, row: Photo, faces: Sequence[Face], sources: Sequence[Source]) -> PhotoView:
    assert row.id is not None
    return PhotoView(
        row.id,
        row.name,
        row.sha256,
        file_of(store, row, sources),
        row.taken,
        row.taken_source,
        row.width,
        row.height,
        row.bytes,
        row.hidden,
        len(faces),
        store.crops / faces[0].crop if faces else None,
        faces[0].quality if faces else None,
    )
