"""`python app.py jobs ...` and `python app.py worker`: the queue for the command line. Typer only at the top."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import Cancelled, EveryageError, InputError

if TYPE_CHECKING:
    from pipelines.jobs.job import Job
    from pipelines.jobs.queue import JobQueue
    from pipelines.settings import Settings

cli = typer.Typer(rich_markup_mode=None, help="The queue of long work: list, show, cancel, resume, reorder, delete.")
WHERE = ("first", "up", "down", "last")

Id = Annotated[str, typer.Argument(metavar="ID", help="The job's id, as `jobs list` shows it, or its beginning.")]
Data = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for results, caches and logs.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")]


@cli.command("list")
def list_jobs(
    ctx: typer.Context,
    state: Annotated[
        list[str] | None, typer.Option(metavar="STATE", help="waiting, running, done, failed or cancelled; repeat.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 50,
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Show the jobs: those that run, those that wait in their order, those that are over."""
    from pipelines.jobs.job import STATES

    wrong = [each for each in state or [] if each not in STATES]
    if wrong:
        raise InputError(f"A job is never {wrong[0]!r}; it is {', '.join(STATES)}.")
    with _queue(ctx, data) as queue:
        found = queue.list(limit, state)  # type: ignore[arg-type]
    facts = {"jobs": [job_facts(job) for job in found]}
    return _say(facts, as_json, *(map(job_line, found) if found else ["There are no jobs."]))


@cli.command()
def show(ctx: typer.Context, id: Id, as_json: Json = False, data: Data = None) -> int:
    """Show all that is known of a job."""
    with _queue(ctx, data) as queue:
        job = queue.get(id)
        folder = queue.folder(job.id)
    facts = job_facts(job) | {"request": job.request, "folder": str(folder)}
    files = [f"Made {path}." for path in (job.result or {}).get("files", [])]
    return _say(facts, as_json, job_line(job), *files, f"Its folder is {folder}.")


@cli.command()
def cancel(ctx: typer.Context, id: Id, as_json: Json = False, data: Data = None) -> int:
    """Stop a job; what it has finished stays, and `resume` goes on from there."""
    with _queue(ctx, data) as queue:
        return _tell(queue.cancel(id), as_json)


@cli.command()
@cli.command("retry")
def resume(
    ctx: typer.Context,
    id: Id,
    background: Annotated[bool, typer.Option("--background", help="Leave it to a worker, now or later.")] = False,
    as_json: Json = False,
    data: Data = None,
    device: Device = None,
) -> int:
    """Go on with a job that was cancelled, failed or cut off; here, unless a worker is there to do it."""
    from pipelines.console import Progress
    from pipelines.crash import crash_log
    from pipelines.jobs.follow import run_here
    from pipelines.jobs.worker import somebody_works

    with _queue(ctx, data) as queue:
        job = queue.resume(id)
        if background or somebody_works(queue.settings, queue.ledger):
            return _tell(job, as_json)
    settings = _settings(ctx, data, device)
    with crash_log(settings.data), Progress() as progress:
        job = run_here(settings, job.id, progress.show)
    return _end(job, as_json)


