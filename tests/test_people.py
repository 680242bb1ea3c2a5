"""People of a collection: names, faces, ages, groups, the choice of photos, and taking back."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select

from models.errors import InputError
from photos.library import Library
from photos.library.tables import AgeSource, Belonging, Consent, Embedding, Face, Meant, Person, Photo, Source, Use
from photos.people import People

POINTS = [200.0, 220.0, 312.0, 220.0, 256.0, 280.0, 215.0, 330.0, 297.0, 330.0]


def unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def like(center: np.ndarray, seed: int, spread: float = 0.45) -> np.ndarray:
    """A face of the person around `center`: cosines of about 1 / (1 + spread ** 2) between two of them."""
    noise = np.random.default_rng(seed).normal(size=128)
    return unit(unit(center) + spread * unit(noise))


CENTERS = [np.random.default_rng(100 + each).normal(size=128) for each in range(4)]


class Shelf:
    """A library that is filled without pictures."""

    def __init__(self, data: Path):
        self.library = Library(data)
        self.people = People(self.library)
        self.number = 0

    def photo(
        self,
        *vectors: np.ndarray,
        name: str | None = None,
        folder: str = "/album",
        taken: datetime | None = None,
        meant: str | None = None,
        estimate: float = 35.0,
        quality: float = 0.8,
        hidden: bool = False,
    ) -> list[int]:
        """Add a photo with these faces; the faces' ids."""
        self.number += 1
        name = name or f"IMG_{self.number:04d}.jpg"
        with self.library.session() as session:
            photo = Photo(
                sha256=f"{self.number:064x}", name=name, format="JPEG", bytes=1, width=512, height=512, taken=taken,
                phash="0" * 16, hidden=hidden, imported=datetime.now(UTC),
            )  # fmt: skip
            session.add(photo)
            session.flush()
            assert photo.id
            session.add(Source(photo_id=photo.id, path=f"{folder}/{name}", stamp=""))
            if meant:
                person = session.exec(select(Person).where(Person.name == meant)).one()
                session.add(Meant(photo_id=photo.id, person_id=person.id or 0))
            ids = []
            for index, vector in enumerate(vectors):
                face = Face(
                    photo_id=photo.id, box=[0, 0, 9, 9], points=POINTS, score=1, crop=f"{self.number}-{index}.webp",
                    estimate=estimate, gender="female", sharpness=1, exposure=0.5, turn=0.1 * (self.number % 5),
                    inside=1, eyes=1, quality=quality, reasons=[],
                )  # fmt: skip
                session.add(face)
                session.flush()
                assert face.id
                session.add(Embedding(face_id=face.id, vector=vector.tobytes()))
                ids.append(face.id)
        return ids

    def album(self, person: int, ages: Sequence[float], meant: str | None = None) -> list[int]:
        """A photo at each age, named in MyTimeMachine's way."""
        return [
            self.photo(like(CENTERS[person], number), name=f"{age:g}_{number:04d}.webp", meant=meant)[0]
            for number, age in enumerate(ages, 1000 * person)
        ]

    def face(self, id: int) -> Face:
        with self.library.session(write=False) as session:
            found = session.get_one(Face, id)
            session.expunge(found)
            return found


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_names_are_compared_without_case_and_spaces(shelf: Shelf) -> None:
    shelf.people.add("Anna  Maria", date(1980, 5, 1))
    assert shelf.people.get("anna maria ").name == "Anna Maria"
    with pytest.raises(InputError, match="already somebody named Anna Maria"):
        shelf.people.add("ANNA MARIA")
    with pytest.raises(InputError, match="did you mean Anna Maria"):
        shelf.people.get("ana maria")


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "a\x00b", "a\nb\x07"])
def test_impossible_names_are_refused(shelf: Shelf, name: str) -> None:
    with pytest.raises(InputError, match="A name has 1 to 80 letters"):
        shelf.people.add(name)


def test_a_birth_in_the_future_is_refused(shelf: Shelf) -> None:
    with pytest.raises(InputError, match="birth date"):
        shelf.people.add("Anna", date(2999, 1, 1))


def test_confirming_gives_faces_and_ages(shelf: Shelf) -> None:
    ids = shelf.album(0, [20, 33.4, 60])
    shelf.people.add("Anna")
    shelf.people.confirm(ids, "Anna")
    faces = shelf.people.faces("Anna", order="age")
    assert [(face.age, face.age_source) for face in faces] == [(age, AgeSource.FILE_NAME) for age in (20, 33.4, 60)]
    view = shelf.people.get("Anna")
    assert (view.faces, view.confirmed, view.doubtful, view.ages) == (3, 3, 0, (20.0, 60.0))


