"""Kinds of jobs that are quick to do and easy to check, and a worker of them in a process of its own.

`python -m tests.fake_jobs DATA` works; the kill tests and the benchmark of killed jobs start it.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.errors import Cancelled, EveryageError, InputError
from photos.files import write_atomically
from pipelines.events import CancelToken, Event
from pipelines.jobs.job import Job
from pipelines.jobs.kind import JobKind, Tell
from pipelines.jobs.queue import JobQueue
from pipelines.settings import load_settings

KINDS = {"frames": "tests.fake_jobs:Frames"}


class Frames(JobKind):
    """`frames` frames in chunks of `chunk`, each a hash of its number; the result joins them in one file.

    request: frames, chunk, step_s (time a frame takes), out, picture; fail: a frame, and how it fails; slow: a chunk
    (or "finish") that takes for ever. A file "mended" in the data folder ends both. Each beginning, end and
    interruption of a chunk is a line in a log of the job's folder.
    """

    name = "frames"

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("frames", 0) < 1:
            raise InputError("There are no frames in it; give some.")
        return {"chunk": 30, "step_s": 0.0, "out": "", "fail": -1, "how": "", "picture": False, "slow": ""} | request

    def title(self, request: dict[str, Any]) -> str:
        return f"{request['frames']} frames"

    def chunks(self, request: dict[str, Any], folder: Path) -> list[str]:
        if not (folder / "look.txt").exists():
            return ["look"]
        return [f"part-{n}" for n in range(self._parts(request)) if not (folder / f"part-{n}.txt").exists()]

    def of(self, request: dict[str, Any], folder: Path) -> int:
        return self._parts(request) + 1

    def work(self, request: dict[str, Any], folder: Path, chunk: str, tell: Tell, cancel: CancelToken) -> None:
        path = folder / f"{chunk}.txt"
        if path.exists():
            return
        numbers = range(1) if chunk == "look" else self._numbers(request, int(chunk.partition("-")[2]))
        _note(folder, "begun", chunk)

        def fill(file: Any) -> None:
            self._dwell(request, folder, chunk, cancel)
            for done, number in enumerate(numbers, start=1):
                cancel.check()
                self._fail(request, number)
                time.sleep(request["step_s"])
                file.write(frame(number).encode())
                file.flush()
                tell(Event("age", f"Frame {number}", done, len(numbers), value=self._picture(request, number)))

        write_atomically(path, fill)
        _note(folder, "ended", chunk)

    def finish(self, request: dict[str, Any], folder: Path, tell: Tell, cancel: CancelToken) -> dict[str, Any]:
        out = Path(request["out"] or folder / "all.txt")
        parts = [folder / f"part-{n}.txt" for n in range(self._parts(request))]
        self._dwell(request, folder, "finish", cancel)
        if all(part.exists() for part in parts):  # else it was killed while it removed them
            write_atomically(out, lambda file: file.write(b"".join(part.read_bytes() for part in parts)))
        for part in parts:
            part.unlink(missing_ok=True)
        return {"files": [str(out)], "frames": request["frames"]}

    def _parts(self, request: dict[str, Any]) -> int:
        return -(-request["frames"] // request["chunk"])

    def _numbers(self, request: dict[str, Any], part: int) -> range:
        return range(part * request["chunk"], min((part + 1) * request["chunk"], request["frames"]))

    def _dwell(self, request: dict[str, Any], folder: Path, name: str, cancel: CancelToken) -> None:
        """Take for ever, where that is asked for."""
        if request["slow"] != name:
            return
        _note(folder, "dwelling", name)
        try:
            while not (self.settings.data / "mended").exists():
                cancel.check()
                time.sleep(0.02)
        except Cancelled:
            _note(folder, "stopped", name)
            raise

    def _fail(self, request: dict[str, Any], number: int) -> None:
        mended = self.settings.data / "mended"
        if number != request["fail"] or mended.exists():
            return
        if request["how"] == "sentence":
            raise EveryageError("The frame is torn; mend it.")
        if request["how"] == "full":
            raise OSError(28, "No space left on device")
        raise ZeroDivisionError("nobody thought of this")

    def _picture(self, request: dict[str, Any], number: int) -> Any:
        if not request["picture"]:
            return None
        from PIL import Image

        return Image.new("RGB", (1024, 512), (number % 256, 0, 0))


def _note(folder: Path, log: str, word: str) -> None:
    with (folder / f"{log}.log").open("a") as file:
        file.write(f"{word}\n")


def frame(number: int) -> str:
    """What a frame looks like: one line."""
    return hashlib.sha256(str(number).encode()).hexdigest() + "\n"


def whole(frames: int) -> bytes:
    """The result of an undisturbed job."""
    return "".join(map(frame, range(frames))).encode()


def until(true: Callable[[], Any], seconds: float = 20) -> Any:
    """What `true` gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return found


def over(queue: JobQueue, job: Job) -> Job:
    """The job as it ended."""
    return until(lambda: (now := queue.get(job.id)).over and now)


def lines(queue: JobQueue, job: Job, name: str) -> list[str]:
    """The words of one of the job's logs."""
    path = queue.folder(job.id) / name
    return path.read_text().split() if path.exists() else []


def main(data: str) -> None:
    """Work until killed, or until the process that started this one ends."""
    from pipelines.jobs.process import until_parent_ends
    from pipelines.jobs.worker import work

    stop = threading.Event()
    until_parent_ends(stop)
    work(load_settings(data=Path(data)), kinds=KINDS, stop=stop, wait=True)


if __name__ == "__main__":
    main(sys.argv[1])
