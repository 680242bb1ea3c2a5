"""How a page follows its jobs: which one it shows, what it says of it, and that closing a tab changes nothing."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_aging import FakePipeline
from PIL import Image

from pipelines.errors import InputError
from pipelines.events import CancelToken, Event
from pipelines.jobs.job import Job
from pipelines.jobs.kind import JobKind, Tell
from pipelines.jobs.notes import Notes
from pipelines.jobs.queue import JobQueue
from pipelines.jobs.whole import View
from pipelines.settings import Settings
from tests.near_worker import NearWorker, wait
from ui.following import Followed, JobDesk, follow, line, status
from ui.server import prepare
from ui.services import Run, Services
from ui.uploads import keep_uploads, sweep_uploads

KINDS = {"short": "tests.test_ui_following:Short", "other": "tests.test_ui_following:Short"}


class Short(JobKind):
    """Says that it is half done, and waits for a file "go" in the data folder; fails if the file says so."""

    name = "short"

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        if "bad" in request:
            raise InputError("That can't be done.")
        return request

    def title(self, request: dict[str, Any]) -> str:
        return f"Work {request['n']}"

    def chunks(self, request: dict[str, Any], folder: Path) -> list[str]:
        return [] if (folder / "all").exists() else ["all"]

    def of(self, request: dict[str, Any], folder: Path) -> int:
        return 1

    def work(self, request: dict[str, Any], folder: Path, chunk: str, tell: Tell, cancel: CancelToken) -> None:
        tell(Event("work", "At it", 1, 2, 7.0))
        while not (go := self.settings.data / "go").exists():
            cancel.check()
            threading.Event().wait(0.01)
        if go.read_text():
            raise InputError(go.read_text())
        (folder / "all").touch()

    def finish(self, request: dict[str, Any], folder: Path, tell: Tell, cancel: CancelToken) -> dict[str, Any]:
        return {"files": [], "n": request["n"]}


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    queue = JobQueue(Settings(data=tmp_path / "data", device="cpu"), KINDS)
    yield queue
    queue.close()


@pytest.fixture
def desk(queue: JobQueue) -> JobDesk:
    return JobDesk(lambda: queue, "short")


def told(found: Followed) -> str:
    return f"Done with {found.result['n']}."


def end(queue: JobQueue, job: Job, error: str = "") -> None:
    notes = Notes(queue.ledger)
    notes.start(job.id, 1)
    assert notes.end(job.id, 1, None if error else {"files": [], "n": job.request["n"]}, error)


def test_the_one_that_runs_is_shown_then_the_next_then_the_last(queue: JobQueue, desk: JobDesk) -> None:
    assert desk.current is None and desk.news is None and "ea-none" in status(desk, told)
    queue.add("other", {"n": 0})  # of another page, and before the others
    first, second = (desk.begin("short", {"n": n}).job for n in (1, 2))
    shown = desk.running
    assert shown is not None and (shown.job.id, shown.before) == (first.id, 1)
    assert "Work 1: 1 job before it" in status(desk, told)
    Notes(queue.ledger).start(second.id, 1)
    assert desk.running is not None and desk.running.job.id == second.id
    assert "Getting up …" in status(desk, told, "Getting up")
    assert "Work 1: 2 jobs before it" in status(desk, told)  # the one that runs, and that of the other page
    more = [desk.begin("short", {"n": n}).job for n in range(5, 9)]
    assert "Work 6: 4 jobs before it" in status(desk, told) and "And 2 more." in status(desk, told)
    for job in more:
        queue.delete(job.id)
    end(queue, second)
    assert desk.running is not None and desk.running.job.id == first.id
    assert "Done with 2." in status(desk, told) and "before it" in status(desk, told)  # both
    end(queue, first, "The disk is full.")
    assert desk.current is not None and desk.current.ended == "failed" and desk.running is None
    assert 'role="alert"' in status(desk, told) and "The disk is full." in status(desk, told)
    later = desk.begin("short", {"n": 3})
    assert desk.news is None and "disk" not in status(desk, told)  # it was not waiting behind that
    queue.cancel(later.job.id)
    assert "Stopped. What is done is kept" in status(desk, told)


def test_what_ended_before_the_app_was_opened_is_not_shown(queue: JobQueue, desk: JobDesk) -> None:
    end(queue, desk.begin("short", {"n": 1}).job)
    assert desk.current is not None and JobDesk(lambda: queue, "short").current is None


def test_the_same_again_is_the_same(queue: JobQueue, desk: JobDesk) -> None:
    first = desk.begin("short", {"n": 1})
    assert desk.begin("short", {"n": 1}).job.id == first.job.id
    queue.cancel(first.job.id)
    again = desk.begin("short", {"n": 1})
    assert (again.job.id, again.job.state) == (first.job.id, "waiting")
    end_of = desk.begin("short", {"n": 2})
    assert end_of.job.id != first.job.id and end_of.before == 1
    with pytest.raises(InputError, match="can't be done"):
        desk.begin("short", {"n": 1, "bad": True})
    assert len(queue.list()) == 2


def test_what_the_work_draws_is_seen(queue: JobQueue, desk: JobDesk) -> None:
    job = desk.begin("short", {"n": 1}).job
    before = desk.current
    assert before is not None and before.view == {} and before.picture("shown") is None
    queue.folder(job.id).mkdir(parents=True)
    view = View(queue.folder(job.id))
    view.picture("shown", Image.new("RGB", (3, 2), "red"))
    view.put(step=4)
    now = desk.current
    assert now is not None and now.version != before.version and now.number == before.number
    assert now.view["step"] == 4
    shown = now.picture("shown")
    assert shown is not None and shown.size == (3, 2) and shown.getpixel((0, 0)) == (255, 0, 0)


def test_a_tab_follows_stops_and_leaves(queue: JobQueue, desk: JobDesk) -> None:
    worker = NearWorker(queue, KINDS)
    try:
        run, states = Run(), []
        for found in follow(desk, desk.begin("short", {"n": 1}), run):
            states.append(found.job.state)
            if found.job.state == "running" and found.job.told.message:
                assert (found.job.told.fraction, found.job.told.seconds_left) == (0.5, 7.0)
                run.cancel.cancel()  # the stop button
        assert states[-1] == "cancelled" and found.ended == "stopped" and not queue.busy(found.job.id)
        left = Run()
        for found in follow(desk, desk.begin("short", {"n": 1}), left):
            if found.job.state == "running":
                left.replaced = True  # the tab is closed
                left.cancel.cancel()
        assert queue.get(found.job.id).state == "running"
        (queue.settings.data / "go").touch()
        assert wait(desk).ended == "done" and line(wait(desk), told).count("Done with 1.") == 1
    finally:
        worker.close()


def test_a_job_that_is_being_stopped_is_not_over_yet(queue: JobQueue, desk: JobDesk) -> None:
    job = desk.begin("short", {"n": 1}).job
    notes = Notes(queue.ledger)
    notes.start(job.id, 1)
    notes.begin_chunk(job.id, "all")
    assert desk.stop()
    assert desk.running is not None and desk.running.stopping and "Stopping" in status(desk, told)
    notes.leave_chunk(job.id, "all", finished=False)
    assert desk.running is None and desk.current is not None and desk.current.ended == "stopped" and not desk.stop()


def test_hand_overs_without_a_job_are_swept(tmp_path: Path) -> None:
    services = Services(Settings(data=tmp_path / "data", device="cpu"), FakePipeline())  # type: ignore[arg-type]
    prepare(services.settings, services.served)
    kept = []
    for name in ("a", "b", "c"):
        home = services.new_file("import", "")
        home.mkdir()
        (home / f"{name}.png").write_bytes(b"x")
        kept.append(keep_uploads(services, [home / f"{name}.png"])[0])
    homes = [path.parents[1] for path in kept]
    Image.new("RGB", (8, 8)).save(kept[0])
    services.jobs.add("import", {"sources": [str(kept[0])], "keep": True})
    for home in homes[:2]:
        os.utime(home, (1, 1))
    sweep_uploads(services, 10_000.0)
    assert [home.exists() for home in homes] == [True, False, True]  # needed; nobody's; too young to tell
    assert json.dumps(services.jobs.list()[0].request).count(str(kept[0])) == 1
    services.jobs.close()
