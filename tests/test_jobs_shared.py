"""One queue in PostgreSQL for several workers: chunks side by side, and a killed worker's are taken over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import InputError
from pipelines.jobs.process import environment
from pipelines.jobs.queue import JobQueue
from pipelines.jobs.roll import Roll
from pipelines.jobs.worker import somebody_works
from pipelines.settings import Settings, load_settings
from tests.fake_jobs import KINDS, lines, over, until, whole

ROOT = Path(__file__).resolve().parent.parent
NOBODY = "nobody"
CONFIG = "listen_addresses='127.0.0.1'\nunix_socket_directories=''\nfsync=off\nshared_buffers=16MB\n"


def binaries() -> Path | None:
    """Where Debian keeps the newest server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@pytest.fixture(scope="module")
def server(free_port: int) -> Iterator[str]:
    """Address of a PostgreSQL server of our own in a folder of its own; it refuses to run as root, so it doesn't."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed here (apt-get install postgresql), so the shared queue is not tried.")
    who = NOBODY if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        if who is not None:
            subprocess.run(["chown", "-R", who, folder], check=True)
        quiet = {"user": who, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([programs / "initdb", "-D", data, "-U", "everyage", "-A", "trust", "-N"], check=True, **quiet)
        (data / "postgresql.auto.conf").write_text(f"port={free_port}\n{CONFIG}")
        process = subprocess.Popen([programs / "postgres", "-D", data], **quiet)
        ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(free_port), "-q"]
        until(lambda: subprocess.run(ready, check=False).returncode == 0)
        yield f"postgresql://everyage@127.0.0.1:{free_port}/postgres"
        process.send_signal(signal.SIGINT)  # fast: ends what is open
        process.wait(20)


def worker(settings: Settings) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.fake_jobs", str(settings.data)]
    return subprocess.Popen(command, cwd=ROOT, env=environment(settings), stdin=subprocess.PIPE)


def test_two_workers_share_a_job_and_one_may_be_killed(server: str, tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, jobs_url=server)
    queue = JobQueue(settings, KINDS)
    roll = Roll(queue.ledger)
    assert not somebody_works(settings, queue.ledger)
    with worker(settings) as first, worker(settings) as second:
        until(lambda: len(roll.living()) == 2)
        job = queue.add("frames", {"frames": 300, "chunk": 30, "step_s": 0.03})
        until(lambda: len(list(queue.folder(job.id).glob(".part-*.part"))) == 2)  # side by side
        later = queue.add("frames", {"frames": 30, "chunk": 30})
        first.kill()
        began = time.monotonic()
        done = over(queue, job)
        assert done.state == "done" and time.monotonic() - began < 20
        assert over(queue, later).state == "done"
        begun, ended = Counter(lines(queue, job, "begun.log")), Counter(lines(queue, job, "ended.log"))
        assert len(begun) == 11 and sum(begun.values()) <= 12  # at most the one that was being done
        assert max(ended.values()) == 1
        assert (queue.folder(job.id) / "all.txt").read_bytes() == whole(300)
        assert not list(queue.folder(job.id).rglob("*.part"))
        slow = queue.add("frames", {"frames": 30, "slow": "part-0"})
        until(lambda: lines(queue, slow, "dwelling.log"))
        began = time.monotonic()
        queue.cancel(slow.id)
        until(lambda: lines(queue, slow, "stopped.log"))
        assert time.monotonic() - began < 2
        assert second.stdin is not None
        second.stdin.close()
        assert second.wait(20) == 0
    assert roll.living(60.0) == []  # it said goodbye
    queue.move(queue.add("frames", {"frames": 2}).id, "first")
    assert queue.delete(job.id, results=True) and queue.list()[0].state == "waiting"
    queue.close()


def test_an_address_that_is_none_is_refused_without_being_shown() -> None:
    with pytest.raises(InputError) as refused:
        load_settings(jobs_url="mysql://me:secret@there/jobs")
    assert "jobs_url" in str(refused.value) and "secret" not in str(refused.value)
