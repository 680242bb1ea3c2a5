"""Small pictures of faces and photos, kept in memory while the page needs them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from PIL import Image

from photos.io import open_photo
from pipelines.errors import EveryageError
from ui.pictures import data_uri

# A head and shoulders in grey, where there is no picture.
BLANK = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 40 40'%3E%3Cg fill='%23a89f93'%3E"
    "%3Ccircle cx='20' cy='16' r='7'/%3E%3Cpath d='M7 36c0-7 6-11 13-11s13 4 13 11z'/%3E%3C/g%3E%3C/svg%3E"
)
SIDE = 176


@lru_cache(maxsize=4096)
def _small(path: str, side: int) -> str:
    with Image.open(path) as crop:
        return data_uri(crop, side, 84)


def crop(path: Path | None, side: int = SIDE) -> str:
    """A face's crop as a data address; a blank one where the file is missing."""
    if path is None or not path.is_file():
        return BLANK
    return _small(str(path), side)


@lru_cache(maxsize=64)
def _photo(path: str, side: int) -> str:
    return data_uri(open_photo(Path(path)).image, side)


def photo(path: Path | None, other: Path | None, side: int = 720) -> str:
    """A whole photo as a data address; its face (`other`) where the photo can't be opened any more."""
    try:
        return crop(other, side) if path is None else _photo(str(path), side)
    except EveryageError:  # moved or changed since; the page shows what is there
        return crop(other, side)


def clear() -> None:
    """Keep nothing: somebody was forgotten."""
    _small.cache_clear()
    _photo.cache_clear()
