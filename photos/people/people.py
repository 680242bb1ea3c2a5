"""The people of the collection: who is who, how old in which photo, and which photos train."""

from __future__ import annotations

import builtins
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from sqlmodel import Session, col, delete, func, select, update

from models.errors import InputError
from photos.library import Library
from photos.library.consent import given
from photos.library.names import find_person, name_key
from photos.library.reading import points_in_crop
from photos.library.tables import (
    AgeSource,
    Belonging,
    Consent,
    Embedding,
    Face,
    Meant,
    Person,
    Photo,
    Rejection,
    Source,
    Use,
)

from . import ages as age_rules
from . import grouping, selection
from .timeline import timeline
from .views import FaceView, Group, PersonView, Question, Selection, Timeline, TrainingPhoto

LONGEST_NAME = 80
UNDO_STEPS = 20
DOUBT = 0.8  # confidence below which a suggested face should be looked at
BELIEVED = 0.5
ASIDE = -1
CHANGED = ("person_id", "belonging", "confidence", "age", "age_source", "use", "cluster")


def never() -> None:
    """The check of work that nobody cancels."""


@dataclass(frozen=True)
class _Before:
    """What an action changed, as it was."""

    what: str
    faces: dict[int, tuple[Any, ...]]
    people: list[dict[str, Any]]
    rejections: set[tuple[int, int]]
    meant: set[tuple[int, int]]
    consents: dict[int, int | None]