def test_a_birth_date_sets_the_ages_and_typed_ones_stay(shelf: Shelf) -> None:
    shelf.people.add("Anna")
    ids = [shelf.photo(like(CENTERS[0], n), taken=datetime(2000 + n, 7, 1))[0] for n in range(3)]
    shelf.people.confirm(ids, "Anna")
    assert {face.age_source for face in shelf.people.faces("Anna")} == {AgeSource.ESTIMATED}
    shelf.people.set_age([ids[1]], 44)
    shelf.people.set_born("Anna", date(1960, 7, 1))
    found = {face.id: (round(face.age or 0, 2), face.age_source) for face in shelf.people.faces("Anna")}
    assert found == {
        ids[0]: (40.0, AgeSource.BIRTH_DATE), ids[1]: (44.0, AgeSource.TYPED), ids[2]: (42.0, AgeSource.BIRTH_DATE)
    }  # fmt: skip
    shelf.people.set_age([ids[1]], None)
    assert round(shelf.face(ids[1]).age or 0, 2) == 41.0


def test_a_newborn_has_age_zero(shelf: Shelf) -> None:
    shelf.people.add("Tim", date(2020, 1, 1))
    ids = shelf.photo(like(CENTERS[0], 0), taken=datetime(2020, 1, 1, 9))
    shelf.people.confirm(ids, "Tim")
    assert shelf.face(ids[0]).age == 0.0 and shelf.people.get("Tim").ages == (0.0, 0.0)


@pytest.mark.parametrize("years", [-1, 121, float("nan")])
def test_impossible_ages_are_refused(shelf: Shelf, years: float) -> None:
    with pytest.raises(InputError, match="from 0 to 120"):
        shelf.people.set_age([], years)


def test_rejecting_takes_the_face_away_for_good(shelf: Shelf) -> None:
    ids = shelf.album(0, [20, 21, 22, 23, 24])
    shelf.people.add("Anna")
    shelf.people.confirm(ids[:4], "Anna")
    shelf.people.reject(ids[4:], "Anna")
    shelf.people.group()
    assert shelf.face(ids[4]).person_id is None


def test_few_labels_sort_the_rest(shelf: Shelf) -> None:
    """Three people of twelve photos, one label each: all faces find their person."""
    albums = [shelf.album(person, range(20, 32)) for person in range(3)]
    for person, ids in enumerate(albums):
        shelf.people.add(f"P{person}")
        shelf.people.confirm(ids[:1], f"P{person}")
    shelf.people.group()
    for person, ids in enumerate(albums):
        faces = shelf.people.faces(f"P{person}")
        assert {face.id for face in faces} == set(ids)
        assert sum(face.belonging is Belonging.CONFIRMED for face in faces) == 1
        assert all(face.confidence and face.confidence > 0.5 for face in faces)


def test_faces_of_nobody_form_groups(shelf: Shelf) -> None:
    first, second = shelf.album(0, range(20, 30)), shelf.album(1, range(20, 26))
    alone = shelf.photo(like(CENTERS[3], 9))
    shelf.people.group()
    groups = shelf.people.groups()
    assert [group.size for group in groups] == [10, 6]
    assert {face.id for face in shelf.people.faces(group=groups[0].id)} == set(first)
    shelf.people.name_group(groups[1].id, "Bo")
    assert {face.id for face in shelf.people.faces("Bo")} == set(second)
    shelf.people.dismiss(groups[0].id)
    shelf.people.group()
    assert shelf.people.groups() == [] and shelf.face(alone[0]).cluster is None
    with pytest.raises(InputError, match="no group"):
        shelf.people.dismiss("x' OR 1=1")


def test_two_faces_of_one_photo_are_never_one_person(shelf: Shelf) -> None:
    ids = shelf.album(0, range(20, 28))
    pair = shelf.photo(like(CENTERS[0], 77, 0.3), like(CENTERS[0], 78, 0.6))
    shelf.people.add("Anna")
    shelf.people.confirm(ids[:3], "Anna")
    shelf.people.group()
    owners = [shelf.face(id).person_id for id in pair]
    assert owners == [shelf.people.get("Anna").id, None]


