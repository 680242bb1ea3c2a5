"""Sorting faces by likeness: the whole collection, or the photos that were imported as one person's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sqlmodel import Session, col, select

from photos.library.names import find_person
from photos.library.tables import Belonging, Face, Meant, Person, Rejection

from . import grouping
from .giving import nobody, set_ages
from .rows import DOUBT, embedded

ASIDE = -1  # the cluster of faces about which nobody is to be asked
HOPELESS = 0.02  # confidence below which a face of a person's photo is not even suggested


def sort_all(session: Session, check: Callable[[], None]) -> None:
    """What was said about some faces decides about the rest; the others form groups."""
    faces, vectors = embedded(session)
    people = session.exec(select(Person).order_by(col(Person.id))).all()
    index = {person.id: place for place, person in enumerate(people)}
    labels = np.array(
        [index[f.person_id] if f.belonging is Belonging.CONFIRMED and f.person_id else -1 for f in faces], int
    )
    rejected = np.zeros((len(faces), len(people)), bool)
    place_of = {face.id: place for place, face in enumerate(faces)}
    for rejection in session.exec(select(Rejection)).all():
        if rejection.face_id in place_of:
            rejected[place_of[rejection.face_id], index[rejection.person_id]] = True
    photos = np.array([face.photo_id for face in faces], int)
    found = grouping.sort_faces(vectors, photos, labels, rejected, len(people))
    check()
    for face, person, confidence, label in zip(faces, found.person, found.confidence, labels, strict=True):
        if label >= 0:
            continue
        if person >= 0:
            face.person_id, face.belonging = people[person].id, Belonging.SUGGESTED
            face.confidence, face.cluster = float(confidence), None
        elif face.belonging is not Belonging.UNKNOWN:
            nobody(face)
    rest = [place for place, face in enumerate(faces) if face.person_id is None and face.cluster != ASIDE]
    names = grouping.clusters(vectors[rest], photos[rest])
    for place, name in zip(rest, names.tolist(), strict=True):
        faces[place].cluster = faces[rest[name]].id if name >= 0 else None
    session.add_all(faces)
    session.flush()
    for each in people:
        set_ages(session, each)


def sort_photos_of(session: Session, name: str) -> None:
    """Which face of each photo imported as this person's is theirs, and which photos show somebody else."""
    person = find_person(session, name)
    meant = select(Meant.photo_id).where(Meant.person_id == person.id)
    faces, vectors = embedded(session, col(Face.photo_id).in_(meant))
    refused = set(session.exec(select(Rejection.face_id).where(Rejection.person_id == person.id)).all())
    keep = [
        place for place, face in enumerate(faces) if face.id not in refused and (face.person_id in (None, person.id))
    ]
    faces, vectors = [faces[place] for place in keep], vectors[keep]
    photos = np.array([face.photo_id for face in faces], int)
    confidence = grouping.core(vectors, photos) if len(faces) > 2 else np.full(len(faces), DOUBT)
    best: dict[int, int] = {}
    for place in np.argsort(-confidence, kind="stable").tolist():
        best.setdefault(int(photos[place]), place)
    for place, face in enumerate(faces):
        if face.belonging is Belonging.CONFIRMED:
            continue
        if best[face.photo_id] != place or confidence[place] < HOPELESS:
            nobody(face)
            continue
        sure = confidence[place] >= DOUBT
        face.person_id, face.cluster = person.id, None
        face.belonging = Belonging.CONFIRMED if sure else Belonging.SUGGESTED
        face.confidence = float(confidence[place])
    session.add_all(faces)
    session.flush()
    set_ages(session, person)
