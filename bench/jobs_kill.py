"""Jobs whose worker, or whose app, is killed at random moments: is anything lost, or done twice?

    python -m bench.jobs_kill --kills 100 --out docs/jobs_kill.json

Each job computes 300 frames in 10 chunks. Until there were so many kills, one job after the other is begun; after a
random time SIGKILL goes to the worker, to its parent (the app, whose worker must end by itself), or to both at once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from photos.files import TEMPORARY
from pipelines.jobs.job import Job
from pipelines.jobs.process import WorkerProcess
from pipelines.jobs.queue import JobQueue
from pipelines.settings import load_settings
from tests.fake_jobs import KINDS, lines, whole

ROOT = Path(__file__).resolve().parent.parent
FRAMES, CHUNK, STEP_S = 300, 30, 0.02
WORK_S, START_S = 1.0, 4.0
VICTIMS = ("worker", "parent", "both")


class App:
    """A process that has a worker as the app has one."""

    def __init__(self, data: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.jobs_kill", "--parent", str(data)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def worker(self) -> psutil.Process | None:
        return next(iter(psutil.Process(self.process.pid).children()), None)

    def kill(self, whom: str) -> None:
        worker = self.worker()
        if whom in ("parent", "both"):
            self.process.kill()
            self.process.wait()
        if worker is not None:
            if whom in ("worker", "both"):
                worker.kill()
            worker.wait(30)  # a worker whose parent is gone ends by itself, or this fails

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


def be_parent(data: Path) -> None:
    """What runs in the killed app: its worker, started again at once."""
    worker = WorkerProcess(load_settings(data=data), (sys.executable, "-m", "tests.fake_jobs", str(data)), (0.0,))
    worker.start()
    print("started", flush=True)
    time.sleep(3600)


def judge(queue: JobQueue, job: Job, out: Path, kills: int) -> dict[str, Any]:
    """One finished job in figures."""
    begun, ended = Counter(lines(queue, job, "begun.log")), Counter(lines(queue, job, "ended.log"))
    return {
        "kills": kills,
        "chunks": len(begun),
        "lost": sum(count - 1 for count in ended.values()),  # finished, and yet done again
        "redone": sum(begun.values()) - len(begun),
        "equal": out.read_bytes() == whole(FRAMES),
    }


def main(
    kills: int = 100,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
    seed: int = 0,
    parent: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure."""
    if parent is not None:
        return be_parent(parent)
    dice, began, done = random.Random(seed), time.monotonic(), 0
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        queue, app = JobQueue(load_settings(data=data), KINDS), App(data)
        while done < kills:
            result = data / f"{len(found)}.txt"
            request = {"frames": FRAMES, "chunk": CHUNK, "step_s": STEP_S, "out": str(result)}
            job, before = queue.add("frames", request), done
            while not queue.get(job.id).over:
                if done < kills:
                    _survive(queue, job, dice, working=done % 4 != 3)
                    app.kill(VICTIMS[done % len(VICTIMS)])
                    done += 1
                    app = app if app.alive else App(data)
                time.sleep(0.1)
            found.append(judge(queue, job, result, done - before) | {"state": queue.get(job.id).state})
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
        os.kill(app.process.pid, signal.SIGKILL)
        queue.close()
        time.sleep(2)
        with sqlite3.connect(data / "jobs" / "jobs.sqlite") as database:
            integrity = database.execute("PRAGMA integrity_check").fetchone()[0]
        orphans = [path.name for path in data.rglob(f"*{TEMPORARY}") if path.is_file()]
    facts = {
        "kills": done,
        "jobs": len(found),
        "chunks": sum(each["chunks"] for each in found),
        "lost": sum(each["lost"] for each in found),
        "redone": sum(each["redone"] for each in found),
        "at_most_one_a_kill": all(each["redone"] <= each["kills"] for each in found),
        "equal": all(each["equal"] and each["state"] == "done" for each in found),
        "integrity": integrity,
        "orphans": len(orphans),
        "seconds": round(time.monotonic() - began),
    }
    if out is not None:
        out.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))


def _survive(queue: JobQueue, job: Job, dice: random.Random, working: bool) -> None:
    """Let it live for a random time. working: counted from the next chunk that begins, so that there is one to lose."""
    begun = len(lines(queue, job, "begun.log"))
    while working and len(lines(queue, job, "begun.log")) == begun and not queue.get(job.id).over:
        time.sleep(0.02)
    end = time.monotonic() + dice.uniform(0, WORK_S if working else START_S)
    while time.monotonic() < end and not queue.get(job.id).over:
        time.sleep(0.02)


if __name__ == "__main__":
    typer.run(main)
