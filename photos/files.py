"""Writing files so that a name holds either the old content or the whole new one, wherever the machine stops."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from models.errors import EveryageError, InputError

TEMPORARY = ".part"


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it to the disk, and rename it to `path`.

    An existing file is replaced. On any error nothing is left behind and `path` is as it was. Raises InputError if
    the folder does not exist or `path` is a folder, EveryageError if the disk refuses; what `write` raises passes.
    """
    check_output(path)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise EveryageError(f"Could not write {path} ({_reason(error, path)}).") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_file(path: Path, content: bytes) -> None:
    """`write_atomically` of bytes that are there already."""
    write_atomically(path, lambda file: file.write(content))


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, or None if there is none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def check_output(path: Path) -> None:
    """Raises InputError if `path` can't be a new file: its folder does not exist, or it is itself a folder."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file to write.")
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} does not exist; make it first or choose another.")


def make_folder(path: Path) -> Path:
    """The folder, made if need be. Raises EveryageError if that can't be done."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise EveryageError(f"The folder {path} can't be made ({reason}); choose another with --data.") from error
    return path


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _reason(error: OSError, path: Path) -> str:
    text = (error.strerror or str(error)).lower()
    with contextlib.suppress(OSError):
        return f"{text}; {shutil.disk_usage(path.parent).free / 1e6:.0f} MB free there"
    return text
