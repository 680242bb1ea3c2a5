"""What the Jobs page shows: one page of the queue, small pictures of its jobs, and the files of an opened one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from pipelines.errors import EveryageError
from ui import views as common
from ui.handout import PLAYED, SHOWN, address, hand_out
from ui.jobs import views, words
from ui.jobs.views import ALL, FILTERS, PAGE, FileShown
from ui.pictures import data_uri
from ui.services import Services

if TYPE_CHECKING:
    from pipelines.jobs.job import Job, State

THUMBNAIL = 320  # px
MOST_FILES = 24


@dataclass(frozen=True)
class Choice:
    """What the tab looks at: jobs in one state, or "all"; a page of them, from 0."""

    state: str = ALL
    page: int = 0

    def filter(self, state: str) -> Choice:
        """The first page of another filter; an unknown one changes nothing."""
        return Choice(state) if state in FILTERS else self

    def turn(self, page: str) -> Choice:
        """Another page."""
        return replace(self, page=int(page)) if page.isascii() and page.isdigit() and len(page) < 6 else self


@dataclass(frozen=True)
class Shown:
    """The list as HTML; whether anything goes on, so that another look is worth while."""

    html: str
    busy: bool


def jobs(services: Services, choice: Choice) -> Shown:
    """One page of the queue, by one question to it. Raises EveryageError if the queue can't be read."""
    first = choice.page * PAGE
    states: tuple[State, ...] | None = None if choice.state == ALL else (choice.state,)  # type: ignore[assignment]
    found = services.jobs.list(limit=first + PAGE + 1, states=states)
    some, more = found[first : first + PAGE], len(found) > first + PAGE
    pictures = [picture(job.told.preview) for job in some]
    busy = any(not job.over for job in found)
    stopped = busy and not services.working
    told = common.note(words.NOT_WORKING, "error") if stopped else ""
    return Shown(told + views.jobs(some, pictures, choice.state, choice.page, more), busy)


def picture(path: Path | None, side: int = THUMBNAIL) -> str:
    """A job's present state as a small picture; "" where there is none."""
    if path is None:
        return ""
    try:
        return _small(str(path), path.stat().st_mtime_ns, side)
    except (OSError, ValueError):  # it may be replaced at this moment
        return ""


@lru_cache(maxsize=128)
def _small(path: str, _changed: int, side: int) -> str:
    with Image.open(path) as image:
        return data_uri(image, side, 84)


def opened(services: Services, key: str) -> str:
    """The files that came of a job. Raises EveryageError if there is no such job."""
    job = services.jobs.get(key)
    return views.opened(job.title, [file_shown(services, path) for path in files(job)[:MOST_FILES]])


def files(job: Job) -> list[Path]:
    """The paths in a job's result."""
    found: Any = (job.result or {}).get("files")
    return [Path(each) for each in found if isinstance(each, str)] if isinstance(found, list | tuple) else []


def file_shown(services: Services, path: Path) -> FileShown:
    """A file as it is shown and given to the browser, or the sentence why it can't be."""
    suffix = path.suffix.lower()
    where = str(path) if services.settings.loopback else ""  # elsewhere it would tell of the server only
    kind = "video" if suffix in PLAYED else "picture" if suffix in SHOWN else "file"
    try:
        return FileShown(path.name, where, address(hand_out(services, path)), kind)
    except EveryageError as error:
        return FileShown(path.name, where, problem=str(error))
