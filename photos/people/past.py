"""Taking an action back: what it changed, as it was before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import Session, col, select, update

from photos.library.forgetting import era
from photos.library.tables import Consent, Face, Meant, Person, Rejection

CHANGED = ("person_id", "belonging", "confidence", "age", "age_source", "use", "cluster", "reasons")


@dataclass(frozen=True)
class Before:
    """What an action changed, as it was."""

    what: str
    era: int
    faces: dict[int, tuple[Any, ...]]
    people: list[dict[str, Any]]
    rejections: set[tuple[int, int]]
    meant: set[tuple[int, int]]
    consents: dict[int, int | None]


def remember(session: Session, what: str) -> Before:
    """Everything that an action may change."""
    return Before(
        what,
        era(session),
        states(session),
        [person.model_dump() for person in session.exec(select(Person)).all()],
        {(each.face_id, each.person_id) for each in session.exec(select(Rejection)).all()},
        {(each.photo_id, each.person_id) for each in session.exec(select(Meant)).all()},
        {each.id or 0: each.person_id for each in session.exec(select(Consent)).all()},
    )


def only_changes(session: Session, before: Before) -> Before:
    """Without the faces that are as they were, to keep little."""
    now = states(session)
    changed = {id: state for id, state in before.faces.items() if id in now and now[id] != state}
    return replace(before, faces=changed)


def restore(session: Session, before: Before) -> bool:
    """Make everything as it was; False if that can't be done any more."""
    if before.era != era(session):  # somebody was forgotten since, and must not come back
        return False
    known = {person.id: person for person in session.exec(select(Person)).all()}
    wanted = {values["id"]: values for values in before.people}
    for id, person in known.items():
        if id not in wanted:
            session.delete(person)
    session.flush()
    for id, values in wanted.items():
        session.merge(Person(**values)) if id in known else session.add(Person(**values))
    session.flush()
    for id, kept in before.faces.items():
        values = dict(zip(CHANGED, kept, strict=True))
        session.exec(update(Face).where(col(Face.id) == id).values(**values))
    restore_pairs(session, Rejection, before.rejections, ("face_id", "person_id"))
    restore_pairs(session, Meant, before.meant, ("photo_id", "person_id"))
    for id, owner in before.consents.items():
        session.exec(update(Consent).where(col(Consent.id) == id).values(person_id=owner))
    return True


def states(session: Session) -> dict[int, tuple[Any, ...]]:
    """What actions may change of each face."""
    columns = [getattr(Face, name) for name in CHANGED]
    return {row[0]: tuple(row[1:]) for row in session.exec(select(Face.id, *columns)).all()}


def restore_pairs(session: Session, table: Any, pairs: set[tuple[int, int]], names: tuple[str, str]) -> None:
    """The rows of a table of pairs as they were."""
    for row in session.exec(select(table)).all():
        if tuple(getattr(row, name) for name in names) not in pairs:
            session.delete(row)
    session.flush()
    for pair in pairs:
        session.merge(table(**dict(zip(names, pair, strict=True))))
