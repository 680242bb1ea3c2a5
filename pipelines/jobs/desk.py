"""The work itself: what the steps of the durable workflows call. One thing at a time, in one thread.

All are safe to be called again for the same chunk: a worker may be killed after the work and before the note of it.
"""

from __future__ import annotations

import errno
import functools
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from models.errors import EveryageError
from photos.files import make_folder
from pipelines.crash import crash_sentence
from pipelines.events import Eta
from pipelines.jobs.job import Job
from pipelines.jobs.kind import JobKind
from pipelines.jobs.kinds import make_kind
from pipelines.jobs.lease import WorkToken
from pipelines.jobs.ledger import Ledger
from pipelines.jobs.notes import Notes
from pipelines.jobs.progress import Teller, pace
from pipelines.jobs.tidy import room, sweep_folder

if TYPE_CHECKING:
    from pipelines.runtime import Runtime

T = TypeVar("T")
FINISH = "~finish"  # no chunk has this name: names are plain words
MOST_TRIES = 60
"""A step that the program never outlives, such as one that fills the memory, is given up after half an hour or so of
new starts. Not sooner: who pulls the plug ten times means no harm to the job."""
LOOK_S = 0.03
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Stopped(BaseException):
    """The worker ends. Not an Exception: the workflow keeps no note of it, and is taken up again as if killed."""


