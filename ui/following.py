"""The durable jobs of a page: which one it shows, how far that is, and what came of it. The jobs know nothing of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from PIL import Image

from pipelines.jobs.job import State
from pipelines.jobs.whole import VIEW, read_view
from ui import views

if TYPE_CHECKING:
    from pipelines.jobs.job import Job
    from pipelines.jobs.queue import JobQueue
    from ui.services import Run

STOPPED = "Stopped. What is done is kept, and the next start goes on from there."
STOPS_S = 30.0  # a job that was cancelled is waited for so long: its worker writes down where it was
LOOK_S = 0.3
NEWS_S = 60.0  # for so long a page tells what came of one job while the next one goes on
MOST, NAMED = 1000, 3
RUNNING: tuple[State, ...] = ("running",)


@dataclass(frozen=True)
class Followed:
    """A job as a page draws it. before: jobs that come first; stopping: cancelled, and not at rest yet; view: what the
    work left to be drawn, see `pipelines.jobs.whole.View`; drawn: when that was."""

    job: Job
    folder: Path
    before: int = 0
    stopping: bool = False
    view: Mapping[str, Any] = field(default_factory=dict)
    drawn: int = 0

    @property
    def number(self) -> int:
        """For the browser, which takes no texts for numbers."""
        return crc32(self.job.id.encode())

    @property
    def ended(self) -> str | None:
        """None while something may still happen, then "done", "stopped" or "failed"."""
        if self.stopping or not self.job.over:
            return None
        return {"done": "done", "failed": "failed"}.get(self.job.state, "stopped")

    @property
    def result(self) -> dict[str, Any]:
        """What came of it; empty while it is not done."""
        return self.job.result or {}

    @property
    def version(self) -> int:
        """Another one whenever there is something new to draw."""
        told = self.job.told
        shown = [self.job.state, self.before, self.stopping, told.message, told.done, str(told.preview), self.drawn]
        return crc32(json.dumps(shown).encode())

    def picture(self, name: str) -> Image.Image | None:
        """A picture that the work left to be drawn."""
        try:
            with Image.open(self.folder / str(self.view[name])) as image:
                return image.convert("RGB")
        except (KeyError, OSError):
            return None


class JobDesk:
    """The jobs of some kinds, for all tabs together: shows the one that runs, else the next, else the last one."""

    def __init__(self, jobs: Callable[[], JobQueue], *kinds: str) -> None:
        self._jobs, self._kinds = jobs, kinds
        self._since = datetime.now(UTC)  # what ended before the app was opened is on the Jobs page

    def begin(self, kind: str, request: dict[str, Any]) -> Followed:
        """Queue work; the same that waits, runs or was stopped is taken up. Raises InputError if it can't be done."""
        from pipelines.jobs.again import take_up

        return self._seen(take_up(self._jobs(), kind, request))

    @property
    def current(self) -> Followed | None:
        """What a page shows."""
        going = self._open()
        ended = self._ended()  # after those that go on: one that ends in between is not missed
        if ended and self._stopping(ended[0]):
            return self._seen(ended[0], stopping=True)
        return self._seen(going[0]) if going else self._seen(ended[0]) if ended else None

    @property
    def running(self) -> Followed | None:
        """The job that runs or comes next."""
        found = self.current
        return found if found is not None and found.ended is None else None

    @property
    def news(self) -> Followed | None:
        """What ended just now, while one that was queued behind it goes on."""
        going, ended = self._open(), self._ended()
        last = ended[0] if going and ended else None
        if last is None or last.ended is None or last.ended < going[0].created or self._stopping(last):
            return None
        return self._seen(last) if (datetime.now(UTC) - last.ended).total_seconds() < NEWS_S else None

    @property
    def waiting(self) -> list[Followed]:
        """Those that come after the one that is shown."""
        shown = self.current
        return [self._seen(job) for job in self._open() if shown is None or job.id != shown.job.id]

    def open_jobs(self) -> list[Job]:
        """All of these kinds that run or wait."""
        return self._open()

    def look(self, found: Followed) -> Followed:
        """The same job as it is now."""
        job = self._jobs().get(found.job.id)
        return self._seen(job, stopping=self._stopping(job))

    def cancel(self, found: Followed) -> None:
        """Stop this job; what it has finished stays."""
        self._jobs().cancel(found.job.id)

    def stop(self) -> bool:
        """Cancel what runs or comes next. False if there is nothing."""
        found = self.running
        if found is not None:
            self._jobs().cancel(found.job.id)
        return found is not None

    def _open(self) -> list[Job]:
        return [job for job in self._jobs().list(MOST, ("running", "waiting")) if job.kind in self._kinds]

    def _ended(self) -> list[Job]:
        found = self._jobs().list(50, ("done", "failed", "cancelled"))
        return [job for job in found if job.kind in self._kinds and job.ended and job.ended >= self._since]

    def _stopping(self, job: Job) -> bool:
        if job.state != "cancelled" or job.ended is None:
            return False
        young = (datetime.now(UTC) - job.ended).total_seconds() < STOPS_S
        return young and self._jobs().busy(job.id)

    def _seen(self, job: Job, stopping: bool = False) -> Followed:
        folder = self._jobs().folder(job.id)
        running = len(self._jobs().list(MOST, RUNNING)) if job.position else 0
        drawn = _changed(folder / VIEW)  # before it is read: what is written meanwhile is drawn the next time
        return Followed(job, folder, running + (job.position or 1) - 1, stopping, read_view(folder), drawn)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def follow(desk: JobDesk, found: Followed, run: Run) -> Iterator[Followed]:
    """A job at each change until it is over, or until the tab is closed, which changes nothing for the job.

    The tab's stop button cancels it.
    """
    seen = None
    while True:
        if run.replaced:
            return
        if run.cancel.cancelled and not found.job.over:
            desk.cancel(found)
        if found.version != seen:
            seen = found.version
            yield found
        if found.ended is not None:
            return
        time.sleep(LOOK_S)
        found = desk.look(found)


def status(desk: JobDesk, told: Callable[[Followed], str], waiting: str = "Starting") -> str:
    """How far the page's job is, or how it ended, as HTML. told: what came of one that is done."""
    found, news = desk.current, desk.news
    if found is None:
        return views.note("")
    lines = [line(news, told, waiting)] if news is not None else []
    later = desk.waiting
    lines += [line(found, told, waiting), *(views.note(_waits(each, waiting)) for each in later[:NAMED])]
    lines += [views.note(f"And {len(later) - NAMED} more.")] if len(later) > NAMED else []
    return "".join(lines)


def line(found: Followed, told: Callable[[Followed], str], waiting: str = "Starting", stopped: str = STOPPED) -> str:
    """How far one job is, or how it ended, as HTML."""
    job = found.job
    if found.ended == "done":
        return views.note(told(found), "good")
    if found.ended is not None:
        return views.note(job.error or stopped, "error" if found.ended == "failed" else "info")
    if found.stopping:
        return views.progress("Stopping", None, None)
    if job.state == "waiting":
        return views.progress(_waits(found, waiting), None, None)
    return views.progress(job.told.message or f"{waiting} …", job.told.fraction, job.told.seconds_left)


def _waits(found: Followed, waiting: str) -> str:
    if not found.before:
        return f"{waiting} …"
    return f"{found.job.title}: {found.before} {'job' if found.before == 1 else 'jobs'} before it"
