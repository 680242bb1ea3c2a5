"""Forgetting a person: afterwards no byte of theirs is in the data folder, and everything of others is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import pytest
from PIL import Image
from sqlmodel import select

from models.errors import EveryageError, InputError
from photos.history import History
from photos.io import open_photo
from photos.library import Library, forgetting
from photos.library.tables import Belonging, Embedding, Face, Person, Photo
from photos.originals import Originals
from photos.people import People
from tests.fake_faces import add_person, picture, run_import

ROOT = Path(__file__).resolve().parent.parent
NAME = "Zyxalinde Quorx"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two people with photos of their own and one of both; results, caches, models and logs of the first."""
    data, album = tmp_path / "data", tmp_path / "album"
    library = Library(data)
    for name, seeds in ((NAME, range(4)), ("Otto", range(10, 13))):
        add_person(library, name)
        library.give_consent(name)
        folder = album / name
        folder.mkdir(parents=True)
        for seed in seeds:
            picture(seed).save(folder / f"{name[0]}photo{seed}.png")
        run_import(library, folder, person=name)
    picture(20, 192, 96).save(album / "together.png")
    run_import(library, album / "together.png", person=NAME)
    upload = tmp_path / "upload" / "Zupload.png"
    upload.parent.mkdir()
    picture(5).save(upload)
    run_import(library, upload, person=NAME, keep=True)
    assign(library)
    library.find_likenesses()
    library.database.backup()
    make_traces(library, album)
    return data


def assign(library: Library) -> None:
    """In the photo of both, the first face is hers, the second his."""
    with library.session() as session:
        people = {person.name: person.id for person in session.exec(select(Person)).all()}
        together = session.exec(select(Photo).where(Photo.name == "together.png")).one()
        faces = session.exec(select(Face).where(Face.photo_id == together.id).order_by(Face.id)).all()
        for face, name in zip(faces, (NAME, "Otto"), strict=True):
            face.person_id, face.belonging = people[name], Belonging.CONFIRMED
            session.add(face)


def make_traces(library: Library, album: Path) -> None:
    """Results from her photo, from each face of the photo of both, from his photo, and from his with her model."""
    data = library.data
    history, originals = History(data), Originals(data)
    with library.session(write=False) as session:
        hers = session.exec(select(Person).where(Person.name == NAME)).one().folder
    recipes = (
        ("hers", album / NAME / "Zphoto0.png", 0, ""),
        ("her face", album / "together.png", 0, ""),
        ("his face", album / "together.png", 1, ""),
        ("his", album / "Otto" / "Ophoto10.png", 0, ""),
        ("her model", album / "Otto" / "Ophoto11.png", 0, hers),
    )
    for title, path, face, person in recipes:
        photo = open_photo(path)
        source = {"name": path.name, "sha256": photo.sha256}
        history.add(
            {"title": title, "photo": source, "face": face, "options": {"person": person}}, Image.new("RGB", (80, 80))
        )
        originals.keep(photo)
        cached = data / "cache" / "aging" / f"{photo.sha256[:16]}-{title.replace(' ', '')}.safetensors"
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_bytes(b"weights")
    with library.session(write=False) as session:
        for person in session.exec(select(Person)).all():
            (library.folder / person.folder).mkdir()
            (library.folder / person.folder / "adapter.safetensors").write_bytes(f"of {person.name}".encode())
    others = next(p.name for p in library.folder.iterdir() if p.is_dir() and (p / "adapter.safetensors").is_file()
                  and p.name != hers)  # fmt: skip
    generated = History(data, "generated")
    for id, folder in (("zyx-sara", hers), ("otto-sara", others)):
        adapter = data / "models" / id / "adapter"
        adapter.mkdir(parents=True)
        (adapter / "card.json").write_text(json.dumps({"person": folder}))
        (adapter / "adapter_model.safetensors").write_bytes(f"of {id}".encode())
        (data / "finetune" / id).mkdir(parents=True)
        (data / "finetune" / id / "person.json").write_text(json.dumps({"person": folder}))
        for where in (id, str(adapter)):
            uses = {"title": id, "settings": {"adapters": [{"where": where, "weight": 1.0}]}}
            generated.add(uses, Image.new("RGB", (80, 80)))
    (data / "served" / "7860" / "abc").mkdir(parents=True)
    (data / "served" / "7860" / "abc" / "picture.webp").write_bytes(b"shown")
    (data / "logs").mkdir()
    (data / "logs" / "everyage.log").write_text(f"an error in {album / NAME / 'Zphoto0.png'}")
    (data / "logs" / "other.log").write_text("an error")


