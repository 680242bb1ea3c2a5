"""Leaving no byte of deleted jobs on the disk, which matters where they spoke of a person."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from pipelines.jobs.database import chunks, shared
from pipelines.jobs.ledger import Ledger

WAIT_MS = 5000  # for others to stop reading


def busy(ledger: Ledger, ids: Collection[str]) -> bool:
    """Whether a worker is doing something for one of these jobs."""
    with ledger.begin(write=False) as connection:
        begun = sa.select(chunks.c.job).where(chunks.c.job.in_(ids), chunks.c.tries > 0).limit(1)
        return connection.execute(begun).first() is not None


def scrub(ledger: Ledger) -> bool:
    """Rewrite the database without what was deleted; False where somebody reads it, and so holds the old bytes."""
    for path in (ledger.settings.data / "jobs").glob("damaged-*.sqlite*"):  # put aside, and never needed
        path.unlink(missing_ok=True)
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if shared(ledger.settings):
            connection.exec_driver_sql("VACUUM FULL everyage_jobs")
            connection.exec_driver_sql("VACUUM FULL everyage_chunks")
            return True
        try:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={WAIT_MS}")
            connection.exec_driver_sql("VACUUM")
            return not connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        except sa.exc.OperationalError:
            return False
