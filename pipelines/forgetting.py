"""Forgetting a person together with the work that speaks of them: jobs, their files, and what they made.

The collection's part is in `photos.library.forgetting`. Jobs go first: a kill in between leaves a person who is still
there, and who can be forgotten again.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import EveryageError
from photos.files import read_json
from photos.library import traces
from photos.library.forgetting import no_import_runs, plan_of
from photos.library.names import name_key
from photos.library.views import Forgotten
from photos.results import read_recipe
from pipelines.finetune.comparison import stored

if TYPE_CHECKING:
    from photos.library import Library
    from pipelines.jobs.job import Job
    from pipelines.jobs.queue import JobQueue
    from pipelines.settings import Settings

STOPS_S, LOOK_S = 30.0, 0.1
UPLOADS = ("uploads", "clips")  # folders of what browsers handed over for jobs
RESULTS = ("videos", "comparisons")  # of jobs for which nobody named a place
HASH = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class Whom:
    """What a person is known by. folder: the token of their folder; paths and hashes: of their photos; adapters: ids
    of those that were learnt from them."""

    name: str
    folder: str
    paths: frozenset[str]
    hashes: frozenset[str]
    adapters: frozenset[str]

    def named_by(self, text: str) -> bool:
        """Whether a field that names somebody means this person."""
        return bool(text) and (text == self.folder or name_key(text) == name_key(self.name))

    def in_text(self, text: str) -> bool:
        """Whether a text speaks of this person or of one of their photos."""
        if self.folder in text or text in self.paths or not self.hashes.isdisjoint(HASH.findall(text)):
            return True
        # Whose machine it is may have the same name: the account's own folder says nothing of the person.
        plain = name_key(text.replace(str(Path.home()), "~"))
        return re.search(rf"(?<!\w){re.escape(name_key(self.name))}(?!\w)", plain) is not None

    def used(self, asked: dict[str, Any]) -> bool:
        """Whether work was done with what was learnt of this person; asked: a request, or a recipe."""
        options, chosen = _dict(asked.get("options")), _dict(asked.get("settings"))
        named = [asked.get("person"), options.get("person")]
        named += [_dict(subject).get("person") for subject in options.get("subjects") or ()]
        uses = [Path(str(_dict(use).get("where"))).parts for use in chosen.get("adapters") or ()]
        return any(self.named_by(str(name or "")) for name in named) or any(
            not self.adapters.isdisjoint(parts) for parts in uses
        )


def forget(settings: Settings, library: Library, name: str, queue: JobQueue | None = None) -> Forgotten:
    """See `Library.forget`; here with the jobs. queue: one that is open already.

    Raises InputError if there is nobody of this name, EveryageError while an import of others is running or work on
    this person does not end.
    """
    from pipelines.jobs.queue import JobQueue
    from pipelines.jobs.scrub import scrub

    whom, own = _whom(library, name), queue or JobQueue(settings)
    try:
        jobs = _stop(own, [job for job in own.list(limit=10**9) if _speaks(own, job, whom)])
        no_import_runs(library, name)
        removed, kept = _remove_jobs(settings.data, own, jobs, whom)
        report = library.forget(name)
        clean = scrub(own.ledger)
    finally:
        if queue is None:
            own.close()
    unclean = () if clean else ("Another program is reading the list of jobs; deleted bytes stay until it stops.",)
    return replace(report, removed=report.removed | removed, kept=(*kept, *report.kept, *unclean))


def _whom(library: Library, name: str) -> Whom:
    plan = plan_of(library, name)
    hashes = {*plan.photos, *plan.shared}
    ids = {adapter.parent.name for adapter in traces.adapters_of(library.data, plan.folder)}
    return Whom(plan.name, plan.folder, frozenset(plan.words) - {plan.name}, frozenset(hashes), frozenset(ids))


def _speaks(queue: JobQueue, job: Job, whom: Whom) -> bool:
    """Whether a job's row or its files speak of the person."""
    told = [job.title, job.error, job.told.message, *_texts(job.request), *_texts(job.result)]
    return whom.used(job.request) or any(map(whom.in_text, told)) or _in_files(queue.folder(job.id), whom)


def _in_files(folder: Path, whom: Whom) -> bool:
    return any(whom.in_text(text) for path in folder.glob("*.json") for text in _texts(read_json(path)))


