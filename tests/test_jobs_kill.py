"""Workers and their parents killed at random moments: nothing finished is done again, and the result is the same."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

from pipelines.jobs.process import WorkerProcess
from pipelines.jobs.queue import JobQueue
from pipelines.settings import load_settings
from tests.fake_jobs import KINDS, lines, over, until, whole

ROOT = Path(__file__).resolve().parent.parent
KILLS = 15
PARENT = """
import sys, time
from pathlib import Path
from pipelines.jobs.process import WorkerProcess
from pipelines.settings import load_settings

data = sys.argv[1]
worker = WorkerProcess(load_settings(data=Path(data)), (sys.executable, "-m", "tests.fake_jobs", data))
worker.start()
while worker.pid is None:
    time.sleep(0.01)
print(worker.pid, flush=True)
time.sleep(600)
"""


def test_killed_at_random_moments_nothing_is_lost_and_little_is_done_again(tmp_path: Path) -> None:
    settings, dice = load_settings(data=tmp_path), random.Random(5)
    queue = JobQueue(settings, KINDS)
    out = tmp_path / "all.txt"
    job = queue.add("frames", {"frames": 300, "chunk": 30, "step_s": 0.02, "out": str(out)})
    worker = WorkerProcess(settings, (sys.executable, "-m", "tests.fake_jobs", str(tmp_path)), pauses_s=(0.0,))
    worker.start()
    killed = 0
    while killed < KILLS and not queue.get(job.id).over:
        begun = len(lines(queue, job, "begun.log"))
        if killed % 5 != 4:  # else while it is just starting, or taking up what was left
            until(lambda begun=begun: len(lines(queue, job, "begun.log")) > begun or queue.get(job.id).over)
        time.sleep(dice.random() * 0.7)
        if worker.alive and (pid := worker.pid) is not None:
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: worker.alive and worker.pid != pid)
            killed += 1
    assert over(queue, job).state == "done" and killed >= KILLS - 3
    worker.stop()
    assert not worker.alive
    begun, ended = Counter(lines(queue, job, "begun.log")), Counter(lines(queue, job, "ended.log"))
    assert set(begun) == {"look", *(f"part-{n}" for n in range(10))}
    assert sum(begun.values()) - len(begun) <= killed  # at most one chunk again for each kill
    assert max(ended.values()) == 1  # and none that was finished
    assert out.read_bytes() == whole(300)
    queue.close()
    with sqlite3.connect(tmp_path / "jobs" / "jobs.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert not [path for path in tmp_path.rglob("*.part") if path.is_file()]


def test_the_worker_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    """And the next one goes on with the job at once."""
    queue = JobQueue(load_settings(data=tmp_path), KINDS)
    job = queue.add("frames", {"frames": 60, "chunk": 30, "slow": "part-1"})
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        until(lambda: lines(queue, job, "dwelling.log"))
        parent.kill()
    began = time.monotonic()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    assert time.monotonic() - began < 8
    assert not [path for path in tmp_path.rglob("*.part") if path.is_file()]
    assert queue.get(job.id).state == "running"
    (tmp_path / "mended").touch()
    second = WorkerProcess(queue.settings, (sys.executable, "-m", "tests.fake_jobs", str(tmp_path)))
    second.start()
    assert over(queue, job).state == "done"
    second.stop()
    queue.close()
