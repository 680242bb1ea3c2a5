"""Photos that look alike, quality of faces, and lists of the collection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from sqlmodel import select

from models.errors import InputError
from photos.library import Library
from photos.library.likeness import alike
from photos.library.names import find_person, name_key
from photos.library.quality import Quality, judge
from photos.library.reading import FaceNets, points_in_crop, read_faces
from photos.library.tables import Decision, Embedding, Face, Photo
from tests.fake_faces import add_person, picture, run_import


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "data")


@pytest.fixture(scope="module")
def nets() -> FaceNets:
    return FaceNets.load()


def nothing() -> None:
    pass


def test_alike_pairs_each_photo_with_the_best_that_it_resembles() -> None:
    burst, other = 0x0F0F_0F0F_0F0F_0F0F, 0xFFFF_0000_FFFF_0000
    hashes = np.array([burst, other, burst ^ 1, burst ^ 3, burst ^ 0xFFF], dtype=np.uint64)
    pairs = list(alike(hashes, np.zeros((5, 128), np.float32), np.zeros(5, bool), nothing))
    assert [(pair.first, pair.second, pair.distance) for pair in pairs] == [(0, 2, 1), (0, 3, 2)]
    assert all(np.isnan(pair.cosine) for pair in pairs)


@pytest.mark.parametrize(
    ("bits", "cosine", "found"),
    [
        (0, 0.9, True),
        (3, 0.5, True),
        (3, 0.3, False),
        (6, 0.98, True),
        (6, 0.9, False),
        (7, 0.98, False),
        (30, 0.99, True),
    ],
)
def test_alike_weighs_hash_and_faces(bits: int, cosine: float, found: bool) -> None:
    hashes = np.array([0, 2**bits - 1], dtype=np.uint64)
    vectors = np.zeros((2, 128), np.float32)
    vectors[0, 0], vectors[1, 0], vectors[1, 1] = 1, cosine, (1 - cosine**2) ** 0.5
    pairs = list(alike(hashes, vectors, np.ones(2, bool), nothing))
    assert bool(pairs) == found
    if found:
        assert pairs[0].cosine == pytest.approx(cosine, abs=1e-6) and pairs[0].distance == bits


def test_alike_finds_all_pairs_across_blocks() -> None:
    dice = np.random.default_rng(0)
    hashes = dice.integers(0, 2**63, 3000, dtype=np.uint64)
    hashes[2500:] = hashes[:500] ^ np.uint64(5)
    pairs = list(alike(hashes, np.zeros((3000, 128), np.float32), np.zeros(3000, bool), nothing))
    assert {(pair.first, pair.second) for pair in pairs} == {(index, 2500 + index) for index in range(500)}


@pytest.fixture
def doubles(library: Library, tmp_path: Path) -> Library:
    """A photo, a smaller copy of it, and two others."""
    folder = tmp_path / "doubles"
    folder.mkdir()
    picture(1, 200, 200).save(folder / "large.png")
    picture(1, 200, 200).resize((120, 120)).save(folder / "a_small.jpg", quality=80)
    for seed in (2, 3):
        picture(seed).save(folder / f"{seed}.png")
    run_import(library, folder)
    return library


def test_likenesses_are_found_once_and_decided(doubles: Library) -> None:
    assert doubles.find_likenesses() == 1 and doubles.find_likenesses() == 0
    (pair,) = doubles.likenesses()
    assert (pair.first.name, pair.second.name) == ("large.png", "a_small.jpg") and pair.distance <= 6
    doubles.decide(pair.id, Decision.KEEP_FIRST)
    assert doubles.likenesses() == [] and doubles.find_likenesses() == 0
    assert doubles.count() == 3 and doubles.count(hidden=True) == 4
    assert "a_small.jpg" not in {view.name for view in doubles.photos()}
    (pair,) = doubles.likenesses(open_only=False)
    assert pair.decision == Decision.KEEP_FIRST and pair.second.hidden
    doubles.decide(pair.id, Decision.KEEP_SECOND)
    assert "large.png" not in {view.name for view in doubles.photos()}
    doubles.decide(pair.id, Decision.KEEP_BOTH)
    assert doubles.count() == 4 and doubles.find_likenesses() == 0
    with pytest.raises(InputError, match="no pair number 99"):
        doubles.decide(99, Decision.KEEP_BOTH)


def test_photos_are_listed_in_pages_by_date(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "dated"
    folder.mkdir()
    for seed, name in enumerate(("no date", "2001-02-03", "1999-02-03", "2000-02-03")):
        picture(seed).save(folder / f"{name}.png")
    run_import(library, folder)
    assert [view.name[:4] for view in library.photos()] == ["1999", "2000", "2001", "no d"]
    assert [view.name[:4] for view in library.photos(offset=1, limit=2)] == ["2000", "2001"]
    assert library.photo(1).name == library.photos(limit=1)[0].name
    with pytest.raises(InputError, match="no photo number 77"):
        library.photo(77)


def test_photos_of_a_person(library: Library, tmp_path: Path) -> None:
    anna = add_person(library, "Anna")
    for seed in range(3):
        picture(seed).save(tmp_path / f"{seed}.png")
    run_import(library, tmp_path / "0.png", tmp_path / "1.png", person="Anna")
    run_import(library, tmp_path / "2.png")
    assert library.count(person=anna) == 2 and library.count() == 3
    assert {view.name for view in library.photos(person=anna)} == {"0.png", "1.png"}


def test_names_are_compared_without_case_and_spaces(library: Library) -> None:
    assert name_key("  Zoë\u00a0 STRASSE ") == name_key("zoe\u0308 strasse") == "zoë strasse"
    add_person(library, "Zoë Straße")
    with library.session(write=False) as session:
        assert find_person(session, "ZOË  STRASSE").name == "Zoë Straße"
        with pytest.raises(InputError, match="the names are Zoë Straße"):
            find_person(session, "Bob")


SPOILED = {
    "nothing": (lambda image: image, None),
    "blur": (lambda image: image.filter(ImageFilter.GaussianBlur(6)), "The face is blurred."),
    "dark": (lambda image: image.point(lambda level: int(level * 0.2)), "The face is too dark."),
    "light": (lambda image: image.point(lambda level: min(255, int(level * 1.6 + 90))), "The face is too light."),
    "fog": (lambda image: image.point(lambda level: int(level * 0.2 + 110)), "The face has hardly any contrast."),
    "small": (lambda image: image.resize((150, 150)), "pixels large."),
    "cut off": (lambda image: image.crop((215, 0, 512, 512)), "of the face are inside the photo."),
}


@pytest.mark.parametrize("flaw", SPOILED)
def test_quality_says_what_is_wrong(nets: FaceNets, astronaut: Path, flaw: str) -> None:
    spoil, sentence = SPOILED[flaw]
    with Image.open(astronaut) as image:
        photo = spoil(image.convert("RGB"))
    read = read_faces(photo, nets, embed=False)[0]
    found = judge(read.face, photo, read.crop)
    if sentence is None:
        assert found.reasons == [] and found.overall > 0.65
    else:
        assert any(sentence in reason for reason in found.reasons), found.reasons
        assert found.overall < 0.5


def test_each_flaw_lowers_the_score() -> None:
    good = Quality(250, 0.3, 0.45, 0.15, 0.1, 1.0, 0.95, 0.92)
    assert good.overall == 1.0 and good.reasons == []
    worse = {
        "size": 60, "sharpness": 0.02, "exposure": 0.1, "contrast": 0.04, "turn": -0.9, "inside": 0.7, "eyes": 0.4,
        "score": 0.75,
    }  # fmt: skip
    for name, value in worse.items():
        bad = Quality(**{**vars(good), name: value})
        assert bad.overall < 0.85 and len(bad.reasons) == 1, name
        assert 0 < Quality(**{**vars(good), **worse, name: value}).overall < 0.01


def test_real_networks_read_a_real_photo(library: Library, nets: FaceNets, astronaut: Path, no_face: Path) -> None:
    library.give_consent()
    report = list(library.import_photos([astronaut, no_face], nets))[-1].value
    assert report is not None and (report.added, report.faces, report.faceless) == (2, 1, 1)
    with library.session(write=False) as session:
        face = session.exec(select(Face)).one()
        assert session.get_one(Photo, face.photo_id).name == "astronaut.png"
    assert 25 < face.estimate < 60 and face.gender == "female" and face.quality > 0.65
    points = points_in_crop(face.points)
    assert points.shape == (5, 2) and 180 < points[0, 0] < 205 and 235 < points[0, 1] < 260
    with Image.open(astronaut) as image:
        again = read_faces(image.convert("RGB"), nets, embed=True)[0]
    (left,) = library.embed(nets)  # nothing is missing
    assert left == 0 and again.vector is not None
    assert float(np.linalg.norm(again.vector)) == pytest.approx(1, abs=1e-5)


def test_embeddings_made_later_from_crops_are_the_same(library: Library, nets: FaceNets, astronaut: Path) -> None:
    list(library.import_photos([astronaut], nets))
    library.give_consent()
    assert list(library.embed(nets)) == [1, 0] and list(library.embed(nets)) == [0]
    with Image.open(astronaut) as image:
        wanted = read_faces(image.convert("RGB"), nets, embed=True)[0].vector
    with library.session(write=False) as session:
        stored = np.frombuffer(session.exec(select(Embedding)).one().vector, dtype="<f4")
    assert wanted is not None and float(stored @ wanted) > 0.99