def _texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _stop(queue: JobQueue, jobs: list[Job]) -> list[Job]:
    """Cancel those that are not over, and wait until no worker is at them any more."""
    from pipelines.jobs.scrub import busy

    running = [job.id for job in jobs if job.state == "running"]
    for job in jobs:
        if not job.over:
            queue.cancel(job.id)
    until = time.monotonic() + STOPS_S
    while running and busy(queue.ledger, running):
        if time.monotonic() > until:
            raise EveryageError("Work on this person does not stop; end the worker, then forget them again.")
        time.sleep(LOOK_S)
    return jobs


def _remove_jobs(data: Path, queue: JobQueue, jobs: list[Job], whom: Whom) -> tuple[dict[str, int], list[str]]:
    """Remove jobs with all that the app keeps of them; ({what: how many}, sentences on what stays)."""
    used = [job for job in jobs if whom.used(job.request)]
    made = {Path(str(name)) for job in used for name in (job.result or {}).get("files", ())}
    inside = {path for path in made if path.is_relative_to(data)}
    files = [path for home in RESULTS for path in (data / home).glob("*") if path.is_file()]
    inside |= {path for path in files if whom.used(_recipe(path))}
    places = {str(path.parent) for path in made - inside if path.is_file()}
    places |= {str(job.request["out"]) for job in used if _is_place(job.request.get("out"), data)}
    handed = [path for job in jobs for path in _handed_over(data, job.request)]
    for job in jobs:
        queue.delete(job.id)
    needed = {text for job in queue.list(limit=10**9) for text in _texts(job.request)}
    removed = {
        "jobs": len(jobs),
        # First, as long as they say whose they are.
        "comparisons of trainings": sum(_clear(str(folder)) for folder in _comparisons(data, whom)),
        "results of jobs": _unlink(inside),
        "files handed over for jobs": sum(_clear(path) for path in handed if not any(path in n for n in needed)),
        "descriptions of faces in videos": _forget_looks(data, queue),
        "parts of videos": sum(_clear(str(folder)) for folder in _shards(data, whom)),
    }
    if not places:
        return removed, []
    return removed, [f"What jobs wrote to {', '.join(sorted(places)[:5])} is yours and stays; delete it yourself."]


def _is_place(out: Any, data: Path) -> bool:
    """Whether this is a folder that somebody named, with something in it."""
    path = Path(str(out or ""))
    return bool(out) and not path.is_relative_to(data) and path.is_dir() and any(path.iterdir())


def _recipe(path: Path) -> dict[str, Any]:
    """What made a picture or a video; nothing where it does not say."""
    if path.suffix == ".png":
        return read_recipe(path) or {}
    from pipelines.video.media import read_recipe as read_video_recipe

    return read_video_recipe(path) or {}


def _handed_over(data: Path, request: dict[str, Any]) -> Iterator[str]:
    """The folders of a job's sources that were handed over."""
    for text in (request.get("source"), request.get("folder"), *(request.get("sources") or ())):
        for home in UPLOADS:
            path = Path(str(text or ""))
            if text and path.is_relative_to(data / home) and path != data / home:
                yield str(data / home / path.relative_to(data / home).parts[0])


def _forget_looks(data: Path, queue: JobQueue) -> int:
    """Delete what is known of faces in videos, whoever they are, but for what unfinished jobs of others need."""
    open_jobs = queue.list(limit=10**9, states=("waiting", "running", "cancelled", "failed"))
    needed = {str(job.request.get("sha256")) for job in open_jobs}
    looks = [folder for folder in (data / "cache" / "video").glob("*") if folder.name not in needed]
    return sum(_clear(str(folder)) for folder in looks)


def _shards(data: Path, whom: Whom) -> list[Path]:
    """Work without the queue that speaks of the person."""
    found = []
    for folder in (data / "jobs" / "shards").glob("*"):
        if whom.used(read_json(folder / "request.json") or {}) or _in_files(folder, whom):
            found.append(folder)
    return found


def _comparisons(data: Path, whom: Whom) -> list[Path]:
    """Comparisons of trainings on the person's pictures, also those whose job is not in the list any more."""
    return [one.folder for one in stored(data) if whom.used({"person": one.person})]


def _clear(folder: str) -> int:
    """Delete a folder; how many files were in it."""
    count = sum(path.is_file() for path in Path(folder).rglob("*"))
    shutil.rmtree(folder, ignore_errors=True)
    return count


def _unlink(paths: set[Path]) -> int:
    there = [path for path in paths if path.is_file()]
    for path in there:
        path.unlink(missing_ok=True)
    return len(there)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
