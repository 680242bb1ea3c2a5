"""Jobs done at once, without the queue: what the worker does for one job, in the same order, in this thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.events import CancelToken, Event
from pipelines.jobs.kind import JobKind


def do_chunks(
    kind: JobKind, request: dict[str, Any], folder: Path, cancel: CancelToken | None = None
) -> tuple[list[str], list[Event]]:
    """All chunks of a checked request: (their names, what was told)."""
    folder.mkdir(parents=True, exist_ok=True)
    done: list[str] = []
    told: list[Event] = []
    while chunks := [name for name in kind.chunks(request, folder) if name not in done]:
        for chunk in chunks:
            kind.work(request, folder, chunk, told.append, cancel or CancelToken())
            done.append(chunk)
    return done, told


def do_job(kind: JobKind, request: dict[str, Any], folder: Path) -> tuple[dict[str, Any], list[Event]]:
    """A job from its request to its result: (the result, what was told)."""
    checked = kind.check(request)
    assert kind.check(checked) == checked  # the same request finds the same job again
    assert kind.title(checked)
    _, told = do_chunks(kind, checked, folder)
    assert kind.chunks(checked, folder) == []
    return kind.finish(checked, folder, told.append, CancelToken()), told
