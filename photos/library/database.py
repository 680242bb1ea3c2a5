"""The SQLite file of the collection: opened with checks, a backup before every migration, repaired from a backup."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlmodel import Session

from models.errors import EveryageError, InputError
from photos.files import make_folder
from photos.library.repair import WAIT_S, examine, is_damage, list_backups, repair

NAME = "collection.sqlite"
BACKUPS_KEPT = 7
BACKUP_EVERY = timedelta(days=1)
MIGRATIONS = Path(__file__).parent / "migrations"
# secure_delete: deleted rows are overwritten, since faces are biometric data. WAL with NORMAL: a power cut may take
# the last commits, never the file; an import that is run again brings them back.
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "foreign_keys=ON",
    f"busy_timeout={int(WAIT_S * 1000)}",
    "secure_delete=ON",
)


class Database:
    """`folder / "collection.sqlite"`. Several threads and processes may use one folder.

    warnings: sentences on what was wrong at the start and was put right.
    """

    scrub_wait_s = 5.0  # for others to stop reading

    def __init__(self, folder: Path) -> None:
        """Raises EveryageError if the file can't be opened, InputError if a newer Everyage wrote it."""
        self.folder = make_folder(folder)
        self.path = self.folder / NAME
        self.backups = make_folder(self.folder / "backups")
        self.warnings: list[str] = []
        lock = FileLock(self.folder / ".opening.lock", timeout=2 * WAIT_S)
        try:
            with lock:
                self.warnings = repair(self.path, self.backups)
                self.engine = _engine(self.path)
                self._migrate()
                self._daily_backup()
        except Timeout as error:
            raise EveryageError(f"{self.path} is being opened by another process; try again.") from error
        except OperationalError as error:
            raise EveryageError(self._refused(error)) from error

    @contextlib.contextmanager
    def session(self, write: bool = True) -> Iterator[Session]:
        """One transaction: committed at the end, rolled back if anything is raised. Do not nest.

        Rows stay readable after it. write: takes the write lock at once, so that what is read stays true until it is
        changed; without it nothing may be changed, and nobody is kept waiting.
        Raises EveryageError if the file is locked for too long, full or damaged.
        """
        bind = self.engine if write else self.engine.execution_options(begin="BEGIN")
        try:
            with Session(bind, expire_on_commit=False) as session, session.begin():
                session.connection()  # begins now, not with the first question
                yield session
        except OperationalError as error:
            raise EveryageError(self._refused(error)) from error
        except DatabaseError as error:
            if not is_damage(error.orig):
                raise
            raise EveryageError(f"{self.path} is damaged; start the app again to restore the last backup.") from error

    def check(self, thorough: bool = False) -> list[str]:
        """What SQLite finds wrong with the file; an empty list is good. thorough: indexes and references, too."""
        return examine(self.path, "integrity_check" if thorough else "quick_check")

    def backup(self) -> Path:
        """Write the collection as it is now to `backups/`; the oldest go. Raises EveryageError if the disk refuses."""
        target = self.backups / f"collection-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.sqlite"
        temporary = target.with_suffix(".part")
        try:
            with contextlib.closing(self.raw()) as source, contextlib.closing(sqlite3.connect(temporary)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")
            temporary.replace(target)
        except (sqlite3.Error, OSError) as error:
            raise EveryageError(f"The backup {target} can't be written ({error}); free some disk space.") from error
        finally:
            temporary.unlink(missing_ok=True)
        for old in list_backups(self.backups)[BACKUPS_KEPT:]:
            old.unlink(missing_ok=True)
        return target

    def scrub(self) -> bool:
        """Leave no byte of deleted rows on the disk: rewrite the file, empty the log, replace all backups.

        Returns False if another process reads the collection and so holds the old bytes.
        """
        for path in self.backups.iterdir():
            path.unlink(missing_ok=True)
        self.engine.dispose()
        try:
            with contextlib.closing(self.raw()) as connection:
                connection.execute(f"PRAGMA busy_timeout={int(self.scrub_wait_s * 1000)}")
                connection.execute("VACUUM")
                busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]  # waits as for any lock
        except sqlite3.OperationalError:
            busy = True  # said by the answer, and the next scrub does it
        self.backup()
        return not busy

    def raw(self) -> sqlite3.Connection:
        """A plain connection with our settings and no transaction."""
        connection = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        script = ScriptDirectory.from_config(config)
        with self.engine.execution_options(begin="BEGIN").connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        if current == script.get_current_head():
            return
        if current is not None:
            if current not in {each.revision for each in script.walk_revisions()}:
                raise InputError(
                    f"{self.path} was written by a newer Everyage (its version is {current}); update the app."
                )
            self.backup()
        with self.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def _daily_backup(self) -> None:
        """One a day, so that there is something to restore."""
        newest = next(iter(list_backups(self.backups)), None)
        if newest is None or datetime.now(UTC).timestamp() - newest.stat().st_mtime > BACKUP_EVERY.total_seconds():
            self.backup()

    def _refused(self, error: OperationalError) -> str:
        reason = str(error.orig)
        if "locked" in reason:
            return f"{self.path} is in use by another process; try again when it is done."
        if "full" in reason:
            return f"{self.path} can't grow: the disk is full; free some space."
        return f"{self.path} can't be used ({reason})."


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": WAIT_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver begins no transaction by itself: `begin` does
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Immediate: a transaction that reads first and then writes would fail if another wrote in between.
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN IMMEDIATE"))

    return engine
