"""Finished files on their way to a browser: linked into the served folder under an address that can't be guessed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import quote

from pipelines.errors import EveryageError
from ui.services import Services

COPIED = 2 << 30  # bytes: a larger file that can't be linked is not copied for a look at it
PLAYED = (".mp4", ".m4v", ".webm", ".mov", ".mkv")
SHOWN = (".png", ".jpg", ".jpeg", ".webp")


def hand_out(services: Services, path: Path) -> Path:
    """A second name of the file, where browsers may read it; the same again while the file stays as it is.

    Raises EveryageError if it is gone, or too large to be copied where it can't be linked.
    """
    try:
        facts = path.stat()
        key = (str(path), facts.st_size, facts.st_mtime_ns)
        known = services.handed.get(key)
        if known is not None and known.is_file():
            return known
        if not path.is_file():
            raise EveryageError(f"{path} is a folder; open it where it lies.")
        out = services.new_file(path.stem, path.suffix)
        _link(path, out, facts.st_size)
    except OSError as error:
        raise EveryageError(f"{path} can't be read ({error.strerror or error}); it was moved or removed.") from error
    services.handed[key] = out
    return out


def _link(path: Path, out: Path, size: int) -> None:
    try:
        os.link(path, out)
    except OSError as error:  # another disk, or one without links
        if size > COPIED:
            raise EveryageError(f"{path} is too large to be shown here; open it where it lies.") from error
        shutil.copyfile(path, out)


def address(path: Path) -> str:
    """The address of a handed-out file."""
    return f"/gradio_api/file={quote(str(path))}"