def test_a_mixed_import_flags_the_minority(shelf: Shelf) -> None:
    shelf.people.add("Anna")
    mine, other = shelf.album(0, range(20, 40), meant="Anna"), shelf.album(1, range(20, 26), meant="Anna")
    shelf.people.settle("Anna")
    faces = {face.id: face for face in shelf.people.faces("Anna")}
    assert all(faces[id].belonging is Belonging.CONFIRMED for id in mine)
    assert all(id not in faces or faces[id].belonging is Belonging.SUGGESTED for id in other)
    assert not {photo.face_id for photo in shelf.people.training_photos("Anna")} & set(other)


def test_of_several_faces_in_a_meant_photo_the_right_one_is_taken(shelf: Shelf) -> None:
    shelf.people.add("Anna")
    mine = shelf.album(0, range(20, 30), meant="Anna")
    stranger, me = shelf.photo(like(CENTERS[2], 1), like(CENTERS[0], 2), meant="Anna")
    shelf.people.settle("Anna")
    assert {face.id for face in shelf.people.faces("Anna")} == {*mine, me}
    assert shelf.face(stranger).person_id is None


def test_one_photo_and_none_are_said(shelf: Shelf) -> None:
    shelf.people.add("Anna")
    with pytest.raises(InputError, match="no photo of Anna yet"):
        shelf.people.training_photos("Anna")
    shelf.people.confirm(shelf.album(0, [30]), "Anna")
    with pytest.raises(InputError, match="only one photo"):
        shelf.people.training_photos("Anna")
    with pytest.raises(InputError, match="nobody named"):
        shelf.people.training_photos("Bo")


def test_training_photos_carry_what_training_needs(shelf: Shelf) -> None:
    shelf.people.add("Anna")
    shelf.people.confirm(shelf.album(0, [30, 20, 25]), "Anna")
    photos = shelf.people.training_photos("Anna")
    assert [photo.age for photo in photos] == [20, 25, 30]
    assert photos[0].points.shape == (5, 2) and photos[0].points.dtype == np.float32
    # The eyes of an FFHQ crop lie on one level, a little above the middle.
    assert abs(photos[0].points[0, 1] - photos[0].points[1, 1]) < 1 and 180 < photos[0].points[0, 1] < 260


def test_training_photos_are_spread_over_the_ages(shelf: Shelf) -> None:
    """Sixty photos at 30 and one each at nine other ages: of twenty, all the others are in."""
    shelf.people.add("Anna")
    ages = [30 + n / 100 for n in range(60)] + [float(age) for age in range(40, 85, 5)]
    shelf.people.confirm(shelf.album(0, ages), "Anna")
    chosen = [photo.age for photo in shelf.people.training_photos("Anna", most=20)]
    assert len(chosen) == 20 and {float(age) for age in range(40, 85, 5)} <= set(chosen)


def test_the_person_overrides_the_choice(shelf: Shelf) -> None:
    shelf.people.add("Anna")
    ids = shelf.album(0, range(20, 60))
    shelf.people.confirm(ids, "Anna")
    before = {face.id for face in shelf.people.choose("Anna", most=10).chosen}
    left = next(id for id in ids if id not in before)
    shelf.people.set_use([left], Use.ALWAYS)
    shelf.people.set_use([next(iter(before))], Use.NEVER)
    after = {face.id for face in shelf.people.choose("Anna", most=10).chosen}
    assert left in after and next(iter(before)) not in after and len(after) == 10


def test_poor_hidden_and_twin_photos_do_not_train(shelf: Shelf) -> None:
    shelf.people.add("Anna")
    good = shelf.album(0, range(20, 28))
    poor = shelf.photo(like(CENTERS[0], 50), name="30_0001.jpg", quality=0.1)
    hidden = shelf.photo(like(CENTERS[0], 51), name="31_0001.jpg", hidden=True)
    twin = shelf.photo(like(CENTERS[0], 3), name="23_0099.jpg", quality=0.7)
    shelf.people.confirm([*good, *poor, *hidden, *twin], "Anna")
    assert {photo.face_id for photo in shelf.people.training_photos("Anna")} == set(good)


def test_a_stranger_among_the_photos_is_flagged(shelf: Shelf) -> None:
    shelf.people.add("Anna")
    good, odd = shelf.album(0, range(20, 40)), shelf.photo(like(CENTERS[1], 5), name="30_0500.jpg")
    shelf.people.confirm([*good, *odd], "Anna")
    selection = shelf.people.choose("Anna")
    assert [face.id for face in selection.flagged] == odd and "same person" in selection.flagged[0].reasons[0]