class People:
    """Everybody in a library. Actions can be taken back by `undo`, the last twenty by this object."""

    def __init__(self, library: Library):
        self.library = library
        self._past: deque[_Before] = deque(maxlen=UNDO_STEPS)

    # Who there is

    def list(self) -> builtins.list[PersonView]:
        """Everybody by name."""
        with self.library.session(write=False) as session:
            people = session.exec(select(Person).order_by(Person.key)).all()
            return [self._view(session, person) for person in people]

    def get(self, name: str) -> PersonView:
        """One person. Raises InputError that names the near ones."""
        with self.library.session(write=False) as session:
            return self._view(session, find_person(session, name))

    def add(self, name: str, born: date | None = None) -> PersonView:
        """A new person. Raises InputError for a name that is empty, too long or taken, or a birth in the future."""
        with self._action(f"adding {name}") as session:
            person = self._new(session, name, born)
            return self._view(session, person)

    def rename(self, name: str, new: str) -> PersonView:
        """Another name. Raises InputError if it is taken by somebody else."""
        with self._action(f"renaming {name}") as session:
            person = find_person(session, name)
            key = name_key(new)
            if key != person.key:
                self._check_name(session, new)
            person.name, person.key = " ".join(new.split()), key
            session.add(person)
            session.flush()
            return self._view(session, person)

    def merge(self, names: Sequence[str], into: str) -> PersonView:
        """All faces of `names` become those of `into`, and the others are gone."""
        with self._action(f"merging into {into}") as session:
            goal = find_person(session, into)
            for name in names:
                person = find_person(session, name)
                if person.id == goal.id:
                    continue
                session.exec(update(Face).where(col(Face.person_id) == person.id).values(person_id=goal.id))
                session.exec(delete(Rejection).where(col(Rejection.person_id) == person.id))
                for meant in session.exec(select(Meant).where(Meant.person_id == person.id)).all():
                    if session.get(Meant, (meant.photo_id, goal.id)) is None:
                        session.add(Meant(photo_id=meant.photo_id, person_id=goal.id or 0))
                goal.born = goal.born or person.born
                session.delete(person)
                session.flush()
            self._ages(session, goal)
            return self._view(session, goal)

    def split(self, face_ids: Iterable[int], name: str, born: date | None = None) -> PersonView:
        """These faces become a new person's, or those of one who is there."""
        with self._action(f"splitting off {name}") as session:
            person = self._find_or_new(session, name, born)
            self._give(session, face_ids, person)
            return self._view(session, person)

    def set_born(self, name: str, born: date | None) -> PersonView:
        """The birth date; the ages follow."""
        with self._action(f"the birth date of {name}") as session:
            person = find_person(session, name)
            person.born = _possible(born)
            session.add(person)
            self._ages(session, person)
            return self._view(session, person)

    # Whose faces

    def faces(
        self, name: str | None = None, group: str | None = None, order: str = "doubtful first"
    ) -> builtins.list[FaceView]:
        """A person's faces, or a group's. order: "doubtful first", "age" or "quality" (the best first)."""
        with self.library.session(write=False) as session:
            if group is not None:
                rows = self._rows(session, col(Face.cluster) == _number(group), col(Face.person_id).is_(None))
                return [self._face(face, photo) for face, photo in rows]
            if name is None:
                return [self._face(face, photo) for face, photo in self._rows(session)]
            person = find_person(session, name)
            rows = self._rows(session, col(Face.person_id) == person.id)
            chosen = set(self._choose(session, rows).places.tolist())
            found = [replace(self._face(*row), training=place in chosen) for place, row in enumerate(rows)]
        return sorted(found, key=_order(order))

    def confirm(self, face_ids: Iterable[int], name: str) -> None:
        """Somebody said that these are this person's."""
        with self._action("the confirmation") as session:
            self._give(session, face_ids, find_person(session, name))

    def assign(self, face_ids: Iterable[int], name: str) -> None:
        """Give faces to somebody, who is added if need be."""
        with self._action(f"giving faces to {name}") as session:
            self._give(session, face_ids, self._find_or_new(session, name, None))

    def reject(self, face_ids: Iterable[int], name: str) -> None:
        """Somebody said that these are not this person's; grouping will never say so again."""
        with self._action("the rejection") as session:
            person = find_person(session, name)
            for face in self._some(session, face_ids):
                if session.get(Rejection, (face.id, person.id)) is None:
                    session.add(Rejection(face_id=face.id or 0, person_id=person.id or 0))
                if face.person_id == person.id:
                    _nobody(face)
                session.add(face)
            session.flush()
            self._ages(session, person)

    def groups(self) -> builtins.list[Group]:
        """Groups of faces without a name, the largest first."""
        with self.library.session(write=False) as session:
            nameless = (col(Face.person_id).is_(None), col(Face.cluster) >= 0)
            counted = select(Face.cluster, func.count(), func.max(Face.quality)).where(*nameless)
            rows = session.exec(counted.group_by(col(Face.cluster)).order_by(func.count().desc())).all()
            covers = {
                face.cluster: face.crop
                for face in session.exec(select(Face).where(*nameless).order_by(col(Face.quality))).all()
            }
        return [Group(str(cluster), size, self.library.crop(covers[cluster])) for cluster, size, _ in rows]

    def name_group(self, group: str, name: str, born: date | None = None) -> PersonView:
        """All faces of a group become those of a person, new or known."""
        with self._action(f"naming {name}") as session:
            ids = session.exec(
                select(Face.id).where(Face.cluster == _number(group), col(Face.person_id).is_(None))
            ).all()
            if not ids:
                raise InputError("This group is not there any more; look at the groups again.")
            person = self._find_or_new(session, name, born)
            self._give(session, [id for id in ids if id], person)
            return self._view(session, person)

    def dismiss(self, group: str) -> None:
        """Nobody whom the person knows: the group is not shown again."""
        with self._action("putting a group aside") as session:
            session.exec(
                update(Face)
                .where(col(Face.cluster) == _number(group), col(Face.person_id).is_(None))
                .values(cluster=ASIDE)
            )

    # Sorting by likeness

    def group(self, check: Callable[[], None] = never) -> None:
        """Sort all faces: what was said about some of them decides about the rest, and the others form groups."""
        check()
        with self._action("the grouping") as session:
            faces, vectors = _embedded(session)
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
                    _nobody(face)
            rest = [place for place, face in enumerate(faces) if face.person_id is None and face.cluster != ASIDE]
            names = grouping.clusters(vectors[rest], photos[rest])
            for place, name in zip(rest, names.tolist(), strict=True):
                faces[place].cluster = faces[rest[name]].id if name >= 0 else None
            session.add_all(faces)
            session.flush()
            for each in people:
                self._ages(session, each)

    def settle(self, name: str) -> None:
        """After an import of somebody's photos: which face of each photo it is, and which photos show somebody else.

        Faces that fit the others are confirmed, since somebody said whose photos these are; the rest stay doubtful or,
        if they fit not at all, become nobody's.
        """
        with self._action(f"sorting the photos of {name}") as session:
            person = find_person(session, name)
            meant = select(Meant.photo_id).where(Meant.person_id == person.id)
            faces, vectors = _embedded(session, col(Face.photo_id).in_(meant))
            refused = set(session.exec(select(Rejection.face_id).where(Rejection.person_id == person.id)).all())
            keep = [
                place
                for place, face in enumerate(faces)
                if face.id not in refused and (face.person_id in (None, person.id))
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
                if best[face.photo_id] != place or confidence[place] < 0.02:
                    _nobody(face)
                    continue
                sure = confidence[place] >= DOUBT
                face.person_id, face.cluster = person.id, None
                face.belonging = Belonging.CONFIRMED if sure else Belonging.SUGGESTED
                face.confidence = float(confidence[place])
            session.add_all(faces)
            session.flush()
            self._ages(session, person)

    # Ages and training

    def set_age(self, face_ids: Iterable[int], years: float | None) -> None:
        """The age that somebody typed, or None for what is otherwise known. Raises InputError out of 0 to 120."""
        if years is not None and not 0 <= years <= age_rules.OLDEST:
            raise InputError(f"An age is a number of years from 0 to {age_rules.OLDEST:.0f}, not {years:g}.")
        with self._action("the age") as session:
            owners = set()
            for face in self._some(session, face_ids):
                face.age = years
                face.age_source = None if years is None else AgeSource.TYPED
                owners.add(face.person_id)
                session.add(face)
            session.flush()
            for owner in owners - {None}:
                self._ages(session, session.get_one(Person, owner))

    def set_use(self, face_ids: Iterable[int], use: Use) -> None:
        """Whether faces train: as Everyage chooses, always or never."""
        with self._action("the choice of photos") as session:
            for face in self._some(session, face_ids):
                face.use = use
                session.add(face)

    def timeline(self, name: str) -> Timeline:
        """Which ages the person's photos cover, and where more would help."""
        return timeline(self.faces(name))

    def choose(self, name: str, most: int = 50) -> Selection:
        """The faces that train, by age, and those that are left out for a reason that should be looked at."""
        with self.library.session(write=False) as session:
            person = find_person(session, name)
            rows = self._rows(session, col(Face.person_id) == person.id)
            found = self._choose(session, rows, most)
            views = [self._face(*row) for row in rows]
        for place, reason in enumerate(found.reasons):
            views[place] = replace(views[place], reasons=((reason,) if reason else ()) + views[place].reasons)
        chosen = sorted(found.places.tolist(), key=lambda place: views[place].age or 0.0)
        return Selection(
            tuple(replace(views[place], training=True) for place in chosen),
            tuple(views[place] for place in found.flagged.tolist()),
        )

    def training_photos(self, name: str, most: int = 50) -> builtins.list[TrainingPhoto]:
        """What training needs of the chosen faces, by age.

        Raises InputError, in one sentence, if there is nobody of that name or too little to learn from.
        """
        with self.library.session(write=False) as session:
            person = find_person(session, name)
            rows = self._rows(session, col(Face.person_id) == person.id)
            if not rows:
                raise InputError(f"There is no photo of {person.name} yet; import some with --person or on the page.")
            places = self._choose(session, rows, most).places.tolist()
            found = [self._training(*rows[place]) for place in places]
        if len(found) < 2:
            few = "only one photo" if found else "no photo good enough"
            raise InputError(f"{person.name} has {few} with a known age; 2 are the least and about 50 are good.")
        return sorted(found, key=lambda photo: (photo.age, photo.face_id))

    def questions(self, name: str, most: int = 5) -> builtins.list[Question]:
        """What only a person can know, the answers that matter most first."""
        faces = self.faces(name)
        line = timeline(faces)
        asked = [
            Question("identity", face, f"Is this {name}?")
            for face in faces
            if face.belonging is not Belonging.CONFIRMED and (face.confidence or 0) < DOUBT
        ]
        conflicts = [face for face in faces if any(" says " in reason for reason in face.reasons)]
        asked += [Question("age", face, "How old here? Two sources disagree.") for face in conflicts]
        guessed = [face for face in faces if face.age_source is AgeSource.ESTIMATED and face not in conflicts]
        lonely = sorted(guessed, key=lambda face: -_loneliness(face, faces, line))
        asked += [Question("age", face, "How old here? The age is a guess.") for face in lonely]
        return asked[:most]

    def set_early_losses(self, losses: Mapping[int, float]) -> None:
        """How hard each face was to learn, by its id, as training found."""
        with self.library.session() as session:
            for face in self._some(session, losses):
                face.early_loss = float(losses[face.id or 0])
                session.add(face)

    # Taking back

    def undo(self) -> str | None:
        """Take the last action back; what it was, or None if there is none."""
        if not self._past:
            return None
        before = self._past.pop()
        with self.library.session() as session:
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
            _restore(session, Rejection, before.rejections, ("face_id", "person_id"))
            _restore(session, Meant, before.meant, ("photo_id", "person_id"))
            for id, owner in before.consents.items():
                session.exec(update(Consent).where(col(Consent.id) == id).values(person_id=owner))
        return before.what

    @contextmanager
    def _action(self, what: str) -> Iterator[Session]:
        """One transaction that can be taken back."""
        with self.library.session() as session:
            before = self._remember(session, what)
            yield session
            session.flush()
            now = _states(session)
            changed = {id: state for id, state in before.faces.items() if id in now and now[id] != state}
        self._past.append(replace(before, faces=changed))

    def _remember(self, session: Session, what: str) -> _Before:
        return _Before(
            what,
            _states(session),
            [person.model_dump() for person in session.exec(select(Person)).all()],
            {(each.face_id, each.person_id) for each in session.exec(select(Rejection)).all()},
            {(each.photo_id, each.person_id) for each in session.exec(select(Meant)).all()},
            {each.id or 0: each.person_id for each in session.exec(select(Consent)).all()},
        )

    # Rows

    def _view(self, session: Session, person: Person) -> PersonView:
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
            self.library.crop(best.crop) if best else None,
            consent.given if consent else None,
        )

    def _rows(self, session: Session, *conditions: Any) -> builtins.list[tuple[Face, Photo]]:
        query = select(Face, Photo).join(Photo, col(Photo.id) == Face.photo_id).where(*conditions)
        return [(face, photo) for face, photo in session.exec(query.order_by(col(Face.id))).all()]

    def _face(self, face: Face, photo: Photo) -> FaceView:
        return FaceView(
            face.id or 0,
            face.photo_id,
            photo.name,
            self.library.crop(face.crop),
            face.age,
            face.age_source,
            face.belonging,
            face.confidence,
            face.quality,
            tuple(face.reasons),
            photo.taken,
            face.use,
        )

    def _training(self, face: Face, photo: Photo) -> TrainingPhoto:
        age, source = face.age or 0.0, face.age_source or AgeSource.ESTIMATED
        points = points_in_crop(face.points)
        return TrainingPhoto(
            face.id or 0, photo.sha256, self.library.crop(face.crop), points, age, source, face.quality
        )

    def _choose(self, session: Session, rows: builtins.list[tuple[Face, Photo]], most: int = 50) -> selection.Chosen:
        """Among the faces whose age is known, that are believed to be theirs, of photos that are not put aside."""
        usable = [
            place
            for place, (face, photo) in enumerate(rows)
            if face.age is not None
            and not photo.hidden
            and (face.belonging is Belonging.CONFIRMED or face.confidence is None or face.confidence >= BELIEVED)
        ]
        faces = [rows[place][0] for place in usable]
        found = selection.choose(self._candidates(session, faces), most)
        reasons = ["" for _ in rows]
        for place, reason in zip(usable, found.reasons, strict=True):
            reasons[place] = reason
        where = np.array(usable, int)
        return selection.Chosen(where[found.places], reasons, where[found.flagged])

    def _candidates(self, session: Session, faces: builtins.list[Face]) -> selection.Candidates:
        vectors = _vectors(session, faces)
        return selection.Candidates(
            np.array([face.age or 0.0 for face in faces]),
            np.array([face.quality for face in faces]),
            vectors,
            np.array([face.turn for face in faces]),
            np.array([face.exposure for face in faces]),
            np.array([face.use is Use.ALWAYS for face in faces], bool),
            np.array([face.use is Use.NEVER for face in faces], bool),
            np.array([np.nan if face.early_loss is None else face.early_loss for face in faces], float),
        )

    def _some(self, session: Session, face_ids: Iterable[int]) -> builtins.list[Face]:
        """These faces. Raises InputError if one is not there."""
        wanted = list(face_ids)
        found: builtins.list[Face] = []
        for start in range(0, len(wanted), 500):
            found += session.exec(select(Face).where(col(Face.id).in_(wanted[start : start + 500]))).all()
        if len(found) < len(set(wanted)):
            raise InputError("Some of these faces are not there any more; look at the page again.")
        return found

    def _give(self, session: Session, face_ids: Iterable[int], person: Person) -> None:
        owners = {person.id}
        for face in self._some(session, face_ids):
            owners.add(face.person_id)
            rejection = session.get(Rejection, (face.id, person.id))
            if rejection is not None:
                session.delete(rejection)
            face.person_id, face.belonging, face.confidence = person.id, Belonging.CONFIRMED, 1.0
            face.cluster = None
            session.add(face)
        session.flush()
        for owner in owners - {None}:
            self._ages(session, session.get_one(Person, owner))

    def _ages(self, session: Session, person: Person) -> None:
        """Work out the ages in a person's photos anew; typed ones stay."""
        rows = self._rows(session, col(Face.person_id) == person.id)
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
            for face, photo in rows
        ]
        for (face, _), age in zip(rows, age_rules.ages(known, person.born), strict=True):
            face.age, face.age_source = age.years, age.source
            rest = [reason for reason in face.reasons if " says " not in reason]
            face.reasons = rest + ([f"About its age, {age.conflict}"] if age.conflict else [])
            session.add(face)
        session.flush()

    def _new(self, session: Session, name: str, born: date | None) -> Person:
        self._check_name(session, name)
        plain = " ".join(name.split())
        folder = secrets.token_hex(8)
        person = Person(name=plain, key=name_key(plain), folder=folder, born=_possible(born), created=datetime.now(UTC))
        session.add(person)
        session.flush()
        return person

    def _find_or_new(self, session: Session, name: str, born: date | None) -> Person:
        known = session.exec(select(Person).where(Person.key == name_key(name))).first()
        if known is None:
            return self._new(session, name, born)
        known.born = _possible(born) or known.born
        session.add(known)
        return known

    def _check_name(self, session: Session, name: str) -> None:
        key = name_key(name)
        if not key or len(name) > LONGEST_NAME or not key.isprintable():
            raise InputError(f"A name has 1 to {LONGEST_NAME} letters, not {name[:LONGEST_NAME]!r}.")
        taken = session.exec(select(Person).where(Person.key == key)).first()
        if taken is not None:
            raise InputError(f"There is already somebody named {taken.name}; choose another name, or merge them.")


