"""Reading photos that nobody vouches for: what is accepted, how it looks, and what is refused in one sentence."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from models.errors import InputError
from photos.io import open_photo

ROOT = Path(__file__).resolve().parent.parent


def picture(width: int = 96, height: int = 80) -> Image.Image:
    """Smooth, and different in each corner."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8))


def png_that_claims(width: int, height: int) -> bytes:
    """A valid, very small PNG of one colour with so many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def sentence(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and error.value.exit_code == 2
    return text


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg", "heic"])
def test_formats_open_as_rgb(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    image = picture()
    if suffix == "heic":
        pillow_heif.from_pillow(image).save(path, quality=95)
    else:
        image.save(path, **({"lossless": True} if suffix == "webp" else {"quality": 95}))
    photo = open_photo(path)
    assert photo.image.mode == "RGB" and photo.image.size == (96, 80) and photo.path == path
    error = np.abs(np.asarray(photo.image, float) - np.asarray(image, float))
    assert error.max() == 0 if suffix in ("png", "webp") else error.mean() < 4


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "a.png"
    picture().save(path)
    assert open_photo(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path: Path, orientation: int) -> None:
    upright = picture()
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # "turn by 90 clockwise to see it upright"
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    photo = open_photo(tmp_path / "a.png")
    assert np.array_equal(np.asarray(photo.image), np.asarray(upright))
    assert not photo.image.getexif()


def save_with_dates(path: Path, **dates: str) -> None:
    tags = {"original": 0x9003, "digitized": 0x9004}
    exif = Image.Exif()
    exif[0x0132] = "1999:01:01 00:00:00"  # when some program last changed the file
    for name, value in dates.items():
        exif.get_ifd(0x8769)[tags[name]] = value
    picture().save(path, exif=exif)


def test_the_date_is_when_it_was_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    save_with_dates(path, original="2003:07:09 18:30:05", digitized="2010:01:01 00:00:00")
    assert open_photo(path).taken == datetime(2003, 7, 9, 18, 30, 5)
    save_with_dates(path, original="0000:00:00 00:00:00", digitized="2010:01:01 00:00:00")
    assert open_photo(path).taken == datetime(2010, 1, 1)
    save_with_dates(path)
    assert open_photo(path).taken is None


def test_a_broken_exif_block_does_not_cost_the_photo(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    photo = open_photo(tmp_path / "a.jpg")
    assert photo.image.size == (96, 80) and photo.taken is None


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    layer = Image.new("RGBA", (64, 64), (200, 0, 0, 0))
    layer.paste((0, 0, 0, 128), (0, 0, 64, 32))
    for mode in ("RGBA", "LA"):
        layer.convert(mode).save(tmp_path / "a.png")
        pixels = np.asarray(open_photo(tmp_path / "a.png").image)
        assert (pixels[40] == 255).all(), mode
        assert np.abs(pixels[10].astype(int) - 127).max() <= 1, mode
    palette = Image.new("P", (64, 64), 0)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    palette.paste(1, (0, 0, 64, 32))
    palette.save(tmp_path / "p.png", transparency=0)
    pixels = np.asarray(open_photo(tmp_path / "p.png").image)
    assert (pixels[10] == (10, 200, 30)).all() and (pixels[40] == 255).all()


def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    levels = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (64, 1))
    Image.fromarray(levels).save(tmp_path / "a.png")
    row = np.asarray(open_photo(tmp_path / "a.png").image)[5, :, 0].astype(int)
    assert np.abs(row - np.linspace(0, 255, 64)).max() <= 1


def test_cmyk_and_grey_become_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (64, 64), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red = np.asarray(open_photo(tmp_path / "a.jpg").image)[30, 30].astype(int)
    assert red[0] > 200 and red[1:].max() < 60
    Image.new("L", (64, 64), 77).save(tmp_path / "g.png")
    assert (np.asarray(open_photo(tmp_path / "g.png").image) == 77).all()


def test_the_colour_profile_stays_only_where_it_fits(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture().save(tmp_path / "rgb.png", icc_profile=srgb)
    photo = open_photo(tmp_path / "rgb.png")
    assert photo.icc == srgb and np.array_equal(np.asarray(photo.image), np.asarray(picture()))
    grey = srgb[:16] + b"GRAY" + srgb[20:]
    Image.new("L", (64, 64), 9).save(tmp_path / "grey.png", icc_profile=grey)
    assert open_photo(tmp_path / "grey.png").icc is None
    picture().save(tmp_path / "short.png", icc_profile=b"short")
    assert open_photo(tmp_path / "short.png").icc is None


def test_bad_paths(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.jpg")
    cases = {
        "missing.jpg": "There is no file",
        "": "is a folder",
        "empty.jpg": "is empty",
        "pipe.jpg": "not a plain file",
        "nul\0.jpg": "There is no file",
    }
    for name, expected in cases.items():
        with pytest.raises(InputError) as error:
            open_photo(tmp_path / name)
        assert expected in sentence(error)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture().save(tmp_path / "a.png")

    def refuse(*_: Any, **__: Any) -> None:  # the administrator may read everything, and tests may run as one
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError) as error:
        open_photo(tmp_path / "a.png")
    assert "can't be read (Permission denied)" in sentence(error)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "ICO", "PDF"])
def test_formats_off_the_list_are_refused(tmp_path: Path, kind: str) -> None:
    picture().save(tmp_path / "photo.jpg", format=kind)
    with pytest.raises(InputError) as error:
        open_photo(tmp_path / "photo.jpg")
    assert "is not a JPEG, PNG, WebP or HEIF photo" in sentence(error)


def test_text_is_not_a_photo(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("Dear diary")
    with pytest.raises(InputError) as error:
        open_photo(tmp_path / "a.png")
    assert "is not a JPEG, PNG, WebP or HEIF photo" in sentence(error)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "heic"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_truncated_photos_are_refused(tmp_path: Path, suffix: str, part: float) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    if suffix == "heic":
        pillow_heif.from_pillow(noise).save(path)
    else:
        noise.save(path)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(InputError) as error:
        open_photo(path)
    assert "damaged" in sentence(error)


def test_small_photos_are_refused(tmp_path: Path) -> None:
    picture(64, 64).save(tmp_path / "a.png")
    open_photo(tmp_path / "a.png")
    picture(63, 200).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"has only 63 x 200 pixels; 64 x 64 is the least\."):
        open_photo(tmp_path / "a.png")


def test_the_pixel_cap_can_be_set(tmp_path: Path) -> None:
    picture(100, 100).save(tmp_path / "a.png")
    open_photo(tmp_path / "a.png", max_pixels=10_000)
    with pytest.raises(InputError, match="10,000 pixels; 9,999 are the most"):
        open_photo(tmp_path / "a.png", max_pixels=9_999)


MEASURE = """
import json, resource, sys
from pathlib import Path
from photos.io import open_photo
from models.errors import InputError

