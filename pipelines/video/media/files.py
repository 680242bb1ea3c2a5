"""Files that libraries write by their path: under a temporary name, whole on the disk, then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import av

from models.errors import EveryageError
from photos.files import TEMPORARY, check_output

from .source import brief

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, which becomes `path` at the end of the `with`; after an error nothing is left.

    What a process that was killed left under such a name is removed by the next one that writes the same `path`.
    Raises what `photos.files.write_atomically` raises.
    """
    check_output(path)
    beginning = f".{path.name[:100]}."
    try:
        _sweep(path.parent, beginning)
        temporary = path.with_name(f"{beginning}{secrets.token_hex(4)}{TEMPORARY}")
        with temporary.open("xb") as file:
            try:
                _lock(file)
                yield temporary
                os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except (OSError, av.error.FFmpegError) as error:
        raise EveryageError(f"Could not write {path} ({brief(error)}).") from error


def _lock(file: BinaryIO) -> bool:
    """Hold a file for as long as this process lives and has it open; False if another one holds it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep(folder: Path, beginning: str) -> None:
    for left in folder.iterdir():
        if left.name.startswith(beginning) and left.name.endswith(TEMPORARY):
            with suppress(OSError), left.open("rb") as file:
                if _lock(file):  # whoever wrote it is gone
                    left.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
