"""The durable workflows. Each step is noted when it is done; a killed one is done again, a noted one never.

A job's workflow asks its kind for chunks, queues each as a workflow of its own, so that any worker may do it, and
makes the result when all are done. What a person asks for meanwhile is in the job's row, which each step looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from dbos import DBOS, StepOptions

from models.errors import EveryageError, InputError
from pipelines.jobs.database import CHUNKS, JOBS, VERSION
from pipelines.jobs.ledger import flow_id

if TYPE_CHECKING:
    from pipelines.jobs.desk import Desk

T = TypeVar("T")
AHEAD = 32
"""So many chunks of a job are queued at once: enough for many workers, few enough to cancel quickly."""
RETRY: StepOptions = {
    "retries_allowed": True,
    "interval_seconds": 1.0,
    "max_attempts": 6,
    "should_retry": lambda error: isinstance(error, EveryageError) and not isinstance(error, InputError),
}
_desk: list[Desk] = []  # the worker of this process: the workflows' engine exists once in a process, too


def serve(desk: Desk | None) -> None:
    """Who does the work from now on."""
    _desk[:] = [] if desk is None else [desk]


@DBOS.workflow(name=JOBS, max_recovery_attempts=None)
def job_flow(job_id: str, attempt: int) -> None:
    """One job, from its first chunk to its result. A failure is a sentence in the job's row, not an exception."""
    desk, given, error = _desk[0], list[str](), ""
    if not _step("start", desk.start, job_id, attempt):
        return
    while not error:
        planned = _step("plan", desk.plan, job_id, given)
        error = planned["error"]
        if error or not planned["names"]:
            break
        given += planned["names"]
        error = _side_by_side(desk, job_id, attempt, planned)
    error = error or _step("finish", desk.finish, job_id, attempt)
    if error:
        _step("fail", desk.fail, job_id, attempt, error)


@DBOS.workflow(name=CHUNKS, max_recovery_attempts=None)
def chunk_flow(job_id: str, attempt: int, chunk: str) -> str:
    """One chunk; returns why it failed, or nothing."""
    return _step("work", _desk[0].work, job_id, attempt, chunk)


def _side_by_side(desk: Desk, job_id: str, attempt: int, planned: dict[str, Any]) -> str:
    """Queue chunks and wait for them; returns why one failed, or nothing. The same again when it is taken up again."""
    names = planned["names"]
    waits = [names[number - AHEAD] if number >= AHEAD else None for number in range(len(names))]
    for name, wait in [*zip(names, waits, strict=True), *((None, name) for name in names[-AHEAD:])]:
        if name is not None:
            _queue(job_id, attempt, name, planned["rank"])
        error = _step("wait", desk.outcome, flow_id(job_id, attempt, wait)) if wait is not None else ""
        if error:
            return error
    return ""


def _queue(job_id: str, attempt: int, chunk: str, rank: int) -> None:
    DBOS.enqueue_workflow_with_options(
        {
            "workflow_name": CHUNKS,
            "queue_name": CHUNKS,
            "workflow_id": flow_id(job_id, attempt, chunk),
            "app_version": VERSION,
            "priority": rank,  # chunks of the job that is first in the queue go first
        },
        job_id,
        attempt,
        chunk,
    )


def _step(name: str, what: Callable[..., T], *arguments: Any) -> T:
    """One step, noted when it is done. The work's own failures are values; an exception is the database's."""
    return DBOS.run_step({"name": name} | RETRY, what, *arguments)
