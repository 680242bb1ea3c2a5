"""Consent to telling faces apart. Embeddings are biometric data: none is made without consent, and they go with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session, col, delete, select

from photos.library.tables import Consent, Embedding, Face, Meant, Person

COLLECTION_TEXT = (
    "Everyage may compute a numeric description (an embedding) of every face in this collection, to group the photos "
    "of each person. It stays on this machine, is used for nothing else, and is deleted when consent is withdrawn. "
    "The people shown agree, or I may decide for them."
)
PERSON_TEXT = (
    "Everyage may compute numeric descriptions (embeddings) of the faces in the photos of {name}, to tell {name} from "
    "others and to learn how {name} ages. They stay on this machine, are used for nothing else, and are deleted by "
    "withdrawing consent or forgetting {name}. {name} agrees, or I may decide for {name}."
)


def given(session: Session, person_id: int | None) -> Consent | None:
    """The consent in force for one person or, for None, for the whole collection. The two do not imply each other."""
    asked = Consent.person_id == person_id if person_id is not None else col(Consent.person_id).is_(None)
    latest = select(Consent).where(asked, col(Consent.withdrawn).is_(None)).order_by(col(Consent.id).desc())
    return session.exec(latest).first()


def may_embed(session: Session, person_id: int | None = None) -> bool:
    """Whether embeddings may be made: for the whole collection, or for this person's photos."""
    whole = given(session, None) is not None
    return whole or (person_id is not None and given(session, person_id) is not None)


def give(session: Session, person: Person | None, text: str | None = None) -> Consent:
    """Record a consent with the text that was shown; one in force already stays."""
    person_id = person.id if person else None
    existing = given(session, person_id)
    if existing is not None:
        return existing
    shown = text or (PERSON_TEXT.format(name=person.name) if person else COLLECTION_TEXT)
    consent = Consent(person_id=person_id, text=shown, given=datetime.now(UTC))
    session.add(consent)
    session.flush()
    return consent


def withdraw(session: Session, person: Person | None) -> int:
    """Take a consent back and delete the embeddings that no other consent covers; returns how many."""
    consent = given(session, person.id if person else None)
    if consent is not None:
        consent.withdrawn = datetime.now(UTC)
        session.add(consent)
        session.flush()
    return drop_uncovered(session)


def covered(session: Session) -> Any:
    """The ids of the faces that may have an embedding: all, or those of people with consent and in their photos."""
    faces = select(Face.id)
    if given(session, None) is not None:
        return faces
    people = select(Consent.person_id).where(col(Consent.person_id).is_not(None), col(Consent.withdrawn).is_(None))
    meant = select(Meant.photo_id).where(col(Meant.person_id).in_(people))
    return faces.where(col(Face.person_id).in_(people) | col(Face.photo_id).in_(meant))


def drop_uncovered(session: Session) -> int:
    """Delete the embeddings that no consent covers; returns how many."""
    allowed = covered(session)
    return session.exec(delete(Embedding).where(col(Embedding.face_id).not_in(allowed))).rowcount
