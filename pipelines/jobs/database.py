"""Where jobs are kept: a SQLite file in the data folder, or a PostgreSQL database that machines share.

The tables of the durable workflows live beside ours in it. A damaged file is put aside and a new one begun: what jobs
have made are files, which no damage of the queue can reach.
"""

from __future__ import annotations

import logging
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from filelock import FileLock, Timeout

from models.errors import EveryageError
from photos.files import make_folder
from pipelines.crash import MAX_LOG_BYTES
from pipelines.settings import Settings

if TYPE_CHECKING:
    from dbos import DBOSClient, DBOSConfig

NAME = "jobs.sqlite"
WAIT_S = 30.0
APP = "everyage"
VERSION = "everyage-jobs-1"
"""Version of the workflows. Constant, so that an edit of the app orphans no job that an older one began."""
JOBS, CHUNKS = "jobs", "chunks"
"""The two queues: jobs in their order, and the chunks of those that run."""

# WAL with FULL: a commit is on the disk when it is answered, whatever happens to the power, and readers never wait.
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={int(WAIT_S * 1000)}")

metadata = sa.MetaData()
jobs = sa.Table(
    "everyage_jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),  # JSON
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("rank", sa.Integer, nullable=False),  # smaller goes first; the workflow's priority is the same
    sa.Column("attempt", sa.Integer, nullable=False),  # counts how often it was queued; names its workflow
    sa.Column("created", sa.Float, nullable=False),  # times are seconds since 1970, UTC
    sa.Column("started", sa.Float),
    sa.Column("ended", sa.Float),
    sa.Column("message", sa.Text, nullable=False, default=""),
    sa.Column("done", sa.Integer, nullable=False, default=0),
    sa.Column("total", sa.Integer, nullable=False, default=0),
    sa.Column("seconds_left", sa.Float),
    sa.Column("preview", sa.Text, nullable=False, default=""),  # name of a file in the job's folder
    sa.Column("error", sa.Text, nullable=False, default=""),
    sa.Column("result", sa.Text),  # JSON
    sa.Column("made", sa.Text, nullable=False, default="[]"),  # JSON: [path, bytes, mtime in ns] of each result
    sa.Index("everyage_jobs_order", "state", "rank", "created"),
    sa.Index("everyage_jobs_ended", "state", "ended"),
    sa.Index("everyage_jobs_newest", "ended"),
)
chunks = sa.Table(
    "everyage_chunks",
    metadata,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("ended", sa.Float),
)
workers = sa.Table(
    "everyage_workers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
)


def shared(settings: Settings) -> bool:
    """Whether several machines share the queue."""
    return settings.jobs_url is not None


def url(settings: Settings) -> str:
    """Address of the database in SQLAlchemy's words."""
    if settings.jobs_url is not None:
        return "postgresql+psycopg://" + settings.jobs_url.partition("://")[2]
    return f"sqlite:///{settings.data / 'jobs' / NAME}"


def open_engine(settings: Settings) -> tuple[sa.Engine, list[str]]:
    """(the database, made, checked and up to date; sentences on what was wrong with it).

    Raises EveryageError if it can't be opened.
    """
    folder = make_folder(settings.data / "jobs")
    lock = FileLock(folder / ".opening.lock", timeout=2 * WAIT_S)
    try:
        with lock:
            said = [] if shared(settings) else _put_aside(folder / NAME)
            _log_to_file(settings.data)
            engine = _engine(settings)
            _migrate(engine, settings)
            return engine, said
    except Timeout as error:
        raise EveryageError(f"{folder / NAME} is being opened by another process; try again.") from error
    except (sa.exc.OperationalError, sqlite3.OperationalError) as error:
        raise EveryageError(refusal(error, settings)) from error


def refusal(error: Exception, settings: Settings) -> str:
    """One sentence on a database that does not do as it is told."""
    reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
    if shared(settings):
        return f"The queue in EVERYAGE_JOBS_URL can't be used ({reason}); check that the server runs and lets you in."
    path = settings.data / "jobs" / NAME
    if "full" in reason:
        return f"{path} can't grow: the disk is full; free some space."
    return f"{path} can't be used ({reason}); try again."


def open_client(engine: sa.Engine) -> DBOSClient:
    """What queues, cancels and deletes workflows without doing any."""
    from dbos import DBOSClient
    from dbos._serialization import DBOSPortableJSONSerializer

    serializer = DBOSPortableJSONSerializer()  # not pickle: what a shared database holds must not act
    return DBOSClient(system_database_engine=engine, application_name=APP, serializer=serializer, lazy=True)


def dbos_config(engine: sa.Engine, settings: Settings, worker: str) -> DBOSConfig:
    """What the durable workflows are told: our database, our version, no telemetry, quiet."""
    from dbos._serialization import DBOSPortableJSONSerializer

    return {
        "name": APP,
        "system_database_url": url(settings),
        "system_database_engine": engine,
        "application_version": VERSION,
        "executor_id": worker,
        "log_level": "ERROR",
        "run_migrations": False,
        "serializer": DBOSPortableJSONSerializer(),
        "enable_otlp": False,
    }


def _log_to_file(data: Path) -> None:
    """What the workflows' engine has to say is for those who look for faults, not for a terminal."""
    logger, path = logging.getLogger("dbos"), make_folder(data / "logs") / "jobs.log"
    logger.propagate = False
    for other in [*logger.handlers]:
        logger.removeHandler(other)
        other.close()
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".old.log"))
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    logger.addHandler(handler)


def _engine(settings: Settings) -> sa.Engine:
    if shared(settings):
        return sa.create_engine(url(settings), pool_pre_ping=True, pool_size=10, connect_args={"connect_timeout": 10})
    engine = sa.create_engine(url(settings), pool_size=10)

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        # Immediate: a transaction that is going to write waits at its beginning, where waiting is possible.
        connection.isolation_level = "IMMEDIATE"
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _migrate(engine: sa.Engine, settings: Settings) -> None:
    """Make what is missing: our tables, those of the workflows, the two queues."""
    from dbos import DBOS

    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # one process of all machines at a time
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(20260101)"))
        metadata.create_all(connection)
    DBOS.migrate(url(settings))
    # On one machine the next chunk is claimed while one is done, so that nothing waits for the next look at the queue;
    # where several workers share, a claimed chunk would be one that nobody else can do.
    ahead, look_s = (1, 0.05) if shared(settings) else (2, 0.2)
    client = open_client(engine)
    client.register_queue(JOBS, worker_concurrency=1, polling_interval_sec=0.2)
    client.register_queue(CHUNKS, worker_concurrency=ahead, polling_interval_sec=look_s)


def _put_aside(path: Path) -> list[str]:
    """Rename a damaged file (with its log) so that a new one can begin; sentences on it."""
    from photos.library.repair import SIDECARS, examine

    found = examine(path) if path.exists() else []
    if not found:
        return []
    aside = path.with_name(f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.sqlite")
    for suffix in SIDECARS:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(aside.with_name(aside.name + suffix))
    return [
        f"The list of jobs was damaged ({found[0]}) and is put aside as {aside}; "
        "what jobs have made is still there, start again what was waiting."
    ]
