"""A worker in a thread of the test's own process, over the real queue: for pages whose work is a quick stand-in.

The real worker is a process of its own, which knows nothing of a test's stand-ins; its engine exists once in a process.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from pipelines.jobs.desk import Desk
from pipelines.jobs.job import Job
from pipelines.jobs.kinds import KINDS
from pipelines.jobs.queue import JobQueue
from ui.following import Followed, JobDesk

LOOK_S = 0.02


class NearWorker:
    """Does the jobs of a queue one after the other, until `close`."""

    def __init__(self, queue: JobQueue, kinds: Mapping[str, str] = KINDS) -> None:
        self.queue, self.desk = queue, Desk(queue.ledger, kinds)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=what, daemon=True) for what in (self._work, self._watch)]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        return not self._stop.is_set()

    def close(self) -> None:
        self._stop.set()
        self.desk.stop(5)
        for thread in self._threads:
            thread.join(10)

    def stop(self) -> None:
        self.close()

    def _work(self) -> None:
        while not self._stop.is_set():
            waiting = self.queue.list(1, ("waiting",))
            if not waiting:
                self._stop.wait(LOOK_S)
                continue
            try:
                self._do(waiting[0])
            except BaseException:  # the worker ends in the middle of a job
                if not self._stop.is_set():
                    raise

    def _do(self, job: Job) -> None:
        attempt = self.queue.ledger.known()[job.id][1]
        if not self.desk.start(job.id, attempt):
            return
        given: list[str] = []
        error = ""
        while not error:
            planned = self.desk.plan(job.id, given)
            error = planned["error"]
            if error or not planned["names"]:
                break
            for name in planned["names"]:
                error = error or self.desk.work(job.id, attempt, name)
            given += planned["names"]
        error = error or self.desk.finish(job.id, attempt)
        if error:
            self.desk.fail(job.id, attempt, error)

    def _watch(self) -> None:
        """Tell work that it was cancelled."""
        while not self._stop.wait(LOOK_S):
            at_work = self.desk.at_work()
            live = self.queue.ledger.live([job_id for job_id, _ in at_work.values()]) if at_work else {}
            for token, (job_id, attempt) in at_work.items():
                if live.get(job_id) != attempt:
                    token.cancel()


def wait(desk: JobDesk) -> Followed:
    """What a page shows, when it has ended."""
    for _ in range(3000):
        found = desk.current
        assert found is not None
        if found.ended is not None:
            return found
        threading.Event().wait(0.01)
    raise AssertionError("the job does not end")
