"""Failures that nobody foresaw: the person reads one sentence, the details go to a file."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from models.errors import EveryageError

MAX_LOG_BYTES = 5_000_000


@contextlib.contextmanager
def crash_log(data: Path) -> Iterator[None]:
    """Turn any unforeseen exception of the block into an EveryageError; its traceback goes to `log_path(data)`."""
    try:
        yield
    except EveryageError:
        raise
    except Exception as error:
        raise EveryageError(crash_sentence(error, data)) from error


def crash_sentence(error: Exception, data: Path) -> str:
    """One sentence about `error` for a person; writes the traceback to the log, if it can."""
    lines = str(error).strip().splitlines() or [""]
    what = f"{type(error).__name__}: {lines[0][:160]}".rstrip(": .")
    path = log_path(data)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".old.log"))
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now().astimezone().isoformat(timespec='seconds')}\n")
            log.writelines(traceback.format_exception(error))
    except OSError:
        return f"Something went wrong inside the app ({what})."
    return f"Something went wrong inside the app ({what}); the details are in {path}."


def log_path(data: Path) -> Path:
    """Where unforeseen failures are written."""
    return data / "logs" / "everyage.log"
