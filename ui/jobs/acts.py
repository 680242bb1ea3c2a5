"""What the buttons of a job do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ui.services import Services
from ui.uploads import forget_clip

if TYPE_CHECKING:
    from pipelines.jobs.job import Job

MOVES = ("first", "up", "down")


def act(services: Services, name: str, key: str) -> str:
    """Do it, and say what was done in a sentence, "" where the list says it. Raises EveryageError if it can't be."""
    queue = services.jobs
    if name == "cancel":
        queue.cancel(key)
        return "Cancelled. What is finished is kept, and the job can go on from there."
    if name == "resume":
        queue.resume(key)
    elif name in MOVES:
        queue.move(key, name)  # type: ignore[arg-type]
    elif name in ("remove", "delete"):
        return _delete(services, queue.get(key), with_files=name == "delete")
    return ""


def _delete(services: Services, job: Job, with_files: bool) -> str:
    folder = services.jobs.folder(job.id)
    gone = [path for path in services.jobs.delete(job.id, results=with_files) if path != folder]
    source = job.request.get("source")
    if with_files and isinstance(source, str):
        gone = [*gone, *forget_clip(services, Path(source))]
    if not with_files:
        return f"{job.title} is removed from the list; its files stay where they are."
    count = len(gone)
    return f"{job.title} is deleted" + (f", with {count} {'file' if count == 1 else 'files'}." if count else ".")
