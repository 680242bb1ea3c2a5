"""The rows of jobs: what a person sees of them, and every change of their state, each in one transaction.

A change names the state it goes out from, so that two processes that want different things can't both have them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from models.errors import EveryageError, InputError
from pipelines.jobs.database import JOBS, VERSION, chunks, jobs, open_client, open_engine, refusal, workers
from pipelines.jobs.job import Job, State, Told
from pipelines.settings import Settings

MIDDLE = 1 << 30  # rank of a job that is queued while nothing else is
OPEN: tuple[State, ...] = ("running", "waiting")
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")
Where = Literal["first", "up", "down", "last"]


Ids = Sequence[str]


class Ledger:
    """Reads and writes the rows. warnings: sentences on what was wrong with the database at the start."""

    def __init__(self, settings: Settings) -> None:
        """Raises EveryageError if the database can't be opened."""
        self.settings = settings
        self.engine, self.warnings = open_engine(settings)
        self.client = open_client(self.engine)

    def close(self) -> None:
        self.client.destroy()
        self.engine.dispose()

    def folder(self, job_id: str) -> Path:
        return work_folder(self.settings.data) / job_id

    @contextmanager
    def begin(self, write: bool = True) -> Iterator[sa.Connection]:
        """One transaction. write: nobody else writes from its beginning on, so that what is read stays true."""
        try:
            with self.client._sys_db.engine.begin() as connection:  # ours, and knows the workflows' tables
                if write and connection.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                elif write:
                    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(20260102)")
                yield connection
        except sa.exc.OperationalError as error:
            raise EveryageError(refusal(error, self.settings)) from error

    # What is there

    def list(self, limit: int, states: Collection[State] | None = None) -> list[Job]:
        wanted = set(OPEN + ENDED) if states is None else set(states)
        found: list[Job] = []
        with self.begin(write=False) as connection:
            for state in (state for state in OPEN if state in wanted):
                order = (jobs.c.rank, jobs.c.created)
                rows = connection.execute(_of(state).order_by(*order).limit(limit)).all()
                found += [self._job(row, n if state == "waiting" else None) for n, row in enumerate(rows, start=1)]
            ended = self._ended(connection, max(limit - len(found), 0), wanted.intersection(ENDED))
        return (found + [self._job(row) for row in ended])[:limit]

    def get(self, job_id: str) -> Job:
        """Raises InputError for an id that is unknown, or the beginning of several."""
        after = jobs.c.id < job_id + "\x7f"
        with self.begin(write=False) as connection:
            rows = connection.execute(sa.select(jobs).where(jobs.c.id >= job_id, after).limit(2)).all()
            if not job_id or not rows:
                raise InputError(f"There is no job {job_id!r}; `jobs list` shows them.")
            if len(rows) > 1:
                raise InputError(f"Several jobs begin with {job_id!r}; give more of the id.")
            return self._job(rows[0], self._position(connection, rows[0]))

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
            rows = connection.execute(_of("waiting").order_by(jobs.c.rank, jobs.c.created)).all()
            order = [row.id for row in rows]
            if job_id not in order:
                return
            place = order.index(job_id)
            order.insert({"first": 0, "up": max(place - 1, 0), "down": place + 1, "last": len(order)}[where],
                         order.pop(place))  # fmt: skip
            base = self._rank(connection, True) + 1
            for number, each in enumerate(order):
                self._set_rank(connection, each, base + number)

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

    # What the work writes

    def start(self, job_id: str, attempt: int) -> bool:
        """A workflow begins or goes on; False if it is not the job's present one."""
        values = {"state": "running", "started": sa.func.coalesce(jobs.c.started, time.time())}
        return self._write(job_id, attempt, OPEN, values)

    def tell(self, job_id: str, attempt: int, told: Told) -> None:
        """Keep how far it is. The number of what is done never falls: others may be further with other chunks."""
        further = sa.case((jobs.c.done > told.done, jobs.c.done), else_=told.done)
        values = {"message": told.message, "done": further, "total": told.total, "seconds_left": told.seconds_left}
        if told.preview is not None:
            values["preview"] = told.preview.name
        self._write(job_id, attempt, ("running",), values)

    def end(self, job_id: str, attempt: int, result: dict[str, Any] | None, error: str = "") -> bool:
        """Done with a result, or failed with a sentence; False if somebody cancelled it just before."""
        values: dict[str, Any] = {"ended": time.time(), "seconds_left": None, "error": error, "state": "failed"}
        if result is not None:
            made = json.dumps([_facts(Path(path)) for path in result.get("files", []) if Path(path).is_file()])
            values |= {"state": "done", "result": json.dumps(result), "made": made, "done": jobs.c.total}
        return self._write(job_id, attempt, ("running",), values)

    def begin_chunk(self, job_id: str, name: str) -> int:
        """How often the chunk was begun by now without coming to an end."""
        with self.begin() as connection:
            here = sa.and_(chunks.c.job == job_id, chunks.c.name == name)
            row = connection.execute(
                chunks.update().where(here).values(tries=chunks.c.tries + 1).returning(chunks.c.tries)
            ).one_or_none()
            if row is None:
                connection.execute(chunks.insert().values(job=job_id, name=name, tries=1))
            return row.tries if row is not None else 1

    def leave_chunk(self, job_id: str, name: str, finished: bool) -> None:
        """The chunk came to an end in an orderly way; finished: it is done."""
        values: dict[str, Any] = {"tries": 0} | ({"ended": time.time()} if finished else {})
        with self.begin() as connection:
            connection.execute(chunks.update().where(chunks.c.job == job_id, chunks.c.name == name).values(**values))

    def finished(self, job_id: str) -> int:
        """How many of its chunks are done."""
        with self.begin(write=False) as connection:
            done = sa.select(sa.func.count()).where(chunks.c.job == job_id, chunks.c.ended.is_not(None))
            return int(connection.execute(done).scalar_one())

    # The workers of a shared queue

    def beat(self, worker: str, host: str, pid: int) -> None:
        """This worker lives."""
        with self.begin() as connection:
            now = _now(connection)
            if not connection.execute(workers.update().where(workers.c.id == worker).values(seen=now)).rowcount:
                connection.execute(workers.insert().values(id=worker, host=host, pid=pid, seen=now))

    def living(self, within_s: float) -> Ids:
        """Workers that were seen of late; the clock is the database's."""
        with self.begin(write=False) as connection:
            seen = sa.select(workers.c.id).where(workers.c.seen > _now(connection) - within_s)
            return list(connection.execute(seen).scalars())

    def leave(self, worker: str) -> None:
        """This worker ends in an orderly way: others may take up at once what it had begun."""
        with self.begin() as connection:
            connection.execute(workers.delete().where(workers.c.id == worker))

    def bury(self, alive: Ids) -> None:
        """Strike all other workers off the list."""
        with self.begin() as connection:
            connection.execute(workers.delete().where(workers.c.id.not_in(alive)))

    def take_up(self, flow: str, worker: str) -> None:
        """Queue a workflow again that `worker` began and does not do any more; nothing if somebody else does it."""
        self.client._sys_db.reenqueue_for_recovery(flow, [worker], JOBS)

    # Inside a transaction

    def _write(self, job_id: str, attempt: int, states: Sequence[State], values: dict[str, Any]) -> bool:
        mine = (jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.state.in_(states))
        with self.begin() as connection:
            return connection.execute(jobs.update().where(*mine).values(**values)).rowcount > 0

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

    def _set_rank(self, connection: sa.Connection, job_id: str, rank: int) -> None:
        attempt = connection.execute(
            jobs.update().where(jobs.c.id == job_id).values(rank=rank).returning(jobs.c.attempt)
        ).scalar_one()
        # There is no call for this; the queue takes the smallest priority first.
        flows = self.client._sys_db.tables.workflow_status
        here = flows.c.workflow_uuid == flow_id(job_id, attempt)
        connection.execute(flows.update().where(here).values(priority=rank))

    def _ended(self, connection: sa.Connection, limit: int, states: Collection[str]) -> Sequence[Any]:
        """The newest of those that are over: one look into an index, or one for each state that is asked for."""
        newest = jobs.c.ended.desc()
        if len(states) == len(ENDED):
            return connection.execute(sa.select(jobs).where(jobs.c.ended > 0).order_by(newest).limit(limit)).all()
        rows = [row for state in states for row in connection.execute(_of(state).order_by(newest).limit(limit))]
        return sorted(rows, key=lambda row: row.ended, reverse=True)[:limit]

    def _position(self, connection: sa.Connection, row: Any) -> int | None:
        if row.state != "waiting":
            return None
        before = sa.or_(jobs.c.rank < row.rank, sa.and_(jobs.c.rank == row.rank, jobs.c.created < row.created))
        ahead = sa.select(sa.func.count()).where(jobs.c.state == "waiting", before)
        return int(connection.execute(ahead).scalar_one()) + 1

    def _job(self, row: Any, position: int | None = None) -> Job:
        preview = self.folder(row.id) / row.preview if row.preview else None
        return Job(
            id=row.id,
            kind=row.kind,
            title=row.title,
            state=row.state,
            request=json.loads(row.request),
            created=_time(row.created),
            started=_time(row.started) if row.started is not None else None,
            ended=_time(row.ended) if row.ended is not None else None,
            position=position,
            told=Told(row.message, row.done, row.total, row.seconds_left, preview),
            error=row.error,
            result=json.loads(row.result) if row.result is not None else None,
        )


def work_folder(data: Path) -> Path:
    """The folder of the jobs' own folders."""
    return data / "jobs" / "work"


def flow_id(job_id: str, attempt: int, chunk: str = "") -> str:
    """Name of the workflow of a job, or of one of its chunks."""
    return f"{job_id}.{attempt}.{chunk}" if chunk else f"{job_id}.{attempt}"


def unchanged(fact: Sequence[Any]) -> bool:
    """Whether a file is still as the job left it; fact: what `Ledger.end` kept of it."""
    path = Path(fact[0])
    return path.is_file() and not path.is_symlink() and _facts(path) == list(fact)


def _facts(path: Path) -> Sequence[Any]:
    state = path.stat()
    return [str(path), state.st_size, state.st_mtime_ns]


def _of(state: str) -> sa.Select[Any]:
    return sa.select(jobs).where(jobs.c.state == state)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _now(connection: sa.Connection) -> float:
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
