"""Waiting for one job: with a worker's help where there is one, else by doing the work here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from models.errors import EveryageError
from pipelines.events import Event
from pipelines.jobs.job import Job
from pipelines.jobs.kinds import KINDS
from pipelines.jobs.queue import JobQueue
from pipelines.jobs.worker import somebody_works, work
from pipelines.settings import Settings

LOOK_S = 0.25
Show = Callable[[Event], None]


def run_here(settings: Settings, job_id: str, show: Show, kinds: Mapping[str, str] = KINDS) -> Job:
    """Wait until a job is over, and do it in this process while no worker is alive; returns it as it ended.

    show: is told how far it is. An interruption (Ctrl+C) cancels the job, which can be resumed. A job that waits is
    moved to the front if it is done here: somebody is waiting for it.
    """
    queue = JobQueue(settings, kinds)
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(queue, job_id, show, stop), daemon=True)
    try:
        watcher.start()
        while not (job := queue.get(job_id)).over:
            if not somebody_works(settings, queue.ledger):
                queue.move(job.id, "first")
                _work(queue, job.id)
            time.sleep(LOOK_S)
        return job
    except KeyboardInterrupt:
        queue.cancel(job_id)
        raise
    finally:
        stop.set()
        watcher.join()
        queue.close()


def follow(queue: JobQueue, job_id: str, show: Show) -> Job:
    """Show how far a job is until it is over; does nothing for it."""
    while not (job := queue.get(job_id)).over:
        show(as_event(job))
        time.sleep(LOOK_S)
    return job


def as_event(job: Job) -> Event:
    """How far a job is, in the words of other long work."""
    if job.state == "waiting":
        return Event("wait", f"Waiting as number {job.position}")
    told = job.told
    return Event(job.kind, told.message or "Starting", told.done, told.total, told.seconds_left)


def _work(queue: JobQueue, job_id: str) -> None:
    try:
        work(queue.settings, until=job_id, kinds=queue.kinds)
    except EveryageError:
        if not somebody_works(queue.settings, queue.ledger):  # else another was quicker to take the place
            raise


def _watch(queue: JobQueue, job_id: str, show: Show, stop: threading.Event) -> None:
    while not stop.is_set():
        job = queue.get(job_id)
        if job.over:
            return
        show(as_event(job))
        stop.wait(LOOK_S)