def _states(session: Session) -> dict[int, tuple[Any, ...]]:
    columns = [getattr(Face, name) for name in CHANGED]
    return {row[0]: tuple(row[1:]) for row in session.exec(select(Face.id, *columns)).all()}


def _restore(session: Session, table: Any, pairs: set[tuple[int, int]], names: tuple[str, str]) -> None:
    """The rows of a table of pairs as they were."""
    for row in session.exec(select(table)).all():
        if tuple(getattr(row, name) for name in names) not in pairs:
            session.delete(row)
    session.flush()
    for pair in pairs:
        session.merge(table(**dict(zip(names, pair, strict=True))))


def _embedded(session: Session, *conditions: Any) -> tuple[list[Face], np.ndarray]:
    """The faces that have an embedding, and those (N, 128)."""
    query = select(Face, Embedding.vector).join(Embedding, col(Embedding.face_id) == Face.id).where(*conditions)
    rows = session.exec(query.order_by(col(Face.id))).all()
    vectors = np.frombuffer(b"".join(vector for _, vector in rows), np.float32).reshape(len(rows), -1)
    return [face for face, _ in rows], vectors


def _vectors(session: Session, faces: list[Face]) -> np.ndarray | None:
    """The embeddings (N, 128) of these faces, or None unless all have one."""
    found: dict[int, bytes] = {}
    ids = [face.id for face in faces]
    for start in range(0, len(ids), 500):
        some = select(Embedding).where(col(Embedding.face_id).in_(ids[start : start + 500]))
        found |= {each.face_id: each.vector for each in session.exec(some).all()}
    if not ids or any(id not in found for id in ids):
        return None
    return np.frombuffer(b"".join(found[id or 0] for id in ids), np.float32).reshape(len(ids), -1)


