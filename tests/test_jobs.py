"""The queue and its worker: order, progress, cancel at any moment, going on, failures, leases."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from PIL import Image
from typer.testing import CliRunner

from pipelines.errors import Cancelled, InputError
from pipelines.events import Event
from pipelines.jobs import kinds, lease, tidy
from pipelines.jobs.desk import MOST_TRIES
from pipelines.jobs.follow import follow, run_here
from pipelines.jobs.job import Job
from pipelines.jobs.lease import WorkToken, interactive, somebody_waits
from pipelines.jobs.notes import Notes
from pipelines.jobs.queue import JobQueue
from pipelines.jobs.worker import work
from pipelines.jobs_commands import cli
from pipelines.settings import Settings, load_settings
from tests.fake_jobs import KINDS, lines, over, until, whole

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with an empty queue: to make one costs a second."""
    data = tmp_path_factory.mktemp("begun")
    JobQueue(load_settings(data=data), KINDS).close()
    return data


@pytest.fixture
def settings(tmp_path: Path, begun: Path) -> Settings:
    shutil.copytree(begun, tmp_path / "data")
    return load_settings(data=tmp_path / "data")


@pytest.fixture
def queue(settings: Settings) -> Iterator[JobQueue]:
    queue = JobQueue(settings, KINDS)
    yield queue
    queue.close()


@contextmanager
def working(settings: Settings) -> Iterator[None]:
    """A worker beside the test."""
    stop, failed = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            work(settings, kinds=KINDS, stop=stop)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert failed == []


def numbers(queue: JobQueue) -> list[int]:
    return [job.request["frames"] for job in queue.list(states=["waiting"])]


def test_the_order_is_what_the_person_says(queue: JobQueue) -> None:
    ids = [queue.add("frames", {"frames": n}).id for n in (1, 2, 3, 4, 5)]
    assert numbers(queue) == [1, 2, 3, 4, 5]
    queue.move(ids[3], "first")
    assert numbers(queue) == [4, 1, 2, 3, 5]
    queue.move(ids[0], "down")
    assert numbers(queue) == [4, 2, 1, 3, 5]
    queue.move(ids[1], "last")
    assert numbers(queue) == [4, 1, 3, 5, 2]
    assert queue.move(ids[4], "up").position == 3
    assert numbers(queue) == [4, 1, 5, 3, 2]
    queue.move(ids[3], "up")  # is the first already
    queue.move(ids[1], "down")  # and this the last
    assert numbers(queue) == [4, 1, 5, 3, 2]
    first = queue.add("frames", {"frames": 6}, first=True)
    assert (first.position, first.state, first.title) == (1, "waiting", "6 frames")
    assert [job.position for job in queue.list()] == [1, 2, 3, 4, 5, 6]
    assert queue.cancel(ids[4]).state == "cancelled"
    assert numbers(queue) == [6, 4, 1, 3, 2] and queue.list()[-1].id == ids[4]
    assert queue.resume(ids[4]).position == 6


def test_wrong_requests_are_refused_in_a_sentence(queue: JobQueue) -> None:
    with pytest.raises(InputError, match="There is no kind of job named 'dance'; there are frames"):
        queue.add("dance", {})
    with pytest.raises(InputError, match="no frames"):
        queue.add("frames", {"frames": 0})
    with pytest.raises(InputError, match="There is no job 'abc'"):
        queue.get("abc")
    job = queue.add("frames", {"frames": 1})
    other = queue.add("frames", {"frames": 1})
    assert queue.get(job.id[:9]).id == job.id or job.id[:9] == other.id[:9]
    with pytest.raises(InputError, match="no job ''"):
        queue.get("")


def test_jobs_are_done_in_order_chunk_by_chunk(settings: Settings, queue: JobQueue, tmp_path: Path) -> None:
    jobs = [queue.add("frames", {"frames": 40, "chunk": 15, "out": str(tmp_path / f"{n}.txt")}) for n in range(3)]
    queue.move(jobs[2].id, "first")
    with working(settings):
        ended = [over(queue, job) for job in jobs]
    assert [job.state for job in ended] == ["done"] * 3
    assert all((tmp_path / f"{n}.txt").read_bytes() == whole(40) for n in range(3))
    assert sorted(lines(queue, jobs[0], "begun.log")) == ["look", "part-0", "part-1", "part-2"]
    order = sorted(ended, key=lambda job: job.started or job.created)
    assert [job.id for job in order] == [jobs[2].id, jobs[0].id, jobs[1].id]
    for earlier, later in itertools.pairwise(order):
        assert earlier.ended and later.started and earlier.ended <= later.started  # one after the other
    assert ended[0].result == {"files": [str(tmp_path / "0.txt")], "frames": 40}
    assert ended[0].told.fraction == 1.0


