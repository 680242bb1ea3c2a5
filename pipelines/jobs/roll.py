"""The workers of a shared queue: each says that it lives, and what a dead one was doing is queued again."""

from __future__ import annotations

import os
import platform
import time

import sqlalchemy as sa

from pipelines.jobs.database import JOBS, workers
from pipelines.jobs.ledger import Ledger

LOST_S = 6.0
"""A worker that said nothing for so long is taken for dead. One that lives after all finds its work taken away, and
what it still writes is the same that the other writes."""


class Roll:
    """The list of workers; its clock is the database's, so that those of the machines may differ."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def beat(self, worker: str) -> None:
        """This worker lives."""
        with self._ledger.begin() as connection:
            now = _now(connection)
            if not connection.execute(workers.update().where(workers.c.id == worker).values(seen=now)).rowcount:
                row = {"id": worker, "host": platform.node(), "pid": os.getpid(), "seen": now}
                connection.execute(workers.insert().values(**row))

    def living(self, within_s: float = LOST_S) -> list[str]:
        """Workers that were seen of late."""
        with self._ledger.begin(write=False) as connection:
            seen = sa.select(workers.c.id).where(workers.c.seen > _now(connection) - within_s)
            return list(connection.execute(seen).scalars())

    def take_over(self) -> None:
        """Queue again what those were doing that live no more, and strike them off."""
        alive = self.living()
        for flow in self._ledger.client.list_workflows(status="PENDING", load_input=False):
            if flow.executor_id is not None and flow.executor_id not in alive:
                take_up(self._ledger, flow.workflow_id, flow.executor_id)
        with self._ledger.begin() as connection:
            connection.execute(workers.delete().where(workers.c.id.not_in(alive)))

    def leave(self, worker: str) -> None:
        """This worker ends in an orderly way: others may take over at once what it had begun."""
        with self._ledger.begin() as connection:
            connection.execute(workers.delete().where(workers.c.id == worker))


def take_up(ledger: Ledger, flow: str, worker: str) -> None:
    """Queue a workflow again that `worker` began and does no more; nothing if somebody else does it by now."""
    ledger.client._sys_db.reenqueue_for_recovery(flow, [worker], JOBS)


def _now(connection: sa.Connection) -> float:
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