def _nobody(face: Face) -> None:
    """Take a face from whoever had it; an age of that person means nothing any more."""
    face.person_id, face.belonging, face.confidence = None, Belonging.UNKNOWN, None
    if face.age_source is not AgeSource.TYPED:
        face.age, face.age_source = None, None


def _possible(born: date | None) -> date | None:
    if born is not None and not date(1826, 1, 1) <= born <= date.today():
        raise InputError(f"A birth date lies between 1826 and today, not on {born}.")
    return born


def _number(group: str) -> int:
    if not (group.isascii() and group.isdigit()):
        raise InputError(f"There is no group {group!r}; look at the groups again.")
    return int(group)


def _order(order: str) -> Callable[[FaceView], Any]:
    """The key to sort faces by."""
    if order == "age":
        return lambda face: (face.age is None, face.age or 0.0, face.id)
    if order == "quality":
        return lambda face: (-face.quality, face.id)
    return lambda face: (face.belonging is Belonging.CONFIRMED, face.confidence or 0.0, face.id)


def _loneliness(face: FaceView, faces: Sequence[FaceView], line: Timeline) -> float:
    """How much a surer age would tell: far from the surely known ages, of a good photo, near a gap."""
    sure = [other.age for other in faces if other.age is not None and other.age_source is not AgeSource.ESTIMATED]
    apart = min((abs((face.age or 0.0) - age) for age in sure), default=20.0)
    at_gap = any(low <= (face.age or 0.0) <= high for low, high in line.gaps)
    return face.quality * (min(apart, 20.0) + 5.0 * at_gap)
