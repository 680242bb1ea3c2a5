"""`python app.py photos ...`, as a person and as a program call it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import app
from photos.library import Library
from tests.fake_faces import fake_networks, picture

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fake ones, and a terminal that nobody sits at."""
    monkeypatch.setattr("pipelines.collection.Collection.nets", lambda self: None)
    with fake_networks():
        yield


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Photos of one person, named by the age in them."""
    folder = tmp_path / "album"
    folder.mkdir()
    for seed, name in enumerate(("30.5_0001", "40_0002", "IMG_20100615_120000")):
        picture(seed).save(folder / f"{name}.png")
    (folder / "bad.jpg").write_text("no photo")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def call(capsys: pytest.CaptureFixture[str], data: Path, *arguments: object, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert app.main(["photos", *map(str, arguments), "--data", str(data)]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out, err


def facts(capsys: pytest.CaptureFixture[str], data: Path, *arguments: object) -> dict[str, Any]:
    found = json.loads(call(capsys, data, *arguments, "--json")[0].splitlines()[-1])
    assert isinstance(found, dict)
    return found


def refused(capsys: pytest.CaptureFixture[str], data: Path, *arguments: object) -> str:
    out, err = call(capsys, data, *arguments, code=2)
    assert out == "" and err.endswith(".\n")
    return err.splitlines()[-1]


def test_import_as_json(data: Path, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = facts(capsys, data, "import", album, "--person", "Anna", "--born", "1970-06-15")
    assert (found["added"], found["known"], found["refused"], found["person"]) == (3, 0, 1, "Anna")
    (problem,) = found["problems"]
    assert problem["path"].endswith("bad.jpg") and problem["reason"].endswith(".")
    again = facts(capsys, data, "import", album, "--person", "ANNA")
    assert (again["added"], again["known"], again["person"]) == (0, 3, "Anna")


def test_import_for_a_person(data: Path, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = call(capsys, data, "import", album, "--person", "Anna")
    assert "3 new photos with 3 faces" in out and "bad.jpg" in out
    assert "Recorded consent" in err and "Anna" in err
    given = Library(data).consent("Anna")
    assert given is not None and given.text in err
    assert "Recorded consent" not in call(capsys, data, "import", album, "--person", "anna")[1]


def test_without_a_person_nothing_is_embedded(data: Path, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert facts(capsys, data, "import", album)["person"] is None
    assert facts(capsys, data, "consent", "show") == {"consent": None, "text": None}
    assert "embedding" in facts(capsys, data, "consent", "give")["text"]
    assert facts(capsys, data, "import", album)["known"] == 3
    assert facts(capsys, data, "consent", "withdraw") == {"embeddings_removed": 0}


def test_lists(data: Path, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts(capsys, data, "import", album, "--person", "Anna", "--born", "1970-06-15")
    photos = facts(capsys, data, "list")["photos"]
    assert [photo["name"] for photo in photos] == ["IMG_20100615_120000.png", "30.5_0001.png", "40_0002.png"]
    assert photos[0]["taken"] == "2010-06-15T12:00:00" and photos[0]["taken_source"] == "file name"
    of_anna = facts(capsys, data, "list", "--person", "anna")
    ages = {photo["name"]: photo["age"] for photo in of_anna["photos"]}
    assert of_anna["person"] == "Anna" and ages["IMG_20100615_120000.png"] == pytest.approx(40, abs=0.01)
    (person,) = facts(capsys, data, "people")["people"]
    assert person["name"] == "Anna" and person["born"] == "1970-06-15" and person["consent"] is not None
    assert "Anna" in call(capsys, data, "people")[0] and "40_0002.png" in call(capsys, data, "list")[0]


def test_changing_people(data: Path, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts(capsys, data, "import", album, "--person", "Anna")
    facts(capsys, data, "rename", "Anna", "Anne")
    assert facts(capsys, data, "people")["people"][0]["name"] == "Anne"
    facts(capsys, data, "born", "anne", "1970-06-15")
    face = facts(capsys, data, "list", "--person", "Anne")["photos"][0]["face"]
    facts(capsys, data, "set-age", face, "33.5")
    listed = {photo["face"]: photo for photo in facts(capsys, data, "list", "--person", "Anne")["photos"]}
    assert listed[face]["age"] == 33.5 and listed[face]["age_source"] == "typed"
    picture(50).save(album.parent / "other.png")
    facts(capsys, data, "import", album.parent / "other.png", "--person", "Ann")
    facts(capsys, data, "merge", "Ann", "Anne")
    (person,) = facts(capsys, data, "people")["people"]
    assert person["name"] == "Anne" and person["faces"] == 4


def test_duplicates(data: Path, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(1).resize((150, 150)).save(album / "copy.png")
    facts(capsys, data, "import", album)
    (pair,) = facts(capsys, data, "duplicates")["pairs"]
    assert (pair["first"]["name"], pair["second"]["name"]) == ("copy.png", "40_0002.png")
    assert "1 pairs" in call(capsys, data, "duplicates", "--hide")[0]
    assert "40_0002.png" not in {photo["name"] for photo in facts(capsys, data, "list")["photos"]}
    facts(capsys, data, "decide", pair["id"], "both")
    assert len(facts(capsys, data, "list")["photos"]) == 4


def test_forget_says_what_it_did(data: Path, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts(capsys, data, "import", album, "--person", "Anna")
    found = facts(capsys, data, "forget", "ANNA")
    assert found["forgotten"] == "Anna" and found["removed"]["photos"] == 3 and found["removed"]["embeddings"] == 3
    assert any(str(album) in sentence for sentence in found["kept"])
    assert facts(capsys, data, "people")["people"] == [] and facts(capsys, data, "list")["photos"] == []
    held = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert b"Anna" not in held and b"30.5_0001" not in held
    assert facts(capsys, data, "import", album, "--person", "Anna")["added"] == 3  # and it can begin anew


@pytest.mark.parametrize(("answer", "left"), [(True, 0), (False, 1)])
def test_forget_asks_at_a_terminal(
    data: Path,
    album: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: bool,
    left: int,
) -> None:
    facts(capsys, data, "import", album, "--person", "Anna")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked = []
    monkeypatch.setattr("typer.confirm", lambda text: asked.append(text) or answer)
    call(capsys, data, "forget", "Anna", code=0 if answer else app.INTERRUPTED)
    assert len(asked) == 1 and "Anna" in asked[0]
    assert len(facts(capsys, data, "people")["people"]) == left


def test_check(data: Path, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts(capsys, data, "import", album)
    assert facts(capsys, data, "check") == {"ok": True, "problems": []}
    next(Library(data).store.crops.iterdir()).unlink()
    out, _ = call(capsys, data, "check", code=1)
    assert "1 of 3 face pictures are missing" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("import", "nowhere"), "There is no file or folder"),
        (("import", ".", "--person", "A", "--born", "1970"), "'1970' is no date"),
        (("import", ".", "--person", "A", "--born", "2999-01-01"), "still to come"),
        (("import", ".", "--born", "1970-01-01"), "say whose it is"),
        (("list", "--person", "Nobody"), "Nobody"),
        (("forget", "Nobody"), "Nobody"),
        (("rename", "Nobody", "Somebody"), "Nobody"),
        (("merge", "Anna"), "two names"),
        (("set-age", "1", "old"), "'old' is no age"),
        (("decide", "1", "neither"), "'neither' is none of"),
        (("decide", "1", "both"), "no pair number 1"),
        (("consent", "show", "Nobody"), "Nobody"),
        (("import",), "--help"),
    ],
)
def test_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...],
    expected: str,
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert expected in refused(capsys, tmp_path / "data", *arguments)
    if arguments[:1] == ("import",):
        assert facts(capsys, tmp_path / "data", "people")["people"] == []  # and nobody was added


def test_the_real_command_with_the_real_networks(tmp_path: Path, astronaut: Path) -> None:
    line = [sys.executable, "app.py", "photos", "import", str(astronaut), "--person", "Eileen", "--born", "1956-11-19"]
    done = subprocess.run(
        [*line, "--json", "--data", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["added"], found["faces"], found["person"]) == (1, 1, "Eileen")


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, app; app.main(['photos', '--help']); print([m for m in HEAVY if m in sys.modules])"
    heavy = "HEAVY = ('torch', 'sklearn', 'scipy', 'sqlmodel', 'sqlalchemy', 'alembic', 'imagehash', 'PIL', 'gradio');"
    done = subprocess.run([sys.executable, "-c", heavy + code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]" and "forget" in done.stdout


def test_listing_needs_no_networks(data: Path) -> None:
    code = f"import sys, app; app.main(['photos', 'people', '--data', {str(data)!r}]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_a_damaged_collection_is_said(data: Path, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts(capsys, data, "import", album)
    later = data.parent / "later"  # a copy: to this process the original is still open
    shutil.copytree(data, later, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    (later / "people" / "collection.sqlite").write_bytes(b"no database" * 999)
    out, err = call(capsys, later, "list")
    assert "was damaged" in err and "is restored" in err and "40_0002.png" in out
