"""What the process that reads a foreign file takes away from itself before it opens the file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # Windows has no such limits; there the time limit and the machine's memory remain
    resource = None  # type: ignore[assignment]

MAX_OUTPUT = 17 * 2**30
# Audit events (Python's own table of them) that reading weights never raises.
FORBIDDEN = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.symlink",
    "os.link",
    "pty.",
    "webbrowser.",
    "urllib.",
    "ftplib.",
    "smtplib.",
    "pickle.find_class",
    "ctypes.dlopen",
)
CHANGES = (
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "os.utime",
    "shutil.",
)


class Forbidden(BaseException):
    """Something tried what reading weights never needs. No Exception, so that no library takes it for its own."""


def limit_memory(memory_gb: float) -> None:
    """From now on this process may take `memory_gb` more address space, write files up to 17 GiB, and dump no core."""
    if resource is None:
        return
    most = address_space() + int(memory_gb * 2**30)
    for kind, limit in ((resource.RLIMIT_AS, most), (resource.RLIMIT_FSIZE, MAX_OUTPUT), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(kind, (limit, limit))
        except (ValueError, OSError) as error:
            # macOS knows RLIMIT_AS but takes no value for it.
            if sys.platform == "linux":
                raise Forbidden(f"this system does not let a process limit itself ({error})") from error


def address_space() -> int:
    """Bytes of address space in use: libraries such as CUDA's map far more than they ever touch."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[0]) * resource.getpagesize() if status.exists() else 0


def forbid(folder: Path) -> None:
    """No network, no other process, no native library and no write outside `folder` for the rest of this process.

    A hook can't be taken back. It is a second wall: the reader has no way to run anything in the first place.
    """
    allowed = str(folder.resolve())
    sys.dont_write_bytecode = True  # modules that are imported from now on leave nothing behind

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise Forbidden(f"an attempt at {event} was stopped")
        changes = _writes(arguments) if event == "open" else event.startswith(CHANGES)
        if changes and not _within(arguments[0], allowed):
            raise Forbidden(f"an attempt to change a file elsewhere was stopped ({event})")

    sys.addaudithook(hook)


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & 3)


def _within(path: Any, folder: str) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return True  # a number: a file that is open already
    return Path(os.fsdecode(path)).resolve().is_relative_to(folder)