def everything(data: Path) -> bytes:
    """The names and bytes of all files."""
    files = [path for path in sorted(data.rglob("*")) if path.is_file()]
    return b"\n".join(
        [*(str(path.relative_to(data)).encode() for path in files), *(path.read_bytes() for path in files)]
    )


def marks(library: Library) -> dict[str, list[bytes]]:
    """What must be gone, and what must stay: names, file names, hashes, crops' bytes and names, embeddings."""
    with library.session(write=False) as session:
        people = {person.name: person for person in session.exec(select(Person)).all()}
        found: dict[str, list[bytes]] = {"hers": [NAME.encode(), NAME.casefold().encode()], "his": [b"Otto"]}
        for name, key in ((NAME, "hers"), ("Otto", "his")):
            person = people[name]
            found[key].append(person.folder.encode())
            for face in session.exec(select(Face).where(Face.person_id == person.id)).all():
                photo = session.get_one(Photo, face.photo_id)
                vector = session.get(Embedding, face.id)
                found[key] += [library.crop(face.crop).read_bytes(), face.crop.encode()]
                found[key] += [vector.vector] if vector else []
                if photo.name != "together.png":
                    found[key] += [photo.name.encode(), photo.sha256.encode(), photo.sha256[:16].encode()]
    return found


def test_no_byte_is_left_and_others_keep_theirs(data: Path, tmp_path: Path) -> None:
    library = Library(data)
    wanted, before = marks(library), everything(data)
    assert len(wanted["hers"]) > 20 and all(mark in before for mark in wanted["hers"] + wanted["his"])
    originals = {path: path.read_bytes() for path in (tmp_path / "album").rglob("*.png")}
    report = library.forget(NAME.upper())
    after = everything(data)
    assert [mark for mark in wanted["hers"] if mark in after] == []
    assert [mark for mark in wanted["his"] if mark not in after] == []
    assert {path: path.read_bytes() for path in (tmp_path / "album").rglob("*.png")} == originals
    assert report.removed == {
        "photos": 5,
        "face pictures": 6,
        "embeddings": 6,
        "own copies of photos": 1,
        "files of the personal model": 1,
        "results": 3,
        "adapters and pictures made with them": 5,
        "originals of results": 1,
        "cached files": 3,
        "copies shown in the browser": 1,
        "logs": 1,
        "old backups": 2,
    } | {"old backups": report.removed["old backups"]}
    with library.session(write=False) as session:
        assert forgetting.era(session) == 1
    assert report.name == NAME and report.sentence().startswith(f"Removed of {NAME}: 5 photos, 6 face pictures")
    kept = " ".join(report.kept)
    assert str(tmp_path / "album" / NAME) in kept and "1 photo shows somebody else" in kept
    assert [entry.recipe["title"] for entry in History(data).list()] == ["his", "his face"]
    assert (data / "logs" / "other.log").exists()
    assert [path.name for path in (data / "models").iterdir()] == ["otto-sara"]
    assert [path.name for path in (data / "finetune").iterdir()] == ["otto-sara"]
    assert [entry.recipe["title"] for entry in History(data, "generated").list()] == ["otto-sara", "otto-sara"]


