"""The queue as pages and commands see it: put work in, look at it, change one's mind. Does no work itself."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from models.errors import InputError
from pipelines.jobs.job import Job, State
from pipelines.jobs.kinds import KINDS, make_kind
from pipelines.jobs.ledger import Ledger
from pipelines.jobs.results import remove
from pipelines.jobs.scrub import busy
from pipelines.settings import Settings

ID_BYTES = 5
MOST = 10_000
_List = list  # the method of that name hides it below


class JobQueue:
    """The jobs of one data folder, or those that machines share. Any number of processes and threads may have one.

    warnings: sentences on what was wrong with the list of jobs at the start.
    """

    def __init__(self, settings: Settings, kinds: Mapping[str, str] = KINDS) -> None:
        """Raises EveryageError if the database can't be opened."""
        self.settings, self.kinds = settings, kinds
        self.ledger = Ledger(settings)
        self.warnings = self.ledger.warnings

    def add(self, kind: str, request: dict[str, Any], first: bool = False) -> Job:
        """Queue work; returns as soon as it is written down. Raises InputError for work that can't be done."""
        work = make_kind(kind, self.settings, self.kinds)
        checked = work.check(request)
        job_id = secrets.token_hex(ID_BYTES)
        self.ledger.add(job_id, kind, work.title(checked), json.dumps(checked), first)
        return self.get(job_id)

    def list(self, limit: int = 100, states: Collection[State] | None = None) -> list[Job]:
        """Running jobs, then the waiting in their order, then those that are over, the newest first."""
        return self.ledger.list(limit, states)

    def get(self, job_id: str) -> Job:
        """A job by its id or a beginning of it that no other has. Raises InputError for an unknown one."""
        return self.ledger.get(job_id)

    def cancel(self, job_id: str) -> Job:
        """Stop a job that runs or waits; what it finished stays, and `resume` goes on from there."""
        return self._change(job_id, self.ledger.cancel)

    def resume(self, job_id: str) -> Job:
        """Queue a cancelled or failed job again. Raises InputError for one that is done."""
        job = self.get(job_id)
        if job.state == "done":
            raise InputError(f"The job {job.id} is done; start a new one to do it again.")
        return self._change(job.id, self.ledger.again)

    def move(self, job_id: str, where: Literal["first", "up", "down", "last"]) -> Job:
        """Change a waiting job's place in the queue; jobs that no longer wait stay as they are."""
        return self._change(job_id, lambda each: self.ledger.move(each, where))

    def delete(self, job_id: str, results: bool = False) -> _List[Path]:
        """Remove a job, cancelled first if need be, its folder, and with `results` what it made.

        A result that was changed since the job wrote it is somebody's own work, and stays. Returns what was removed.
        """
        job = self.cancel(job_id)
        row = self.ledger.find(job.id)
        gone = remove(row.made) if results and row is not None else []
        self.ledger.forget(job.id)
        folder = self.folder(job.id)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)  # a worker that still writes there removes the rest
            gone.append(folder)
        if job.kind in self.kinds:  # not one of another version of the program
            kind = make_kind(job.kind, self.settings, self.kinds)
            kind.removed(job.request, lambda: [each.request for each in self.list(MOST) if each.kind == job.kind])
        return gone

    def busy(self, job_id: str) -> bool:
        """Whether a worker is at this job, also one that was cancelled and is on its way to an end."""
        return busy(self.ledger, [job_id])

    def clear(self) -> int:
        """Remove all jobs that are over, not what they made; how many there were."""
        over = [each for each, (state, _) in self.ledger.known().items() if state not in ("waiting", "running")]
        for job_id in over:
            self.delete(job_id)
        return len(over)

    def folder(self, job_id: str) -> Path:
        """Where the job keeps what it has between its chunks."""
        return self.ledger.folder(job_id)

    def close(self) -> None:
        """Let go of the database."""
        self.ledger.close()

    def _change(self, job_id: str, change: Callable[[str], object]) -> Job:
        job = self.get(job_id)
        change(job.id)
        return self.get(job.id)
