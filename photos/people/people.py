"""The people of the collection: who is who, how old in which photo, and which photos train."""

from __future__ import annotations

import builtins
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

from sqlmodel import Session, col, delete, func, select, update

from models.errors import InputError
from photos.library import Library
from photos.library.names import find_person, name_key
from photos.library.tables import AgeSource, Belonging, Face, Meant, Person, Rejection, Use

from .ages import OLDEST
from .choice import choose
from .giving import check_name, find_or_new, give, new_person, nobody, possible, set_ages
from .past import Before, only_changes, remember, restore
from .rows import DOUBT, face_view, person_view, rows, some, training_photo
from .sorting import ASIDE, sort_all, sort_photos_of
from .timeline import timeline
from .views import FaceView, Group, PersonView, Question, Selection, Timeline, TrainingPhoto

UNDO_STEPS = 20


def never() -> None:
    """The check of work that nobody cancels."""


class People:
    """Everybody in a library. Actions can be taken back by `undo`, the last twenty by this object."""

    def __init__(self, library: Library):
        self.library = library
        self._past: deque[Before] = deque(maxlen=UNDO_STEPS)

    # Who there is

    def list(self) -> builtins.list[PersonView]:
        """Everybody by name."""
        with self.library.session(write=False) as session:
            people = session.exec(select(Person).order_by(Person.key)).all()
            return [person_view(session, self.library, person) for person in people]

    def get(self, name: str) -> PersonView:
        """One person. Raises InputError that names the near ones."""
        with self.library.session(write=False) as session:
            return person_view(session, self.library, find_person(session, name))

    def whose(self, named: str) -> PersonView:
        """One person, by their name or by the name of their folder, which stays when they get another name."""
        with self.library.session(write=False) as session:
            found = session.exec(select(Person).where(Person.folder == named)).first() or find_person(session, named)
            return person_view(session, self.library, found)

    def add(self, name: str, born: date | None = None) -> PersonView:
        """A new person. Raises InputError for a name that is empty, too long or taken, or a birth in the future."""
        with self._action(f"adding {name}") as session:
            person = new_person(session, name, born)
            return person_view(session, self.library, person)

    def meet(self, name: str, born: date | None = None, consent: str | None = None) -> PersonView:
        """Make sure that somebody is there, with this birth date and with consent to telling their faces apart.

        consent: the text that was shown. Raises InputError for a name or a date that can't be.
        """
        known = next((each for each in self.list() if name_key(each.name) == name_key(name)), None)
        if known is None:
            self.add(name, born)
        elif born is not None and known.born != born:
            self.set_born(name, born)
        self.library.give_consent(name, consent)
        return self.get(name)

    def rename(self, name: str, new: str) -> PersonView:
        """Another name. Raises InputError if it is taken by somebody else."""
        with self._action(f"renaming {name}") as session:
            person = find_person(session, name)
            key = name_key(new)
            if key != person.key:
                check_name(session, new)
            person.name, person.key = " ".join(new.split()), key
            session.add(person)
            session.flush()
            return person_view(session, self.library, person)

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
            set_ages(session, goal)
            return person_view(session, self.library, goal)

    def split(self, face_ids: Iterable[int], name: str, born: date | None = None) -> PersonView:
        """These faces become a new person's, or those of one who is there."""
        with self._action(f"splitting off {name}") as session:
            person = find_or_new(session, name, born)
            give(session, face_ids, person)
            return person_view(session, self.library, person)

    def set_born(self, name: str, born: date | None) -> PersonView:
        """The birth date; the ages follow."""
        with self._action(f"the birth date of {name}") as session:
            person = find_person(session, name)
            person.born = possible(born)
            session.add(person)
            set_ages(session, person)
            return person_view(session, self.library, person)

    # Whose faces

    def faces(
        self, name: str | None = None, group: str | None = None, order: str = "doubtful first"
    ) -> builtins.list[FaceView]:
        """A person's faces, or a group's. order: "doubtful first", "age" or "quality" (the best first)."""
        with self.library.session(write=False) as session:
            if group is not None:
                found = rows(session, col(Face.cluster) == _number(group), col(Face.person_id).is_(None))
                return [face_view(self.library, face, photo) for face, photo in found]
            if name is None:
                return [face_view(self.library, face, photo) for face, photo in rows(session)]
            person = find_person(session, name)
            found = rows(session, col(Face.person_id) == person.id)
            chosen = set(choose(session, found).places.tolist())
            views = [
                replace(face_view(self.library, *row), training=place in chosen) for place, row in enumerate(found)
            ]
        return sorted(views, key=_order(order))

    def confirm(self, face_ids: Iterable[int], name: str) -> None:
        """Somebody said that these are this person's."""
        with self._action("the confirmation") as session:
            give(session, face_ids, find_person(session, name))

    def assign(self, face_ids: Iterable[int], name: str) -> None:
        """Give faces to somebody, who is added if need be."""
        with self._action(f"giving faces to {name}") as session:
            give(session, face_ids, find_or_new(session, name, None))

    def reject(self, face_ids: Iterable[int], name: str) -> None:
        """Somebody said that these are not this person's; grouping will never say so again."""
        with self._action("the rejection") as session:
            person = find_person(session, name)
            for face in some(session, face_ids):
                if session.get(Rejection, (face.id, person.id)) is None:
                    session.add(Rejection(face_id=face.id or 0, person_id=person.id or 0))
                if face.person_id == person.id:
                    nobody(face)
                session.add(face)
            session.flush()
            set_ages(session, person)

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
            person = find_or_new(session, name, born)
            give(session, [id for id in ids if id], person)
            return person_view(session, self.library, person)

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
            sort_all(session, check)

    def settle(self, name: str) -> None:
        """After an import of somebody's photos: which face of each photo it is, and which photos show somebody else.

        Faces that fit the others are confirmed, since somebody said whose photos these are; the rest stay doubtful or,
        if they fit not at all, become nobody's.
        """
        with self._action(f"sorting the photos of {name}") as session:
            sort_photos_of(session, name)

    # Ages and training

    def set_age(self, face_ids: Iterable[int], years: float | None) -> None:
        """The age that somebody typed, or None for what is otherwise known. Raises InputError out of 0 to 120."""
        if years is not None and not 0 <= years <= OLDEST:
            raise InputError(f"An age is a number of years from 0 to {OLDEST:.0f}, not {years:g}.")
        with self._action("the age") as session:
            owners = set()
            for face in some(session, face_ids):
                face.age = years
                face.age_source = None if years is None else AgeSource.TYPED
                owners.add(face.person_id)
                session.add(face)
            session.flush()
            for owner in owners - {None}:
                set_ages(session, session.get_one(Person, owner))

    def set_use(self, face_ids: Iterable[int], use: Use) -> None:
        """Whether faces train: as Everyage chooses, always or never."""
        with self._action("the choice of photos") as session:
            for face in some(session, face_ids):
                face.use = use
                session.add(face)

    def timeline(self, name: str) -> Timeline:
        """Which ages the person's photos cover, and where more would help."""
        return timeline(self.faces(name))

    def choose(self, name: str, most: int = 50) -> Selection:
        """The faces that train, by age, and those that are left out for a reason that should be looked at."""
        with self.library.session(write=False) as session:
            person = find_person(session, name)
            found = rows(session, col(Face.person_id) == person.id)
            picked = choose(session, found, most)
            views = [face_view(self.library, *row) for row in found]
        for place, reason in enumerate(picked.reasons):
            views[place] = replace(views[place], reasons=((reason,) if reason else ()) + views[place].reasons)
        chosen = sorted(picked.places.tolist(), key=lambda place: views[place].age or 0.0)
        return Selection(
            tuple(replace(views[place], training=True) for place in chosen),
            tuple(views[place] for place in picked.flagged.tolist()),
        )

    def training_photos(self, name: str, most: int = 50) -> builtins.list[TrainingPhoto]:
        """What training needs of the chosen faces, by age.

        Raises InputError, in one sentence, if there is nobody of that name or too little to learn from.
        """
        with self.library.session(write=False) as session:
            person = find_person(session, name)
            found = rows(session, col(Face.person_id) == person.id)
            if not found:
                raise InputError(f"There is no photo of {person.name} yet; import some with --person or on the page.")
            places = choose(session, found, most).places.tolist()
            photos = [training_photo(self.library, *found[place]) for place in places]
        if len(photos) < 2:
            few = "only one photo" if photos else "no photo good enough"
            raise InputError(f"{person.name} has {few} with a known age; 2 are the least and about 50 are good.")
        return sorted(photos, key=lambda photo: (photo.age, photo.face_id))

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
            for face in some(session, losses):
                face.early_loss = float(losses[face.id or 0])
                session.add(face)

    # Taking back

    def undo(self) -> str | None:
        """Take the last action back; what it was, or None if there is none."""
        if not self._past:
            return None
        before = self._past.pop()
        with self.library.session() as session:
            if restore(session, before):
                return before.what
        self._past.clear()  # somebody was forgotten since, and must not come back
        return None

    @contextmanager
    def _action(self, what: str) -> Iterator[Session]:
        """One transaction that can be taken back."""
        with self.library.session() as session:
            before = remember(session, what)
            yield session
            session.flush()
            before = only_changes(session, before)
        self._past.append(before)


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