def test_what_training_found_hard_is_flagged(shelf: Shelf) -> None:
    shelf.people.add("Anna")
    ids = shelf.album(0, range(20, 40))
    shelf.people.confirm(ids, "Anna")
    shelf.people.set_early_losses({id: 0.2 + 0.01 * (id % 3) for id in ids[:-1]} | {ids[-1]: 0.9})
    assert [face.id for face in shelf.people.choose("Anna").flagged] == [ids[-1]]


def test_questions_ask_for_what_tells_most(shelf: Shelf) -> None:
    shelf.people.add("Anna")
    known = shelf.album(0, [20, 21, 22, 23, 24, 25])
    near = shelf.photo(like(CENTERS[0], 60), folder="/other", estimate=23)
    far = shelf.photo(like(CENTERS[0], 61), folder="/other", estimate=60)
    shelf.people.confirm([*known, *near, *far], "Anna")
    questions = shelf.people.questions("Anna")
    assert [(question.kind, question.face.id) for question in questions] == [("age", far[0]), ("age", near[0])]


def test_sources_that_disagree_become_a_question(shelf: Shelf) -> None:
    shelf.people.add("Anna", date(1960, 1, 1))
    ids = [
        shelf.photo(like(CENTERS[0], n), name=f"{40 + n}_{n:04d}.jpg", taken=datetime(2000 + n + 19 * (n == 2), 1, 2))[
            0
        ]
        for n in range(4)
    ]
    shelf.people.confirm(ids, "Anna")
    (question,) = [each for each in shelf.people.questions("Anna") if "disagree" in each.text]
    assert question.face.id == ids[2] and any("file name says 42" in reason for reason in question.face.reasons)


def test_the_timeline_shows_gaps(shelf: Shelf) -> None:
    shelf.people.add("Anna")
    shelf.people.confirm(shelf.album(0, [20, 21, 21.5, 40, 41]), "Anna")
    line = shelf.people.timeline("Anna")
    assert [(year.age, year.count) for year in line.years] == [(20, 1), (21, 2), (40, 1), (41, 1)]
    assert line.covered == (20, 41) and line.gaps == ((21.5, 40.0),)
    assert "between 22 and 40" in line.sentences[0]


def test_merging_and_splitting(shelf: Shelf) -> None:
    first, second = shelf.album(0, [20, 21]), shelf.album(1, [30, 31])
    for name, ids in (("Anna", first), ("Ann", second)):
        shelf.people.add(name)
        shelf.people.confirm(ids, name)
    shelf.people.merge(["Ann"], "Anna")
    assert [person.name for person in shelf.people.list()] == ["Anna"] and shelf.people.get("Anna").faces == 4
    shelf.people.split(second, "Bo")
    assert {face.id for face in shelf.people.faces("Bo")} == set(second) and shelf.people.get("Anna").faces == 2


def test_every_action_can_be_taken_back(shelf: Shelf) -> None:
    ids = shelf.album(0, [20, 21, 22])

    def state() -> object:
        with shelf.library.session(write=False) as session:
            faces = [
                (f.id, f.person_id, f.belonging, f.age, f.age_source, f.use) for f in session.exec(select(Face)).all()
            ]
            people = [(p.id, p.name, p.born, p.folder) for p in session.exec(select(Person)).all()]
            consents = [(c.id, c.person_id) for c in session.exec(select(Consent)).all()]
        return faces, people, consents

    actions = [
        lambda: shelf.people.add("Anna"),
        lambda: shelf.people.confirm(ids, "Anna"),
        lambda: shelf.people.set_age(ids[:1], 50),
        lambda: shelf.people.set_use(ids[1:], Use.NEVER),
        lambda: shelf.people.reject(ids[2:], "Anna"),
        lambda: shelf.people.rename("Anna", "Hanna"),
        lambda: shelf.people.split(ids[:1], "Bo"),
        lambda: shelf.people.merge(["Bo"], "Hanna"),
    ]
    states = [state()]
    for action in actions:
        action()
        states.append(state())
        if len(states) == 2:
            shelf.library.give_consent("Anna")
            states[-1] = state()
    assert all(one != other for one, other in itertools.pairwise(states))
    for wanted in reversed(states[1:-1]):
        assert shelf.people.undo()
        assert state() == wanted
    assert shelf.people.undo() == "adding Anna" and shelf.people.list() == [] and shelf.people.undo() is None
