"""Importing photos: what becomes of each file, doing it twice, and being cut off."""

from __future__ import annotations

import io
import os
import random
import shutil
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from sqlmodel import select

from models.errors import Cancelled, InputError
from photos.library import ImportReport, Library
from photos.library.dates import date_in_name, taken
from photos.library.tables import Belonging, Embedding, Face, Import, Meant, Photo, Refusal, Rejection, Source
from tests.fake_faces import NETS, add_person, fake_networks, picture, run_import, vector

EXIF_DATE, ORIENTATION = 0x9003, 0x0112


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "data")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Five photos in two folders, and things that are none."""
    folder = tmp_path / "album"
    (folder / "more" / ".thumbnails").mkdir(parents=True)
    for seed in range(5):
        picture(seed).save(folder / ("more" if seed > 2 else "") / f"{seed}.png")
    picture(9).save(folder / "more" / ".thumbnails" / "9.png")
    (folder / "notes.txt").write_text("no photo")
    return folder


def rows(library: Library, table: type) -> list:
    with library.session(write=False) as session:
        return list(session.exec(select(table)).all())


def crops(library: Library) -> set[str]:
    return {path.name for path in library.store.crops.iterdir()}


def numbers(report: ImportReport) -> tuple[int, int, int, int]:
    return report.added, report.known, report.refused, report.ignored


def test_a_folder_with_all_below(library: Library, album: Path) -> None:
    before = {path: path.read_bytes() for path in album.rglob("*") if path.is_file()}
    report = run_import(library, album)
    assert numbers(report) == (5, 0, 0, 1) and report.faces == 5
    assert report.sentence() == "5 new photos with 5 faces, 1 other file left alone."
    assert library.count() == 5 and len(crops(library)) == 5
    assert {path: path.read_bytes() for path in album.rglob("*") if path.is_file()} == before
    assert list(library.store.files.iterdir()) == []  # photos of a folder are not copied
    (done,) = rows(library, Import)
    assert (done.added, done.known, done.ignored) == (5, 0, 1) and done.finished is not None


def test_the_second_time_nothing_is_added_and_nothing_read(library: Library, album: Path) -> None:
    run_import(library, album)
    before = rows(library, Photo), rows(library, Source), rows(library, Face), crops(library)
    with patch("photos.library.entering._digest", side_effect=AssertionError("read again")):
        report = run_import(library, album)
    assert numbers(report) == (0, 5, 0, 1)
    assert (rows(library, Photo), rows(library, Source), rows(library, Face), crops(library)) == before


def test_a_copy_elsewhere_is_known_by_its_bytes(library: Library, album: Path, tmp_path: Path) -> None:
    run_import(library, album)
    shutil.copytree(album, tmp_path / "copy")
    assert numbers(run_import(library, tmp_path / "copy")) == (0, 5, 0, 1)
    assert len(rows(library, Source)) == 10 and len(rows(library, Photo)) == 5
    shutil.rmtree(album)
    paths = {view.path for view in library.photos()}
    assert all(path is not None and path.is_relative_to(tmp_path / "copy") for path in paths)


def test_a_file_that_changed_is_a_new_photo(library: Library, album: Path) -> None:
    run_import(library, album)
    picture(77).save(album / "0.png")
    assert numbers(run_import(library, album))[:2] == (1, 4)
    old, new = (next(view for view in library.photos() if view.id == number) for number in (1, 6))
    assert old.path is None and old.crop is not None and old.crop.is_file()  # the crop still serves
    assert new.path == album / "0.png"


def test_uploads_are_copied(library: Library, album: Path) -> None:
    content = (album / "0.png").read_bytes()
    run_import(library, album / "0.png", keep=True)
    (album / "0.png").unlink()
    (view,) = library.photos()
    assert view.path is not None and view.path.read_bytes() == content and view.name == "0.png"
    (source,) = rows(library, Source)
    assert source.path == f"upload!{view.sha256}/{album.name}/0.png" and source.kept


def test_crops_are_aligned_faces_under_names_that_say_nothing(library: Library, tmp_path: Path) -> None:
    picture(3, 200, 200).save(tmp_path / "Anna.png")
    run_import(library, tmp_path / "Anna.png")
    (face,) = rows(library, Face)
    stem, suffix = face.crop.split(".")
    assert suffix == "webp" and len(bytes.fromhex(stem)) == 16
    with Image.open(library.crop(face.crop)) as crop:
        assert crop.size == (512, 512)
        # The photo's landmarks lie where a crop has them, so that the crop is the whole photo.
        wanted = np.asarray(picture(3, 200, 200).resize((512, 512), Image.Resampling.BICUBIC), dtype=float)
        error = np.abs(np.asarray(crop.convert("RGB"), dtype=float) - wanted)
    assert error[128:384, 128:384].mean() < 4


def test_lost_crops_are_cut_again(library: Library, album: Path) -> None:
    run_import(library, album)
    before = {path.name: path.read_bytes() for path in library.store.crops.iterdir()}
    lost = sorted(before)[:2]
    for name in lost:
        library.crop(name).unlink()
    assert library.check() == ["2 of 5 face pictures are missing; import their photos again."]
    assert numbers(run_import(library, album)) == (0, 5, 0, 1)
    assert {path.name: path.read_bytes() for path in library.store.crops.iterdir()} == before
    assert library.check() == []


def test_bad_files_are_refused_in_a_sentence_and_the_rest_goes_on(library: Library, album: Path) -> None:
    (album / "empty.jpg").touch()
    (album / "text.jpg").write_text("no photo at all")
    (album / "cut.png").write_bytes((album / "0.png").read_bytes()[:200])
    picture(1, 40, 40).save(album / "tiny.png")
    (album / "lost.jpg").symlink_to(album / "nowhere")
    os.mkfifo(album / "pipe.jpg")
    (album / "photos.rar").write_bytes(b"Rar!")
    report = run_import(library, album)
    assert numbers(report) == (5, 0, 7, 1)
    reasons = {Path(problem.path).name: problem.reason for problem in report.problems}
    assert "empty" in reasons["empty.jpg"] and "not a JPEG" in reasons["text.jpg"]
    assert "damaged" in reasons["cut.png"] and "40 x 40" in reasons["tiny.png"]
    assert "can't be read" in reasons["lost.jpg"] and "not a plain file" in reasons["pipe.jpg"]
    assert "unpack it" in reasons["photos.rar"]
    assert all(reason.endswith(".") and "\n" not in reason for reason in reasons.values())
    assert {refusal.path for refusal in library.problems()} == {problem.path for problem in report.problems}


def test_a_refusal_is_recorded_once_and_goes_when_the_file_is_good(library: Library, album: Path) -> None:
    (album / "bad.png").write_text("no photo")
    run_import(library, album)
    run_import(library, album)
    assert len(rows(library, Refusal)) == 1 and len(library.problems()) == 1
    picture(50).save(album / "bad.png")
    assert numbers(run_import(library, album)) == (1, 5, 0, 1)
    assert rows(library, Refusal) == []


def test_two_hundred_fuzzed_images(library: Library, tmp_path: Path) -> None:
    """Bytes flipped, cut, doubled: each is imported or refused, none stops the rest."""
    dice, folder = random.Random(5), tmp_path / "fuzzed"
    folder.mkdir()
    seeds = []
    for kind, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")):
        buffer = io.BytesIO()
        picture(1).save(buffer, kind)
        seeds.append((buffer.getvalue(), suffix))
    buffer = io.BytesIO()
    pillow_heif.from_pillow(picture(2)).save(buffer)
    seeds.append((buffer.getvalue(), "heic"))
    for index in range(200):
        content, suffix = seeds[index % 4]
        spoiled = bytearray(content)
        for _ in range(dice.choice((1, 4, 32))):
            spoiled[dice.randrange(len(spoiled))] = dice.randrange(256)
        if dice.random() < 0.2:
            spoiled = spoiled[: dice.randrange(1, len(spoiled))]
        (folder / f"{index:03d}.{suffix}").write_bytes(bytes(spoiled))
    picture(99).save(folder / "zz_good.png")
    report = run_import(library, folder)
    assert report.added + report.known + report.refused == 201 and report.refused > 20
    assert any(view.name == "zz_good.png" for view in library.photos())
    assert all(refusal.reason.endswith(".") for refusal in library.problems())


def test_formats_orientation_and_dates(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "formats"
    folder.mkdir()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif.get_ifd(0x8769)[EXIF_DATE] = "1987:06:05 04:03:02"
    picture(1, 120, 80).save(folder / "camera.jpg", exif=exif)
    picture(2).save(folder / "IMG-20190314-WA0007.webp")
    pillow_heif.from_pillow(picture(3)).save(folder / "phone.heic")
    picture(4).save(folder / "33.4_0001.png")
    assert run_import(library, folder).added == 4
    seen = {view.name: view for view in library.photos()}
    camera = seen["camera.jpg"]
    assert (camera.width, camera.height) == (80, 120)
    assert (camera.taken, camera.taken_source) == (datetime(1987, 6, 5, 4, 3, 2), "exif")
    sent = seen["IMG-20190314-WA0007.webp"]
    assert (sent.taken, sent.taken_source) == (datetime(2019, 3, 14, 12), "file name")
    assert seen["phone.heic"].taken is None and seen["33.4_0001.png"].taken is None
    assert {row.format for row in rows(library, Photo)} == {"JPEG", "WEBP", "HEIF", "PNG"}


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("IMG_20190314_120102.jpg", datetime(2019, 3, 14, 12, 1, 2)),
        ("PXL_20240229_235959123.jpg", datetime(2024, 2, 29, 23, 59, 59)),
        ("2019-03-14 12.01.02.jpg", datetime(2019, 3, 14, 12, 1, 2)),
        ("Screenshot_2019-03-14-12-01-02.png", datetime(2019, 3, 14, 12, 1, 2)),
        ("IMG-20190314-WA0001.jpg", datetime(2019, 3, 14, 12)),
        ("1956_04_30 birthday.jpg", datetime(1956, 4, 30, 12)),
        ("20190314.jpg", datetime(2019, 3, 14, 12)),
        ("20190231.jpg", None),
        ("2019-0314.jpg", None),
        ("33.4_0001.jpg", None),
        ("DSC20190314999.jpg", None),
        ("99999999.jpg", None),
        ("20990101.jpg", None),
    ],
)
def test_dates_in_names(name: str, date: datetime | None) -> None:
    assert date_in_name(name) == date


def test_a_clock_that_was_never_set_does_not_count() -> None:
    name = "IMG_20190314.jpg"
    assert taken(datetime(1980, 1, 1, 0, 0, 12), name) == (datetime(2019, 3, 14, 12), "file name")
    assert taken(datetime(2999, 1, 1), "a.jpg") == (None, None)
    assert taken(datetime(1999, 1, 1, 10, 5), name) == (datetime(1999, 1, 1, 10, 5), "exif")


def test_file_names_that_are_no_text(library: Library, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "odd")
    (tmp_path / "odd").mkdir()
    with open(os.path.join(folder, b"\xff\xfe.png"), "wb") as file:  # noqa: PTH118, PTH123
        picture(1).save(file, "PNG")
    with open(os.path.join(folder, b"\xfd.png"), "wb") as file:  # noqa: PTH118, PTH123
        file.write(b"bad")
    assert numbers(run_import(library, tmp_path / "odd"))[:3] == (1, 0, 1)
    assert numbers(run_import(library, tmp_path / "odd"))[:3] == (0, 1, 1)


def test_a_person_is_suggested_for_faces_that_are_alone(library: Library, tmp_path: Path) -> None:
    anna = add_person(library, "Anna")
    picture(1).save(tmp_path / "one.png")
    picture(2, 192, 96).save(tmp_path / "two.png")
    run_import(library, tmp_path / "one.png", tmp_path / "two.png", person="  aNNa ")
    faces = rows(library, Face)
    assert [face.person_id for face in faces] == [anna, None, None]
    assert [face.belonging for face in faces] == [Belonging.SUGGESTED, Belonging.UNKNOWN, Belonging.UNKNOWN]
    assert {(meant.photo_id, meant.person_id) for meant in rows(library, Meant)} == {(1, anna), (2, anna)}


def test_what_was_said_before_stays(library: Library, album: Path) -> None:
    anna, otto = add_person(library, "Anna"), add_person(library, "Otto")
    run_import(library, album)
    with library.session() as session:
        session.add(Rejection(face_id=1, person_id=anna))
        face = session.get_one(Face, 2)
        face.person_id, face.belonging = otto, Belonging.CONFIRMED
        session.add(face)
    run_import(library, album, person="Anna")
    assert [face.person_id for face in rows(library, Face)] == [None, otto, anna, anna, anna]


def test_embeddings_need_consent(library: Library, album: Path) -> None:
    add_person(library, "Anna")
    run_import(library, album, person="Anna")
    assert rows(library, Embedding) == []
    given = library.give_consent("ANNA")
    assert "Anna" in given.text and library.consent("anna") is not None and library.consent() is None
    picture(70).save(album / "70.png")
    run_import(library, album / "70.png", person="Anna")
    assert {row.face_id for row in rows(library, Embedding)} == {6}
    with fake_networks():
        assert list(library.embed(NETS, "anna")) == [5, 0]
    assert {row.face_id for row in rows(library, Embedding)} == set(range(1, 7))
    with Image.open(library.crop(rows(library, Face)[5].crop)) as crop:
        stored = np.frombuffer(rows(library, Embedding)[5].vector, dtype="<f4")
        assert stored.shape == (128,) and float(stored @ vector(crop)) > 0.999
    picture(71).save(album / "71.png")
    run_import(library, album / "71.png")  # nobody's: Anna's consent does not cover it
    assert 7 not in {row.face_id for row in rows(library, Embedding)}
    assert library.withdraw_consent("Anna") > 0 and rows(library, Embedding) == []
    assert library.consent("Anna") is None


def test_withdrawing_leaves_no_embedding_on_the_disk(library: Library, album: Path) -> None:
    library.give_consent()
    run_import(library, album)
    secrets = [row.vector for row in rows(library, Embedding)]
    assert len(secrets) == 5
    assert library.withdraw_consent() == 5
    held = b"".join(path.read_bytes() for path in library.folder.rglob("*") if path.is_file())
    assert all(secret not in held for secret in secrets)


def test_cancelling_keeps_what_is_done(library: Library, album: Path) -> None:
    calls = iter(range(1000))

    def check() -> None:
        if next(calls) > 9:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_import(library, album, check=check)
    done = library.count()
    assert 0 < done < 5 and rows(library, Import)[0].finished is None
    assert numbers(run_import(library, album))[:2] == (5 - done, done)


def test_a_second_import_waits_for_the_first(library: Library, album: Path) -> None:
    with library.store.importing(), fake_networks():
        steps = library.import_photos([album], NETS)
        assert next(steps).message == "Waiting for another import to end"
        steps.close()
    assert run_import(library, album).added == 5


def test_what_can_not_be_imported_is_said_at_once(library: Library, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file or folder"):
        library.import_photos([tmp_path / "nowhere"], NETS)
    with pytest.raises(InputError, match="nothing to import"):
        library.import_photos([], NETS)
    add_person(library, "Johanna")
    with pytest.raises(InputError, match="did you mean Johanna"):
        library.import_photos([tmp_path], NETS, person="Johana")
