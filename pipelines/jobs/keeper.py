"""What goes on beside the work: cancelled work is told so, the dead are missed, nothing stays half-way for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from models.errors import EveryageError
from pipelines.jobs.database import VERSION, shared
from pipelines.jobs.desk import Desk
from pipelines.jobs.ledger import Ledger, flow_id
from pipelines.jobs.roll import Roll, take_up
from pipelines.jobs.tidy import drop_ended, room

WATCH_S = 0.25  # how soon running work learns that it was cancelled
BEAT_S, CHECK_S, TIDY_S = 1.0, 2.0, 60.0


class Keeper:
    """Call `tick` about four times a second."""

    def __init__(self, ledger: Ledger, desk: Desk, worker: str, active: Callable[[], Collection[str]]) -> None:
        """worker: name of this one; active: gives the workflows that it is doing."""
        self._ledger, self._desk, self._worker, self._active = ledger, desk, worker, active
        self._roll = Roll(ledger)
        self._every = {self._space: BEAT_S, self._beat: BEAT_S, self._check: CHECK_S, self._tidy: TIDY_S}
        self._next = dict.fromkeys(self._every, 0.0)
        self._odd: set[str] = set()
        self._ended: set[tuple[str, int]] = set()

    def tick(self) -> None:
        """Do what is due. A database that can't be reached now is asked again later."""
        try:
            self._watch()
            for what, due in self._next.items():
                if time.monotonic() >= due:
                    self._next[what] = time.monotonic() + self._every[what]
                    what()
        except EveryageError:
            return

    def _watch(self) -> None:
        """Stop work whose job was cancelled, failed elsewhere, was deleted, or was queued again."""
        at_work = self._desk.at_work()
        live = self._ledger.live([job_id for job_id, _ in at_work.values()]) if at_work else {}
        for token, (job_id, attempt) in at_work.items():
            if live.get(job_id) != attempt:
                token.cancel()

    def _beat(self) -> None:
        """Say that this worker lives, and take over from those that no longer do."""
        if not shared(self._ledger.settings):
            return  # one worker alone, by a lock: what the last one left was taken over at the start
        self._roll.beat(self._worker)
        self._roll.take_over()

    def _space(self) -> None:
        room(self._ledger.settings.data)

    def _check(self) -> None:
        """Put right what should not be, such as after a full disk: seen twice, for it may just be changing."""
        flows, ended = self._lost_flows(), self._lost_jobs()
        for flow in flows & self._odd:
            take_up(self._ledger, flow, self._worker)
        for job_id, attempt in ended & self._ended:
            self._desk.notes.end(job_id, attempt, None, "The job ended without a word; resume it to go on.")
        self._odd, self._ended = flows, ended

    def _lost_flows(self) -> set[str]:
        """Workflows that this worker should be doing and is not: the note of their end could not be written."""
        mine = self._ledger.client._sys_db.get_pending_workflows(self._worker, VERSION)
        return {each.workflow_id for each in mine} - set(self._active())

    def _lost_jobs(self) -> set[tuple[str, int]]:
        """(id, attempt) of jobs that run according to their rows, and whose workflows are over."""
        running = self._ledger.live()
        ids = [flow_id(job_id, attempt) for job_id, attempt in running.items()]
        flows = self._ledger.client.list_workflows(workflow_ids=ids, load_input=False, load_output=False) if ids else []
        going = {flow.workflow_id for flow in flows if flow.status in ("PENDING", "ENQUEUED")}
        return {(job_id, attempt) for job_id, attempt in running.items() if flow_id(job_id, attempt) not in going}

    def _tidy(self) -> None:
        drop_ended(self._ledger)
