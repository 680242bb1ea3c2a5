"""Is the collection's file whole? A damaged one is put aside, and the newest good backup takes its place."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from models.errors import EveryageError

WAIT_S = 30.0
SIDECARS = ("-shm", "-wal", "")  # the log first: it must never be applied to another file than its own


def repair(path: Path, backups: Path) -> list[str]:
    """Look at a SQLite file; put it aside in `backups` if it is damaged, and restore the newest backup that is whole.

    Returns sentences on what was done; none if the file is whole or not there. Raises EveryageError if it is locked.
    """
    found = examine(path) if path.exists() else []
    if path.exists() and path.stat().st_size == 0 and list_backups(backups):
        found = ["it is empty"]  # to SQLite that is a whole database
    if not found:
        return []
    aside = backups / f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.sqlite"
    for suffix in SIDECARS:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(aside.with_name(aside.name + suffix))
    said = f"The photo collection was damaged ({found[0]}) and is put aside as {aside}; "
    good = next((backup for backup in list_backups(backups) if not examine(backup)), None)
    if good is None:
        return [said + "there is no good backup, so the collection starts empty: import again."]
    temporary = path.with_suffix(".part")
    temporary.write_bytes(good.read_bytes())
    temporary.replace(path)
    return [said + f"the backup {good.name} is restored: import again what is missing."]


def list_backups(folder: Path) -> list[Path]:
    """The backups in a folder, the newest first."""
    return sorted(folder.glob("collection-*.sqlite"), reverse=True)


def examine(path: Path, how: str = "quick_check") -> list[str]:
    """What is wrong with a SQLite file; an empty list is good. A locked file is not damaged: OperationalError."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=WAIT_S)) as connection:
            rows = connection.execute(f"PRAGMA {how}").fetchall()
            if how == "integrity_check":
                lost = connection.execute("PRAGMA foreign_key_check").fetchall()
                rows += [(f"a row of {row[0]} points nowhere",) for row in lost]
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise EveryageError(f"{path} can't be opened ({error}); try again.") from error
        return [str(error)]
    return [str(row[0]) for row in rows if row[0] != "ok"]


def is_damage(error: object) -> bool:
    """Whether SQLite says that the file itself is broken (and not, say, locked)."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
