"""Short work that a page starts in the server: looks at a folder or a clip. Long work is a job, see `ui.following`."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import Cancelled, EveryageError, InputError
from pipelines.events import CancelToken, Event
from ui import views

Work = Callable[[CancelToken], Iterator[Event]]
STOPPED = "Stopped. What is done is kept, and the next start goes on from there."
_numbers = itertools.count(1)


@dataclass
class Task:
    """One piece of work in a thread of its own.

    kind: a word for programs; subject: what it is about, a person's name for example. waiting: what to say before the
    work itself says something; told: what came of it, in a sentence or two.
    latest: what the work said last; shown: the last event of each stage that carried a value; version: rises with both.
    ended: None while it runs, then "done", "stopped" or "failed"; sentence: what to tell the person about that;
    result: the value of the event "done".
    """

    kind: str
    subject: str
    work: Work
    report: Callable[[Exception], None]
    waiting: str = "Working"
    told: Callable[[Task], str] = lambda _: "Done."
    number: int = field(default_factory=lambda: next(_numbers))
    cancel: CancelToken = field(default_factory=CancelToken)
    latest: Event | None = None
    shown: dict[str, Any] = field(default_factory=dict)
    version: int = 0
    ended: str | None = None
    sentence: str = ""
    result: Any = None

    def start(self) -> threading.Thread:
        """Begin. The thread does not keep the program alive: unfinished work goes on at its next start."""
        thread = threading.Thread(target=self._run, name=f"everyage-{self.kind}", daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        try:
            self.cancel.check()
            for event in self.work(self.cancel):
                self._say(event)
            ended, sentence = "done", ""
        except Cancelled:
            ended, sentence = "stopped", STOPPED
        except EveryageError as error:
            ended, sentence = "failed", str(error)
        except Exception as error:  # a defect; the page says so in a sentence, and the terminal keeps the trace
            self.report(error)
            ended = "failed"
            sentence = f"Something went wrong ({type(error).__name__}); the terminal says more."
        self.sentence = sentence
        self.version += 1
        self.ended = ended  # last: whoever sees it may read the rest

    def _say(self, event: Event) -> None:
        if event.stage == "done":
            self.result = event.value
        elif event.value is not None:
            self.shown[event.stage] = event.value
        self.latest = event
        self.version += 1


def status(task: Task | None) -> str:
    """How far the task is, or how it ended, as HTML."""
    if task is None:
        return views.note("")
    if task.ended is None:
        stopping = task.cancel.cancelled
        event = task.latest
        if stopping or event is None:
            return views.progress("Stopping" if stopping else f"{task.waiting} …", None, None)
        return views.progress(event.message, event.fraction, event.seconds_left)
    if task.ended == "done":
        return views.note(task.told(task), "good")
    return views.note(task.sentence, "error" if task.ended == "failed" else "info")


class Desk:
    """Takes one task at a time, for all tabs together: two would only slow each other down."""

    def __init__(self, report: Callable[[Exception], None]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._task: Task | None = None

    @property
    def task(self) -> Task | None:
        """The running task, or the last one."""
        return self._task

    @property
    def running(self) -> Task | None:
        """The running task."""
        task = self._task
        return task if task is not None and task.ended is None else None

    def begin(
        self,
        kind: str,
        subject: str,
        work: Work,
        waiting: str = "Working",
        told: Callable[[Task], str] = lambda _: "Done.",
    ) -> Task:
        """Start a task. Raises InputError while another one runs."""
        with self._lock:
            self.require_free()
            self._task = Task(kind, subject, work, self._report, waiting, told)
            self._task.start()
            return self._task

    def require_free(self) -> None:
        """Raises InputError while a task runs."""
        if self.running is not None:
            raise InputError("Something is being done already. Wait for it, or stop it first.")

    def stop(self) -> bool:
        """Ask the running task to stop. False if there is none."""
        task = self.running
        if task is not None:
            task.cancel.cancel()
        return task is not None

    def clear(self) -> None:
        """Let go of the last task and everything it showed, unless it still runs."""
        with self._lock:
            if self.running is None:
                self._task = None
