"""Results as files: whole or absent, with the recipe and the mark inside, without the source's metadata."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from models.errors import EveryageError, InputError
from photos.files import write_atomically
from photos.history import History
from photos.io import open_photo, read_recipe, save_image

RECIPE = {"target": 70.0, "name": "Zoë", "options": {"strength": 1.0, "seed": 3}}
SUFFIXES = ["png", "jpg", "jpeg", "webp", "PNG"]


def noise(width: int = 90, height: int = 70) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


def photo_with_gps(path: Path) -> Image.Image:
    exif = Image.Exif()
    exif[0x010F] = "SECRETCAMERA"
    exif.get_ifd(0x8825)[29] = "SECRETPLACE"
    exif.get_ifd(0x8769)[0xA431] = "SECRETSERIAL"
    noise().save(path, exif=exif, comment=b"SECRETCOMMENT", quality=95)
    return Image.open(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_recipe_comes_back(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"result.{suffix}"
    save_image(noise(), out, RECIPE)
    assert read_recipe(out) == RECIPE
    assert open_photo(out).image.size == (90, 70)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_picture_says_that_it_is_made(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"result.{suffix}"
    save_image(noise(), out, RECIPE)
    content = out.read_bytes()
    assert b"AI-generated" in content and b"Everyage" in content
    assert b"digitalsourcetype/compositeWithTrainedAlgorithmicMedia" in content
    with Image.open(out) as image:
        xmp = image.info["xmp"]
        text = xmp.decode() if isinstance(xmp, bytes) else xmp
        assert "DigitalSourceType" in text
        if suffix.lower() == "png":
            assert image.text["Comment"].startswith("AI-generated")  # type: ignore[attr-defined]
        else:
            assert image.getexif()[0x010E].startswith("AI-generated")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_of_the_source_is_left(tmp_path: Path, suffix: str) -> None:
    source = photo_with_gps(tmp_path / "source.jpg")
    assert b"SECRETPLACE" in (tmp_path / "source.jpg").read_bytes()
    for number, image in enumerate([source, open_photo(tmp_path / "source.jpg").image]):
        out = tmp_path / f"{number}.{suffix}"
        save_image(image, out, RECIPE)
        assert b"SECRET" not in out.read_bytes()
        with Image.open(out) as saved:
            assert not saved.getexif().get_ifd(0x8825)


def test_png_keeps_every_pixel_and_the_profile(tmp_path: Path) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    save_image(noise(), tmp_path / "a.png", RECIPE, icc)
    photo = open_photo(tmp_path / "a.png")
    assert np.array_equal(np.asarray(photo.image), np.asarray(noise())) and photo.icc == icc


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_formats_stay_close(tmp_path: Path, suffix: str, astronaut: Path) -> None:
    image = open_photo(astronaut).image
    save_image(image, tmp_path / f"a.{suffix}", RECIPE)
    error = np.asarray(open_photo(tmp_path / f"a.{suffix}").image, float) - np.asarray(image, float)
    assert 10 * np.log10(255**2 / np.square(error).mean()) > 34


@pytest.mark.parametrize("name", ["a.gif", "a", "a.png.exe", "missing/a.png", "folder.png"])
def test_names_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError) as error:
        save_image(noise(), tmp_path / name, RECIPE)
    assert str(error.value).endswith(".") and name.split("/")[0] in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_sizes_and_recipes_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"WEBP holds no picture of 16384 x 8 pixels; choose \.png\."):
        save_image(Image.new("RGB", (16_384, 8)), tmp_path / "a.webp", RECIPE)
    with pytest.raises(EveryageError, match="characters"):
        save_image(noise(), tmp_path / "a.jpg", {"text": "x" * 70_000})
    save_image(noise(), tmp_path / "b.jpg", {"text": "x" * 48_000})
    assert read_recipe(tmp_path / "b.jpg") == {"text": "x" * 48_000}
    assert [path.name for path in tmp_path.iterdir()] == ["b.jpg"]


@pytest.mark.parametrize("step", ["fsync", "replace", "write"])
def test_a_failing_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    out = tmp_path / "a.png"
    save_image(noise(), out, {"first": 1})

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    if step == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    elif step == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(EveryageError, match=r"Could not write .*no space left on device; \d+ MB free there"):
        save_image(noise(), out, {"second": 2})
    monkeypatch.undo()
    assert read_recipe(out) == {"first": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def write(file: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.bin", write)
    assert list(tmp_path.iterdir()) == []


def write_png_text(path: Path, text: str) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("everyage", text)
    noise().save(path, pnginfo=info)


@pytest.mark.parametrize("text", ["", "not json", "[1, 2]", '"text"', "[" * 40_000, '{"a": "' + "x" * 60_000 + '"}'])
def test_hostile_recipes_are_none(tmp_path: Path, text: str) -> None:
    write_png_text(tmp_path / "a.png", text)
    assert read_recipe(tmp_path / "a.png") is None


def test_files_without_a_recipe_have_none(tmp_path: Path) -> None:
    photo_with_gps(tmp_path / "a.jpg")
    noise().save(tmp_path / "b.png")
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b'ASCII\0\0\0{"by": "another program"}'
    noise().save(tmp_path / "c.jpg", exif=exif)
    (tmp_path / "d.png").write_text("no picture")
    for path in [*tmp_path.iterdir(), tmp_path, tmp_path / "missing.png"]:
        assert read_recipe(path) is None, path


def test_history_lists_the_newest_first(tmp_path: Path) -> None:
    history = History(tmp_path)
    made = [history.add({"target": float(age)}, noise()) for age in (20, 40, 60)]
    listed = History(tmp_path).list()
    assert [entry.id for entry in listed] == [entry.id for entry in reversed(made)]
    assert [entry.recipe["target"] for entry in listed] == [60, 40, 20]
    assert [entry.id for entry in history.list(limit=1)] == [made[2].id]
    assert listed[0].created.tzinfo is not None and listed[0] == history.get(made[2].id)
    assert read_recipe(listed[0].image) == {"target": 60.0}
    assert np.array_equal(np.asarray(Image.open(listed[0].image)), np.asarray(noise()))


def test_history_thumbnails_are_small_and_the_result_is_not_touched(tmp_path: Path) -> None:
    large = noise(600, 300)
    own = Image.new("RGB", (128, 128), (9, 99, 200))
    history = History(tmp_path)
    assert Image.open(history.add({}, large).thumbnail).size == (256, 128)
    assert Image.open(history.add({}, large, thumbnail=own).thumbnail).size == (128, 128)
    assert large.size == (600, 300)


def test_history_forgets_all_files_of_a_result(tmp_path: Path) -> None:
    history = History(tmp_path)
    first, second = history.add({"a": 1}, noise()), history.add({"a": 2}, noise())
    history.remove(first.id)
    assert [entry.id for entry in history.list()] == [second.id]
    assert not [path for path in history.folder.iterdir() if path.name.startswith(first.id)]


@pytest.mark.parametrize("entry_id", ["", "../victim", "20260101T000000000000-0123456789", "*"])
def test_history_refuses_ids_that_are_not_its_own(tmp_path: Path, entry_id: str) -> None:
    history = History(tmp_path)
    (tmp_path / "victim.json").write_text(json.dumps({"created": "2026-01-01T00:00:00+00:00", "recipe": {}}))
    with pytest.raises(InputError, match="There is no result"):
        history.remove(entry_id)
    assert (tmp_path / "victim.json").exists()


def test_history_leaves_damaged_results_out(tmp_path: Path) -> None:
    history = History(tmp_path)
    entries = [history.add({"a": number}, noise()) for number in range(4)]
    (history.folder / f"{entries[0].id}.json").write_text("{")
    (history.folder / f"{entries[1].id}.json").write_text("[]")
    entries[2].image.unlink()
    assert [entry.id for entry in history.list()] == [entries[3].id]


def test_a_failed_add_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(tmp_path)

    def fail(*_: Any) -> None:
        raise EveryageError("The disk is full.")

    monkeypatch.setattr("photos.history.write_file", fail)
    with pytest.raises(EveryageError):
        history.add({}, noise())
    assert list(history.folder.iterdir()) == []


def test_what_a_killed_process_left_goes_but_not_what_is_being_written(tmp_path: Path) -> None:
    history = History(tmp_path)
    kept = history.add({}, noise())
    old, young = history.folder / "20250101T000000000000-0123456789.png", history.folder / ".x.png.0a.part"
    stale = history.folder / ".y.png.0b.part"
    for path in (old, young, stale):
        path.write_bytes(b"half")
    hour_ago = time.time() - 7200
    for path in (old, stale, kept.image, kept.thumbnail):
        os.utime(path, (hour_ago, hour_ago))
    left = {path.name for path in History(tmp_path).folder.iterdir()}
    assert left == {young.name, f"{kept.id}.json", kept.image.name, kept.thumbnail.name}
