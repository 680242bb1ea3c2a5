"""A job that a command waits for: it is durable like any other, and goes on where the same command was stopped."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import Cancelled, EveryageError, InputError

if TYPE_CHECKING:
    from pipelines.console import Progress
    from pipelines.jobs.job import Job
    from pipelines.settings import Settings


def do_job(settings: Settings, kind: str, request: dict[str, Any], progress: Progress, leave: bool = False) -> Job:
    """Enqueue the request, or take up the same one that was not finished, and see it through.

    leave: only enqueue it; a worker will come to it. Raises InputError for a request that can't be done, EveryageError
    where the work failed, Cancelled where somebody stopped it.
    """
    from pipelines.jobs.again import take_up
    from pipelines.jobs.follow import run_here
    from pipelines.jobs.queue import JobQueue

    queue = JobQueue(settings)
    try:
        job = take_up(queue, kind, request, first=not leave)
        if leave:
            return job
        try:
            job = run_here(settings, job.id, progress.show)
        except KeyboardInterrupt:
            queue.cancel(job.id)
            raise Cancelled(f"Stopped; `jobs resume {job.id}` or the same command goes on.") from None
    finally:
        queue.close()
    if job.state == "failed":
        raise EveryageError(job.error)
    if job.state != "done":
        raise Cancelled
    return job


def leave_job(settings: Settings, kind: str, request: dict[str, Any], as_json: bool) -> int:
    """`--background`: enqueue the request, and say which job it is."""
    from pipelines.console import Progress
    from pipelines.crash import crash_log

    with crash_log(settings.data), Progress() as progress:
        job = do_job(settings, kind, request, progress, leave=True)
    sentence = f"{job.title}: {job.state} as job {job.id}; see `jobs show {job.id}`."
    facts = {"job": job.id, "kind": job.kind, "title": job.title, "state": job.state, "sentence": sentence}
    print(json.dumps(facts) if as_json else sentence)
    return 0


def age_folder(
    settings: Settings, folder: Path, out: Path, targets: list[Any], options: dict[str, Any], as_json: bool
) -> int:
    """`age FOLDER`: every photo in it, each age a picture of its own in the folder `out`."""
    from pipelines.aging.batch import PHOTO_SUFFIXES
    from pipelines.console import Progress
    from pipelines.crash import crash_log

    if out.suffix.lower() in PHOTO_SUFFIXES:
        raise InputError(f"{folder} is a folder; its results need a folder, too: --out {out.stem}, not {out}.")
    request = {"sources": [str(folder)], "out": str(out), "targets": targets, "options": options}
    with crash_log(settings.data), Progress() as progress:
        job = do_job(settings, "age", request, progress)
    result = job.result or {}
    for failed in result["failed"]:
        print(f"Left out: {failed['reason']}", file=sys.stderr)
    sentence = f"{out}: {len(result['files'])} pictures"
    sentence += f"; {len(result['failed'])} photos could not be used." if result["failed"] else "."
    print(json.dumps({"out": str(out), "job": job.id, **result, "sentence": sentence}) if as_json else sentence)
    return 0