def test_a_refreshed_page_sees_progress_time_left_and_a_picture(settings: Settings, queue: JobQueue) -> None:
    job = queue.add("frames", {"frames": 120, "chunk": 30, "step_s": 0.02, "picture": True})
    seen: list[Job] = []
    with working(settings):
        while not (now := queue.get(job.id)).over:
            seen.append(now)
            time.sleep(0.1)
    running = [each for each in seen if each.told.total]
    fractions = [each.told.fraction or 0 for each in running]
    assert len(fractions) >= 4 and fractions == sorted(fractions) and 0 < fractions[-1] <= 1
    assert {each.told.total for each in running} == {5000}  # thousandths of the look and the four parts
    assert running[-1].told.message.startswith("Frame ")
    left = [each.told.seconds_left for each in running if each.told.seconds_left is not None]
    # The first chunk is a quick one, from which nothing can be told yet.
    assert left and left[-1] < max(left) < 30
    preview = running[-1].told.preview
    assert preview is not None and preview.parent == queue.folder(job.id)
    with Image.open(preview) as picture:
        assert picture.size == (512, 256)


@pytest.mark.parametrize("phase", ["look", "part-1", "finish"])
def test_cancel_takes_two_seconds_at_most_and_resume_goes_on(settings: Settings, queue: JobQueue, phase: str) -> None:
    job = queue.add("frames", {"frames": 90, "chunk": 30, "slow": phase})
    with working(settings):
        until(lambda: lines(queue, job, "dwelling.log"))
        before = lines(queue, job, "ended.log")
        began = time.monotonic()
        assert queue.cancel(job.id).state == "cancelled"
        until(lambda: lines(queue, job, "stopped.log"))
        assert time.monotonic() - began < 2
        until(lambda: not list(queue.folder(job.id).glob("*.part")))
        assert queue.get(job.id).state == "cancelled" and queue.get(job.id).result is None
        (settings.data / "mended").touch()
        assert queue.resume(job.id).state in ("waiting", "running")
        assert over(queue, job).state == "done"
    assert (queue.folder(job.id) / "all.txt").read_bytes() == whole(90)
    ended = lines(queue, job, "ended.log")
    assert sorted(ended) == ["look", "part-0", "part-1", "part-2"] and ended[: len(before)] == before


def test_a_waiting_job_is_cancelled_at_once_and_resumed_last(settings: Settings, queue: JobQueue) -> None:
    """Also with nobody there to work."""
    job, other = (queue.add("frames", {"frames": 30}) for _ in range(2))
    assert queue.cancel(job.id).state == "cancelled"
    assert queue.cancel(job.id).state == "cancelled"  # twice is no harm
    queue.resume(job.id)
    assert [each.id for each in queue.list()] == [other.id, job.id]
    with working(settings):
        assert over(queue, job).state == "done"
    assert lines(queue, job, "begun.log") == ["look", "part-0"]
    with pytest.raises(InputError, match="is done; start a new one"):
        queue.resume(job.id)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("sentence", "The frame is torn; mend it."),
        ("full", "The disk is full"),
        ("crash", "Something went wrong inside the app (ZeroDivisionError: nobody thought of this)"),
    ],
)
def test_a_failure_is_one_sentence_and_stops_nobody_else(
    settings: Settings, queue: JobQueue, how: str, sentence: str
) -> None:
    """After the cause is gone, retrying does only what was not finished."""
    bad = queue.add("frames", {"frames": 90, "chunk": 30, "fail": 75, "how": how})
    good = queue.add("frames", {"frames": 30})
    with working(settings):
        failed = over(queue, bad)
        assert failed.state == "failed" and failed.error.startswith(sentence) and "Traceback" not in failed.error
        assert over(queue, good).state == "done"
        until(lambda: not list(queue.folder(bad.id).glob("*.part")))
        (settings.data / "mended").touch()
        queue.resume(bad.id)
        done = over(queue, bad)
    assert (done.state, done.error) == ("done", "")
    assert (queue.folder(bad.id) / "all.txt").read_bytes() == whole(90)
    assert sorted(lines(queue, bad, "begun.log")) == ["look", "part-0", "part-1", "part-2", "part-2"]
    log = settings.data / "logs" / "everyage.log"
    assert ("ZeroDivisionError" in log.read_text()) if how == "crash" else not log.exists()


