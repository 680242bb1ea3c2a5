"""How long a look at the queue takes when it remembers many finished jobs.

python -m bench.jobs_poll --jobs 10000 --out docs/jobs_poll.json
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.jobs.database import NAME, jobs
from pipelines.jobs.queue import JobQueue
from pipelines.settings import load_settings
from tests.fake_jobs import KINDS

WAITING, SHOWN, PAUSE_S = 20, 100, 0.05  # a page asks once a second


def remember(queue: JobQueue, number: int) -> None:
    """Rows of so many jobs that are over, each with a request and a result of usual size."""
    request = json.dumps({"source": "/home/somebody/videos/holiday.mp4", "options": {"ages": [[0, 20], [10, 80]]} } | {
        f"setting_{n}": n for n in range(20)})  # fmt: skip
    result = json.dumps({"files": ["/home/somebody/videos/holiday-at-20-80.mp4"], "frames": 300})
    row: dict[str, Any] = {"kind": "frames", "request": request, "rank": 1, "attempt": 1, "result": result}
    states = ("done", "done", "done", "failed", "cancelled")
    rows = [
        row | {"id": f"{n:010x}", "title": f"Job {n}", "state": states[n % 5], "created": float(n), "ended": n + 1.0}
        for n in range(number)
    ]
    with queue.ledger.begin() as connection:
        connection.execute(jobs.insert(), rows)


def main(
    jobs: Annotated[int, typer.Option(help="Finished jobs.")] = 10_000,
    polls: int = 400,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        queue = JobQueue(load_settings(data=Path(folder)), KINDS)
        remember(queue, jobs)
        for n in range(WAITING):
            queue.add("frames", {"frames": n + 1})
        took, cpu = [], time.process_time()
        for _ in range(polls):
            time.sleep(PAUSE_S)
            began = time.perf_counter()
            found = queue.list(SHOWN)
            took.append(1000 * (time.perf_counter() - began))
        cpu = time.process_time() - cpu
        size = sum(path.stat().st_size for path in (Path(folder) / "jobs").glob(f"{NAME}*"))
        queue.close()
    assert len(found) == SHOWN
    cuts = statistics.quantiles(took, n=20)
    facts = {
        "finished_jobs": jobs,
        "polls": polls,
        "p50_ms": round(cuts[9], 2),
        "p95_ms": round(cuts[18], 2),
        "cpu_ms": round(1000 * cpu / polls, 2),  # what it takes of a core, however busy the machine is
        "database_mb": round(size / 1e6, 2),
    }
    if out is not None:
        out.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))


if __name__ == "__main__":
    typer.run(main)
