"""The rows of jobs: what a person sees of them, and every change that a person asks for, each in one transaction.

A change names the state it goes out from, so that two processes that want different things can't both have them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from models.errors import EveryageError
from pipelines.jobs.database import JOBS, VERSION, chunks, jobs, open_client, open_engine, refusal
from pipelines.jobs.job import Job, State
from pipelines.jobs.rows import ENDED, OPEN, as_job, by_id, in_order, listed, position
from pipelines.settings import Settings

MIDDLE = 1 << 30  # rank of a job that is queued while nothing else is
Where = Literal["first", "up", "down", "last"]
Ids = Sequence[str]  # inside the class `list` is its method


class Ledger:
    """Reads and writes the rows. warnings: sentences on what was wrong with the database at the start."""

    def __init__(self, settings: Settings) -> None:
        """Raises EveryageError if the database can't be opened."""
        self.settings, self._data = settings, settings.data
        self.engine, self.warnings = open_engine(settings)
        self.client = open_client(self.engine)

    def close(self) -> None:
        self.client.destroy()
        self.engine.dispose()

    def folder(self, job_id: str) -> Path:
        return work_folder(self._data) / job_id

    @contextmanager
    def begin(self, write: bool = True) -> Iterator[sa.Connection]:
        """One transaction, which sees one state of things: a job that begins to run meanwhile is in no list twice, and
        missing from none. write: nobody else writes from its beginning on, so that what is read stays true."""
        try:
            with self.client._sys_db.engine.begin() as connection:  # ours, and knows the workflows' tables
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
                elif write:
                    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(20260102)")
                else:
                    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                yield connection
        except sa.exc.OperationalError as error:
            raise EveryageError(refusal(error, self.settings)) from error

    # What is there

    def list(self, limit: int, states: Collection[State] | None = None) -> list[Job]:
        """Running, waiting in order, ended newest first."""
        with self.begin(write=False) as connection:
            return listed(connection, limit, OPEN + ENDED if states is None else states, work_folder(self._data))

    def get(self, job_id: str) -> Job:
        """Raises InputError for an id that is unknown, or the beginning of several."""
        with self.begin(write=False) as connection:
            row = by_id(connection, job_id)
            return as_job(row, work_folder(self._data), position(connection, row))

    def find(self, job_id: str) -> Any:
        """The bare row of a job, or None."""
        with self.begin(write=False) as connection:
            return connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one_or_none()

    def over(self, job_id: str) -> bool:
        """Whether a job has come to an end, or is not there any more."""
        row = self.find(job_id)
        return row is None or row.state in ENDED

    def rank(self, job_id: str) -> int:
        """Its place in the order; small goes first."""
        row = self.find(job_id)
        return int(row.rank) if row is not None else MIDDLE

    def known(self) -> dict[str, tuple[State, int]]:
        """Id -> (state, attempt) of all jobs."""
        with self.begin(write=False) as connection:
            rows = connection.execute(sa.select(jobs.c.id, jobs.c.state, jobs.c.attempt))
            return {row.id: (row.state, row.attempt) for row in rows}

    def live(self, ids: Collection[str] | None = None) -> dict[str, int]:
        """Id -> attempt of the jobs that run, or of those among `ids`."""
        with self.begin(write=False) as connection:
            found = sa.select(jobs.c.id, jobs.c.attempt).where(jobs.c.state == "running")
            found = found if ids is None else found.where(jobs.c.id.in_(ids))
            return {row.id: row.attempt for row in connection.execute(found)}

    # What a person asks for

    def add(self, job_id: str, kind: str, title: str, request: str, first: bool) -> None:
        """A new job and its workflow, both or none."""
        with self.begin() as connection:
            rank = self._rank(connection, first)
            row = {"id": job_id, "kind": kind, "title": title, "request": request, "state": "waiting", "rank": rank}
            connection.execute(jobs.insert().values(**row, attempt=1, created=time.time()))
            self._enqueue(connection, job_id, 1, rank)

    def again(self, job_id: str) -> bool:
        """Queue a job that was cancelled or failed as the last one; whether it was such a one."""
        with self.begin() as connection:
            rank = self._rank(connection, False)
            values = {"state": "waiting", "rank": rank, "attempt": jobs.c.attempt + 1, "ended": None, "error": ""}
            row = connection.execute(
                jobs.update()
                .where(jobs.c.id == job_id, jobs.c.state.in_(("cancelled", "failed")))
                .values(**values, message="", seconds_left=None)
                .returning(jobs.c.attempt)
            ).one_or_none()
            if row is not None:
                connection.execute(chunks.update().where(chunks.c.job == job_id).values(tries=0))
                self._enqueue(connection, job_id, row.attempt, rank)
        return row is not None

    def cancel(self, job_id: str) -> None:
        """From now on nothing of it is begun; what runs sees it and stops."""
        with self.begin() as connection:
            row = connection.execute(
                jobs.update()
                .where(jobs.c.id == job_id, jobs.c.state.in_(OPEN))
                .values(state="cancelled", ended=time.time(), seconds_left=None)
                .returning(jobs.c.attempt)
            ).one_or_none()
        if row is not None:
            self.client.cancel_workflows([flow_id(job_id, row.attempt)], cancel_children=True)

    def move(self, job_id: str, where: Where) -> None:
        """Change the place of a waiting job among the waiting; others stay where they are."""
        with self.begin() as connection:
            order = in_order(connection)
            place = next((n for n, row in enumerate(order) if row.id == job_id), None)
            if place is None:
                return
            row = order.pop(place)
            order.insert({"first": 0, "up": max(place - 1, 0), "down": place + 1, "last": len(order)}[where], row)
            for rank, row in enumerate(order, start=min(row.rank for row in order)):
                if row.rank != rank:
                    self._set_rank(connection, row, rank)

    def forget(self, job_id: str) -> None:
        """Remove all rows of a job."""
        with self.begin() as connection:
            connection.execute(jobs.delete().where(jobs.c.id == job_id))
            connection.execute(chunks.delete().where(chunks.c.job == job_id))
        self.drop_flows([job_id])

    def drop_flows(self, ids: Ids) -> None:
        """Remove the workflows of jobs that are over, with all they recorded."""
        for job_id in ids:
            found = self.client.list_workflows(workflow_id_prefix=f"{job_id}.", load_input=False, load_output=False)
            if found:
                self.client.delete_workflows([flow.workflow_id for flow in found])

    # Inside a transaction

    def _enqueue(self, connection: sa.Connection, job_id: str, attempt: int, rank: int) -> None:
        self.client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": JOBS,
                "queue_name": JOBS,
                "workflow_id": flow_id(job_id, attempt),
                "app_version": VERSION,
                "priority": rank,
            },
            job_id,
            attempt,
        )

    def _rank(self, connection: sa.Connection, first: bool) -> int:
        """A rank before or after all that wait or run."""
        edge = sa.func.min(jobs.c.rank) if first else sa.func.max(jobs.c.rank)
        states = ("waiting",) if first else OPEN
        found = connection.execute(sa.select(edge).where(jobs.c.state.in_(states))).scalar()
        return MIDDLE if found is None else int(found) + (-1 if first else 1)

    def _set_rank(self, connection: sa.Connection, row: Any, rank: int) -> None:
        connection.execute(jobs.update().where(jobs.c.id == row.id).values(rank=rank))
        # There is no call for this; the queue takes the smallest priority first.
        flows = self.client._sys_db.tables.workflow_status
        here = flows.c.workflow_uuid == flow_id(row.id, row.attempt)
        connection.execute(flows.update().where(here).values(priority=rank))


def work_folder(data: Path) -> Path:
    """The folder of the jobs' own folders."""
    return data / "jobs" / "work"


def flow_id(job_id: str, attempt: int, chunk: str = "") -> str:
    """Name of the workflow of a job, or of one of its chunks."""
    return f"{job_id}.{attempt}.{chunk}" if chunk else f"{job_id}.{attempt}"
