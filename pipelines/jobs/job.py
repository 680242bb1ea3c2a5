"""What is known of a job: values only, so that pages, commands and workers can pass them on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

State = Literal["waiting", "running", "done", "failed", "cancelled"]
STATES: tuple[State, ...] = ("waiting", "running", "done", "failed", "cancelled")


@dataclass(frozen=True)
class Told:
    """How far a job is. done, total: in the job's own units; total 0 while it is not known. seconds_left: estimate for
    the whole job, None while there is none. preview: a picture of the present state in the job's folder, if there is
    one."""

    message: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    preview: Path | None = None

    @property
    def fraction(self) -> float | None:
        """The finished part, 0..1, or None if the total is not known."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total > 0 else None


@dataclass(frozen=True)
class Job:
    """One piece of work that a person may leave and come back to.

    id: for programs and the command line; kind: which work it is (`KINDS`); title: for a person; request: everything
    the work needs, as JSON can hold it. created, started, ended: UTC. position: place in the queue from 1 while it
    waits. told: the last word of a running job. error: why it failed, one sentence. result: what came of it, as JSON
    can hold it; its "files" are paths of what was made.
    """

    id: str
    kind: str
    title: str
    state: State
    request: dict[str, Any]
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    position: int | None = None
    told: Told = field(default_factory=Told)
    error: str = ""
    result: dict[str, Any] | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.state in ("done", "failed", "cancelled")
