"""Asking for the same work twice: it is taken up where it was, and not done side by side."""

from __future__ import annotations

from typing import Any

from pipelines.jobs.job import Job
from pipelines.jobs.kinds import make_kind
from pipelines.jobs.queue import JobQueue

LOOKED_AT = 1000  # so many unfinished jobs are compared


def take_up(queue: JobQueue, kind: str, request: dict[str, Any], first: bool = False) -> Job:
    """Queue the request, or go on with the very same one that waits, runs, was stopped, or failed.

    first: before all that wait. Raises InputError for a request that can't be done.
    """
    wanted = make_kind(kind, queue.settings, queue.kinds).check(request)
    for job in queue.list(LOOKED_AT, ("running", "waiting", "cancelled", "failed")):
        if job.kind == kind and job.request == wanted:
            return queue.resume(job.id) if job.over else job
    return queue.add(kind, request, first)
