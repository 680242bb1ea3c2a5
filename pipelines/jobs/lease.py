"""A person who waits for a picture goes first: jobs stand still between two of their steps while a page holds a lease.

A lease is a locked file in `data/jobs/interactive`. The system drops the lock with the process that holds it, however
that ends, so none outlives its page. Only leases of the same machine count: others use other devices.
"""

from __future__ import annotations

import contextlib
import platform
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from models.errors import Cancelled
from photos.files import make_folder
from pipelines.events import CancelToken
from pipelines.settings import Settings

LONGEST_S = 120.0  # a job stands still for so long at once,
SHARE_S = 15.0  # and then works for so long, whoever waits
POLL_S = 0.05


def leases(data: Path) -> Path:
    """The folder of the leases."""
    return data / "jobs" / "interactive"


@contextlib.contextmanager
def interactive(settings: Settings) -> Iterator[None]:
    """Hold while a person waits for a picture; the jobs of this machine stand still meanwhile. May be held by many."""
    folder = make_folder(leases(settings.data))
    lock = FileLock(folder / f"{_machine()}-{secrets.token_hex(6)}.lock")
    with lock:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows keeps open files; the worker removes it later
                Path(lock.lock_file).unlink()


def somebody_waits(data: Path) -> bool:
    """Whether any process of this machine holds a lease. Removes what killed ones left."""
    try:
        files = [path for path in leases(data).iterdir() if path.name.startswith(f"{_machine()}-")]
    except FileNotFoundError:
        return False
    return any(_held(path) for path in files)


class WorkToken(CancelToken):
    """The token of a chunk: `check` also stands still while a person waits, for at most LONGEST_S at once."""

    def __init__(self, data: Path, longest_s: float = LONGEST_S, share_s: float = SHARE_S) -> None:
        super().__init__()
        self._data, self._longest, self._share = data, longest_s, share_s
        self._deaf_until = 0.0

    def check(self) -> None:
        """Raises Cancelled if `cancel` was called, also while it stands still."""
        super().check()
        if time.monotonic() < self._deaf_until:
            return
        began = time.monotonic()
        while somebody_waits(self._data):
            if self._event.wait(POLL_S):
                raise Cancelled
            if time.monotonic() - began > self._longest:
                self._deaf_until = time.monotonic() + self._share
                return


def _held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            path.unlink(missing_ok=True)
        return False
    except Timeout:
        return True
    except OSError:  # it went away meanwhile
        return False


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9]", "", platform.node()) or "here"
