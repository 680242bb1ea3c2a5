"""Jobs in a person's words."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.jobs.job import Job

STATE_WORDS = {
    "waiting": "Waiting",
    "running": "Running",
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
PILLS = {"running": "ea-m-wait", "done": "ea-m-good", "failed": "ea-m-bad"}
NOT_WORKING = (
    "Nothing is being worked on: the worker is not running. Start Everyage anew, or run python app.py worker in a "
    "terminal; every job goes on where it was."
)


def kind(name: str) -> str:
    """What sort of work a job is."""
    return name.replace("-", " ").replace("_", " ").capitalize()


def span(seconds: float) -> str:
    """How long something took: "40 s", "3 min", "2 h 5 min"."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def clock(seconds: float) -> str:
    """A time in a video: "0:07", "1:02:03"."""
    whole = round(seconds)
    minutes = f"{whole // 60 % 60}:{whole % 60:02d}"
    return minutes if whole < 3600 else f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def moment(when: datetime, now: datetime | None = None) -> str:
    """A time of the day, with the day unless it is today."""
    here = when.astimezone()
    today = (now or datetime.now(here.tzinfo)).astimezone()
    if here.date() == today.date():
        return f"{here:%H:%M}"
    day = f"{here.day} {here:%B}" + ("" if here.year == today.year else f" {here.year}")
    return f"{day}, {here:%H:%M}"


def when(job: Job, now: datetime | None = None) -> str:
    """When it was begun, and how long it took or takes."""
    if job.state == "waiting" or job.started is None:
        place = f", number {job.position} in the queue" if job.position and not job.over else ""
        return f"added {moment(job.created, now)}{place}"
    began = f"started {moment(job.started, now)}"
    if job.ended is None:
        return began
    return f"{began}, took {span((job.ended - job.started).total_seconds())}"
