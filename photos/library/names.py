"""People's names as they are compared, and finding a person by one."""

from __future__ import annotations

import difflib
import unicodedata

from sqlmodel import Session, select

from models.errors import InputError
from photos.library.tables import Person


def name_key(name: str) -> str:
    """The name as it is compared: "Anna  Maria " and "anna maria" are one person."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def find_person(session: Session, name: str) -> Person:
    """The person of this name. Raises InputError that names the near ones, or everybody if there are few."""
    found = session.exec(select(Person).where(Person.key == name_key(name))).first()
    if found is not None:
        return found
    people = session.exec(select(Person)).all()
    near = difflib.get_close_matches(name_key(name), [person.key for person in people], n=3, cutoff=0.6)
    names = [person.name for person in people if person.key in near]
    if names:
        raise InputError(f"There is nobody named {name!r} in the collection; did you mean {' or '.join(names)}?")
    everybody = ", ".join(sorted(person.name for person in people)[:10])
    known = f"the names are {everybody}" if everybody else "nobody has a name yet"
    raise InputError(f"There is nobody named {name!r} in the collection; {known}.")
