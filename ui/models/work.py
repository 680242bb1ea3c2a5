"""Work on models: the store's events, turned into what the page shows step by step. No Gradio in here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import Cancelled, InputError
from pipelines.events import Event
from pipelines.models import StoredModel, Verdict, is_repository
from ui import views
from ui.following import Followed, follow, line
from ui.models import words
from ui.models.add import MINE, NOT_SAID
from ui.services import Run, Services

QUICK = ("accept", "remove")  # done at once
NO_FILE = "First give a file: drop it, choose it, or write where it lies."
KEPT = "Stopped. What has arrived is kept for the next time."
NO_NAME = "Give your model a name."


@dataclass(frozen=True)
class Step:
    """One change of the page. `busy` says whether the work goes on; `selected` is another model to show.

    changed: the list of models is to be drawn anew.
    """

    status: str
    busy: bool = True
    changed: bool = False
    selected: str | None = None


def act(services: Services, run: Run, what: str, id: str) -> Iterator[Step]:
    """Do what a button says with the model `id`: "accept", "download", "verify", "verify-all" or "remove"."""
    store = services.models
    if what == "accept":
        yield from _guarded(services, run, lambda: _accept(services, id))
    elif what == "remove":
        yield from _guarded(services, run, lambda: _remove(services, id))
    elif what == "download":
        yield from _guarded(services, run, lambda: _download(services, run, id))
    elif what in ("verify", "verify-all"):
        one = store.get(id).id if what == "verify" else None
        yield from _guarded(services, run, lambda: _steps(store.verify(one, run.cancel), _checked))


def add(services: Services, run: Run, upload: str | None, place: str, what: str, name: str) -> Iterator[Step]:
    """Add the uploaded file, or the one at `place`; OWNER/NAME there only shows that model of the Hub.

    what: a model's id, or that it is the person's own, which `name` then names, or nothing.
    """
    place = place.strip().strip('"')
    if not upload and is_repository(place) and not Path(place).exists():
        yield Step(views.note("Read its licence, then download it.", "good"), busy=False, selected=place)
        return

    def begin() -> Iterator[Step]:
        if not upload and not place:
            raise InputError(NO_FILE)
        if place and not upload and not services.settings.loopback:
            raise InputError("Only files that are uploaded can be added to a server; drop the file.")
        if what == MINE and not name.strip():
            raise InputError(NO_NAME)
        source = Path(upload) if upload else Path(place)
        given = {"name": name.strip()} if what == MINE else {"id": what} if what != NOT_SAID else {}
        return _steps(services.models.add(source, cancel=run.cancel, **given), _added)

    try:
        for step in _guarded(services, run, begin):
            # The server's place of an upload is nobody's business.
            yield (
                step
                if not upload
                else Step(step.status.replace(str(upload), Path(upload).name), step.busy, step.changed, step.selected)
            )
    finally:
        if upload:
            discard(services, Path(upload))


def discard(services: Services, upload: Path) -> None:
    """Delete an uploaded file, which the browser can send again; it may be gigabytes."""
    if upload.resolve().is_relative_to(services.served.resolve()):
        upload.unlink(missing_ok=True)


def _guarded(services: Services, run: Run, begin: Callable[[], Iterator[Step]]) -> Iterator[Step]:
    """The steps of the work, ending in a sentence whatever happens. Silent once the run was replaced."""
    try:
        run.cancel.check()
        for step in begin():
            if run.replaced:
                return
            yield step
    except Cancelled:
        ending = views.note(KEPT, "info")
    except Exception as error:
        ending = views.note(services.sentence(error), "error")
    else:
        return
    if not run.replaced:
        yield Step(ending, busy=False, changed=True)


def queue_download(services: Services, id: str) -> str:
    """Queue a download while this tab follows another; a sentence on that. Raises InputError if it can't be done."""
    found = services.download_jobs.begin("download", {"model": id})
    return f"{found.job.title} comes after that."


def following(services: Services, run: Run) -> Iterator[Step]:
    """The download that goes on, for a tab that was opened meanwhile; nothing if there is none."""
    found = services.download_jobs.running
    if found is not None:
        yield from _guarded(services, run, lambda: _followed(services, run, found))


def _download(services: Services, run: Run, id: str) -> Iterator[Step]:
    """A job, so that it goes on without the page; the same one again is followed, or gone on with."""
    return _followed(services, run, services.download_jobs.begin("download", {"model": id}))


def _followed(services: Services, run: Run, begun: Followed) -> Iterator[Step]:
    """This download and those that were queued behind it meanwhile."""
    following: Followed | None = begun
    while following is not None:
        for found in follow(services.download_jobs, following, run):
            told = line(found, lambda one: f"{one.result['title']} is here.", "Waiting for its turn", KEPT)
            ended = found.ended is not None
            id = str(found.result["model"]) if found.ended == "done" else None
            yield Step(told, busy=not ended, changed=ended, selected=id)
        following = None if run.replaced or run.cancel.cancelled else services.download_jobs.running


def _steps(events: Iterator[Event], end: Callable[[Any], Step]) -> Iterator[Step]:
    for event in events:
        if event.stage == "done":
            yield end(event.value)
        else:
            yield Step(views.progress(event.message, event.fraction, event.seconds_left))


def _added(stored: StoredModel) -> Step:
    return Step(views.note(f"{stored.title} is here.", "good"), busy=False, changed=True, selected=stored.id)


def _checked(verdicts: list[Verdict]) -> Step:
    bad = [verdict for verdict in verdicts if not verdict.ok]
    if bad:
        text = " ".join(f"{verdict.id}: {verdict.detail}." for verdict in bad)
        return Step(views.note(text, "error"), busy=False, changed=True)
    good = "Every file is as it should be."
    return Step(
        views.note(f"{len(verdicts)} models checked. {good}" if len(verdicts) > 1 else good, "good"), False, True
    )


def _accept(services: Services, id: str) -> Iterator[Step]:
    entry = services.models.accept(id)
    yield Step(views.note(f"Noted: you accept the licence of {entry.record.title}.", "good"), busy=False, changed=True)


def _remove(services: Services, id: str) -> Iterator[Step]:
    record = services.models.get(id).record
    freed = services.models.remove(record.id)
    yield Step(
        views.note(f"{record.title} is removed; {words.size(freed)} are free again.", "good"), busy=False, changed=True
    )
