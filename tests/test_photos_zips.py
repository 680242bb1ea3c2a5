"""Importing zip archives: honest ones, and those that mean no good."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from sqlmodel import select

from photos.library import Library
from photos.library.tables import Source
from tests import naughty_zips as naughty
from tests.fake_faces import picture, run_import

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "data")


def photo(seed: int) -> bytes:
    return naughty.png(picture(seed))


def test_photos_of_an_archive_are_copied(library: Library, tmp_path: Path) -> None:
    entries = {"1987/a.png": photo(1), "1987/b.png": photo(2), "read me.txt": b"hello", "__MACOSX/._a.png": b"x"}
    path = naughty.pack(tmp_path / "album.zip", entries)
    report = run_import(library, path)
    assert (report.added, report.refused, report.ignored) == (2, 0, 2)
    again = run_import(library, path)
    assert (again.added, again.known) == (0, 2)
    path.unlink()
    views = library.photos()
    assert [view.path.read_bytes() if view.path else b"" for view in views] == [photo(1), photo(2)]
    with library.session(write=False) as session:
        sources = session.exec(select(Source).order_by(Source.path)).all()
    assert [source.path for source in sources] == [f"{path}!1987/a.png", f"{path}!1987/b.png"]
    assert all(source.kept for source in sources) and library.check() == []


def test_an_archive_inside_a_folder_and_a_lost_copy(library: Library, tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    naughty.pack(tmp_path / "album" / "in.ZIP", {"a.png": photo(1)})
    (tmp_path / "album" / "b.png").write_bytes(photo(1))  # the same photo
    report = run_import(library, tmp_path / "album")
    assert (report.added, report.known) == (1, 1)
    (copy,) = library.store.files.iterdir()
    copy.unlink()
    assert library.check() == ["1 own copies of photos are missing; import their archives again."]
    run_import(library, tmp_path / "album")
    assert library.check() == [] and copy.read_bytes() == photo(1)


def test_each_hostile_entry_is_refused_and_the_rest_imported(library: Library, tmp_path: Path) -> None:
    path = naughty.pack(
        tmp_path / "hostile.zip",
        {
            "good.png": photo(1),
            "../outside.png": photo(2),
            "a/../../outside.png": photo(3),
            "/etc/outside.png": photo(4),
            "..\\outside.png": photo(5),
            "C:\\outside.png": photo(6),
            "con.png": photo(7),
            "nested/LPT1": b"",
            "inner.zip": b"PK",
            "x" * 300 + ".png": photo(8),
            "secret.png": photo(9),
            "spoiled.png": photo(10)[:-30],
            "zz_good.png": photo(11),
        },
    )
    naughty.encrypt(path, "secret.png")
    naughty.add_special(path, "link.png", naughty.LINK, b"/etc/passwd")
    naughty.add_special(path, "device.png", naughty.DEVICE, b"")
    naughty.add_bomb(path, "bomb.png", 30)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr("odd.png", photo(13))
    naughty.add_named(path, b"nul\0name.png", photo(12))
    before = {each for each in tmp_path.rglob("*") if library.data not in each.parents}
    report = run_import(library, path)
    assert report.added == 2 and [view.name for view in library.photos()] == ["good.png", "zz_good.png"]
    reasons = {problem.path.split("!")[-1]: problem.reason for problem in report.problems}
    expected = {
        "../outside.png": "leads out of the archive",
        "a/../../outside.png": "leads out of the archive",
        "/etc/outside.png": "absolute path",
        "..\\outside.png": "leads out of the archive",
        "C:\\outside.png": "absolute path",
        "con.png": "reserves for devices",
        "nested/LPT1": "reserves for devices",
        "inner.zip": "archive inside the archive",
        "secret.png": "encrypted",
        "spoiled.png": "damaged",
        "link.png": "symbolic link",
        "device.png": "device",
        "nul?name.png": "NUL",
        "bomb.png": "-fold when unpacked",
        "odd.png": "unusual way",
    }
    for name, words in expected.items():
        assert words in reasons.pop(name), name
    ((name, reason),) = reasons.items()
    assert name.startswith("xxx") and "longer than 255" in reason
    assert {each for each in tmp_path.rglob("*") if library.data not in each.parents} == before
    assert len(list(library.store.files.iterdir())) == 2  # and no temporary file


@pytest.mark.parametrize("claimed", [None, 3])
def test_a_million_entries_are_refused_quickly(library: Library, tmp_path: Path, claimed: int | None) -> None:
    path = naughty.with_entries(tmp_path / "million.zip", 1_000_000, claimed)
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = run_import(library, path)
    assert time.monotonic() - began < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # kilobytes
    (problem,) = report.problems
    assert report.added == 0 and "split it" in problem.reason


def test_a_claim_of_few_entries_does_not_help(library: Library, tmp_path: Path) -> None:
    """The list is small enough, but has more entries than are read."""
    path = naughty.with_entries(tmp_path / "liar.zip", 60_000, claimed=3)
    (problem,) = run_import(library, path).problems
    assert "more than 50,000 entries" in problem.reason


def test_overlapping_entries(library: Library, tmp_path: Path) -> None:
    report = run_import(library, naughty.overlapping(tmp_path / "quine.zip", 250))
    assert report.added == 0 and len(report.problems) in (1, 100)
    assert "would grow to" in report.problems[0].reason or "-fold" in report.problems[0].reason


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and nothing more", b"no archive at all" * 99])
def test_what_is_no_archive(library: Library, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.zip").write_bytes(content)
    (tmp_path / "good.png").write_bytes(photo(1))
    report = run_import(library, tmp_path / "bad.zip", tmp_path / "good.png")
    assert report.added == 1 and "is not a zip archive, or is damaged" in report.problems[0].reason


def test_a_kill_while_an_entry_is_copied_leaves_nothing(library: Library, tmp_path: Path) -> None:
    path = naughty.pack(tmp_path / "album.zip", {f"{seed:03d}.png": photo(seed) for seed in range(30)})
    command = [sys.executable, "-m", "tests.fake_faces", str(library.data), str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Photo 12 "):
                process.kill()
                break
    (library.store.files / ".0123456789abcdef.part").write_bytes(b"left by a killed import")
    report = run_import(library, path)
    assert report.added + report.known == 30 and library.count() == 30
    assert sorted(each.stem for each in library.store.files.iterdir()) == sorted(
        view.sha256 for view in library.photos()
    )
