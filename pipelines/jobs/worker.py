"""A worker: takes jobs from the queue, in their order, and does them. One for each data folder, or many that share."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from models.errors import EveryageError
from photos.files import make_folder
from pipelines.jobs.database import dbos_config, shared
from pipelines.jobs.desk import Desk
from pipelines.jobs.keeper import WATCH_S, Keeper
from pipelines.jobs.kinds import KINDS
from pipelines.jobs.ledger import Ledger
from pipelines.jobs.roll import Roll
from pipelines.jobs.tidy import drop_ended, sweep
from pipelines.settings import Settings

ALONE = "worker"
"""Name of the one worker of a data folder: the next takes over by it what the last one left."""
PATIENCE_S = 5.0


def work(
    settings: Settings,
    until: str | None = None,
    kinds: Mapping[str, str] = KINDS,
    stop: threading.Event | None = None,
    wait: bool = False,
) -> None:
    """Do jobs until `stop` is set, or until the job `until` is over.

    wait: while another worker has the data folder, wait for its end. Raises EveryageError if there is one and it was
    not to be waited for, or if the database can't be opened. Once in a process at a time.
    """
    stop = stop or threading.Event()
    with _Place(settings, stop, wait):
        if stop.is_set():
            return
        ledger = Ledger(settings)
        try:
            _serve(settings, ledger, until, kinds, stop)
        finally:
            ledger.close()


def somebody_works(settings: Settings, ledger: Ledger) -> bool:
    """Whether a worker is alive that will take what is queued."""
    if shared(settings):
        return bool(Roll(ledger).living())
    try:
        with FileLock(_lock_path(settings.data), timeout=0):
            return False
    except Timeout:
        return True


def _serve(
    settings: Settings, ledger: Ledger, until: str | None, kinds: Mapping[str, str], stop: threading.Event
) -> None:
    from dbos import DBOS

    from pipelines.jobs.flows import serve

    worker = secrets.token_hex(6) if shared(settings) else ALONE
    sweep(ledger)
    drop_ended(ledger)
    desk = Desk(ledger, kinds)
    serve(desk)
    dbos = DBOS(config=dbos_config(ledger.engine, settings, worker))
    keeper = Keeper(ledger, desk, worker, dbos._active_workflows_set.activeList)
    try:
        keeper.tick()  # known to the others before the first chunk is taken
        DBOS.launch()
        while not stop.is_set() and (until is None or not ledger.over(until)):
            keeper.tick()
            stop.wait(WATCH_S)
    finally:
        desk.stop(PATIENCE_S)
        DBOS.destroy()
        if shared(settings):
            Roll(ledger).leave(worker)
        serve(None)


class _Place:
    """The one place at a data folder; where many share a queue, there is one for each."""

    def __init__(self, settings: Settings, stop: threading.Event, wait: bool) -> None:
        self._settings, self._stop, self._wait = settings, stop, wait
        make_folder(settings.data / "jobs")
        self._lock = FileLock(_lock_path(settings.data))

    def __enter__(self) -> None:
        while not shared(self._settings) and not self._stop.is_set():
            try:
                self._lock.acquire(timeout=0)
                return
            except Timeout:
                if not self._wait:
                    raise EveryageError(
                        f"Another worker does the jobs of {self._settings.data}; stop it first, or leave them to it."
                    ) from None
                self._stop.wait(1.0)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _lock_path(data: Path) -> Path:
    return data / "jobs" / "worker.lock"
