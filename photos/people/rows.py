"""Reading faces and people out of the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from sqlmodel import Session, col, select

from models.errors import InputError
from photos.library import Library
from photos.library.consent import given
from photos.library.tables import AgeSource, Belonging, Embedding, Face, Person, Photo

from .views import FaceView, PersonView, TrainingPhoto

DOUBT = 0.8  # confidence below which a suggested face should be looked at
WIDTH = 128  # of an embedding
AT_ONCE = 500  # SQLite takes a limited number of values in one query


def person_view(session: Session, library: Library, person: Person) -> PersonView:
    """A person with counts of their faces."""
    faces = session.exec(select(Face).where(Face.person_id == person.id)).all()
    known = [face.age for face in faces if face.age is not None]
    best = max(faces, key=lambda face: (face.belonging is Belonging.CONFIRMED, face.quality), default=None)
    consent = given(session, person.id)
    return PersonView(
        person.id or 0,
        person.name,
        person.folder,
        person.born,
        len(faces),
        sum(face.belonging is Belonging.CONFIRMED for face in faces),
        sum(face.belonging is not Belonging.CONFIRMED and (face.confidence or 0) < DOUBT for face in faces),
        (min(known), max(known)) if known else None,
        library.crop(best.crop) if best else None,
        consent.given if consent else None,
    )


def rows(session: Session, *conditions: Any) -> list[tuple[Face, Photo]]:
    """Faces with their photos, by the faces' ids."""
    query = select(Face, Photo).join(Photo, col(Photo.id) == Face.photo_id).where(*conditions)
    return [(face, photo) for face, photo in session.exec(query.order_by(col(Face.id))).all()]


def face_view(library: Library, face: Face, photo: Photo) -> FaceView:
    """A face as others see it."""
    return FaceView(
        face.id or 0,
        face.photo_id,
        photo.name,
        library.crop(face.crop),
        face.age,
        face.age_source,
        face.belonging,
        face.confidence,
        face.quality,
        tuple(face.reasons),
        photo.taken,
        face.use,
    )


def training_photo(library: Library, face: Face, photo: Photo) -> TrainingPhoto:
    """A face as training needs it."""
    from photos.library.reading import points_in_crop  # here, since it brings torch along

    age, source = face.age or 0.0, face.age_source or AgeSource.ESTIMATED

    points = points_in_crop(face.points)
    return TrainingPhoto(face.id or 0, photo.sha256, library.crop(face.crop), points, age, source, face.quality)


def some(session: Session, face_ids: Iterable[int]) -> list[Face]:
    """These faces. Raises InputError if one is not there."""
    wanted = list(face_ids)
    found: list[Face] = []
    for start in range(0, len(wanted), AT_ONCE):
        found += session.exec(select(Face).where(col(Face.id).in_(wanted[start : start + AT_ONCE]))).all()
    if len(found) < len(set(wanted)):
        raise InputError("Some of these faces are not there any more; look at the page again.")
    return found


def embedded(session: Session, *conditions: Any) -> tuple[list[Face], np.ndarray]:
    """The faces that have an embedding, and those (N, 128)."""
    query = select(Face, Embedding.vector).join(Embedding, col(Embedding.face_id) == Face.id).where(*conditions)
    rows = session.exec(query.order_by(col(Face.id))).all()
    vectors = np.frombuffer(b"".join(vector for _, vector in rows), np.float32).reshape(len(rows), WIDTH)
    return [face for face, _ in rows], vectors


def vectors_of(session: Session, faces: list[Face]) -> np.ndarray | None:
    """The embeddings (N, 128) of these faces, or None unless all have one."""
    found: dict[int, bytes] = {}
    ids = [face.id for face in faces]
    for start in range(0, len(ids), AT_ONCE):
        some = select(Embedding).where(col(Embedding.face_id).in_(ids[start : start + AT_ONCE]))
        found |= {each.face_id: each.vector for each in session.exec(some).all()}
    if not ids or any(id not in found for id in ids):
        return None
    return np.frombuffer(b"".join(found[id or 0] for id in ids), np.float32).reshape(len(ids), -1)
