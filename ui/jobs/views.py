"""Jobs as plain HTML; every word of theirs is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ui import views as common
from ui.jobs import words

if TYPE_CHECKING:
    from pipelines.jobs.job import Job

ALL = "all"
FILTERS = {ALL: "All", **words.STATE_WORDS}
PAGE = 50
GONE_ON = {"failed": "Try again", "cancelled": "Go on"}
MOVES = (("first", "To the front", "⤒"), ("up", "Earlier", "↑"), ("down", "Later", "↓"))
ICON_JOB = (
    '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 6h16v12H4zM4 9.5h16M4 14.5h16M8 6v12m8-12v12"/></svg>'
)


@dataclass(frozen=True)
class FileShown:
    """A file of a result. address: where the browser finds it, "" where it can't; kind: "video", "picture", "file"."""

    name: str
    where: str
    address: str = ""
    kind: str = "file"
    problem: str = ""


def filters(chosen: str) -> str:
    """Which jobs are shown. Says "filter" with the state."""
    items = "".join(
        f'<button type="button" data-act="filter" data-id="{key}" aria-pressed="{str(key == chosen).lower()}">'
        f"{title}</button>"
        for key, title in FILTERS.items()
    )
    return f'<div class="ea-j-filters" role="group" aria-label="Which jobs">{items}</div>'


def idle(chosen: str) -> str:
    """What is shown when there are no such jobs."""
    if chosen != ALL:
        return f'<p class="ea-quiet">No jobs of this kind: {FILTERS[chosen].lower()}.</p>'
    rings = "".join(f'<circle cx="120" cy="120" r="{r}"/>' for r in range(14, 115, 14))
    return f"""
<div class="ea-empty"><svg viewBox="0 0 240 240" aria-hidden="true">{rings}</svg>
  <h2>Work that goes on without you</h2>
  <ol><li>Age a whole video on the Video page.</li><li>Close the tab, or even the computer.</li>
  <li>Come back: it is here, and goes on where it was.</li></ol></div>"""


def jobs(found: Sequence[Job], pictures: Sequence[str], chosen: str, page: int, more: bool) -> str:
    """A page of jobs with their buttons. pictures: an address for each, or "". more: whether older ones follow.

    Says "cancel", "resume", "first", "up", "down", "open", "remove", "delete" with the job's id, and "page".
    """
    if not found and page == 0:
        return idle(chosen)
    waiting = [job.id for job in found if job.state == "waiting"]
    rows = "".join(_job(job, picture, waiting) for job, picture in zip(found, pictures, strict=True))
    return f'<ul class="ea-jobs" aria-label="Jobs">{rows}</ul>{_pages(page, len(found), more)}'


def _pages(page: int, count: int, more: bool) -> str:
    if page == 0 and not more:
        return ""
    newer = _button("page", str(page - 1), "Newer", "Newer jobs") if page else ""
    older = _button("page", str(page + 1), "Older", "Older jobs") if more else ""
    shown = f"{page * PAGE + 1:,} to {page * PAGE + count:,}" if count else "none here"
    return f'<nav class="ea-row ea-j-pages" aria-label="Pages of jobs">{newer}<span>{shown}</span>{older}</nav>'


def _job(job: Job, picture: str, waiting: Sequence[str]) -> str:
    title = escape(job.title)
    image = f'<img src="{picture}" alt="Present state of {title}">' if picture else ICON_JOB
    return f"""
<li class="ea-job ea-job-{job.state}" data-job="{escape(job.id)}"><div class="ea-j-picture">{image}</div>
  <div class="ea-j-head"><div><b>{title}</b>{pill(job)}</div>
  <small>{escape(words.kind(job.kind))}, {escape(words.when(job))}</small></div>
  <div class="ea-j-body">{state(job)}
  <div class="ea-row ea-j-buttons">{_buttons(job, title, waiting)}</div></div></li>"""


def pill(job: Job) -> str:
    """The job's state as a small label."""
    return f'<span class="ea-m-pill {words.PILLS.get(job.state, "ea-m-plain")}">{words.STATE_WORDS[job.state]}</span>'


def state(job: Job) -> str:
    """How far a running job is, or why a failed one failed."""
    if job.state == "running":
        told = job.told
        return common.progress(told.message or "Getting ready", told.fraction, told.seconds_left)
    return f'<p class="ea-note ea-error">{escape(job.error or "It failed.")}</p>' if job.state == "failed" else ""


def _buttons(job: Job, title: str, waiting: Sequence[str]) -> str:
    key = job.id
    if job.state == "running":
        return _button("cancel", key, "Cancel", f"Cancel {title}")
    if job.state == "waiting":
        place = waiting.index(key)
        ends = {"first": place == 0, "up": place == 0, "down": place == len(waiting) - 1}
        moves = "".join(
            _button(act, key, sign, f"{label}: {title}", "ea-j-move", off=ends[act]) for act, label, sign in MOVES
        )
        return moves + _button("cancel", key, "Cancel", f"Cancel {title}")
    if job.state == "done":
        return (
            _button("open", key, "Open", f"Open {title}")
            + _button("remove", key, "Remove from the list", f"Remove {title} from the list", ask="Really remove?")
            + _delete(key, title)
        )
    return _button("resume", key, GONE_ON[job.state], f"{GONE_ON[job.state]}: {title}") + _delete(key, title)


def _delete(key: str, title: str) -> str:
    ask = "Really delete the files?"
    return _button("delete", key, "Delete with files", f"Delete {title} with its files", "ea-m-remove", ask)


def _button(act: str, key: str, text: str, label: str, kind: str = "", ask: str = "", off: bool = False) -> str:
    confirm = f' data-confirm="{ask}"' if ask else ""
    return (
        f'<button type="button" class="ea-m-button {kind}" data-act="{act}" data-id="{escape(key)}" '
        f'aria-label="{label}" title="{label}"{confirm}{" disabled" if off else ""}>{text}</button>'
    )


def opened(title: str, files: Sequence[FileShown]) -> str:
    """The result of a job. Says "close"."""
    shown = "".join(map(_file, files)) or '<p class="ea-quiet">This job made no files.</p>'
    return f"""
<div class="ea-section"><div class="ea-row ea-between"><h2 tabindex="-1" id="jobs-opened">{escape(title)}</h2>
  <button type="button" class="ea-m-button" data-act="close" aria-label="Close {escape(title)}">Close</button></div>
  {shown}</div>"""


def _file(file: FileShown) -> str:
    name = escape(file.name)
    if file.problem:
        return common.note(file.problem, "error")
    picture = ""
    if file.kind == "picture":
        picture = f'<figure class="ea-preview"><img src="{file.address}" alt="{name}"></figure>'
    elif file.kind == "video":
        picture = f'<video class="ea-j-video" src="{file.address}" controls playsinline aria-label="{name}"></video>'
    return f'{picture}<div class="ea-row">{download(file)}<small class="ea-quiet">{escape(file.where)}</small></div>'


def download(file: FileShown) -> str:
    """A link that looks like a button."""
    name = escape(file.name)
    return (
        f'<a class="ea-download" href="{file.address}" download="{name}" aria-label="Download {name}">Download</a>'
        if file.address
        else f"<b>{name}</b>"
    )
