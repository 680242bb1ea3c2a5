"""Changing who is who: new people, faces given and taken, and the ages that follow."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import UTC, date, datetime

from sqlmodel import Session, col, select

from models.errors import InputError
from photos.library.names import name_key
from photos.library.tables import AgeSource, Belonging, Face, Person, Rejection, Source

from . import ages as age_rules
from .rows import rows, some

LONGEST_NAME = 80


def new_person(session: Session, name: str, born: date | None) -> Person:
    check_name(session, name)
    plain = " ".join(name.split())
    folder = secrets.token_hex(8)
    person = Person(name=plain, key=name_key(plain), folder=folder, born=possible(born), created=datetime.now(UTC))
    session.add(person)
    session.flush()
    return person


def find_or_new(session: Session, name: str, born: date | None) -> Person:
    known = session.exec(select(Person).where(Person.key == name_key(name))).first()
    if known is None:
        return new_person(session, name, born)
    known.born = possible(born) or known.born
    session.add(known)
    return known


def check_name(session: Session, name: str) -> None:
    key = name_key(name)
    if not key or len(name) > LONGEST_NAME or not key.isprintable():
        raise InputError(f"A name has 1 to {LONGEST_NAME} letters, not {name[:LONGEST_NAME]!r}.")
    taken = session.exec(select(Person).where(Person.key == key)).first()
    if taken is not None:
        raise InputError(f"There is already somebody named {taken.name}; choose another name, or merge them.")


def give(session: Session, face_ids: Iterable[int], person: Person) -> None:
    owners = {person.id}
    for face in some(session, face_ids):
        owners.add(face.person_id)
        rejection = session.get(Rejection, (face.id, person.id))
        if rejection is not None:
            session.delete(rejection)
        face.person_id, face.belonging, face.confidence = person.id, Belonging.CONFIRMED, 1.0
        face.cluster = None
        session.add(face)
    session.flush()
    for owner in owners - {None}:
        set_ages(session, session.get_one(Person, owner))


def nobody(face: Face) -> None:
    """Take a face from whoever had it; an age of that person means nothing any more."""
    face.person_id, face.belonging, face.confidence = None, Belonging.UNKNOWN, None
    if face.age_source is not AgeSource.TYPED:
        face.age, face.age_source = None, None


def set_ages(session: Session, person: Person) -> None:
    """Work out the ages in a person's photos anew; typed ones stay."""
    found = rows(session, col(Face.person_id) == person.id)
    paths: dict[int, str] = {}
    ids = select(Face.photo_id).where(Face.person_id == person.id)
    for source in session.exec(select(Source).where(col(Source.photo_id).in_(ids))).all():
        paths.setdefault(source.photo_id, source.path)
    known = [
        age_rules.Known(
            paths.get(face.photo_id, photo.name),
            photo.taken,
            face.age if face.age_source is AgeSource.TYPED else None,
            face.estimate,
        )
        for face, photo in found
    ]
    for (face, _), age in zip(found, age_rules.ages(known, person.born), strict=True):
        face.age, face.age_source = age.years, age.source
        rest = [reason for reason in face.reasons if " says " not in reason]
        face.reasons = rest + ([f"About its age, {age.conflict}"] if age.conflict else [])
        session.add(face)
    session.flush()


def possible(born: date | None) -> date | None:
    if born is not None and not date(1826, 1, 1) <= born <= date.today():
        raise InputError(f"A birth date lies between 1826 and today, not on {born}.")
    return born