@cli.command()
def move(
    ctx: typer.Context,
    id: Id,
    where: Annotated[str, typer.Argument(metavar="WHERE", help="first, up, down or last.")],
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Change a waiting job's place in the queue."""
    if where not in WHERE:
        raise InputError(f"A job can't be moved {where!r}; give {', '.join(WHERE)}.")
    with _queue(ctx, data) as queue:
        return _tell(queue.move(id, where), as_json)  # type: ignore[arg-type]


@cli.command()
def delete(
    ctx: typer.Context,
    id: Id,
    results: Annotated[bool, typer.Option("--results", help="Also what it made.")] = False,
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Remove a job with its folder."""
    with _queue(ctx, data) as queue:
        job = queue.get(id)
        gone = [str(path) for path in queue.delete(job.id, results)]
    return _say({"id": job.id, "removed": gone}, as_json, f"{job.id} is removed.", *(f"Removed {p}." for p in gone))


@cli.command()
def clear(ctx: typer.Context, as_json: Json = False, data: Data = None) -> int:
    """Remove all jobs that are over, not what they made."""
    with _queue(ctx, data) as queue:
        count = queue.clear()
    return _say({"removed": count}, as_json, f"{count} jobs are removed.")


@cli.command("follow")
def follow_job(ctx: typer.Context, id: Id, as_json: Json = False, data: Data = None) -> int:
    """Watch a job until it is over."""
    from pipelines.console import Progress
    from pipelines.jobs.follow import follow

    with _queue(ctx, data) as queue, Progress() as progress:
        job = follow(queue, queue.get(id).id, progress.show)
    return _end(job, as_json)


def worker(
    ctx: typer.Context,
    child: Annotated[bool, typer.Option("--child", hidden=True)] = False,
    data: Data = None,
    device: Device = None,
) -> int:
    """Do the jobs of the queue until stopped. With EVERYAGE_JOBS_URL any number of machines share one."""
    from pipelines.crash import crash_log
    from pipelines.jobs.process import until_parent_ends
    from pipelines.jobs.worker import work

    settings = _settings(ctx, data, device)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C goes to the whole group; the parent decides
        until_parent_ends(stop)
    with crash_log(settings.data):
        if not child:
            print(f"Doing the jobs of {settings.data}; Ctrl+C stops.", file=sys.stderr)
        work(settings, stop=stop, wait=child)
    if child:
        sys.stderr.flush()
        os._exit(0)  # work that takes no notice must not keep the process; all it finished is noted
    return 0


def job_facts(job: Job) -> dict[str, Any]:
    """A job for programs."""
    told = job.told
    return {
        "id": job.id,
        "kind": job.kind,
        "title": job.title,
        "state": job.state,
        "position": job.position,
        "message": told.message,
        "fraction": told.fraction,
        "seconds_left": told.seconds_left,
        "preview": str(told.preview) if told.preview else None,
        "created": job.created.isoformat(),
        "started": job.started.isoformat() if job.started else None,
        "ended": job.ended.isoformat() if job.ended else None,
        "error": job.error,
        "result": job.result,
    }


def job_line(job: Job) -> str:
    """A job for a person: "3f9a62c01b  running  Video, 60 frames: Frame 12, 40 %, about 12 s left"."""
    from pipelines.console import describe
    from pipelines.jobs.follow import as_event

    more = job.error if job.error else describe(as_event(job)) if not job.over else ""
    return f"{job.id}  {job.state:<9}  {job.title}{f': {more}' if more else ''}"


def _tell(job: Job, as_json: bool) -> int:
    return _say(job_facts(job), as_json, job_line(job))


def _end(job: Job, as_json: bool) -> int:
    """What became of a job that was waited for. Raises EveryageError or Cancelled if it made nothing."""
    if job.state == "failed":
        raise EveryageError(job.error)
    if job.state == "cancelled":
        raise Cancelled
    return _tell(job, as_json)


@contextmanager
def _queue(ctx: typer.Context, data: Path | None) -> Iterator[JobQueue]:
    from pipelines.crash import crash_log
    from pipelines.jobs.queue import JobQueue

    settings = _settings(ctx, data)
    with crash_log(settings.data):
        queue = JobQueue(settings)
        try:
            for words in queue.warnings:
                print(words, file=sys.stderr)
            yield queue
        finally:
            queue.close()


def _settings(ctx: typer.Context, data: Path | None, device: str | None = None) -> Settings:
    from pipelines.settings import load_settings

    given = {name: value for name, value in {"data": data, "device": device}.items() if value is not None}
    return load_settings(**(ctx.obj or {}) | given)


def _say(facts: dict[str, Any], as_json: bool, *lines: str) -> int:
    print(json.dumps(facts) if as_json else "\n".join(lines))
    return 0