def peak_kb():
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would begin with the peak of the process that started this one
        return int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

open_photo(sys.argv[1])  # everything that loads on first use is loaded now
before = peak_kb()
try:
    open_photo(sys.argv[2])
    said = ""
except InputError as error:
    said = str(error)
rise = peak_kb() - before
print(json.dumps({"rise_mb": rise / 1024, "said": said}))
"""


def measure(tmp_path: Path, photo: Path) -> dict[str, Any]:
    picture().save(tmp_path / "small.png")
    command = [sys.executable, "-W", "error", "-c", MEASURE, str(tmp_path / "small.png"), str(photo)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("side", [9_000, 13_000, 17_000])
def test_a_huge_picture_is_refused_from_its_header(tmp_path: Path, side: int, record_property: Any) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_that_claims(side, side))
    assert path.stat().st_size < 1_000_000
    result = measure(tmp_path, path)
    record_property("rise_mb", result["rise_mb"])
    assert f"{side * side:,} pixels; 64,000,000 are the most" in result["said"] and result["said"].endswith(".")
    assert result["rise_mb"] < 64


def test_the_measure_above_would_see_a_decoded_picture(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(png_that_claims(7_900, 7_900))
    result = measure(tmp_path, path)
    assert result["said"] == "" and result["rise_mb"] > 100


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "HEIF"]),
    damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_damaged_bytes_are_a_photo_or_an_input_error(
    tmp_path: Path, kind: str, damage: list[tuple[float, int]]
) -> None:
    path = tmp_path / kind
    if kind == "HEIF":
        pillow_heif.from_pillow(picture()).save(path)
    else:
        picture().save(path, format=kind)
    content = bytearray(path.read_bytes())
    for place, value in damage:
        content[int(place * (len(content) - 1))] = value
    path.write_bytes(content)
    try:
        assert open_photo(path, max_pixels=1_000_000).image.mode == "RGB"
    except InputError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
