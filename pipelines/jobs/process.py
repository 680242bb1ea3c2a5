"""The app's own worker: a child process that does the jobs, lives as long as the app, and is started again if it dies.

A process of its own, so that a job that crashes or fills the memory never takes the pages with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pipelines.crash import MAX_LOG_BYTES
from pipelines.settings import Settings

APP = Path(__file__).resolve().parents[2] / "app.py"
COMMAND = (sys.executable, str(APP), "worker", "--child")
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Before each new start after a crash; from the first again once a worker has lived for HEALTHY_S."""
HEALTHY_S = 60.0
PATIENCE_S = 8.0


class WorkerProcess:
    """Starts the worker and watches over it. The worker reads its standard input, which ends when this process does."""

    def __init__(
        self, settings: Settings, command: Sequence[str] = COMMAND, pauses_s: Sequence[float] = PAUSES_S
    ) -> None:
        self._settings, self._command, self._pauses = settings, tuple(command), tuple(pauses_s)
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the worker, unless this was called before."""
        with self._lock:
            if self._thread is None:
                self._stopping.clear()
                self._thread = threading.Thread(target=self._watch, name="everyage-worker", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the worker; what it has finished stays, and the next one goes on."""
        self._stopping.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(2 * PATIENCE_S)

    @property
    def alive(self) -> bool:
        """Whether the process runs at this moment."""
        process = self._process
        return process is not None and process.poll() is None

    @property
    def pid(self) -> int | None:
        """Number of the process that runs, or ran last."""
        return self._process.pid if self._process is not None else None

    def _watch(self) -> None:
        crashes = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self._process = process = self._begin()
            while process.poll() is None and not self._stopping.wait(0.2):
                pass
            if self._stopping.is_set():
                return self._end(process)
            crashes = 0 if time.monotonic() - began > HEALTHY_S else crashes
            self._stopping.wait(self._pauses[min(crashes, len(self._pauses) - 1)])
            crashes += 1

    def _begin(self) -> subprocess.Popen[bytes]:
        with log_file(self._settings.data).open("ab") as log:
            return subprocess.Popen(
                self._command, cwd=APP.parent, env=environment(self._settings), stdin=subprocess.PIPE, stdout=log,
                stderr=log,
            )  # fmt: skip

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is not None:
            process.stdin.close()  # as if this process had ended
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until_parent_ends(stop: threading.Event) -> None:
    """In the worker: set `stop` when the process that started this one ends, however it does."""

    def read() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        stop.set()

    threading.Thread(target=read, name="everyage-parent", daemon=True).start()


def environment(settings: Settings) -> dict[str, str]:
    """The environment that gives another process the same settings, but for those of the pages alone."""
    own = settings.model_dump(exclude={"password", "host", "port"}, exclude_none=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EVERYAGE_")}
    return kept | {f"EVERYAGE_{name.upper()}": str(value) for name, value in own.items()}


def log_file(data: Path) -> Path:
    """Where the worker's output goes; begun anew when it has grown large."""
    path = data / "logs" / "worker.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".old.log"))
    return path