def test_a_step_that_ends_the_program_each_time_is_given_up(settings: Settings, queue: JobQueue) -> None:
    """So that it does not stop the queue for ever; who resumes the job gives it as many chances again."""
    job, notes = queue.add("frames", {"frames": 30}), Notes(queue.ledger)
    for _ in range(MOST_TRIES):
        notes.begin_chunk(job.id, "part-0")
    with working(settings):
        assert over(queue, job).error.startswith(f"The step 'part-0' ended the program {MOST_TRIES} times")
        queue.resume(job.id)
        assert over(queue, job).state == "done"
    assert lines(queue, job, "begun.log") == ["look", "part-0"]


def test_room_is_kept_to_say_that_there_is_none(
    settings: Settings, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, usage = queue.add("frames", {"frames": 60, "chunk": 30, "slow": "part-0"}), shutil.disk_usage
    reserve = settings.data / "jobs" / "reserve"
    with working(settings):
        until(lambda: lines(queue, job, "dwelling.log") and reserve.exists())
        assert reserve.stat().st_size == tidy.RESERVE
        full = usage(settings.data)._replace(free=tidy.MARGIN - 1)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
        until(lambda: not reserve.exists())
        (settings.data / "mended").touch()
        failed = over(queue, job)
        assert failed.error == f"The disk is full (8 MB free at {settings.data}); free some space and resume the job."
        monkeypatch.setattr(shutil, "disk_usage", usage)
        queue.resume(job.id)
        assert over(queue, job).state == "done"
        until(reserve.exists)
    assert sorted(lines(queue, job, "begun.log")) == ["look", "part-0", "part-1"]


def test_delete_removes_what_the_job_left_and_nothing_else(settings: Settings, queue: JobQueue, tmp_path: Path) -> None:
    kept, changed, gone = (tmp_path / f"{name}.txt" for name in ("kept", "changed", "gone"))
    jobs = [queue.add("frames", {"frames": 30, "out": str(out)}) for out in (kept, changed, gone)]
    slow = queue.add("frames", {"frames": 30, "slow": "part-0"})
    with working(settings):
        assert [over(queue, job).state for job in jobs] == ["done"] * 3
        changed.write_text("somebody's own words")
        assert queue.delete(jobs[0].id) == [queue.folder(jobs[0].id)]
        assert queue.delete(jobs[1].id, results=True) == [queue.folder(jobs[1].id)]
        assert queue.delete(jobs[2].id, results=True) == [gone, queue.folder(jobs[2].id)]
        until(lambda: lines(queue, slow, "dwelling.log"))
        queue.delete(slow.id)  # while it runs
        until(lambda: not queue.folder(slow.id).exists())
    assert kept.exists() and changed.read_text() == "somebody's own words" and not gone.exists()
    assert queue.list() == [] and not any((settings.data / "jobs" / "work").iterdir())
    with sqlite3.connect(settings.data / "jobs" / "jobs.sqlite") as database:
        for table in ("everyage_jobs", "everyage_chunks", "workflow_status", "operation_outputs", "workflow_input"):
            assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_a_worker_that_stops_in_order_leaves_no_half_file_and_the_next_goes_on(
    settings: Settings, queue: JobQueue
) -> None:
    job = queue.add("frames", {"frames": 120, "chunk": 30, "slow": "part-3"})
    orphan = queue.folder("0123456789")
    orphan.mkdir(parents=True)
    with working(settings):
        until(lambda: not orphan.exists())  # a folder of no job
        until(lambda: lines(queue, job, "dwelling.log"))
        assert {"look", "part-0", "part-1"} <= set(lines(queue, job, "ended.log"))
    assert not list(queue.folder(job.id).glob(".*.part"))
    assert queue.get(job.id).state == "running"  # for nobody stopped it
    (settings.data / "mended").touch()
    half, whole_part = queue.folder(job.id) / ".frames.txt.0a1b2c3d.part", queue.folder(job.id) / "frames-0-48.part"
    for path in (half, whole_part):
        path.touch()
    with working(settings):
        assert over(queue, job).state == "done"
    assert not half.exists() and whole_part.exists()  # what was being written, and what a kind has finished
    assert sorted(lines(queue, job, "begun.log")) == ["look", "part-0", "part-1", "part-2", "part-3", "part-3"]


def test_a_damaged_list_of_jobs_is_put_aside_and_said(settings: Settings) -> None:
    path = settings.data / "jobs" / "jobs.sqlite"
    path.write_bytes(path.read_bytes()[:3000] + b"noise" * 2000)
    queue = JobQueue(settings, KINDS)
    assert len(queue.warnings) == 1 and "was damaged" in queue.warnings[0]
    assert queue.list() == [] and queue.add("frames", {"frames": 1}).position == 1
    queue.close()
    assert [each.read_bytes()[:6] for each in path.parent.glob("damaged-*.sqlite")] == [b"SQLite"]
    again = JobQueue(settings, KINDS)
    assert again.warnings == [] and len(again.list()) == 1
    again.close()


def test_commits_are_on_the_disk_when_they_are_answered(queue: JobQueue) -> None:
    """Write-ahead log, synced at each commit (2 = FULL): power loss takes nothing that was said to be queued."""
    with queue.ledger.begin(write=False) as connection:
        facts = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert facts == ["wal", 2]


def test_a_person_who_waits_goes_first(settings: Settings, tmp_path: Path) -> None:
    """Across processes; a page that is killed holds nothing; a job does not wait for ever."""
    code = (
        "import sys, time; from pathlib import Path; from pipelines.settings import load_settings;"
        "from pipelines.jobs.lease import interactive\n"
        "with interactive(load_settings(data=Path(sys.argv[1]))): print('held', flush=True); time.sleep(60)"
    )
    token = WorkToken(settings.data, longest_s=1.0, share_s=30.0)
    began = time.monotonic()
    token.check()
    assert time.monotonic() - began < 0.8
    with subprocess.Popen([sys.executable, "-c", code, str(settings.data)], cwd=ROOT, stdout=subprocess.PIPE) as page:
        assert page.stdout is not None and page.stdout.readline() == b"held\n"
        assert somebody_waits(settings.data)
        began = time.monotonic()
        token.check()
        assert 1 < time.monotonic() - began < 10
        began = time.monotonic()
        token.check()  # its share, whoever waits
        assert time.monotonic() - began < 0.8
        patient = WorkToken(settings.data)
        threading.Timer(0.2, patient.cancel).start()
        with pytest.raises(Cancelled):
            patient.check()
        page.kill()
    assert not somebody_waits(settings.data)
    assert list(lease.leases(settings.data).iterdir()) == []
    with interactive(settings), interactive(settings):
        assert somebody_waits(settings.data)
    assert list(lease.leases(settings.data).iterdir()) == []


def stands_still(path: Path) -> bool:
    """Whether a file does not grow for as long as 60 frames take."""
    size = path.stat().st_size
    time.sleep(0.3)
    return path.stat().st_size == size


def test_a_job_stands_still_while_a_page_works(settings: Settings, queue: JobQueue) -> None:
    job = queue.add("frames", {"frames": 1000, "chunk": 1000, "step_s": 0.005})
    with working(settings):
        until(lambda: queue.get(job.id).told.done > 1000)
        with interactive(settings):
            part = next(queue.folder(job.id).glob(".part-0*"))
            until(lambda: stands_still(part), 10)  # after the frame that is being made
            size = part.stat().st_size
            assert stands_still(part) and part.stat().st_size == size
        until(lambda: part.stat().st_size > size, 10)
        queue.cancel(job.id)


def test_who_waits_for_a_job_does_it_where_no_worker_is(settings: Settings, queue: JobQueue) -> None:
    queue.add("frames", {"frames": 30})
    job = queue.add("frames", {"frames": 60, "chunk": 30, "step_s": 0.01})
    said: list[Event] = []
    done = run_here(settings, job.id, said.append, KINDS)
    assert done.state == "done" and any(event.done for event in said)
    waiting = queue.add("frames", {"frames": 60, "chunk": 30, "step_s": 0.01})
    with working(settings):
        assert run_here(settings, waiting.id, said.append, KINDS).state == "done"  # the worker's place is taken
        last = queue.add("frames", {"frames": 5})
        assert follow(queue, last.id, said.append).state == "done"
    assert [len(queue.list(states=[state])) for state in ("done", "waiting")] == [4, 0]


def test_the_command_line_says_it_for_programs_too(
    settings: Settings, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [queue.add("frames", {"frames": n + 1}).id for n in range(3)]
    run = CliRunner()

    def ask(*words: str) -> Any:
        done = run.invoke(cli, [*words, "--data", str(settings.data), "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout.splitlines()[-1])

    assert [job["id"] for job in ask("list")["jobs"]] == ids
    assert ask("move", ids[2], "first")["position"] == 1
    assert ask("show", ids[2])["request"]["frames"] == 3
    assert ask("cancel", ids[0])["state"] == "cancelled"
    assert [job["id"] for job in ask("list", "--state", "cancelled")["jobs"]] == [ids[0]]
    assert ask("retry", ids[0], "--background")["position"] == 3
    assert ask("cancel", ids[0])["state"] == "cancelled"
    assert ask("resume", ids[0], "--background")["position"] == 3
    assert ask("delete", ids[1])["id"] == ids[1]
    with working(settings):
        until(lambda: all(job["state"] == "done" for job in ask("list")["jobs"]))
    assert ask("follow", ids[0])["state"] == "done"
    assert ask("clear")["removed"] == 2 and ask("list")["jobs"] == []
    assert isinstance(run.invoke(cli, ["show", "nobody", "--data", str(settings.data)]).exception, InputError)
    assert isinstance(run.invoke(cli, ["list", "--state", "x", "--data", str(settings.data)]).exception, InputError)


def test_resume_on_the_command_line_does_the_work_where_nobody_else_does(
    settings: Settings, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kinds.KINDS, "frames", KINDS["frames"])
    job = queue.add("frames", {"frames": 4})
    queue.cancel(job.id)
    done = CliRunner().invoke(cli, ["resume", job.id, "--data", str(settings.data), "--json"], catch_exceptions=False)
    assert json.loads(done.stdout.splitlines()[-1])["state"] == "done"
    assert queue.get(job.id).state == "done"


def test_ten_thousand_finished_jobs_cost_nothing(settings: Settings, queue: JobQueue) -> None:
    """The list reads the rows that it shows, through an index, and no others."""
    fill(queue, 10_000)
    waiting = queue.add("frames", {"frames": 7})
    found = queue.list(limit=50)
    assert found[0].id == waiting.id and len(found) == 50
    assert [job.title for job in found[1:4]] == ["Job 9999", "Job 9998", "Job 9997"]
    asked: list[tuple[str, Any]] = []
    sqlalchemy.event.listen(
        queue.ledger.engine, "before_cursor_execute", lambda _c, _k, words, values, *_: asked.append((words, values))
    )
    for states in (None, ["failed"], ["done", "waiting"]):
        queue.list(limit=50, states=states)  # type: ignore[arg-type]
    queue.get(found[5].id)
    selects = [(words, values) for words, values in asked if words.startswith("SELECT")]
    assert len(selects) == 7
    with sqlite3.connect(settings.data / "jobs" / "jobs.sqlite") as database:
        for words, values in selects:
            plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {words}", values)]
            assert plan[0].startswith("SEARCH everyage_jobs USING INDEX"), (words, plan)
            assert len(plan) == 1, (words, plan)


def fill(queue: JobQueue, number: int) -> None:
    """So many jobs that are done."""
    from pipelines.jobs.database import jobs

    row = {"kind": "frames", "request": '{"frames": 1}', "state": "done", "rank": 1, "attempt": 1, "result": "{}"}
    rows = [
        row | {"id": f"{n:010x}", "title": f"Job {n}", "created": float(n), "started": n + 0.1, "ended": n + 1.0}
        for n in range(number)
    ]
    with queue.ledger.begin() as connection:
        connection.execute(jobs.insert(), rows)