def test_the_photo_of_both_stays_with_the_other_face(data: Path) -> None:
    library = Library(data)
    picture(30).save(data.parent / "nobody.png")
    run_import(library, data.parent / "nobody.png")
    assert any("1 face without a name stays" in sentence for sentence in library.forget(NAME).kept)
    with library.session(write=False) as session:
        photo = session.exec(select(Photo).where(Photo.name == "together.png")).one()
        (face,) = session.exec(select(Face).where(Face.photo_id == photo.id)).all()
        assert session.get_one(Person, face.person_id).name == "Otto"
        assert session.get(Embedding, face.id) is not None
    assert library.count() == 5 and library.check() == []


def test_a_bystander_without_consent_keeps_no_embedding(data: Path) -> None:
    library = Library(data)
    library.withdraw_consent("Otto")
    with library.session(write=False) as session:
        assert len(session.exec(select(Embedding)).all()) == 7  # hers, and his face in the photo of both
    library.forget(NAME)
    with library.session(write=False) as session:
        assert session.exec(select(Embedding)).all() == []


def test_an_undo_does_not_bring_anybody_back(data: Path) -> None:
    library = Library(data)
    wanted, people = marks(library), People(library)
    people.rename(NAME, NAME + "!")
    people.rename("Otto", "Otho")
    library.forget(NAME + "!")
    assert people.undo() is None and [person.name for person in people.list()] == ["Otho"]
    assert [mark for mark in wanted["hers"] if mark in everything(data)] == []
    people.rename("Otho", "Otto")
    assert people.undo() == "renaming Otho" and [person.name for person in people.list()] == ["Otho"]


def test_nobody_of_that_name(data: Path) -> None:
    with pytest.raises(InputError, match=f"did you mean {NAME}"):
        Library(data).forget("Zyxalinde Quor")
    assert Library(data).count() == 9


def test_not_while_an_import_runs(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "WAIT_S", 0.1)
    library = Library(data)
    with library.store.importing(), pytest.raises(EveryageError, match="import is running"):
        library.forget(NAME)
    assert library.count() == 9


@pytest.mark.parametrize("step", ["_delete_rows", "traces.remove_results", "traces.remove_logs", "scrub"])
def test_killed_in_the_middle_it_is_finished_at_the_next_start(data: Path, step: str) -> None:
    library = Library(data)
    wanted = marks(library)
    place = "photos.library.database.Database.scrub" if step == "scrub" else f"photos.library.forgetting.{step}"
    with patch(place, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        library.forget(NAME)
    again = Library(data)
    assert [mark for mark in wanted["hers"] if mark in everything(data)] == []
    assert again.count() == 4 and again.check() == []
    assert not (library.folder / forgetting.PLAN).exists()


READER = """
import sys, time
from pathlib import Path
from photos.library import Library
with Library(Path(sys.argv[1])).session(write=False) as session:
    session.connection().exec_driver_sql("SELECT count(*) FROM photo").fetchall()
    print("reading", flush=True)
    sys.stdin.read()
"""


def test_a_reader_that_holds_the_old_bytes_is_said(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(data)
    command = [sys.executable, "-c", READER, str(data)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None and reader.stdin is not None
        assert reader.stdout.readline() == "reading\n"
        began = time.monotonic()
        with patch.object(library.database, "scrub_wait_s", 0.3):
            report = library.forget(NAME)
        assert time.monotonic() - began < 10
        reader.stdin.close()
    assert any("Another program is reading" in sentence for sentence in report.kept)
    assert json.dumps(report.removed)


def test_forgetting_after_the_originals_moved(data: Path, tmp_path: Path) -> None:
    (tmp_path / "album").rename(tmp_path / "elsewhere")
    library = Library(data)
    wanted = marks(library)
    library.forget(NAME)
    assert [mark for mark in wanted["hers"] if mark in everything(data)] == []
