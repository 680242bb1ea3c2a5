"""`python app.py age` as a person runs it: a process of its own, the real networks, a phone's photo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photos.io import read_recipe

ROOT = Path(__file__).resolve().parent.parent
ORIENTATION, GPS = 0x0112, 0x8825


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "app.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)


@pytest.fixture(scope="module")
def phone_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut as a phone would store her: turned, with a place of taking."""
    import skimage.data

    image = Image.fromarray(skimage.data.astronaut()[:, :448])
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be turned a quarter clockwise
    exif.get_ifd(GPS)[1] = "N"
    exif.get_ifd(GPS)[2] = (51.0, 28.0, 40.0)
    path = tmp_path_factory.mktemp("phone") / "IMG_0001.jpg"
    image.rotate(90, expand=True).save(path, quality=95, exif=exif)
    assert Image.open(path).getexif().get_ifd(GPS)[1] == "N"
    return path


def test_a_photo_from_the_command_line(phone_photo: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "old.jpg", str(tmp_path / "data")
    done = run("age", str(phone_photo), "--to", "75", "--out", str(out), "--steps", "8", "--data", data, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["target"] == 75 and report["out"] == str(out)
    assert report["age_after"] > report["age_before"] + 4
    assert report["identity"] >= 0.5
    with Image.open(out) as result:
        assert result.size == (448, 512)  # upright
        exif = result.getexif()
        assert not exif.get_ifd(GPS) and exif.get(ORIENTATION, 1) == 1
        pixels = np.asarray(result).astype(int)
    source = np.asarray(Image.open(phone_photo).rotate(-90, expand=True)).astype(int)
    assert np.abs(pixels - source)[400:].mean() < 3  # the space suit, but for JPEG
    assert np.abs(pixels - source)[60:200, 150:300].mean() > 3  # the face
    recipe = read_recipe(out)
    assert recipe is not None and recipe["target"] == 75 and recipe["options"]["tune_steps"] == 8


def test_a_strip_from_the_command_line(phone_photo: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "strip.png", str(tmp_path / "data")
    done = run("age", str(phone_photo), "--strip", "20,50,80", "--out", str(out), "--steps", "0", "--data", data)
    assert done.returncode == 0, done.stderr
    with Image.open(out) as sheet:
        assert sheet.width == 3 * 384 + 2 * 8 and sheet.height > 384
        tiles = [np.asarray(sheet.crop((left, 0, left + 384, 384))).astype(int) for left in (0, 392, 784)]
    assert np.abs(tiles[0] - tiles[2]).mean() > np.abs(tiles[0] - tiles[1]).mean() > 0.5
