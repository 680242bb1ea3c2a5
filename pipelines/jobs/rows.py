"""Reading the rows of jobs, inside a transaction: as the list shows them, one by its id, one's place among those."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from models.errors import InputError
from pipelines.jobs.database import jobs
from pipelines.jobs.job import Job, State, Told

OPEN: tuple[State, ...] = ("running", "waiting")
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")
_STATE: sa.BindParameter[str] = sa.bindparam("state")
_MOST: sa.BindParameter[int] = sa.bindparam("most")
_NEWEST = jobs.c.ended.desc()
# Built once: pages ask every second.
_ORDERED = sa.select(jobs).where(jobs.c.state == _STATE).order_by(jobs.c.rank, jobs.c.created)
_ENDED = sa.select(jobs).where(jobs.c.ended > 0).order_by(_NEWEST).limit(_MOST)
_ENDED_SO = sa.select(jobs).where(jobs.c.state == _STATE).order_by(_NEWEST).limit(_MOST)
_FIRST = _ORDERED.limit(_MOST)


def listed(connection: sa.Connection, limit: int, states: Collection[str], work: Path) -> list[Job]:
    """Running jobs, the waiting in their order, those that are over with the newest first; `limit` at most.

    Each question is answered by an index alone, so that no row is touched that is not shown. work: the folder of the
    jobs' folders.
    """
    found: list[Job] = []
    for state in OPEN:
        if state in states:
            rows = connection.execute(_FIRST, {"state": state, "most": limit}).all()
            found += [as_job(row, work, n if state == "waiting" else None) for n, row in enumerate(rows, start=1)]
    ended = _ended(connection, max(limit - len(found), 0), set(states).intersection(ENDED))
    return (found + [as_job(row, work) for row in ended])[:limit]


def by_id(connection: sa.Connection, job_id: str) -> Any:
    """The row of an id or of its beginning. Raises InputError for an unknown one, or the beginning of several."""
    same = (jobs.c.id >= job_id, jobs.c.id < job_id + "\x7f")
    rows = connection.execute(sa.select(jobs).where(*same).limit(2)).all()
    if not job_id or not rows:
        raise InputError(f"There is no job {job_id!r}; `jobs list` shows them.")
    if len(rows) > 1:
        raise InputError(f"Several jobs begin with {job_id!r}; give more of the id.")
    return rows[0]


def position(connection: sa.Connection, row: Any) -> int | None:
    """Its place among the waiting, from 1; None for a job that does not wait."""
    if row.state != "waiting":
        return None
    before = sa.or_(jobs.c.rank < row.rank, sa.and_(jobs.c.rank == row.rank, jobs.c.created < row.created))
    ahead = sa.select(sa.func.count()).where(jobs.c.state == "waiting", before)
    return int(connection.execute(ahead).scalar_one()) + 1


def in_order(connection: sa.Connection) -> list[Any]:
    """All that wait, as the queue takes them."""
    return [*connection.execute(_ORDERED, {"state": "waiting"})]


def as_job(row: Any, work: Path, place: int | None = None) -> Job:
    """A row as the value that others know."""
    preview = work / row.id / row.preview if row.preview else None
    return Job(
        id=row.id,
        kind=row.kind,
        title=row.title,
        state=row.state,
        request=json.loads(row.request),
        created=_time(row.created),
        started=_time(row.started) if row.started is not None else None,
        ended=_time(row.ended) if row.ended is not None else None,
        position=place,
        told=Told(row.message, row.done, row.total, row.seconds_left, preview),
        error=row.error,
        result=json.loads(row.result) if row.result is not None else None,
    )


def _ended(connection: sa.Connection, limit: int, states: Collection[str]) -> Sequence[Any]:
    """The newest of those that are over: one look into an index, or one for each state that is asked for."""
    if len(states) == len(ENDED):
        return connection.execute(_ENDED, {"most": limit}).all()
    asked = [connection.execute(_ENDED_SO, {"state": state, "most": limit}) for state in states]
    return sorted((row for rows in asked for row in rows), key=lambda row: row.ended, reverse=True)[:limit]


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
