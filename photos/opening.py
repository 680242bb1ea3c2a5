"""Reading photos that nobody vouches for.

The header is read first: format and size are checked before a single pixel is decoded, so that a small file that
claims to be huge costs nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import InputError
from photos.colour import rgb_profile, to_rgb

MAX_PIXELS = 64_000_000
MAX_BYTES = 512 * 1024 * 1024
MIN_SIDE = 64
FORMATS = ("JPEG", "PNG", "WEBP", "HEIF")
FILTERS = threading.Lock()  # Python's warning filters belong to the whole process
EXIF_IFD, DATE_ORIGINAL, DATE_DIGITIZED = 0x8769, 0x9003, 0x9004


@dataclass(frozen=True)
class Photo:
    """One photo as the person sees it.

    image: PIL RGB, 8 bits, upright (EXIF orientation applied), transparency on white.
    path: where it came from; sha256: of the file's bytes, hexadecimal.
    taken: when the camera says it was taken, in the camera's own time; None if it does not say.
    icc: the colour profile of `image`'s pixels; None means sRGB.
    """

    image: Image.Image
    path: Path
    sha256: str
    taken: datetime | None = None
    icc: bytes | None = None


def open_photo(path: str | Path, max_pixels: float = MAX_PIXELS) -> Photo:
    """Read a JPEG, PNG, WebP or HEIF photo.

    Raises InputError, one sentence, for: nothing there, a folder, an empty file, not a photo of these formats, more
    than `max_pixels` pixels (refused from the header alone), a side below 64 pixels, a damaged or truncated file.
    """
    path = Path(path)
    check_file(path)
    try:
        with path.open("rb") as file:
            header = _read_header(file, path, max_pixels)
            pixels = _decode(header, path)
            taken = _date_taken(header)
            icc = rgb_profile(header)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror or error}).") from error
    return Photo(pixels, path, digest, taken, icc)


def check_file(path: Path) -> None:
    """Raises InputError unless `path` is a plain file that is neither empty nor absurdly large."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; give one photo.")
        if not path.exists():
            raise InputError(f"There is no file {path}; check the name.")
        if not path.is_file():
            raise InputError(f"{path} is not a plain file; give a photo.")
        size = path.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{str(path)!r} can't be read ({error}).") from error
    if size == 0:
        raise InputError(f"{path} is empty; give a photo.")
    if size > MAX_BYTES:
        raise InputError(f"{path} has {size / 1e6:,.0f} MB; photos up to {MAX_BYTES / 1e6:,.0f} MB are read.")


def open_header(file: BinaryIO) -> Image.Image:
    """The picture in `file`, not yet decoded, if it has one of `FORMATS`; Pillow's errors pass through."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    with FILTERS, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(file, formats=FORMATS)


def _read_header(file: BinaryIO, path: Path, max_pixels: float) -> Image.Image:
    try:
        header = open_header(file)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(_too_large(path, _stated_pixels(error), max_pixels)) from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not a JPEG, PNG, WebP or HEIF photo, or its beginning is damaged.") from error
    except Exception as error:  # decoders of hostile files raise whatever they like
        raise InputError(f"{path} is damaged ({_brief(error)}); give another copy of the photo.") from error
    width, height = header.size
    if width * height > max_pixels:
        raise InputError(_too_large(path, f"{width * height:,}", max_pixels))
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{path} has only {width} x {height} pixels; {MIN_SIDE} x {MIN_SIDE} is the least.")
    return header


def _stated_pixels(error: BaseException) -> str:
    """The number that Pillow read in the header: "Image size (169000000 pixels) exceeds limit of ..."."""
    found = re.search(r"\((\d+) pixels\)", str(error))
    return f"{int(found[1]):,}" if found else "too many"


def _too_large(path: Path, pixels: str, max_pixels: float) -> str:
    return f"{path} has {pixels} pixels; {max_pixels:,.0f} are the most that are read: make it smaller first."


def _decode(header: Image.Image, path: Path) -> Image.Image:
    try:
        header.load()
        upright = _upright(header)
        return to_rgb(upright)
    except Exception as error:  # as above
        raise InputError(f"{path} is damaged or cut short ({_brief(error)}); give another copy.") from error


def _upright(image: Image.Image) -> Image.Image:
    """Orientation is a convenience: a damaged EXIF block must not cost the person the photo."""
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)  # in place: a copy of 64 million pixels is 192 MB
    return image


def _date_taken(image: Image.Image) -> datetime | None:
    try:
        fields = image.getexif().get_ifd(EXIF_IFD)
    except Exception:
        return None
    for tag in (DATE_ORIGINAL, DATE_DIGITIZED):
        try:
            return datetime.strptime(str(fields[tag]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        except (KeyError, ValueError):
            continue
    return None


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