class Desk:
    """Does chunks for one worker. `stop` may be called from any thread."""

    def __init__(self, ledger: Ledger, kinds: Mapping[str, str]) -> None:
        self.notes = Notes(ledger)
        self.ledger, self._kinds, self._data = ledger, kinds, ledger.settings.data
        self._made: dict[str, JobKind] = {}
        self._shared: Runtime | None = None
        self._etas: dict[tuple[str, int], Eta] = {}
        self._tokens: dict[WorkToken, tuple[str, int]] = {}
        self._lock = threading.Lock()
        # One thread for all work: libraries keep memory for each thread that ever used them.
        self._hands = ThreadPoolExecutor(1, thread_name_prefix="everyage-work")
        self.stopping = threading.Event()

    def start(self, job_id: str, attempt: int) -> bool:
        """Whether the job's work begins or goes on."""
        self._go_on()
        return self.notes.start(job_id, attempt)

    def plan(self, job_id: str, given: list[str]) -> dict[str, Any]:
        """{"names": chunks that may be done now, "error": why there are none, or nothing, "rank": of the job}."""
        self._go_on()
        row = self.ledger.get(job_id)

        def ask() -> list[str]:
            names = self._kind(row.kind).chunks(row.request, make_folder(self.ledger.folder(job_id)))
            return [name for name in names if name not in given] or self._none(names)

        names, error = self._guarded(ask)
        return {"names": names or [], "error": error, "rank": self.ledger.rank(job_id)}

    def outcome(self, flow: str) -> str:
        """Wait until a chunk's workflow is over; returns why it failed, or nothing."""
        while True:
            self._go_on()
            found = self.ledger.client.list_workflows(workflow_ids=[flow], load_input=False)
            if not found or found[0].status in ("CANCELLED", "ERROR"):
                return str(found[0].error if found and found[0].error else "The job was stopped.")
            if found[0].status == "SUCCESS":
                return str(found[0].output)
            self.stopping.wait(LOOK_S)

    def work(self, job_id: str, attempt: int, chunk: str) -> str:
        """Do a chunk; returns why it failed, or nothing."""
        return self._do(lambda: self._chunk(job_id, attempt, chunk))

    def finish(self, job_id: str, attempt: int) -> str:
        """Make the result and end the job; returns why that failed, or nothing."""
        return self._do(lambda: self._finish(job_id, attempt))

    def fail(self, job_id: str, attempt: int, error: str) -> None:
        """End the job without a result."""
        self.notes.end(job_id, attempt, None, error)

    def at_work(self) -> dict[WorkToken, tuple[str, int]]:
        """(job, attempt) of what is done now."""
        with self._lock:
            return dict(self._tokens)

    def stop(self, patience_s: float) -> None:
        """End what is being done at its next step, so that it leaves no half files; what is finished stays."""
        self.stopping.set()
        for token in self.at_work():
            token.cancel()
        left = threading.Thread(target=self._hands.shutdown, kwargs={"cancel_futures": True}, daemon=True)
        left.start()
        left.join(patience_s)

    def _chunk(self, job_id: str, attempt: int, chunk: str) -> str:
        def do(kind: JobKind, job: Job, folder: Path, tell: Teller, token: WorkToken) -> dict[str, Any]:
            kind.work(job.request, folder, chunk, tell, token)
            return {}

        return self._once(job_id, attempt, chunk, do)

    def _finish(self, job_id: str, attempt: int) -> str:
        def do(kind: JobKind, job: Job, folder: Path, tell: Teller, token: WorkToken) -> dict[str, Any]:
            result = kind.finish(job.request, folder, tell, token)
            sweep_folder(folder)
            self.notes.end(job_id, attempt, result)
            return result

        return self._once(job_id, attempt, FINISH, do)

    def _once(self, job_id: str, attempt: int, name: str, do: Callable[..., dict[str, Any]]) -> str:
        """Do one chunk (or the finish) of a job that still wants it; returns why it failed, or nothing."""
        if self.ledger.live([job_id]).get(job_id) != attempt:
            return ""  # cancelled, failed or deleted meanwhile
        if not room(self._data):
            return self._full()
        job, folder = self.ledger.get(job_id), make_folder(self.ledger.folder(job_id))
        if self.notes.begin_chunk(job_id, name) > MOST_TRIES:
            return f"The step {name!r} ended the program {MOST_TRIES} times; data/logs may say why."

        def work() -> dict[str, Any]:
            kind = self._kind(job.kind)
            tell = self._teller(job_id, attempt, folder, kind.of(job.request, folder))
            tell.place = None if name == FINISH else kind.place(job.request, folder, name)
            with self._token(job_id, attempt) as token:
                return do(kind, job, folder, tell, token)

        result, error = self._guarded(work)
        self.notes.leave_chunk(job_id, name, finished=result is not None and name != FINISH)
        if self.ledger.find(job_id) is None:  # deleted while it ran: it leaves nothing
            shutil.rmtree(folder, ignore_errors=True)
        if result is None:
            self._go_on()
        return error

    def _do(self, what: Callable[[], T]) -> T:
        self._go_on()
        try:
            return self._hands.submit(what).result()
        except BaseException as error:
            if self.stopping.is_set():
                raise Stopped from error
            raise

    def _guarded(self, what: Callable[[], T]) -> tuple[T | None, str]:
        """(what comes of it, nothing), or (None, why not: one sentence)."""
        try:
            return what(), ""
        except Exception as error:
            cause = error.__cause__ if isinstance(error, EveryageError) else error
            if isinstance(cause, OSError) and cause.errno in FULL:
                return None, self._full()
            return None, str(error) if isinstance(error, EveryageError) else crash_sentence(error, self._data)

    def _full(self) -> str:
        free = shutil.disk_usage(self._data).free / 1e6
        return f"The disk is full ({free:.0f} MB free at {self._data}); free some space and resume the job."

    def _go_on(self) -> None:
        if self.stopping.is_set():
            raise Stopped

    def _kind(self, name: str) -> JobKind:
        if name not in self._made:
            self._made[name] = make_kind(name, self.ledger.settings, self._kinds, self._runtime)
        return self._made[name]

    def _runtime(self) -> Runtime:
        """One for all kinds, so that they share the loaded models."""
        from pipelines.runtime import Runtime

        if self._shared is None:
            self._shared = Runtime(self.ledger.settings)
        return self._shared

    def _teller(self, job_id: str, attempt: int, folder: Path, of: int) -> Teller:
        if (job_id, attempt) not in self._etas:
            self._etas = {(job_id, attempt): pace()}  # that of an earlier job is of no more use
        keep = functools.partial(self.notes.tell, job_id, attempt)
        return Teller(keep, folder, self.notes.finished(job_id), of, self._etas[job_id, attempt])

    @contextmanager
    def _token(self, job_id: str, attempt: int) -> Iterator[WorkToken]:
        token = WorkToken(self._data)
        with self._lock:
            self._tokens[token] = (job_id, attempt)
        try:
            if self.stopping.is_set():
                token.cancel()
            yield token
        finally:
            with self._lock:
                del self._tokens[token]

    def _none(self, names: list[str]) -> list[str]:
        """The end of all chunks; raises EveryageError for a kind that would go on for ever."""
        if names:
            raise EveryageError(f"The steps {', '.join(names[:3])} were done and are missing; resume the job.")
        return []
