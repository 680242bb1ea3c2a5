"""What the work writes into the rows of jobs: that it began, how far it is, how it ended; and the notes of chunks.

All of it counts only for the present attempt of a job: a worker that was left behind changes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from pipelines.jobs.database import chunks, jobs
from pipelines.jobs.job import State, Told
from pipelines.jobs.ledger import Ledger
from pipelines.jobs.results import noted
from pipelines.jobs.rows import OPEN


class Notes:
    """Writes for the work of one worker."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

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
            values |= {"state": "done", "result": json.dumps(result), "made": noted(result), "done": jobs.c.total}
        return self._write(job_id, attempt, ("running",), values)

    def begin_chunk(self, job_id: str, name: str) -> int:
        """How often the chunk was begun by now without coming to an end."""
        with self._ledger.begin() as connection:
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
        with self._ledger.begin() as connection:
            connection.execute(chunks.update().where(chunks.c.job == job_id, chunks.c.name == name).values(**values))

    def finished(self, job_id: str) -> int:
        """How many of its chunks are done."""
        with self._ledger.begin(write=False) as connection:
            done = sa.select(sa.func.count()).where(chunks.c.job == job_id, chunks.c.ended.is_not(None))
            return int(connection.execute(done).scalar_one())

    def _write(self, job_id: str, attempt: int, states: Sequence[State], values: dict[str, Any]) -> bool:
        mine = (jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.state.in_(states))
        with self._ledger.begin() as connection:
            return connection.execute(jobs.update().where(*mine).values(**values)).rowcount > 0
